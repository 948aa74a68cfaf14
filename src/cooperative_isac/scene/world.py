"""The static world of a scene: ground, walls and boxes that reflect, scatter and block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# What touches a surface does not pass through it, m: far above rounding, far below a wavelength.
TOUCH_M = 1e-6


@dataclass(frozen=True)
class Material:
    """Of what a surface is made.

    permittivity: complex, relative to vacuum, at the carrier: eps' - j sigma / (2 pi f eps_0)
    reflection_loss_db: of every specular reflection, instead of Fresnel's coefficients; None: those
    scattering: share S of the reflected field's amplitude that is scattered diffusely
    (Degli-Esposti et al. 2007)
    """

    permittivity: complex
    reflection_loss_db: float | None
    scattering: float


@dataclass(frozen=True)
class Surface:
    """A rectangle that reflects on both of its sides.

    corner_m, first_m, second_m: [3], a corner in map and the two edges from it, at right angles
    """

    corner_m: np.ndarray
    first_m: np.ndarray
    second_m: np.ndarray
    material: Material

    @cached_property
    def normal(self) -> np.ndarray:
        """Unit vector [3] at right angles to both edges."""
        cross = np.cross(self.first_m, self.second_m)
        return cross / np.linalg.norm(cross)

    @property
    def corners_m(self) -> np.ndarray:
        """The four corners in a row around the rectangle, [4, 3]."""
        steps = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        return self.corner_m + steps @ np.stack([self.first_m, self.second_m])

    def contains(self, points_m: np.ndarray) -> np.ndarray:
        """Whether points_m [..., 3] of the surface's plane lie within the rectangle, [...]."""
        offset = points_m - self.corner_m
        along = offset @ self.first_m / (self.first_m @ self.first_m)
        across = offset @ self.second_m / (self.second_m @ self.second_m)
        return (along >= 0) & (along <= 1) & (across >= 0) & (across <= 1)

    def mirrored(self, points_m: np.ndarray) -> np.ndarray:
        """Images of points behind the plane; points_m: [..., 3]; returns [..., 3]."""
        height = (points_m - self.corner_m) @ self.normal
        return points_m - 2 * height[..., None] * self.normal

    def mirrored_directions(self, vectors: np.ndarray) -> np.ndarray:
        """Images of free vectors, as velocities; vectors: [..., 3]; returns [..., 3]."""
        height = vectors @ self.normal
        return vectors - 2 * height[..., None] * self.normal

    def crossing(self, starts_m: np.ndarray, ends_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where segments meet the plane.

        starts_m, ends_m: [..., 3]
        Returns the points, [..., 3] (NaN for segments that are parallel to the plane), and the
        share of the segment before them, [...], between 0 and 1 where the segment itself meets the
        plane.
        """
        rise = (ends_m - starts_m) @ self.normal
        height = (self.corner_m - starts_m) @ self.normal
        share = np.divide(height, rise, out=np.full(np.shape(rise), np.nan), where=rise != 0)
        return starts_m + share[..., None] * (ends_m - starts_m), share

    def blocks(self, starts_m: np.ndarray, ends_m: np.ndarray) -> np.ndarray:
        """Whether segments starts_m to ends_m, [..., 3], pass through the rectangle, [...]."""
        points, share = self.crossing(starts_m, ends_m)
        before_m = share * np.linalg.norm(ends_m - starts_m, axis=-1)
        after_m = (1 - share) * np.linalg.norm(ends_m - starts_m, axis=-1)
        return (before_m > TOUCH_M) & (after_m > TOUCH_M) & self.contains(points)

    def tiles(self, size_m: float) -> tuple[np.ndarray, float]:
        """Middles of equal tiles of at most that size, [num_tiles, 3], and the area of each,
        m^2.
        """
        lengths = [np.linalg.norm(self.first_m), np.linalg.norm(self.second_m)]
        counts = self._tile_counts(size_m)
        along, across = ((np.arange(count) + 0.5) / count for count in counts)
        steps = np.stack(np.meshgrid(along, across, indexing="ij"), axis=-1).reshape(-1, 2)
        middles = self.corner_m + steps @ np.stack([self.first_m, self.second_m])
        return middles, float(np.prod(lengths) / np.prod(counts))

    def num_tiles(self, size_m: float) -> int:
        """Number of tiles of at most that size."""
        return math.prod(self._tile_counts(size_m))

    def _tile_counts(self, size_m: float) -> list[int]:
        lengths = np.linalg.norm(self.first_m), np.linalg.norm(self.second_m)
        return [max(1, int(np.ceil(length / size_m))) for length in lengths]


@dataclass(frozen=True)
class Building:
    """An axis-aligned building: low_m, high_m [3] in map. Nothing passes through it."""

    low_m: np.ndarray
    high_m: np.ndarray
    material: Material

    def contains(self, points_m: np.ndarray) -> np.ndarray:
        """Whether points lie inside; points_m: [..., 3]; returns [...], bool."""
        return np.all((points_m > self.low_m) & (points_m < self.high_m), axis=-1)

    def blocks(self, starts_m: np.ndarray, ends_m: np.ndarray) -> np.ndarray:
        """Whether segments starts_m to ends_m, [..., 3], pass through the inside, [...].

        By the slab method.
        """
        along = ends_m - starts_m
        length_m = np.linalg.norm(along, axis=-1)

        # shares of the segment at which it enters and leaves each pair of faces
        parallel = along == 0
        safe = np.where(parallel, 1.0, along)
        one = (self.low_m - starts_m) / safe
        other = (self.high_m - starts_m) / safe
        within = (starts_m > self.low_m) & (starts_m < self.high_m)
        enters = np.where(parallel, np.where(within, -np.inf, np.inf), np.minimum(one, other))
        leaves = np.where(parallel, np.where(within, np.inf, -np.inf), np.maximum(one, other))

        # inside is where the segment is between all three pairs at once
        enter = np.clip(enters.max(axis=-1), 0.0, 1.0)
        leave = np.clip(leaves.min(axis=-1), 0.0, 1.0)
        return np.where(leave > enter, (leave - enter) * length_m, 0.0) > TOUCH_M

    @property
    def faces(self) -> tuple[Surface, ...]:
        """The four sides and the top; nothing gets under a building."""
        low, size = self.low_m, self.high_m - self.low_m
        x, y, z = np.diag(size)
        places = ((low, x, z), (low + y, x, z), (low, y, z), (low + x, y, z), (low + z, x, y))
        return tuple(Surface(*place, self.material) for place in places)


@dataclass(frozen=True, eq=False)
class World:
    """What stands still in a scene. Two worlds are equal only where they are the same object.

    ground: the rectangle of the ground below all sites and the area, or None
    walls: rectangles that reflect on both sides; boxes: buildings
    line_of_sight: whether the receivers are reached by the transmitters directly
    tile_m: size of the tiles that scatter diffusely
    target_reflections: whether target paths with one reflection at a surface exist, too
    """

    line_of_sight: bool
    ground: Surface | None
    walls: tuple[Surface, ...]
    boxes: tuple[Building, ...]
    tile_m: float
    target_reflections: bool

    @cached_property
    def surfaces(self) -> tuple[Surface, ...]:
        """All that reflects: ground, walls, faces of boxes."""
        ground = () if self.ground is None else (self.ground,)
        return ground + self.walls + tuple(face for box in self.boxes for face in box.faces)

    def blocks(self, starts_m: np.ndarray, ends_m: np.ndarray) -> np.ndarray:
        """Whether segments pass through a wall or a box.

        starts_m, ends_m: [..., 3]; returns [...], bool
        Ends may touch what they pass. The ground blocks nothing: everything stands above it.
        """
        starts_m, ends_m = np.broadcast_arrays(starts_m, ends_m)
        blocked = np.zeros(starts_m.shape[:-1], bool)
        for obstacle in (*self.walls, *self.boxes):
            blocked |= obstacle.blocks(starts_m, ends_m)
        return blocked

    def is_inside(self, points_m: np.ndarray) -> np.ndarray:
        """Whether points lie inside a box; points_m: [..., 3]; returns [...], bool."""
        inside = np.zeros(points_m.shape[:-1], bool)
        for box in self.boxes:
            inside |= box.contains(points_m)
        return inside

    def is_below(self, points_m: np.ndarray) -> np.ndarray:
        """Whether points lie below the ground; points_m: [..., 3]; returns [...], bool."""
        if self.ground is None:
            return np.zeros(points_m.shape[:-1], bool)
        return points_m[..., 2] < self.ground.corner_m[2]

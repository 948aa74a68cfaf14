"""The static world of a scene: ground, walls and boxes that reflect, scatter and block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Length within an obstacle up to which a segment only touches it, m: far above rounding, far below
# a wavelength.
TOUCH_M = 1e-6


@dataclass(frozen=True)
class Material:
    """Material of a surface.

    permittivity: complex, relative to vacuum, at the carrier: eps' - j sigma / (2 pi f eps_0)
    reflection_loss_db: of every specular reflection, dB; None: by Fresnel's coefficients
    scattering: share S of the reflected field's amplitude that is scattered diffusely
    (Degli-Esposti et al. 2007)
    """

    permittivity: complex
    reflection_loss_db: float | None
    scattering: float


@dataclass(frozen=True)
class Surface:
    """A rectangle that reflects on both of its sides.

    corner_m: [3], float64, m in map
    first_m: [3], float64, m, an edge from the corner
    second_m: [3], float64, m, the other edge from it, at right angles
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
        """The four corners in a row around the rectangle, [4, 3], float64, m."""
        steps = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        return self.corner_m + steps @ np.stack([self.first_m, self.second_m])

    def contains(self, points_m: np.ndarray) -> np.ndarray:
        """Mask of the points in the plane of the surface that are within the rectangle.

        points_m: [..., 3], float64, m
        Returns [...], bool.
        """
        # Shares of both edges, which are perpendicular.
        offset_m = points_m - self.corner_m
        along = offset_m @ self.first_m / (self.first_m @ self.first_m)
        across = offset_m @ self.second_m / (self.second_m @ self.second_m)

        is_along = (along >= 0) & (along <= 1)
        is_across = (across >= 0) & (across <= 1)
        return is_along & is_across

    def mirrored(self, points_m: np.ndarray) -> np.ndarray:
        """Images of points behind the plane.

        points_m: [..., 3], float64, m
        Returns [..., 3], float64, m.
        """
        height_m = (points_m - self.corner_m) @ self.normal
        return points_m - 2 * height_m[..., None] * self.normal

    def mirrored_directions(self, vectors: np.ndarray) -> np.ndarray:
        """Images of free vectors, such as velocities.

        vectors: [..., 3], float64
        Returns [..., 3], float64.
        """
        across = vectors @ self.normal
        return vectors - 2 * across[..., None] * self.normal

    def crossing(self, starts_m: np.ndarray, ends_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crossings of segments, or of their extensions, with the plane.

        starts_m: [..., 3], float64, m
        ends_m: [..., 3], float64, m
        Returns the points [..., 3], float64, m (NaN for segments that are parallel to the plane),
        and the share of the segment before them, [...], float64, between 0 and 1 where the segment
        itself crosses the plane.
        """
        # Heights along the normal: of the segment, and of the plane over its start.
        segment_m = ends_m - starts_m
        rise_m = segment_m @ self.normal
        height_m = (self.corner_m - starts_m) @ self.normal

        # Share of the segment up to the plane; not a number where it is parallel.
        share = np.full(np.shape(rise_m), np.nan)
        np.divide(height_m, rise_m, out=share, where=rise_m != 0)
        return starts_m + share[..., None] * segment_m, share

    def blocks(self, starts_m: np.ndarray, ends_m: np.ndarray) -> np.ndarray:
        """Mask of the segments that pass through the rectangle.

        starts_m: [..., 3], float64, m
        ends_m: [..., 3], float64, m
        Returns [...], bool.
        """
        crossing_m, share = self.crossing(starts_m, ends_m)
        length_m = np.linalg.norm(ends_m - starts_m, axis=-1)
        before_m = share * length_m
        after_m = (1 - share) * length_m
        return (before_m > TOUCH_M) & (after_m > TOUCH_M) & self.contains(crossing_m)

    def tiles(self, size_m: float) -> tuple[np.ndarray, float]:
        """Equal tiles of at most a given size.

        Returns their centers [num_tiles, 3], float64, m, and the area of each, m^2.
        """
        # Middles of equal parts of both edges, from 0 to 1.
        counts = self._tile_counts(size_m)
        middles = [np.arange(count) + 0.5 for count in counts]
        along = middles[0] / counts[0]
        across = middles[1] / counts[1]
        pairs = np.meshgrid(along, across, indexing="ij")
        shares = np.stack(pairs, axis=-1).reshape(-1, 2)

        # Centers there.
        edges_m = np.stack([self.first_m, self.second_m])
        centers_m = self.corner_m + shares @ edges_m

        # Area of each.
        lengths_m = [np.linalg.norm(self.first_m), np.linalg.norm(self.second_m)]
        area_m2 = np.prod(lengths_m) / np.prod(counts)
        return centers_m, float(area_m2)

    def num_tiles(self, size_m: float) -> int:
        """Number of tiles of at most that size."""
        return math.prod(self._tile_counts(size_m))

    def _tile_counts(self, size_m: float) -> list[int]:
        """Tiles along both edges."""
        lengths_m = [np.linalg.norm(self.first_m), np.linalg.norm(self.second_m)]
        return [max(1, int(np.ceil(length_m / size_m))) for length_m in lengths_m]


@dataclass(frozen=True)
class Building:
    """An axis-aligned building, through which nothing passes.

    low_m: [3], float64, m in map, its lowest corner
    high_m: [3], float64, m in map, its highest corner
    """

    low_m: np.ndarray
    high_m: np.ndarray
    material: Material

    def contains(self, points_m: np.ndarray) -> np.ndarray:
        """Mask of the points inside.

        points_m: [..., 3], float64, m
        Returns [...], bool.
        """
        return np.all((points_m > self.low_m) & (points_m < self.high_m), axis=-1)

    def blocks(self, starts_m: np.ndarray, ends_m: np.ndarray) -> np.ndarray:
        """Mask of the segments that pass through the inside (slab method).

        starts_m: [..., 3], float64, m
        ends_m: [..., 3], float64, m
        Returns [...], bool.
        """
        along_m = ends_m - starts_m
        length_m = np.linalg.norm(along_m, axis=-1)

        # Shares of the segment at which it crosses both faces of each axis.
        is_parallel = along_m == 0
        divisor_m = np.where(is_parallel, 1.0, along_m)
        low_share = (self.low_m - starts_m) / divisor_m
        high_share = (self.high_m - starts_m) / divisor_m

        # Where it is between them; all of it or nothing where it is parallel to the faces.
        is_between = (starts_m > self.low_m) & (starts_m < self.high_m)
        enters = np.where(
            is_parallel,
            np.where(is_between, -np.inf, np.inf),
            np.minimum(low_share, high_share),
        )
        leaves = np.where(
            is_parallel,
            np.where(is_between, np.inf, -np.inf),
            np.maximum(low_share, high_share),
        )

        # Inside is where the segment is between the faces of all three axes.
        enter = np.clip(enters.max(axis=-1), 0.0, 1.0)
        leave = np.clip(leaves.min(axis=-1), 0.0, 1.0)
        inside_m = np.where(leave > enter, (leave - enter) * length_m, 0.0)
        return inside_m > TOUCH_M

    @property
    def faces(self) -> tuple[Surface, ...]:
        """The four sides and the top; no wave gets under a building."""
        # Edges [3] from the lowest corner along each axis, m.
        low_m = self.low_m
        x, y, z = np.diag(self.high_m - low_m)

        south = Surface(low_m, x, z, self.material)
        north = Surface(low_m + y, x, z, self.material)
        west = Surface(low_m, y, z, self.material)
        east = Surface(low_m + x, y, z, self.material)
        top = Surface(low_m + z, x, y, self.material)
        return (south, north, west, east, top)


@dataclass(frozen=True, eq=False)
class World:
    """The static world of a scene.

    Two worlds are equal only if they are the same object.

    line_of_sight: whether there are direct paths from transmitters to receivers
    ground: the rectangle of the ground below all sites and the area, or None
    walls: rectangles that reflect on both sides
    boxes: buildings
    tile_m: size of the tiles that scatter diffusely, m
    target_reflections: most reflections of a target path at surfaces: 0, 1 (before or behind the
    target), or 2 (before and behind it)
    """

    line_of_sight: bool
    ground: Surface | None
    walls: tuple[Surface, ...]
    boxes: tuple[Building, ...]
    tile_m: float
    target_reflections: int

    @cached_property
    def surfaces(self) -> tuple[Surface, ...]:
        """All surfaces that reflect: ground, walls, faces of boxes."""
        ground = () if self.ground is None else (self.ground,)
        faces = tuple(face for box in self.boxes for face in box.faces)
        return ground + self.walls + faces

    def blocks(self, starts_m: np.ndarray, ends_m: np.ndarray) -> np.ndarray:
        """Mask of the segments that pass through a wall or a box.

        Ends may touch an obstacle. The ground blocks nothing, as everything is above it.

        starts_m: [..., 3], float64, m
        ends_m: [..., 3], float64, m
        Returns [...], bool.
        """
        starts_m, ends_m = np.broadcast_arrays(starts_m, ends_m)
        blocked = np.zeros(starts_m.shape[:-1], bool)
        for obstacle in (*self.walls, *self.boxes):
            blocked |= obstacle.blocks(starts_m, ends_m)
        return blocked

    def reflections(
        self, surface: Surface, fixed_m: np.ndarray, points_m: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Specular reflections at one surface between a fixed point and others (image method).

        surface: of this world
        fixed_m: [3], float64, m
        points_m: [num_points, 3], float64, m
        Returns the reflecting points [num_points, 3], float64, m (a corner of the surface where
        there is no reflection), and whether there is one, [num_points], bool.
        """
        # Straight lines from the image cross the plane where the wave is reflected.
        images_m = np.broadcast_to(surface.mirrored(fixed_m), points_m.shape)
        crossing_m, share = surface.crossing(images_m, points_m)

        # Both ends on one side of the plane (then a line from the image crosses it), and the
        # reflection within the rectangle.
        exists = (share > 0) & (share < 1) & surface.contains(crossing_m)

        # Nothing between. Crossings of other lines may be NaN.
        reflecting_m = np.where(exists[:, None], crossing_m, surface.corner_m)
        if not exists.any():
            return reflecting_m, exists
        is_free_before = ~self.blocks(fixed_m, reflecting_m[exists])
        is_free_after = ~self.blocks(reflecting_m[exists], points_m[exists])
        exists[exists] = is_free_before & is_free_after
        return reflecting_m, exists

    def is_inside(self, points_m: np.ndarray) -> np.ndarray:
        """Mask of the points inside a box.

        points_m: [..., 3], float64, m
        Returns [...], bool.
        """
        inside = np.zeros(points_m.shape[:-1], bool)
        for box in self.boxes:
            inside |= box.contains(points_m)
        return inside

    def is_below(self, points_m: np.ndarray) -> np.ndarray:
        """Mask of the points below the ground.

        points_m: [..., 3], float64, m
        Returns [...], bool.
        """
        if self.ground is None:
            return np.zeros(points_m.shape[:-1], bool)
        return points_m[..., 2] < self.ground.corner_m[2]

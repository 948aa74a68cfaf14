"""The scene as every stage sees it: frozen, in SI units and watts, free of file formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.motion.motion import Motion
from cooperative_isac.scene.path_file import PATH_KINDS, PathFile
from cooperative_isac.scene.world import World

# Continuity threshold of a vehicle with a body: half of a car's length, since its echoes come from
# anywhere on it.
LARGE_BODY_THRESHOLD_M = 2.0


class TargetClass(Enum):
    """What a target is; the numbers are those of cooperative_isac_msgs/Track."""

    UNKNOWN = 0
    UAV = 1
    VEHICLE = 2


@dataclass(frozen=True)
class Site:
    """An access point: a named antenna array at a place.

    position_m: [3] in map; rotation: [3, 3], array axes to map axes; elements_m: [num_ant, 3],
    offsets from position_m in MAP axes (already rotated); boresight is the array's x axis in map;
    pattern: of each element, isotropic | tr38901 (channel.antenna_pattern).
    """

    name: str
    position_m: np.ndarray
    rotation: np.ndarray
    elements_m: np.ndarray
    kind: str
    pattern: str = "isotropic"

    @property
    def num_ant(self) -> int:
        """Number of antennas of the array."""
        return len(self.elements_m)

    @property
    def boresight(self) -> np.ndarray:
        """Unit vector [3] along which the array looks."""
        return self.rotation[:, 0]

    @property
    def axis(self) -> np.ndarray:
        """Unit vector [3] along the array's own y axis (the line of a ULA)."""
        return self.rotation[:, 1]


@dataclass(frozen=True)
class Box:
    """The axis-aligned box in which targets are looked for: low_m, high_m [3] in map."""

    low_m: np.ndarray
    high_m: np.ndarray

    def padded(self, share: float) -> Box:
        """The box grown on every side by a share of its size."""
        margin = share * (self.high_m - self.low_m)
        return Box(self.low_m - margin, self.high_m + margin)

    def cell_centers_m(self, num_cells: int) -> np.ndarray:
        """Centers of num_cells x num_cells cells over the ground, [num_cells, num_cells, 2], rows
        along y.
        """
        steps = (np.arange(num_cells)[:, None] + 0.5) / num_cells
        x, y = (self.low_m[:2] + steps * (self.high_m - self.low_m)[:2]).T
        return np.stack(np.meshgrid(x, y), -1)


@dataclass(frozen=True)
class OfdmGrid:
    """The resource elements of one sensing frame; strides make a comb of subcarriers and
    symbols.
    """

    carrier_hz: float
    subcarrier_spacing_hz: float
    num_subcarriers: int
    num_symbols: int
    cyclic_prefix_s: float
    subcarrier_stride: int = 1
    symbol_stride: int = 1

    @property
    def wavelength_m(self) -> float:
        """Wavelength at the carrier, m."""
        return SPEED_OF_LIGHT_MPS / self.carrier_hz

    @property
    def subcarrier_offsets_hz(self) -> np.ndarray:
        """Offsets of the used subcarriers from the first one, [num_subcarriers], Hz."""
        return np.arange(self.num_subcarriers) * self.subcarrier_stride * self.subcarrier_spacing_hz

    @property
    def symbol_period_s(self) -> float:
        """Time between two used OFDM symbols."""
        return (1 / self.subcarrier_spacing_hz + self.cyclic_prefix_s) * self.symbol_stride

    @property
    def symbol_times_s(self) -> np.ndarray:
        """Start times of the used symbols from the frame's start, [num_symbols], s."""
        return np.arange(self.num_symbols) * self.symbol_period_s

    @property
    def range_resolution_m(self) -> float:
        """Bistatic range resolution c / B."""
        return SPEED_OF_LIGHT_MPS / (
            self.num_subcarriers * self.subcarrier_stride * self.subcarrier_spacing_hz
        )

    @property
    def doppler_resolution_hz(self) -> float:
        """One over the frame's length."""
        return 1 / (self.num_symbols * self.symbol_period_s)


@dataclass(frozen=True)
class Waveform:
    """What the transmitters send; power_w is the most that one transmitter may radiate over all
    subcarriers.

    precoder: mmse | zero_forcing | maximum_ratio; group_size: subcarriers that share one precoder;
    reference_*_stride: the comb of public reference symbols inside the grid, 0 where there is none.
    """

    grid: OfdmGrid
    modulation_order: int
    precoder: str
    group_size: int
    power_w: float
    reference_subcarrier_stride: int = 0
    reference_symbol_stride: int = 0


@dataclass(frozen=True)
class Users:
    """The communication users: num_users single-antenna receivers at height_m, drawn anew for each
    frame.

    rician_factor: power of the line-of-sight tap over the scattered taps (0: Rayleigh);
    delay_spread_s: r.m.s. of the exponential power delay profile.
    """

    num_users: int
    height_m: float
    noise_power_w: float
    rician_factor: float
    delay_spread_s: float


@dataclass(frozen=True)
class Clutter:
    """Scatterers of CF eq. 29. positions_m: [num_scatterers, 3], fixed; or drawn for each frame
    when None.
    """

    num_scatterers: int
    reflection_variance: float
    positions_m: np.ndarray | None = None


@dataclass(frozen=True)
class Propagation:
    """The sensing channel of CF eq. 6: pathloss alpha_0 (d/d_0)^-zeta, reflection CN(0, chi^2),
    noise, offsets.

    timing_offset_std_s and frequency_offset_std_hz are the residual clock offsets of CF eq. 30.
    model: pathloss (CF), or radar_equation: target paths by their radar cross section, then
    clutter.reflection_variance is a mean cross section in m^2, and users are reached as in free
    space.
    paths: a ray tracer's paths instead of those of eq. 6; path_kinds: those of them that are used.
    """

    reference_gain: float
    reference_distance_m: float
    pathloss_exponent: float
    reflection_variance: float
    noise_power_w: float
    clutter: Clutter
    timing_offset_std_s: float = 0.0
    frequency_offset_std_hz: float = 0.0
    model: str = "pathloss"
    paths: PathFile | None = None
    path_kinds: tuple[str, ...] = PATH_KINDS

    @property
    def has_radar_equation(self) -> bool:
        """Whether target paths follow the radar equation."""
        return self.model == "radar_equation"


@dataclass(frozen=True)
class TargetDraw:
    """How `evaluate` draws targets: num_targets uniform in the area, each velocity axis within
    max_speed_mps.

    height_m: (low, high), or None for the heights of the area; vertical speed is within
    max_climb_mps.
    """

    num_targets: int
    max_speed_mps: float
    max_climb_mps: float = 0.0
    height_m: tuple[float, float] | None = None


@dataclass(frozen=True)
class Target:
    """A named target of the live scene and the motion it follows."""

    name: str
    target_class: TargetClass
    motion: Motion


@dataclass(frozen=True)
class Body:
    """What scatters of a target of one class.

    size_m: [3], length, width and height of its box; zeros: a point
    rcs_m2: mean radar cross section, used by the radar equation
    rcs_std_db: deviation of the log-normal cross section of one link and frame
    """

    size_m: np.ndarray
    rcs_m2: float = 1.0
    rcs_std_db: float = 0.0

    @property
    def radius_m(self) -> float:
        """Distance from the middle to a corner of the box."""
        return float(np.linalg.norm(self.size_m) / 2)


POINT_BODY = Body(np.zeros(3))


@dataclass(frozen=True)
class TargetState:
    """Where a target is now: position_m, velocity_mps [3] in map."""

    name: str
    target_class: TargetClass
    position_m: np.ndarray
    velocity_mps: np.ndarray


@dataclass(frozen=True)
class Sensing:
    """How access points sense. symbols: payload | reference_only; false_alarm_probability is per AP
    and frame.

    max_targets bounds the reported targets per AP; min_speed_mps: slower detections are static
    clutter (0: keep);
    deadline_s: the center waits no longer than this for a packet after the frame's announcement.
    static_paths: what happens to paths without Doppler shift (line of sight, ground, walls) before
    the search: keep, project (out of every frame by itself) or learn (a background over frames,
    remembered for static_memory_s);
    multipath_ratio_db: power of a body's direct echo over its echoes by way of walls, which
    interfere with it.
    """

    scheme: str
    symbols: str
    false_alarm_probability: float
    max_targets: int
    max_speed_mps: float
    min_speed_mps: float
    deadline_s: float
    static_paths: str = "keep"
    static_memory_s: float = 30.0
    multipath_ratio_db: float = 20.0


@dataclass(frozen=True)
class Tracking:
    """How detections become tracks.

    model: cv | imm; accel_std_mps2: white acceleration of CV (per axis, horizontal) and
    vertical_accel_std_mps2;
    turn_rate_std_radps: spread of the coordinated turn's rate; gate_probability: of the chi-square
    gate; confirm_hits of the last confirm_window frames confirm; a track coasts max_coast_s at most
    before it is deleted;
    uav_height_m: above it a target is taken for a UAV.
    """

    model: str = "imm"
    accel_std_mps2: float = 2.0
    vertical_accel_std_mps2: float = 1.0
    turn_rate_std_radps: float = 0.3
    gate_probability: float = 0.999
    confirm_hits: int = 3
    confirm_window: int = 4
    max_coast_s: float = 1.0
    max_speed_mps: float = 40.0
    uav_height_m: float = 4.0


@dataclass(frozen=True)
class Scene:
    """A whole cooperative scene. dimension 2: everything lies in the plane z = plane_height_m,
    known to height_std_m.
    """

    name: str
    dimension: int
    box: Box
    transmitters: tuple[Site, ...]
    receivers: tuple[Site, ...]
    users: Users
    waveform: Waveform
    propagation: Propagation
    draw: TargetDraw
    sensing: Sensing
    tracking: Tracking
    update_rate_hz: float
    seed: int
    targets: tuple[Target, ...] = ()
    plane_height_m: float = 0.0
    height_std_m: float = 0.1
    fingerprint: str = ""
    continuity_threshold_m: float = 1.0
    source: str = field(default="", compare=False)
    bodies: Mapping[TargetClass, Body] = field(default_factory=dict)
    world: World | None = None

    @property
    def grid(self) -> OfdmGrid:
        """The resource elements of the waveform."""
        return self.waveform.grid

    @property
    def num_frames(self) -> int | None:
        """Number of frames of a scene whose paths come from a file; None: without end."""
        paths = self.propagation.paths
        return None if paths is None else paths.num_frames

    @property
    def class_thresholds_m(self) -> dict[TargetClass, float]:
        """Continuity thresholds of the classes that have another than continuity_threshold_m, m."""
        if self.body(TargetClass.VEHICLE).radius_m == 0:
            return {}
        return {TargetClass.VEHICLE: max(LARGE_BODY_THRESHOLD_M, self.continuity_threshold_m)}

    def body(self, target_class: TargetClass) -> Body:
        """The body of a target class; a point where the scene file says nothing of it."""
        return self.bodies.get(target_class, POINT_BODY)

    @property
    def has_bodies(self) -> bool:
        """Whether targets of some class have a size, so that they scatter from several points."""
        return any(body.radius_m > 0 for body in self.bodies.values())

    @property
    def is_physical(self) -> bool:
        """Whether simulated echoes have more than points in empty space: a static world, cross
        sections or bodies.
        """
        return self.world is not None or self.propagation.has_radar_equation or self.has_bodies

    def cell_points_m(self, num_cells: int) -> np.ndarray:
        """Centers of num_cells x num_cells cells in the plane of the scene, x fastest,
        [num_cells^2, 3], m.
        """
        plane = self.box.cell_centers_m(num_cells).reshape(-1, 2)
        return np.column_stack([plane, np.full(len(plane), self.plane_height_m)])

    def receiver(self, name: str) -> Site:
        """The receiver of that name; KeyError names the ones there are."""
        for site in self.receivers:
            if site.name == name:
                return site
        raise KeyError(
            f"no receiver '{name}' in scene '{self.name}'; it has "
            f"{[s.name for s in self.receivers]}"
        )

"""The scene as every stage sees it: frozen, in SI units and watts, free of file formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import numpy as np

from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.motion.motion import Motion
from cooperative_isac.scene.path_file import PATH_KINDS, PathFile
from cooperative_isac.scene.station import (
    Antenna,
    Duplex,
    Link,
    LinkMode,
    Pose,
    Role,
    Site,
    Station,
)
from cooperative_isac.scene.world import World

# Continuity threshold of a vehicle with a body: half of a car's length, since its echoes come from
# anywhere on it.
LARGE_BODY_THRESHOLD_M = 2.0
# Band of a scene whose file has the keys of a single one (waveform, transmitters, receivers).
ONLY_BAND = "default"


class TargetClass(Enum):
    """What a target is; the numbers are those of cooperative_isac_msgs/Track."""

    UNKNOWN = 0
    UAV = 1
    VEHICLE = 2


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
    coherence_time_s: how long the reflections of targets and clutter are constant; 0: one frame
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
    coherence_time_s: float = 0.0

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
    """A named target of the live scene and the motion it follows.

    rcs_m2: mean radar cross section for the radar equation; None: that of its class
    """

    name: str
    target_class: TargetClass
    motion: Motion
    rcs_m2: float | None = None


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

    model: cv, imm, or the name of a motion filter of one's own (scene.motion_filters)
    accel_std_mps2: standard deviation of white acceleration, each horizontal axis, m/s^2
    vertical_accel_std_mps2: the same along z, m/s^2
    turn_rate_std_radps: spread of the coordinated turn's rate, rad/s
    gate_probability: of the chi-square gate
    confirm_hits, confirm_window: so many detections in so many frames confirm a track
    max_coast_s: time without a detection after which a track is deleted, s
    max_speed_mps: of targets, m/s
    uav_height_m: height above which a target is taken for a UAV, m
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
class Band:
    """One carrier of the network: what is sent on it, and what the channel does there.

    frame_stride: the band is on the air in every frame_stride-th frame of the scene
    """

    name: str
    waveform: Waveform
    propagation: Propagation
    users: Users
    world: World | None = None
    frame_stride: int = 1

    def is_on_air(self, number: int) -> bool:
        """Whether frame `number` of the scene has a signal on this band."""
        return number % self.frame_stride == 0


@dataclass(frozen=True)
class Layout:
    """Bands and stations of a scene whose file names them."""

    bands: tuple[Band, ...]
    stations: tuple[Station, ...]

    @cached_property
    def fixed_sites(self) -> dict[tuple[str, str], Site]:
        """Sites of the stations at time 0, by names of station and band."""
        return {
            (station.name, band): station.site(band, station.pose_at(0.0))
            for station in self.stations
            for band in station.bands
        }

    def sites(self, band: str, poses: Mapping[str, Pose]) -> dict[str, Site]:
        """The sites of all stations on a band by name, in the order of the stations.

        poses: of the stations that are not where they were at time 0
        """
        return {
            station.name: (
                station.site(band, poses[station.name])
                if station.name in poses
                else self.fixed_sites[station.name, band]
            )
            for station in self.stations
            if band in station.bands
        }


@dataclass(frozen=True)
class Scene:
    """A whole cooperative scene, seen on one of its bands.

    dimension 2: everything lies in the plane z = plane_height_m, known to height_std_m
    transmitters, receivers: sites of the stations that transmit and receive on the band; a station
    that does both is in both
    waveform, users, propagation, world: of the band
    update_rate_hz: of the frames; of all bands together
    band: name of the band
    link_mode: which pairs of stations sense together
    layout: bands and stations of a scene that names them; None: one band with sites that transmit
    or receive
    poses: of the stations that moved since time 0
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
    band: str = ONLY_BAND
    link_mode: LinkMode = LinkMode.PASSIVE
    layout: Layout | None = None
    poses: Mapping[str, Pose] = field(default_factory=dict)

    @property
    def bands(self) -> tuple[Band, ...]:
        """All bands of the scene."""
        if self.layout is not None:
            return self.layout.bands
        only = Band(self.band, self.waveform, self.propagation, self.users, self.world)
        return (only,)

    @cached_property
    def stations(self) -> tuple[Station, ...]:
        """All stations of the scene; transmitters before receivers where the file has no others."""
        if self.layout is not None:
            return self.layout.stations
        roles = ((self.transmitters, Duplex.TX), (self.receivers, Duplex.RX))
        return tuple(
            _station_of(site, self.band, duplex) for sites, duplex in roles for site in sites
        )

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """All links of the scene: pairs of stations that sense together on a band."""
        return tuple(
            Link(transmitter.name, receiver.name, view.band)
            for view in self.views
            for receiver in view.receivers
            for transmitter in view.transmitters
            if self.link_mode.allows(transmitter.name, receiver.name)
        )

    @cached_property
    def views(self) -> tuple[Scene, ...]:
        """The scene seen on each of its bands, in their order."""
        return tuple(self._seen_on(band) for band in self.bands)

    def on(self, band: str) -> Scene:
        """The scene seen on a band. KeyError names the bands there are."""
        for view in self.views:
            if view.band == band:
                return view
        raise KeyError(
            f"no band '{band}' in scene '{self.name}'; it has {[b.name for b in self.bands]}"
        )

    def poses_at(
        self, time_s: float, reported: Mapping[str, Pose] | None = None
    ) -> dict[str, Pose]:
        """Poses of the stations that move, at a time after the scene's start.

        reported: of the stations whose pose comes from odometry or /tf; one that is missing stands
        where the file says
        """
        known = reported or {}
        return {
            station.name: known.get(station.name) or station.pose_at(time_s)
            for station in self.stations
            if station.is_mobile
        }

    def posed(self, poses: Mapping[str, Pose]) -> Scene:
        """The scene with its moving stations at other poses; the same object where none moves."""
        if not poses:
            return self
        return replace(self, **self._sites_on(self.band, poses), poses=poses)

    def station(self, name: str) -> Station:
        """The station of that name; KeyError names the ones there are."""
        for station in self.stations:
            if station.name == name:
                return station
        raise KeyError(
            f"no station '{name}' in scene '{self.name}'; it has "
            f"{[station.name for station in self.stations]}"
        )

    @property
    def receiving_stations(self) -> tuple[Station, ...]:
        """The stations that receive on some band, in order."""
        return tuple(station for station in self.stations if station.receives)

    def linked_transmitters(self, receiver: str) -> tuple[int, ...]:
        """Indices of the transmitters of this band whose echoes a receiver uses."""
        return tuple(
            index
            for index, site in enumerate(self.transmitters)
            if self.link_mode.allows(site.name, receiver)
        )

    def _seen_on(self, band: Band) -> Scene:
        if band.name == self.band:
            return self
        return replace(
            self,
            band=band.name,
            waveform=band.waveform,
            users=band.users,
            propagation=band.propagation,
            world=band.world,
            **self._sites_on(band.name, self.poses),
        )

    def _sites_on(self, band: str, poses: Mapping[str, Pose]) -> dict[str, tuple[Site, ...]]:
        """Transmitters and receivers of a band, of a scene with a layout."""
        layout = self.layout
        assert layout is not None, "only stations of a layout move or work on several bands"
        sites = layout.sites(band, poses)
        antennas = {station.name: station.antenna(band) for station in layout.stations}
        duplex = {name: antenna.duplex for name, antenna in antennas.items() if antenna}
        return {
            "transmitters": tuple(s for name, s in sites.items() if duplex[name].transmits),
            "receivers": tuple(s for name, s in sites.items() if duplex[name].receives),
        }

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

    def rcs_m2(self, name: str, target_class: TargetClass) -> float:
        """Mean radar cross section of a target: its own, else that of its class, m^2."""
        own = next((target.rcs_m2 for target in self.targets if target.name == name), None)
        return self.body(target_class).rcs_m2 if own is None else own

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


def _station_of(site: Site, band: str, duplex: Duplex) -> Station:
    """The station of a site that only transmits or only receives."""
    antenna = Antenna(band, site.elements_m @ site.rotation, site.kind, duplex, site.pattern)
    return Station(site.name, Role.ACCESS_POINT, Pose(site.position_m, site.rotation), (antenna,))

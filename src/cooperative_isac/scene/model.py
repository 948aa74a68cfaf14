"""Scene of all stages of the processing: frozen, in SI units and watts, free of file formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import numpy as np

from cooperative_isac.scene.band import ONLY_BAND, Band, OfdmGrid, Propagation, Users, Waveform
from cooperative_isac.scene.box import Box
from cooperative_isac.scene.cooperation import Cooperation
from cooperative_isac.scene.images import HiddenRegion, hidden_regions
from cooperative_isac.scene.layout import Layout
from cooperative_isac.scene.motion.motion import Motion
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

# Continuity threshold of a vehicle with a body, m: half of a car's length, since its echoes come
# from anywhere on it.
LARGE_BODY_THRESHOLD_M = 2.0


class TargetClass(Enum):
    """Class of a target; the numbers are those of cooperative_isac_msgs/Track."""

    UNKNOWN = 0
    UAV = 1
    VEHICLE = 2


@dataclass(frozen=True)
class TargetDraw:
    """Random targets of an evaluation: uniform in the box, each velocity axis uniform.

    max_speed_mps: limit of each horizontal axis of the velocity, m/s
    max_climb_mps: limit of the vertical axis, m/s
    height_m: lowest and highest, m; None: the heights of the box
    """

    num_targets: int
    max_speed_mps: float
    max_climb_mps: float
    height_m: tuple[float, float] | None


@dataclass(frozen=True)
class Target:
    """A named target of the live scene and the motion it follows.

    rcs_m2: mean radar cross section for the radar equation, m^2; None: that of its class
    """

    name: str
    target_class: TargetClass
    motion: Motion
    rcs_m2: float | None = None


@dataclass(frozen=True)
class Body:
    """Size and radar cross section of the targets of one class.

    size_m: [3], float64, m, length, width and height of its box; zeros: a point
    rcs_m2: mean radar cross section, used by the radar equation, m^2
    rcs_std_db: deviation of the log-normal cross section of one link and frame, dB
    """

    size_m: np.ndarray
    rcs_m2: float = 1.0
    rcs_std_db: float = 0.0

    @property
    def radius_m(self) -> float:
        """Distance from the center to a corner of the box, m."""
        return float(np.linalg.norm(self.size_m) / 2)


POINT_BODY = Body(np.zeros(3))


@dataclass(frozen=True)
class TargetState:
    """State of a target at one time.

    position_m: [3], float64, m in map
    velocity_mps: [3], float64, m/s in map
    """

    name: str
    target_class: TargetClass
    position_m: np.ndarray
    velocity_mps: np.ndarray


@dataclass(frozen=True)
class Sensing:
    """Settings of the receivers' detection and reports.

    scheme: name of the sensing scheme
    symbols: payload | reference_only | all
    false_alarm_probability: of one receiver and frame
    max_targets: bound of the reported targets of one receiver and frame
    max_speed_mps: of targets that are looked for, m/s
    max_climb_mps: largest usual rate of climb and descent of targets, m/s, in the prior of
    velocities that are not measured (Scene.velocity_stds_mps)
    min_speed_mps: slower detections are static clutter, m/s; 0: all are kept
    deadline_s: longest wait of the center for a packet after the frame's announcement, s
    static_paths: suppression of paths without Doppler shift (line of sight, ground, walls) before
    the search: keep | project (out of every frame by itself) | learn (a background over frames)
    static_paths_by_default: static_paths is project because the scene has a world or a path file
    with static paths, and not by its file: only receivers that have some suppress them
    static_memory_s: time constant with which a learned background decays, s
    multipath_ratio_db: power of an echo over other echoes of its target by way of walls, which
    interfere with it, dB; with bodies or target reflections no report counts for more SNR
    candidate_bits: size up to which weak candidates fill the packet of a station and frame, bits;
    0: none are sent
    synchronization: none (stations count as synchronous) | line_of_sight (a receiver estimates the
    clock offsets of its links from the paths of known geometry in its echoes) | active_observation
    (they are estimated from targets that active links locate) | both_directions (from targets that
    both directions of a link have seen)
    symbol_bits: bits of a real or imaginary part of a sample that scheme symbol_level sends, of
    echoes below the noise
    report_bits: bits of a location axis and of a Doppler shift in a report; None: as many as the
    format of the packet has
    reflections: paths that a surface of the world reflects before and behind a target: ignore | use
    (targets that are hidden from a station are located by them)
    interference: what receivers do against interferers: noise (measure the level of white noise) |
    nulls (receive beams with nulls at the interferers)
    range_migration: of targets through range cells within a frame: ignore | compensate (by the
    Doppler shift of each subcarrier's own frequency)
    directions: estimator of the angles of arrival of schemes music and music_fine: music |
    root_music | esprit | coarray_music
    num_sources: criterion of the number of these directions: aic | mdl
    recovery: sparse recovery of scheme compressed_sensing: block_omp | newtonized_omp
    """

    scheme: str
    symbols: str
    false_alarm_probability: float
    max_targets: int
    max_speed_mps: float
    min_speed_mps: float
    deadline_s: float
    static_paths: str
    static_memory_s: float = 30.0
    multipath_ratio_db: float = 20.0
    candidate_bits: int = 0
    synchronization: str = "none"
    symbol_bits: int = 2
    report_bits: int | None = None
    max_climb_mps: float = 8.0
    reflections: str = "ignore"
    interference: str = "noise"
    static_paths_by_default: bool = False
    range_migration: str = "ignore"
    directions: str = "music"
    num_sources: str = "aic"
    recovery: str = "block_omp"


# Values of `synchronization` by which targets give the clock offsets.
OBSERVED_MODES = ("active_observation", "both_directions")


@dataclass(frozen=True)
class Tracking:
    """Settings of the tracker.

    model: cv, imm, or the name of a motion filter of one's own (scene.motion_filters)
    accel_std_mps2: standard deviation of white acceleration, each horizontal axis, m/s^2
    vertical_accel_std_mps2: the same along z, m/s^2
    turn_rate_std_radps: spread of the coordinated turn's rate, rad/s
    gate_probability: of the chi-square gate
    confirm_hits, confirm_window: so many detections in so many frames confirm a track
    false_tracks_per_minute: mean number of false tracks that weak detections confirm, at most
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
    false_tracks_per_minute: float = 0.05


@dataclass(frozen=True)
class Scene:
    """A whole cooperative scene, seen on one of its bands.

    dimension: 3, or 2: everything is in the plane z = plane_height_m, known to height_std_m
    transmitters, receivers: sites of the stations that transmit and receive on the band; a station
    that does both is in both
    waveform, users, propagation, world: of the band
    update_rate_hz: of the frames of all bands together, Hz
    continuity_threshold_m: largest error of a track that counts as continuous, m
    fingerprint: digest of the scene file's content
    source: path of the scene file
    bodies: of the target classes that have one
    band: name of the band
    link_mode: which pairs of stations sense together
    layout: bands and stations of a scene that names them; None: one band with sites that transmit
    or receive
    poses: by name of the station, of those that moved since time 0
    cooperation: of base station and UEs by zones; None: all links are used everywhere
    surface: index of the surface of the world behind which the sites are images
    (scene.reflected); None: they are the stations themselves
    """

    name: str
    dimension: int
    plane_height_m: float
    height_std_m: float
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
    continuity_threshold_m: float
    seed: int
    targets: tuple[Target, ...] = ()
    fingerprint: str = ""
    source: str = field(default="", compare=False)
    bodies: Mapping[TargetClass, Body] = field(default_factory=dict)
    world: World | None = None
    band: str = ONLY_BAND
    link_mode: LinkMode = LinkMode.PASSIVE
    layout: Layout | None = None
    poses: Mapping[str, Pose] = field(default_factory=dict)
    cooperation: Cooperation | None = None
    surface: int | None = None

    def __repr__(self) -> str:
        """Name and size; the arrays of all fields would fill pages."""
        return (
            f"Scene('{self.name}', {self.dimension}-D, {len(self.bands)} bands, "
            f"{len(self.stations)} stations, {len(self.targets)} targets)"
        )

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
        transmitting = [_station_of(site, self.band, Duplex.TX) for site in self.transmitters]
        receiving = [_station_of(site, self.band, Duplex.RX) for site in self.receivers]
        return tuple(transmitting + receiving)

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

    def on_air(self, number: int) -> tuple[str, ...]:
        """Names of the bands on the air in frame `number`, without a schedule by tracks."""
        cooperation = self.cooperation
        return tuple(
            band.name
            for band in self.bands
            if band.is_on_air(number) and (cooperation is None or cooperation.is_used(band.zone))
        )

    def uses(self, band: str, points_m: np.ndarray) -> np.ndarray:
        """Mask of the locations at which the links of a band are used, [n], bool.

        points_m: [n, 3], float64, m, map
        """
        if self.cooperation is None:
            return np.ones(len(points_m), bool)
        zone = next(one.zone for one in self.bands if one.name == band)
        return self.cooperation.covers(zone, points_m)

    def on(self, band: str) -> Scene:
        """The scene seen on a band.

        Raises KeyError: there is no such band; the message names the bands of the scene.
        """
        for view in self.views:
            if view.band == band:
                return view
        raise KeyError(
            f"no band '{band}' in scene '{self.name}'; it has {[b.name for b in self.bands]}"
        )

    @cached_property
    def hidden_regions(self) -> Mapping[str, tuple[HiddenRegion, ...]]:
        """Regions that each receiver of this band sees by way of a surface alone, by its name.

        There are none where reflections are not used.
        """
        if self.world is None or self.sensing.reflections == "ignore":
            return {site.name: () for site in self.receivers}
        return {site.name: hidden_regions(self.world, self.box, site) for site in self.receivers}

    def poses_at(
        self, time_s: float, reported: Mapping[str, Pose] | None = None
    ) -> dict[str, Pose]:
        """Poses of the stations that move, at a time after the scene's start.

        reported: of the stations whose pose comes from odometry or /tf, by name; one without a
        report has the pose of the scene file
        """
        reported = reported or {}
        return {
            station.name: reported.get(station.name) or station.pose_at(time_s)
            for station in self.stations
            if station.is_mobile
        }

    def posed(self, poses: Mapping[str, Pose]) -> Scene:
        """The scene with its moving stations at other poses; the same object where none moves."""
        if not poses:
            return self
        return replace(self, **self._sites_on(self.band, poses), poses=poses)

    def station(self, name: str) -> Station:
        """The station of that name.

        Raises KeyError: there is none; the message names the stations of the scene.
        """
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
        """The scene with the waveform, channel, world and sites of a band."""
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
        assert self.layout is not None, "only stations of a layout move or work on several bands"
        return self.layout.sites(band, poses)

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
    def velocity_stds_mps(self) -> np.ndarray:
        """Prior standard deviations of a target's velocity along the axes, [dimension], m/s.

        The largest speed that is searched is that of all axes together; rates of climb are uniform.
        """
        largest_mps = self.sensing.max_speed_mps
        stds_mps = np.full(self.dimension, largest_mps / np.sqrt(self.dimension))
        if self.dimension == 3:
            stds_mps[2] = min(self.sensing.max_climb_mps, largest_mps) / np.sqrt(3)
        return stds_mps

    @property
    def class_thresholds_m(self) -> dict[TargetClass, float]:
        """Continuity thresholds of classes with another one than continuity_threshold_m, m."""
        if self.body(TargetClass.VEHICLE).radius_m == 0:
            return {}
        return {TargetClass.VEHICLE: max(LARGE_BODY_THRESHOLD_M, self.continuity_threshold_m)}

    def body(self, target_class: TargetClass) -> Body:
        """The body of a target class; a point if the scene file has none for it."""
        return self.bodies.get(target_class, POINT_BODY)

    def rcs_m2(self, name: str, target_class: TargetClass) -> float:
        """Mean radar cross section of a target: its own, else that of its class, m^2."""
        own = next((target.rcs_m2 for target in self.targets if target.name == name), None)
        return self.body(target_class).rcs_m2 if own is None else own

    @property
    def has_bodies(self) -> bool:
        """True where targets of some class have a size, and scatter from several points."""
        return any(body.radius_m > 0 for body in self.bodies.values())

    @property
    def has_radio_link(self) -> bool:
        """True where packets of UEs arrive within the range of their radio only."""
        return self.cooperation is not None and self.cooperation.radio_link is not None

    @property
    def is_physical(self) -> bool:
        """True where echoes have a static world, cross sections or bodies, not points alone."""
        return self.world is not None or self.propagation.has_radar_equation or self.has_bodies

    def cell_points_m(self, num_cells: int) -> np.ndarray:
        """Centers of num_cells x num_cells cells in the plane of the scene.

        Returns [num_cells^2, 3], float64, m, x fastest.
        """
        plane = self.box.cell_centers_m(num_cells).reshape(-1, 2)
        return np.column_stack([plane, np.full(len(plane), self.plane_height_m)])

    def receiver(self, name: str) -> Site:
        """The receiver of that name.

        Raises KeyError: there is none; the message names the receivers of the band.
        """
        for site in self.receivers:
            if site.name == name:
                return site
        raise KeyError(
            f"no receiver '{name}' in scene '{self.name}'; it has "
            f"{[site.name for site in self.receivers]}"
        )


def _station_of(site: Site, band: str, duplex: Duplex) -> Station:
    """The station of a site that only transmits or only receives."""
    elements_m = site.elements_m @ site.rotation  # from axes of the map to those of the array
    antenna = Antenna(band, elements_m, site.kind, duplex, site.pattern)
    return Station(site.name, Role.ACCESS_POINT, Pose(site.position_m, site.rotation), (antenna,))

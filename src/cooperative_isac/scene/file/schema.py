"""The scene file as written: keys, units, defaults and, below each key, its meaning.

`python tools/reference.py` makes docs/reference/scene_file.md of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cooperative_isac.scene.band import Waveform
from cooperative_isac.scene.file.array_keys import ArrayEntry, Orientation
from cooperative_isac.scene.file.cooperation_keys import CooperationEntry
from cooperative_isac.scene.file.keys import (
    LEAST_LEVEL_DB,
    Count,
    Deviation,
    Finite,
    Fragment,
    Level,
    Limits,
    Name,
    NoiseFigure,
    NotNegative,
    Point,
    Positive,
    Probability,
    Section,
    Share,
    later,
)
from cooperative_isac.scene.file.motion_keys import MotionEntry
from cooperative_isac.scene.file.propagation_keys import PropagationEntry
from cooperative_isac.scene.file.sensing_keys import SensingEntry
from cooperative_isac.scene.file.world_keys import WorldEntry
from cooperative_isac.scene.model import Tracking

# Largest deviation of a station's position, m: satellite navigation between houses. With more, the
# center could not separate targets.
MOST_POSITION_STD_M = 100.0


class SiteEntry(Section):
    """Position and antenna array of a transmitter or receiver."""

    name: Name
    """Name of the site and namespace of its node; differs from that of every other site."""
    position_m: Point
    """Origin of the array."""
    orientation: Orientation = Orientation()
    """Orientation of the array."""
    array: Annotated[ArrayEntry, Field(discriminator="kind")]
    """Antenna array."""


class AreaEntry(Section):
    """The axis-aligned box in which targets are searched for."""

    low_m: Point
    """Corner with the least coordinates."""
    high_m: Point
    """Opposite corner."""


class WaveformEntry(Section):
    """OFDM grid and signal of a frame."""

    carrier_hz: Positive
    """Carrier frequency."""
    subcarrier_spacing_hz: Positive
    """Subcarrier spacing."""
    num_subcarriers: Count
    """Sensed subcarriers of a frame."""
    num_symbols: Annotated[int, Field(ge=2)]
    """Sensed OFDM symbols of a frame; a single one shows no Doppler shift."""
    cyclic_prefix_s: NotNegative
    """Cyclic prefix; longer than the longest excess path in the area."""
    subcarrier_stride: Count = 1
    """Every n-th subcarrier is sensed: less data for the same range resolution, less unambiguous
    range.
    """
    fragments: Annotated[list[Fragment], Field(min_length=1)] | None = later(None)
    """Fragmented spectrum: ranges `[first, last]` of sensed subcarriers, counted from 0, that the
    network may use, in ascending order, each of whole precoder groups. The others are empty, and
    the power is that over the used ones. By default all are used.
    """
    symbol_stride: Count = 1
    """Every n-th symbol is sensed: less data for the same velocity resolution, less unambiguous
    speed.
    """
    modulation: Literal[4, 16, 64, 256] = 16
    """QAM order."""
    precoder: Literal["mmse", "zero_forcing", "maximum_ratio"] = "mmse"
    """Downlink precoder."""
    group_size: Count = 1
    """Sensed subcarriers that share one precoder; divides `num_subcarriers`."""
    power_dbm: Level
    """Largest power that a transmitter radiates over all subcarriers; `--power-dbm` of `isac
    evaluate` overrides it.
    """
    reference_subcarrier_stride: Annotated[int, Field(ge=0)] = 0
    """Comb of public reference symbols among the sensed subcarriers; 0: none."""
    reference_symbol_stride: Annotated[int, Field(ge=0)] = 0
    """Comb of public reference symbols among the sensed symbols; 0: none."""
    signals: Annotated[
        list[
            Literal[
                "data",
                "prs",
                "csi_rs",
                "dmrs",
                "ssb",
                "srs_comb2",
                "srs_comb4",
                "uplink_dmrs",
                "code",
            ]
        ],
        Field(min_length=1, max_length=9),
    ] = later(["data"])
    """Components of the signal: `data`, and reference signals that are public, at the resource
    elements and with the symbols of TS 38.211. `data` is on all other elements; without it they are
    empty. Where two signals use an element, the later one has it. `code` is public as well, and
    beside `data` on the same elements: code words of all transmitters on all resource elements.
    """
    reference_beams: Literal["random", "antennas", "antennas_in_time"] = later(
        Waveform.reference_beams
    )
    """Beams of the reference signals of `signals`: `random` phases of all antennas, new for each
    precoder group; one after another of the `antennas` from group to group, each with subcarriers
    of its own; or one after another over time (`antennas_in_time`), each with symbols, or with
    `code` whole code words, of its own.
    """
    code_power_share: Share = later(Waveform.code_power_share)
    """Share of a transmitter's power that the code words have where `signals` has `code` beside
    `data`; the data have the rest, and users cancel the code words, which they know.
    """


class UsersEntry(Section):
    """The communication users and their channel."""

    num_users: Count
    """Single-antenna receivers of the downlink, drawn anew for each frame."""
    height_m: Finite | None = None
    """Height of the users; by default 1.5 m, in a scene of dimension 2 its plane."""
    noise_power_dbm: Level = -90.0
    """Noise power per subcarrier."""
    rician_factor: NotNegative = 0.0
    """Line-of-sight power over scattered power; 0: Rayleigh fading."""
    delay_spread_s: NotNegative = 50e-9
    """Root mean square delay spread of the exponential power delay profile."""


class DrawEntry(Section):
    """Random targets of `isac evaluate`: uniform in the area, outside of the world's boxes."""

    num_targets: Count
    """Targets of a frame; at most `sensing.max_targets`."""
    max_speed_mps: NotNegative
    """Each horizontal component of the velocity is uniform within plus and minus this."""
    max_climb_mps: NotNegative = 0.0
    """The same for the vertical component."""
    height_m: Limits | None = None
    """Lowest and highest target; by default the heights of the area."""


class BodyEntry(Section):
    """Size and radar cross section of the targets of one class."""

    size_m: Annotated[list[NotNegative], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    """Length, width and height of the box that a target of the class fills; zeros: a point."""
    rcs_dbsm: Level | None = later(None)
    """Mean radar cross section; by default that of the class, 3GPP TR 38.901 section 7.9."""
    rcs_std_db: Deviation | None = later(None)
    """Standard deviation of the log-normal cross section; by default that of the class."""


class BodiesEntry(Section):
    """The body of each class of targets."""

    unknown: BodyEntry = BodyEntry()
    """Targets of unknown class."""
    uav: BodyEntry = BodyEntry()
    """UAVs."""
    vehicle: BodyEntry = BodyEntry()
    """Vehicles."""


class TrackingEntry(Section):
    """Motion filter, gate and life of tracks."""

    model: str = Tracking.model
    """Motion filter: `cv` (constant velocity), `imm` (constant velocity and coordinated turn), or a
    filter of your own.
    """
    accel_std_mps2: Positive = Tracking.accel_std_mps2
    """Standard deviation of the white acceleration along each horizontal axis."""
    vertical_accel_std_mps2: Positive = Tracking.vertical_accel_std_mps2
    """Standard deviation of the white vertical acceleration."""
    turn_rate_std_radps: Positive = Tracking.turn_rate_std_radps
    """Standard deviation of the turn rate."""
    gate_probability: Probability = Tracking.gate_probability
    """Probability that a target's own detection is in its gate (chi-square)."""
    confirm_hits: Count = Tracking.confirm_hits
    """Detections among the last `confirm_window` frames that confirm a track."""
    confirm_window: Count = Tracking.confirm_window
    """Frames over which those detections are counted."""
    max_coast_s: Positive = Tracking.max_coast_s
    """Time without a detection after which a track is deleted."""
    max_speed_mps: Positive = Tracking.max_speed_mps
    """Largest speed of targets."""
    uav_height_m: Finite = Tracking.uav_height_m
    """Height above which a target is classified as a UAV."""
    false_tracks_per_minute: Positive = later(Tracking.false_tracks_per_minute)
    """Mean number of false tracks in a minute that weak detections (`sensing.candidate_bits`) may
    confirm: a track with weak detections is confirmed by a sequential test of their likelihood
    ratios, the threshold of which follows from it. Unused without weak candidates.
    """


class TargetEntry(Section):
    """A live target: its name, class and motion."""

    name: Name
    """Name of the target and of its topic `targets/<name>/odom`."""
    target_class: Annotated[Literal["unknown", "uav", "vehicle"], Field(alias="class")] = "unknown"
    """Class of the target."""
    appears_s: NotNegative = 0.0
    """Time at which its motion begins."""
    optional: bool = False
    """A trajectory whose environment variable is not set leaves the target out instead of being an
    error.
    """
    rcs_dbsm: Level | None = later(None)
    """Mean radar cross section of this target for the radar equation; by default that of its class.
    """
    motion: MotionEntry
    """Motion of the target."""


class ClockEntry(Section):
    """Offsets of a station's clock from that of the network, and their drift."""

    timing_offset_s: Finite = 0.0
    """Timing offset at time 0."""
    timing_drift: Finite = 0.0
    """Drift of the timing offset, s/s."""
    frequency_offset_hz: Finite = 0.0
    """Carrier frequency offset at time 0."""
    frequency_drift_hzps: Finite = 0.0
    """Drift of the carrier frequency offset."""
    phase_offset_deg: Finite = 0.0
    """Carrier phase offset at time 0."""


class AntennaEntry(Section):
    """Antenna array of a station on one band."""

    band: Name
    """Name of the band."""
    array: Annotated[ArrayEntry, Field(discriminator="kind")]
    """Antenna array."""
    duplex: Literal["tx", "rx", "full"] = "full"
    """The array transmits, receives, or does both at once (full duplex)."""
    orientation: Orientation = Orientation()
    """Orientation against the station."""


class StationEntry(Section):
    """A station: its role, its pose or motion, its arrays and its clock."""

    name: Name
    """Name of the station and namespace of its node; differs from that of every other station."""
    role: Literal["access_point", "macro", "micro", "ue", "wifi"] = "access_point"
    """Role of the station in the network."""
    position_m: Point | None = None
    """Position; of a station that follows `odometry` or `tf_frame`, before the first message."""
    orientation: Orientation = Orientation()
    """Orientation; of a station that moves, relative to its vehicle (x ahead, z up)."""
    motion: MotionEntry | None = None
    """Motion of the station, which turns with its velocity; instead of `position_m`."""
    odometry: str | None = None
    """Topic of nav_msgs/Odometry that gives its pose; letters, digits and `_` between `/`."""
    tf_frame: str | None = None
    """Frame of `/tf` that gives its pose in `map`, without `/` at its beginning; not with the
    Python wheels, which lack `tf2_msgs`.
    """
    antennas: Annotated[list[AntennaEntry], Field(min_length=1)]
    """Antenna arrays, one for each band."""
    area: Name | None = None
    """Part of the network that the station belongs to."""
    operator: Name | None = None
    """Operator of the station."""
    clock: ClockEntry = ClockEntry()
    """Clock of the station against that of the network; by default ideal."""
    residual_self_interference_db: Annotated[float, Field(ge=LEAST_LEVEL_DB, le=0)] | None = None
    """Power of the own signal that remains after cancellation, over the transmitted power; of
    stations that transmit and receive. It is noise in its echoes, beside the thermal noise. By
    default none.
    """
    scheme: Name | None = None
    """Scheme by which the station encodes its echoes; by default that of `sensing`."""
    position_std_m: Annotated[float, Field(ge=0, le=MOST_POSITION_STD_M)] = 0.0
    """Standard deviation, along each axis, of the position that the station reports; of stations
    that move. In simulated echoes the station is at a position that differs from the reported one
    by an error of this deviation, drawn anew in each frame, and the center adds its effect to the
    covariances of all detections in which the station takes part.
    """


class BandEntry(WaveformEntry):
    """A band: its OFDM grid, frame rate and noise."""

    name: Name
    """Name of the band."""
    zone: Literal["A", "B", "C"] | None = later(None)
    """Zone of `cooperation` to which the links of the band belong: `A` (received by the base
    station), `B` (received by UEs, sent by the base station) or `C` (sent and received by UEs).
    """
    frame_rate_hz: Positive | None = None
    """Frame rate: `update_rate_hz` divided by a whole number, so that bands share the frames of the
    scene; by default that rate.
    """
    noise_power_dbm: Level | None = None
    """Noise power of the receivers on this band, per antenna and subcarrier; by default that of
    `propagation`.
    """
    noise_figure_db: NoiseFigure | None = None
    """Noise figure of the receivers on this band; by default that of `propagation`."""


class CommonKeys(Section):
    """Keys of every scene file."""

    name: Name | None = None
    """Name of the scene; by default that of the file."""
    dimension: Literal[2, 3]
    """3, or 2: everything is in the plane z = `plane_height_m`, and points may be written as `[x,
    y]`.
    """
    plane_height_m: Finite = 0.0
    """Height of the plane of a scene of dimension 2."""
    height_std_m: Positive = 0.1
    """Standard deviation of that height, which goes into the covariances."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all random numbers; frame k of two runs with one seed is the same."""
    update_rate_hz: Positive
    """Sensing frames per second."""
    continuity_threshold_m: Positive = 1.0
    """Distance within which a track counts as tracking a target; at least 2 m for vehicles to which
    `bodies` gives a size.
    """
    area: AreaEntry
    """Box in which targets are searched for."""
    users: UsersEntry
    """Communication users."""
    propagation: PropagationEntry = PropagationEntry()
    """Sensing channel."""
    draw: DrawEntry
    """Random targets of `isac evaluate`."""
    sensing: SensingEntry
    """Sensing at the receivers."""
    tracking: TrackingEntry = TrackingEntry()
    """Tracker."""
    bodies: BodiesEntry = later(BodiesEntry())
    """Bodies of targets by class; by default targets are points."""
    world: WorldEntry | None = later(None)
    """Static world, in a scene of dimension 3; by default echoes contain nothing but targets and
    `clutter`.
    """
    targets: list[TargetEntry] = []
    """Targets of a live run. Robots may join at any time without an entry; with `propagation.paths`
    the targets come from that file, and there may be none here.
    """


class SceneFile(CommonKeys):
    """A scene file of one band, whose sites transmit or receive."""

    transmitters: Annotated[list[SiteEntry], Field(min_length=1)]
    """Sites that transmit."""
    receivers: Annotated[list[SiteEntry], Field(min_length=1)]
    """Sites that receive."""
    waveform: WaveformEntry
    """OFDM grid and signal."""


class NetworkFile(CommonKeys):
    """A scene file of bands and stations."""

    bands: Annotated[list[BandEntry], Field(min_length=1)]
    """Carriers."""
    stations: Annotated[list[StationEntry], Field(min_length=1)]
    """Stations."""
    links: Literal["passive", "active", "active-passive"] = "active-passive"
    """Pairs of stations that sense together: `passive` (one transmits, another receives), `active`
    (a station receives the echoes of its own signal), or both.
    """
    cooperation: CooperationEntry | None = later(None)
    """Cooperation of a base station and UEs by zones; by default all links are used everywhere."""

"""The scene file as written: keys, units, defaults. docs/scenes.md is its reference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cooperative_isac.scene.band import Propagation
from cooperative_isac.scene.model import Sensing, Tracking
from cooperative_isac.scene.station import Antenna

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Levels of dB, dBm and dBsm: far beyond all that is real, and their powers are numbers still.
LEAST_LEVEL_DB = -200.0
MOST_LEVEL_DB = 200.0
Level = Annotated[float, Field(ge=LEAST_LEVEL_DB, le=MOST_LEVEL_DB, allow_inf_nan=False)]
Deviation = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]  # dB
NoiseFigure = Annotated[float, Field(ge=0, le=200)]  # dB
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Vector = Annotated[list[Finite], Field(min_length=3, max_length=3)]
Point = Annotated[list[Finite], Field(min_length=2, max_length=3)]
Pair = Annotated[list[Finite], Field(min_length=2, max_length=2)]
Count = Annotated[int, Field(ge=1)]
# A part of the names of topics, frames and files, which have 255 characters at most.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


def later(default) -> Any:
    """A key that came after the first release: at its default it leaves no trace in a scene's
    fingerprint.
    """
    return Field(default, exclude_if=lambda value: value == default)


class Section(BaseModel):
    """A mapping of the file: no unknown keys, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Pattern = Literal["isotropic", "tr38901"]


class Ula(Section):
    """A uniform linear array along its own y axis."""

    kind: Literal["ula"]
    num_elements: Count
    spacing_wavelengths: Positive = 0.5
    pattern: Pattern = later(Antenna.pattern)


class Planar(Section):
    """A uniform planar array of rows and columns, across its look direction."""

    kind: Literal["planar"]
    num_horizontal: Count
    num_vertical: Count
    spacing_wavelengths: Positive = 0.5
    pattern: Pattern = later(Antenna.pattern)


class Custom(Section):
    """An array of any shape: the elements' places, in its own axes."""

    kind: Literal["custom"]
    elements_m: Annotated[list[Vector], Field(min_length=1)]
    pattern: Pattern = later(Antenna.pattern)


class Orientation(Section):
    """How an array is turned: yaw, pitch and roll."""

    yaw_deg: Finite = 0.0
    pitch_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    roll_deg: Finite = 0.0


class SiteEntry(Section):
    """A transmitter or a receiver: its place and its array."""

    name: Name
    position_m: Point
    orientation: Orientation = Orientation()
    array: Annotated[Ula | Planar | Custom, Field(discriminator="kind")]


class AreaEntry(Section):
    """The axis-aligned box in which targets are looked for."""

    low_m: Point
    high_m: Point


class WaveformEntry(Section):
    """The OFDM grid of a frame, and what is sent on it."""

    carrier_hz: Positive
    subcarrier_spacing_hz: Positive
    num_subcarriers: Count
    # A single symbol shows no Doppler shift.
    num_symbols: Annotated[int, Field(ge=2)]
    cyclic_prefix_s: NotNegative
    subcarrier_stride: Count = 1
    symbol_stride: Count = 1
    modulation: Literal[4, 16, 64, 256] = 16
    precoder: Literal["mmse", "zero_forcing", "maximum_ratio"] = "mmse"
    group_size: Count = 1
    power_dbm: Level
    reference_subcarrier_stride: Annotated[int, Field(ge=0)] = 0
    reference_symbol_stride: Annotated[int, Field(ge=0)] = 0


class UsersEntry(Section):
    """The communication users and their channel."""

    num_users: Count
    height_m: Finite | None = None
    noise_power_dbm: Level = -90.0
    rician_factor: NotNegative = 0.0
    delay_spread_s: NotNegative = 50e-9


class ClutterEntry(Section):
    """Point scatterers that stand still, at fixed places or drawn anew for each frame."""

    num_scatterers: Annotated[int, Field(ge=0)] | None = None
    positions_m: list[Point] | None = None
    reflection_variance: NotNegative = 0.1


class PropagationEntry(Section):
    """The sensing channel: path loss, reflections, noise and clock offsets, or a file of paths."""

    reference_gain_db: Level = -60.0
    reference_distance_m: Positive = 1.0
    pathloss_exponent: Positive = 2.0
    reflection_variance: Positive = 1.0
    noise_power_dbm: Level = -90.0
    clutter: ClutterEntry = ClutterEntry(num_scatterers=0)
    timing_offset_std_s: NotNegative = 0.0
    frequency_offset_std_hz: NotNegative = 0.0
    paths: Annotated[str, Field(min_length=1)] | None = later(None)
    path_kinds: (
        Annotated[
            list[Literal["line_of_sight", "clutter", "targets", "multi_bounce"]],
            Field(min_length=1),
        ]
        | None
    ) = later(None)
    model: Literal["pathloss", "radar_equation"] = later(Propagation.model)
    noise_figure_db: NoiseFigure | None = later(None)
    coherence_time_s: NotNegative = later(0.0)


class DrawEntry(Section):
    """How `evaluate` draws its random targets."""

    num_targets: Count
    max_speed_mps: NotNegative
    max_climb_mps: NotNegative = 0.0
    height_m: Pair | None = None


class SensingEntry(Section):
    """How receivers sense, and what they report."""

    scheme: Name = "local_ml"
    symbols: Literal["payload", "reference_only"] = "payload"
    false_alarm_probability: Probability = 0.01
    max_targets: Count = 6
    max_speed_mps: Positive
    min_speed_mps: NotNegative = 0.0
    deadline_s: Positive | None = None
    static_paths: Literal["keep", "project", "learn"] | None = later(None)
    static_memory_s: Positive = later(Sensing.static_memory_s)
    multipath_ratio_db: Annotated[float, Field(ge=0, le=MOST_LEVEL_DB, allow_inf_nan=False)] = (
        later(Sensing.multipath_ratio_db)
    )


class BodyEntry(Section):
    """Size and radar cross section of the targets of one class."""

    size_m: Annotated[list[NotNegative], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    rcs_dbsm: Level | None = later(None)
    rcs_std_db: Deviation | None = later(None)


class BodiesEntry(Section):
    """The body of each class of targets."""

    unknown: BodyEntry = BodyEntry()
    uav: BodyEntry = BodyEntry()
    vehicle: BodyEntry = BodyEntry()


class MaterialEntry(Section):
    """The material of a surface: how it reflects and scatters."""

    permittivity: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    conductivity_spm: NotNegative | None = None
    reflection_loss_db: NotNegative | None = None
    scattering: Annotated[float, Field(ge=0, le=1)] = 0.3


class GroundEntry(Section):
    """The ground, a horizontal plane below the scene."""

    height_m: Finite = 0.0
    margin_m: NotNegative = 20.0
    material: MaterialEntry = MaterialEntry()


class WallEntry(Section):
    """A wall: a corner and two edges, or an upright one between two points."""

    corner_m: Vector | None = None
    edges_m: Annotated[list[Vector], Field(min_length=2, max_length=2)] | None = None
    from_m: Pair | None = None
    to_m: Pair | None = None
    height_m: Pair | None = None
    material: MaterialEntry = MaterialEntry()


class BoxEntry(Section):
    """A building or another axis-aligned box."""

    low_m: Vector
    high_m: Vector
    material: MaterialEntry = MaterialEntry()


class WorldEntry(Section):
    """The static world: line of sight, ground, walls and boxes."""

    line_of_sight: bool = True
    ground: GroundEntry | None = None
    walls: list[WallEntry] = []
    boxes: list[BoxEntry] = []
    tile_m: Positive = 2.0
    target_reflections: bool = False


class TrackingEntry(Section):
    """How detections become tracks; the defaults are those of scene.model.Tracking."""

    model: str = Tracking.model
    accel_std_mps2: Positive = Tracking.accel_std_mps2
    vertical_accel_std_mps2: Positive = Tracking.vertical_accel_std_mps2
    turn_rate_std_radps: Positive = Tracking.turn_rate_std_radps
    gate_probability: Probability = Tracking.gate_probability
    confirm_hits: Count = Tracking.confirm_hits
    confirm_window: Count = Tracking.confirm_window
    max_coast_s: Positive = Tracking.max_coast_s
    max_speed_mps: Positive = Tracking.max_speed_mps
    uav_height_m: Finite = Tracking.uav_height_m


class ConstantVelocityEntry(Section):
    """A motion along a straight line."""

    kind: Literal["constant_velocity"]
    position_m: Point
    velocity_mps: Point
    duration_s: Positive | None = None


class CoordinatedTurnEntry(Section):
    """A motion along a circle, at a constant rate of turn."""

    kind: Literal["coordinated_turn"]
    position_m: Point
    velocity_mps: Point
    turn_rate_degps: Finite
    duration_s: Positive | None = None


class WaypointsEntry(Section):
    """A motion through points, at a constant speed or at given times."""

    kind: Literal["waypoints"]
    points_m: Annotated[list[Point], Field(min_length=2)]
    speed_mps: Positive | None = None
    times_s: list[Finite] | None = None
    corner_radius_m: Positive | None = None
    loop: bool = False


class TrajectoryEntry(Section):
    """A motion recorded in a file, or a stretch of it."""

    kind: Literal["trajectory"]
    file: Annotated[str, Field(min_length=1)]
    start_s: NotNegative = 0.0
    stop_s: Positive | None = None
    origin_m: Vector = [0.0, 0.0, 0.0]
    translation_m: Vector = [0.0, 0.0, 0.0]
    yaw_deg: Finite = 0.0
    height_m: Finite | None = None
    smoothing_s: NotNegative = 0.05
    loop: bool = False
    time_unit: Literal["s", "ms", "us", "ns"] | None = later(None)
    rate_hz: Positive | None = later(None)
    axes: Literal["map", "camera"] | None = later(None)


MotionEntry = Annotated[
    ConstantVelocityEntry | CoordinatedTurnEntry | WaypointsEntry | TrajectoryEntry,
    Field(discriminator="kind"),
]


class TargetEntry(Section):
    """A live target: its name, class and motion."""

    name: Name
    target_class: Annotated[Literal["unknown", "uav", "vehicle"], Field(alias="class")] = "unknown"
    appears_s: NotNegative = 0.0
    optional: bool = False
    rcs_dbsm: Level | None = later(None)
    motion: MotionEntry


class ClockEntry(Section):
    """How far a station's clock is off, and how it drifts."""

    timing_offset_s: Finite = 0.0
    timing_drift: Finite = 0.0
    frequency_offset_hz: Finite = 0.0
    frequency_drift_hzps: Finite = 0.0
    phase_offset_deg: Finite = 0.0


class AntennaEntry(Section):
    """A station's array on one band, and what it may do."""

    band: Name
    array: Annotated[Ula | Planar | Custom, Field(discriminator="kind")]
    duplex: Literal["tx", "rx", "full"] = "full"
    orientation: Orientation = Orientation()


class StationEntry(Section):
    """A station: its role, its pose or motion, its arrays and its clock."""

    name: Name
    role: Literal["access_point", "macro", "micro", "ue", "wifi"] = "access_point"
    position_m: Point | None = None
    orientation: Orientation = Orientation()
    motion: MotionEntry | None = None
    odometry: str | None = None
    tf_frame: str | None = None
    antennas: Annotated[list[AntennaEntry], Field(min_length=1)]
    area: Name | None = None
    operator: Name | None = None
    clock: ClockEntry = ClockEntry()
    residual_self_interference_db: Annotated[float, Field(ge=LEAST_LEVEL_DB, le=0)] | None = None
    scheme: Name | None = None


class BandEntry(WaveformEntry):
    """A band: its OFDM grid, frame rate and noise."""

    name: Name
    frame_rate_hz: Positive | None = None
    noise_power_dbm: Level | None = None
    noise_figure_db: NoiseFigure | None = None


class CommonKeys(Section):
    """Keys of every scene file."""

    name: Name | None = None
    dimension: Literal[2, 3]
    plane_height_m: Finite = 0.0
    height_std_m: Positive = 0.1
    seed: Annotated[int, Field(ge=0)] = 0
    update_rate_hz: Positive
    continuity_threshold_m: Positive = 1.0
    area: AreaEntry
    users: UsersEntry
    propagation: PropagationEntry = PropagationEntry()
    draw: DrawEntry
    sensing: SensingEntry
    tracking: TrackingEntry = TrackingEntry()
    bodies: BodiesEntry = later(BodiesEntry())
    world: WorldEntry | None = later(None)
    targets: list[TargetEntry] = []


class SceneFile(CommonKeys):
    """A scene file of one band, whose sites transmit or receive."""

    transmitters: Annotated[list[SiteEntry], Field(min_length=1)]
    receivers: Annotated[list[SiteEntry], Field(min_length=1)]
    waveform: WaveformEntry


class NetworkFile(CommonKeys):
    """A scene file of bands and stations."""

    bands: Annotated[list[BandEntry], Field(min_length=1)]
    stations: Annotated[list[StationEntry], Field(min_length=1)]
    links: Literal["passive", "active", "active-passive"] = "active-passive"

"""The scene file as written: keys, units, defaults and, below each key, its meaning.

`python tools/reference.py` makes docs/reference/scene_file.md of it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cooperative_isac.scene.band import Propagation, Waveform
from cooperative_isac.scene.cooperation import Cooperation
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
    """Elements along the y axis, from the origin."""
    spacing_wavelengths: Positive = 0.5
    """Distance between neighboring elements in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """Radiation pattern of each element: `isotropic`, or `tr38901` of 3GPP TR 38.901 table 7.3-1 (8
    dBi at boresight, 65 degrees between the half-power directions of both planes, 30 dB less
    behind). It scales the amplitudes of paths to targets, clutter, the static world and users.
    """


class Nested(Section):
    """A nested linear array along its own y axis: more aperture with as many elements as a ULA."""

    kind: Literal["nested"]
    num_inner: Count
    """Elements of the dense part, from the origin."""
    num_outer: Count
    """Elements of the sparse part, `num_inner` + 1 spacings apart."""
    spacing_wavelengths: Positive = 0.5
    """Distance between neighboring elements of the dense part in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""


class Coprime(Section):
    """An extended coprime linear array along its own y axis: two ULAs of sparse elements."""

    kind: Literal["coprime"]
    first: Count
    """Spacings between elements of the ULA of `second` elements; below `second`."""
    second: Count
    """Spacings between elements of the ULA of 2 `first` elements; coprime to `first`. Together
    they have 2 `first` + `second` - 1 elements.
    """
    spacing_wavelengths: Positive = 0.5
    """One spacing in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""

    @model_validator(mode="after")
    def _has_coprime_numbers(self) -> Self:
        if self.first >= self.second or math.gcd(self.first, self.second) > 1:
            raise ValueError(
                f"has first {self.first} and second {self.second}; the second must be larger, "
                "without a common divisor, such as 2 and 3"
            )
        return self


class Planar(Section):
    """A uniform planar array of rows and columns, across its look direction."""

    kind: Literal["planar"]
    num_horizontal: Count
    """Columns along the y axis, centered on the origin."""
    num_vertical: Count
    """Rows along the z axis, centered on the origin."""
    spacing_wavelengths: Positive = 0.5
    """Distance between neighboring elements in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""


class Custom(Section):
    """An array of any shape, by the positions of its elements."""

    kind: Literal["custom"]
    elements_m: Annotated[list[Vector], Field(min_length=1)]
    """Positions of the elements in the array's axes."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""


ArrayEntry = Ula | Nested | Coprime | Planar | Custom


class Orientation(Section):
    """Orientation of an array; all 0: its boresight is the x axis of the map."""

    yaw_deg: Finite = 0.0
    """Counter-clockwise from the x axis of the map."""
    pitch_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    """Elevation of the look direction; positive looks up."""
    roll_deg: Finite = 0.0
    """About the look direction."""


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
            Literal["data", "prs", "csi_rs", "dmrs", "ssb", "srs_comb2", "srs_comb4", "uplink_dmrs"]
        ],
        Field(min_length=1, max_length=8),
    ] = later(["data"])
    """Components of the signal: `data`, and reference signals that are public, at the resource
    elements and with the symbols of TS 38.211. `data` is on all other elements; without it they are
    empty. Where two signals use an element, the later one has it.
    """
    reference_beams: Literal["random", "antennas"] = later(Waveform.reference_beams)
    """Beams of the reference signals of `signals`, new for each precoder group: `random` phases of
    all antennas, or one after another of the `antennas`, each with subcarriers of its own.
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


class ClutterEntry(Section):
    """Point scatterers at rest, at fixed positions or drawn anew for each frame."""

    num_scatterers: Annotated[int, Field(ge=0)] | None = None
    """Scatterers that are drawn anew for each frame."""
    positions_m: list[Point] | None = None
    """Fixed scatterers, instead of `num_scatterers`."""
    reflection_variance: NotNegative = 0.1
    """Variance of their complex reflection; with `model: radar_equation` a mean cross section in
    m^2.
    """


class PropagationEntry(Section):
    """The sensing channel: path loss, reflections, noise and clock offsets, or a file of paths."""

    reference_gain_db: Level = -60.0
    """Path gain at the reference distance (alpha_0 of CF)."""
    reference_distance_m: Positive = 1.0
    """Reference distance (d_0 of CF)."""
    pathloss_exponent: Positive = 2.0
    """Path loss exponent (zeta of CF)."""
    reflection_variance: Positive = 1.0
    """Variance of a target's complex reflection (chi^2 of CF)."""
    noise_power_dbm: Level = -90.0
    """Noise power per antenna and subcarrier."""
    clutter: ClutterEntry = ClutterEntry(num_scatterers=0)
    """Point scatterers at rest (CF eq. 29); by default none."""
    timing_offset_std_s: NotNegative = 0.0
    """Standard deviation of the residual timing offset between sites (CF eq. 30), drawn anew for
    each symbol.
    """
    frequency_offset_std_hz: NotNegative = 0.0
    """Standard deviation of the residual carrier frequency offset between sites (CF eq. 30), drawn
    anew for each symbol.
    """
    paths: Annotated[str, Field(min_length=1)] | None = later(None)
    """Path file of a ray tracer (NPZ, relative to the scene file) with the paths of each frame and
    the targets that move in them, instead of CF eq. 6. `${NAME}` and `${NAME:-default}` are
    taken from the environment.
    """
    path_kinds: (
        Annotated[
            list[Literal["line_of_sight", "clutter", "targets", "multi_bounce"]],
            Field(min_length=1),
        ]
        | None
    ) = later(None)
    """Paths of that file that are used: `line_of_sight`, `clutter` (other static paths), `targets`
    (by way of a target), `multi_bounce` (by way of a target and a wall); by default all.
    """
    model: Literal["pathloss", "radar_equation"] = later(Propagation.model)
    """Amplitude of target paths: path loss and reflection of CF eq. 6, or the radar equation with
    the radar cross sections of `bodies`.
    """
    noise_figure_db: NoiseFigure | None = later(None)
    """Noise figure, instead of `noise_power_dbm`: the noise power is k T0 times the subcarrier
    spacing times this, T0 = 290 K.
    """
    coherence_time_s: NotNegative = later(0.0)
    """Time over which the reflections of targets and clutter are constant while the phases follow
    the lengths of the paths; 0: drawn anew in each frame.
    """


class DrawEntry(Section):
    """Random targets of `isac evaluate`: uniform in the area, outside of the world's boxes."""

    num_targets: Count
    """Targets of a frame; at most `sensing.max_targets`."""
    max_speed_mps: NotNegative
    """Each horizontal component of the velocity is uniform within plus and minus this."""
    max_climb_mps: NotNegative = 0.0
    """The same for the vertical component."""
    height_m: Pair | None = None
    """Lowest and highest target; by default the heights of the area."""


class SensingEntry(Section):
    """Detection and estimation at the receivers, and their reports."""

    scheme: Name = "local_ml"
    """Scheme by which access points encode echoes and the center decodes them."""
    symbols: Literal["payload", "reference_only", "all"] = "payload"
    """Symbols that access points use: those of the users (`payload`, sent to them over the
    downlink), the public reference symbols alone, or both.
    """
    false_alarm_probability: Probability = 0.01
    """False-alarm probability per access point and frame."""
    max_targets: Count = 6
    """Targets that an access point reports in a frame, at most."""
    max_speed_mps: Positive
    """Largest speed that is searched for."""
    min_speed_mps: NotNegative = 0.0
    """Slower detections are rejected as static clutter; 0 keeps all."""
    deadline_s: Positive | None = None
    """Longest wait of the center for packets after the announcement of the frame; by default 0.8 of
    the update period.
    """
    static_paths: Literal["keep", "project", "learn"] | None = later(None)
    """Suppression of paths without Doppler shift (line of sight, ground, walls) before the search:
    `keep` (none), `project` (projected out of every frame by itself) or `learn` (a background
    over frames). By default `project` with a `world` or static `paths`, else `keep`; for the
    echoes of a radio use `project`.
    """
    static_memory_s: Positive = later(Sensing.static_memory_s)
    """Time constant of the background of `learn`."""
    multipath_ratio_db: Annotated[float, Field(ge=0, le=MOST_LEVEL_DB, allow_inf_nan=False)] = (
        later(Sensing.multipath_ratio_db)
    )
    """Assumed power ratio of the direct echo of a target with a body to its echoes by way of walls,
    which interfere with it; it limits the SNR that the center assigns to a report.
    """
    candidate_bits: Annotated[int, Field(ge=0)] = later(Sensing.candidate_bits)
    """Size up to which the packet of `local_ml` for a frame, reports included, is filled with weak
    candidates: echoes below the detection threshold of one access point, whose evidence the center
    adds up over several. 0: no candidates; 4000 bits hold about 80. For point targets on one band.
    """
    synchronization: Literal["none", "line_of_sight", "active_observation", "both_directions"] = (
        later(Sensing.synchronization)
    )
    """Correction of the stations' clock offsets, by `local_ml`, `raw_ml` and `symbol_level`: `none`
    (clocks count as synchronous), `line_of_sight` (a receiver estimates the offsets of each link in
    every frame from the line of sight in its echo, or from a reflection off the `world` where that
    is blocked), or without a `world` `active_observation` (from targets that the stations' own
    echoes locate) or `both_directions` (from targets that both directions of a link have seen).
    """
    symbol_bits: Annotated[int, Field(ge=1, le=8)] = later(Sensing.symbol_bits)
    """Bits of each real and imaginary part of a sample that `symbol_level` sends; 1, 2 and 3 cost
    2.0, 0.5 and 0.2 dB of SNR.
    """
    report_bits: Annotated[int, Field(ge=4, le=20)] | None = later(Sensing.report_bits)
    """Bits of each location axis and of each Doppler shift in a report of `local_ml`; by default
    16, or 20 in scenes of bands and stations. With fewer bits the center counts their rounding as
    an error, which also lowers the SNR of detections.
    """


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


class MaterialEntry(Section):
    """Material of a surface: reflection and scattering."""

    permittivity: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Real part of the relative permittivity; by default 5.24, concrete of ITU-R P.2040."""
    conductivity_spm: NotNegative | None = None
    """Conductivity; by default that of concrete, or 0 beside `permittivity`."""
    reflection_loss_db: NotNegative | None = None
    """Loss of every specular reflection, instead of the two keys above."""
    scattering: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share S of the reflected field that is scattered diffusely."""


class GroundEntry(Section):
    """The ground, a horizontal plane below the scene."""

    height_m: Finite = 0.0
    """Height of the ground; below everything else."""
    margin_m: NotNegative = 20.0
    """Extent of the ground beyond sites and area."""
    material: MaterialEntry = MaterialEntry()
    """Material of the ground."""


class WallEntry(Section):
    """A wall: a corner and two edges, or an upright one between two points."""

    corner_m: Vector | None = None
    """A corner of the wall."""
    edges_m: Annotated[list[Vector], Field(min_length=2, max_length=2)] | None = None
    """Two edges from that corner."""
    from_m: Pair | None = None
    """Beginning `[x, y]` of an upright wall, instead of `corner_m` and `edges_m`."""
    to_m: Pair | None = None
    """End `[x, y]` of an upright wall."""
    height_m: Pair | None = None
    """Lower and upper edge of an upright wall."""
    material: MaterialEntry = MaterialEntry()
    """Material of the wall."""


class BoxEntry(Section):
    """A building or another axis-aligned box."""

    low_m: Vector
    """Corner with the least coordinates."""
    high_m: Vector
    """Opposite corner."""
    material: MaterialEntry = MaterialEntry()
    """Material of all faces."""


class WorldEntry(Section):
    """The static world: line of sight, ground, walls and boxes."""

    line_of_sight: bool = True
    """Direct paths between sites (Friis), where nothing blocks them."""
    ground: GroundEntry | None = None
    """A horizontal plane below everything; by default none."""
    walls: list[WallEntry] = []
    """Rectangles."""
    boxes: list[BoxEntry] = []
    """Buildings."""
    tile_m: Positive = 2.0
    """Largest size of the tiles that scatter diffusely."""
    target_reflections: bool = False
    """Target paths with one reflection at a surface, before or behind the target."""


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


class ConstantVelocityEntry(Section):
    """A motion along a straight line."""

    kind: Literal["constant_velocity"]
    position_m: Point
    """Position at the beginning."""
    velocity_mps: Point
    """Velocity at the beginning."""
    duration_s: Positive | None = None
    """Duration; by default without end. The motion must not leave the area."""


class CoordinatedTurnEntry(Section):
    """A motion along a circle, at a constant rate of turn."""

    kind: Literal["coordinated_turn"]
    position_m: Point
    """Position at the beginning."""
    velocity_mps: Point
    """Velocity at the beginning."""
    turn_rate_degps: Finite
    """Turn rate about the vertical, counter-clockwise when positive."""
    duration_s: Positive | None = None
    """Duration; by default without end. The motion must not leave the area."""


class WaypointsEntry(Section):
    """A motion through points, at a constant speed or at given times."""

    kind: Literal["waypoints"]
    points_m: Annotated[list[Point], Field(min_length=2)]
    """Waypoints."""
    speed_mps: Positive | None = None
    """Constant speed along the path; either this or `times_s`."""
    times_s: list[Finite] | None = None
    """Times at which the points are reached, the first at 0 (with `loop` one time more, for the
    return).
    """
    corner_radius_m: Positive | None = None
    """Straight lines with corners of this radius, which pass inside the points; by default a smooth
    curve through the points.
    """
    loop: bool = False
    """Return to the first point, and repeat the motion without end."""


class TrajectoryEntry(Section):
    """A motion recorded in a file, or a stretch of it."""

    kind: Literal["trajectory"]
    file: Annotated[str, Field(min_length=1)]
    """Trajectory file, relative to the scene file; `${NAME}` and `${NAME:-default}` are taken from
    the environment.
    """
    start_s: NotNegative = 0.0
    """Beginning of the stretch that is used, as time since the file's first stamp."""
    stop_s: Positive | None = None
    """End of that stretch, likewise; by default the file's last stamp."""
    origin_m: Vector = [0.0, 0.0, 0.0]
    """Point of the file that is put at `translation_m`."""
    translation_m: Vector = [0.0, 0.0, 0.0]
    """Position of that point in the map."""
    yaw_deg: Finite = 0.0
    """Rotation about the vertical through that point, counter-clockwise."""
    height_m: Finite | None = None
    """Height of the whole trajectory, instead of the heights in the file."""
    smoothing_s: NotNegative = 0.05
    """Time constant of a smoothing that keeps the noise of positions out of the velocities; 0: no
    smoothing.
    """
    loop: bool = False
    """Repeat the motion without end; the trajectory must end within 1 m of its beginning."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = later(None)
    """Unit of the stamps; by default that of the format."""
    rate_hz: Positive | None = later(None)
    """Rate of KITTI poses without `times.txt`."""
    axes: Literal["map", "camera"] | None = later(None)
    """`map`: z up; `camera`: x right, y down, z forward, turned to x forward, y left, z up. By
    default that of the format.
    """


MotionEntry = Annotated[
    ConstantVelocityEntry | CoordinatedTurnEntry | WaypointsEntry | TrajectoryEntry,
    Field(discriminator="kind"),
]


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
    position_std_m: NotNegative = 0.0
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


class CooperationEntry(Section):
    """Cooperation of a base station and UEs by the distance of a target from the base station."""

    base_station: Name
    """Name of the base station, from which distances count."""
    kinds: Annotated[list[Literal["A", "B", "C"]], Field(min_length=1)] = ["A", "B", "C"]
    """Zones whose bands are used: kinds of cooperation that are switched on."""
    zones_m: Pair | None = None
    """Outer limits of zones A and B; without them every kind is used everywhere."""
    overlap_m: NotNegative = Cooperation.overlap_m
    """Width on both sides of a limit in which the links of both zones are used."""
    search_every: Annotated[int, Field(ge=4, le=1000)] = Cooperation.search_every
    """Frames from one search to the next: for three frames the bands of all kinds are on the air,
    and find targets that have no track. Between searches, those of zones with tracks are.
    """


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

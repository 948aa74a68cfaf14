"""Stations of the network: poses, clocks, and an antenna array on each band."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from cooperative_isac.scene.motion.motion import Motion


class Duplex(StrEnum):
    """Duplex mode of an antenna array: it transmits, receives, or both at once (full duplex)."""

    TX = "tx"
    RX = "rx"
    FULL = "full"

    @property
    def transmits(self) -> bool:
        """True where the array may transmit."""
        return self is not Duplex.RX

    @property
    def receives(self) -> bool:
        """True where the array may receive."""
        return self is not Duplex.TX


class Role(StrEnum):
    """Role of a station in the network (DC section II)."""

    ACCESS_POINT = "access_point"
    MACRO = "macro"
    MICRO = "micro"
    UE = "ue"
    WIFI = "wifi"


class LinkMode(StrEnum):
    """Pairs of stations that sense together (DC section IV).

    PASSIVE: bistatic pairs; ACTIVE: each station with its own echoes; ACTIVE_PASSIVE: both.
    """

    PASSIVE = "passive"
    ACTIVE = "active"
    ACTIVE_PASSIVE = "active-passive"

    def allows(self, transmitter: str, receiver: str) -> bool:
        """True where the transmitter and the receiver of these names sense together."""
        if transmitter == receiver:
            return self is not LinkMode.PASSIVE
        return self is not LinkMode.ACTIVE


@dataclass(frozen=True)
class Antenna:
    """The array of one station on one band.

    band: name of the band
    elements_m: [num_ant, 3], float64, m, offsets of the elements along the array's own axes
    kind: ula | nested | coprime | planar | custom
    duplex: whether it transmits, receives, or both
    pattern: of each element, isotropic | tr38901 (channel.antenna_pattern)
    rotation: [3, 3], float64, from axes of the array to axes of the station
    """

    band: str
    elements_m: np.ndarray
    kind: str
    duplex: Duplex
    pattern: str = "isotropic"
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))


@dataclass(frozen=True)
class Clock:
    """Offsets of a station's clock against the network's, and their drifts.

    timing_offset_s: at time 0, s
    timing_drift: s per s
    frequency_offset_hz: of the carrier at time 0, Hz
    frequency_drift_hzps: of the carrier, Hz per s
    phase_offset_rad: of the carrier at time 0, rad
    """

    timing_offset_s: float = 0.0
    timing_drift: float = 0.0
    frequency_offset_hz: float = 0.0
    frequency_drift_hzps: float = 0.0
    phase_offset_rad: float = 0.0

    @property
    def is_ideal(self) -> bool:
        """True where the clock has no offset against that of the network."""
        return self == IDEAL_CLOCK

    def timing_s(self, time_s: float) -> float:
        """Timing offset at a time, s."""
        return self.timing_offset_s + self.timing_drift * time_s

    def frequency_hz(self, time_s: float) -> float:
        """Offset of the carrier frequency at a time, Hz."""
        return self.frequency_offset_hz + self.frequency_drift_hzps * time_s

    def phase_rad(self, time_s: float) -> float:
        """Phase offset of the carrier at a time, rad: the integral of the frequency offset."""
        cycles = self.frequency_offset_hz * time_s + self.frequency_drift_hzps * time_s**2 / 2
        return self.phase_offset_rad + 2 * np.pi * cycles


IDEAL_CLOCK = Clock()


@dataclass(frozen=True)
class Pose:
    """Position, rotation and velocity of a station at one time.

    position_m: [3], float64, m in map
    rotation: [3, 3], float64, from axes of the station to axes of the map
    velocity_mps: [3], float64, m/s in map
    """

    position_m: np.ndarray
    rotation: np.ndarray
    velocity_mps: np.ndarray = field(default_factory=lambda: np.zeros(3))


@dataclass(frozen=True)
class Site:
    """The array of one station on one band, placed in the map.

    name: of the station
    position_m: [3], float64, m in map
    rotation: [3, 3], float64, from axes of the array to axes of the map; x is the boresight
    elements_m: [num_ant, 3], float64, m, offsets from position_m along the axes of the MAP
    kind: ula | nested | coprime | planar | custom
    pattern: of each element, isotropic | tr38901 (channel.antenna_pattern)
    velocity_mps: [3], float64, m/s in map
    """

    name: str
    position_m: np.ndarray
    rotation: np.ndarray
    elements_m: np.ndarray
    kind: str
    pattern: str = "isotropic"
    velocity_mps: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @property
    def num_ant(self) -> int:
        """Number of antenna elements."""
        return len(self.elements_m)

    @property
    def boresight(self) -> np.ndarray:
        """Unit vector [3] of the array's look direction, in map."""
        return self.rotation[:, 0]

    @property
    def axis(self) -> np.ndarray:
        """Unit vector [3] along the array's own y axis (the line of a ULA), in map."""
        return self.rotation[:, 1]

    @property
    def is_moving(self) -> bool:
        """True where the station has a velocity."""
        return bool(np.any(self.velocity_mps))


@dataclass(frozen=True)
class Station:
    """A station of the network (a "node" in DC; here a node is a ROS node).

    pose: of a fixed station; of one that moves, at time 0
    antennas: one array for each of its bands
    motion: along which it moves, turned with its velocity; None: fixed, or tracked
    mounting: [3, 3], float64, from axes of the station to axes of its vehicle (x ahead, z up)
    odometry: topic of nav_msgs/Odometry that gives its pose, below the root of the topics; "":
    none
    tf_frame: frame of /tf that gives its pose; "": none
    area: edge area that it belongs to; "": none
    operator: of the network; "": not known
    residual_self_interference_db: power of its own signal in a full-duplex array after
    cancellation, over the transmitted power, dB; None: cancellation is perfect
    scheme: of its encoder; "": that of the scene
    position_std_m: standard deviation of the position that it reports, along each axis, m
    """

    name: str
    role: Role
    pose: Pose
    antennas: tuple[Antenna, ...]
    motion: Motion | None = None
    mounting: np.ndarray = field(default_factory=lambda: np.eye(3))
    odometry: str = ""
    tf_frame: str = ""
    area: str = ""
    operator: str = ""
    clock: Clock = IDEAL_CLOCK
    residual_self_interference_db: float | None = None
    scheme: str = ""
    position_std_m: float = 0.0

    @property
    def is_tracked(self) -> bool:
        """True where its pose comes from odometry or /tf."""
        return bool(self.odometry or self.tf_frame)

    @property
    def is_mobile(self) -> bool:
        """True where its pose may change."""
        return self.motion is not None or self.is_tracked

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands."""
        return tuple(antenna.band for antenna in self.antennas)

    @property
    def receives(self) -> bool:
        """True where it receives on some band."""
        return any(antenna.duplex.receives for antenna in self.antennas)

    def antenna(self, band: str) -> Antenna | None:
        """Its array on a band, or None."""
        return next((antenna for antenna in self.antennas if antenna.band == band), None)

    def pose_at(self, time_s: float) -> Pose:
        """Its pose at a time after the scene's start, by its motion; fixed without one."""
        if self.motion is None:
            return self.pose

        # A station is at rest before its motion begins and after its end.
        begin_s = self.motion.start_s
        end_s = begin_s + self.motion.duration_s
        position_m, velocity_mps = self.motion.state(min(max(time_s, begin_s), end_s))

        # A vehicle turns with its velocity.
        heading = np.eye(3)
        if np.any(velocity_mps[:2]):
            heading = heading_rotation(velocity_mps)

        if not begin_s <= time_s <= end_s:
            velocity_mps = np.zeros(3)
        return Pose(position_m, heading @ self.mounting, velocity_mps)

    def site(self, band: str, pose: Pose) -> Site:
        """Its array on a band, placed in the map at a pose.

        Raises KeyError: it has no array on that band.
        """
        antenna = self.antenna(band)
        if antenna is None:
            raise KeyError(f"station '{self.name}' has no antenna on band '{band}'")
        rotation = pose.rotation @ antenna.rotation
        return Site(
            name=self.name,
            position_m=pose.position_m,
            rotation=rotation,
            elements_m=antenna.elements_m @ rotation.T,
            kind=antenna.kind,
            pattern=antenna.pattern,
            velocity_mps=pose.velocity_mps,
        )


@dataclass(frozen=True)
class Link:
    """A transmitting and a receiving station on a band; monostatic where both are the same.

    tx, rx: names of the stations
    band: name of the band
    """

    tx: str
    rx: str
    band: str

    @property
    def is_monostatic(self) -> bool:
        """True where a station receives the echoes of its own signal."""
        return self.tx == self.rx


def heading_rotation(velocity_mps: np.ndarray) -> np.ndarray:
    """Rotation about the vertical with the x axis along a velocity's horizontal direction.

    velocity_mps: [3], float64, m/s, not vertical
    Returns [3, 3], float64, from axes of the vehicle to axes of the map.
    """
    cosine, sine = velocity_mps[:2] / np.linalg.norm(velocity_mps[:2])
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])

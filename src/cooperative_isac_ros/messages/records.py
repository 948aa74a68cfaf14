"""What the nodes exchange, free of message types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.tracking.track import Track


@dataclass(frozen=True)
class FrameStamp:
    """Which frame something is about. stamp_ns: ROS time at which its first OFDM symbol leaves."""

    run: int
    number: int
    stamp_ns: int


@dataclass(frozen=True)
class Announcement:
    """A frame is on the air; with an empty payload its signals are a function of (seed, number).

    bands: that are on the air; empty: those that the scene has in a frame of this number
    time_s: since frame 0 of the run, s; None: not said
    """

    frame: FrameStamp
    scene: str
    scene_fingerprint: str
    simulated: bool
    seed: int
    payload: bytes = b""
    downlink_bits: int = 0
    bands: tuple[str, ...] = ()
    time_s: float | None = None


@dataclass(frozen=True)
class EchoRecord:
    """One echo [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W); noise per sample.

    band: name of the band; "": the scene's only one
    """

    frame: FrameStamp
    site: str
    simulated: bool
    noise_power_w: float
    echo: np.ndarray
    band: str = ""


@dataclass(frozen=True)
class Packet:
    """What one station reports of one frame.

    bands: of whose echoes it reports; empty: the scene's only one
    """

    frame: FrameStamp
    sequence: int
    site: str
    scheme: str
    simulated: bool
    data: bytes
    bands: tuple[str, ...] = ()


@dataclass(frozen=True)
class DetectionList:
    """All detections of a frame, and the receivers that did not contribute."""

    frame: FrameStamp
    simulated: bool
    detections: tuple[Detection, ...]
    sites_missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackList:
    """All tracks after a frame."""

    frame: FrameStamp
    simulated: bool
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class AccuracyRecord:
    """Errors of one frame against truth; every number finite, 0 where there is nothing to
    compare.
    """

    frame: FrameStamp
    simulated: bool
    gospa_m: float = 0.0
    gospa_localization_m: float = 0.0
    gospa_missed_m: float = 0.0
    gospa_false_m: float = 0.0
    nees: float = 0.0
    nees_samples: int = 0
    error_to_bound_location: float = 0.0
    error_to_bound_velocity: float = 0.0


@dataclass(frozen=True)
class Timing:
    """What one stage (encode, decode, track) took for one frame."""

    frame: FrameStamp
    sequence: int
    stage: str
    node: str
    duration_ms: float
    latency_ms: float

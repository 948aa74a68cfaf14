"""Records that the nodes exchange, independent of message types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.tracking.track import Track


@dataclass(frozen=True)
class FrameStamp:
    """Identity of a frame.

    run: number of the run, which begins with frame 0
    number: of the frame in the run
    stamp_ns: ROS time of its first OFDM symbol, ns
    """

    run: int
    number: int
    stamp_ns: int


@dataclass(frozen=True)
class Announcement:
    """Announcement of a frame that is on the air.

    scene, scene_fingerprint: name and fingerprint of the scene
    seed: of the signals, where the payload is empty
    payload: packed symbols and precoders; empty: the signals are a function of (seed, number)
    downlink_bits: bits per access point to distribute symbols and precoders
    bands: names of the bands on the air; empty: those of the scene in a frame of this number
    time_s: time since frame 0 of the run, s; None: unknown
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
    """Echo that one station has received on one band in one frame.

    site: name of the station
    noise_power_w: per sample, W
    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    band: name of the band; empty: the scene's only one
    """

    frame: FrameStamp
    site: str
    simulated: bool
    noise_power_w: float
    echo: np.ndarray
    band: str = ""


@dataclass(frozen=True)
class Packet:
    """Encoded features of one station and frame.

    sequence: number of the packet of this station
    site: name of the station
    scheme: name of the scheme that has encoded them
    data: bytes on the fronthaul
    bands: names of the bands whose echoes it encodes; empty: the scene's only one
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
    """Detections of a frame.

    sites_missing: names of the receivers whose packets were not used
    """

    frame: FrameStamp
    simulated: bool
    detections: tuple[Detection, ...]
    sites_missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackList:
    """Tracks after a frame, with those that it deleted."""

    frame: FrameStamp
    simulated: bool
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class AccuracyRecord:
    """Errors of one frame against the truth; 0 where there is nothing to compare.

    gospa_m and its parts: GOSPA metric, m
    nees: normalized estimation error squared of the detections, mean over nees_samples
    error_to_bound_location, error_to_bound_velocity: ratio of the error to the Cramer-Rao bound
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
    """Duration of one stage (encode, decode, track) for one frame.

    sequence: number of the message of this node
    duration_ms: of the stage, ms
    latency_ms: from the frame's stamp to the end of the stage, ms
    """

    frame: FrameStamp
    sequence: int
    stage: str
    node: str
    duration_ms: float
    latency_ms: float

"""Lost packets: recorded packets of a run, decoded and tracked under patterns of loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.consistency import nees
from cooperative_isac.metrics.run_score import RunScore
from cooperative_isac.pipeline import make_encoders, make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.track import ESTABLISHED, Track
from cooperative_isac.tracking.tracker import Tracker
from cooperative_isac.waveform.frame import Frame

SETTLED_FRAMES = 10  # frames without loss at the start, not scored: tracks are confirmed there
NEES_GATE_M = 5.0  # a track this near to a target is its track; the cutoff of GOSPA


@dataclass(frozen=True)
class Recording:
    """Packets of consecutive frames, encoded once.

    scene: with the sites of its scheme
    frames: as transmitted
    targets: truth of each frame
    packets: of each frame, by receiver
    """

    scene: Scene
    scheme_name: str
    frames: tuple[Frame, ...]
    targets: tuple[tuple[TargetState, ...], ...]
    packets: tuple[Mapping[str, bytes], ...]


@dataclass(frozen=True)
class LossFigures:
    """A run under one pattern of loss, after its first SETTLED_FRAMES.

    gospa_m: [num_frames], of the established tracks
    track_nees: mean over confirmed and coasting tracks near a target; nan without any
    continuity: mean over the targets
    """

    gospa_m: np.ndarray
    track_nees: float
    continuity: float
    identity_switches: int
    false_tracks: int


def record(scene: Scene, scheme_name: str, num_frames: int) -> Recording:
    """Encode consecutive frames at every station, as the nodes do."""
    scheme = make_scheme(scheme_name, scene)
    scene = scheme.scene
    encoders = make_encoders(scheme)
    frames = []
    truth = []
    sent = []
    for number in range(num_frames):
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        frame = make_frame(scene, number, time_s)
        packets = {}
        for station, encoder in encoders.items():
            packets[station] = encoder.encode(receive(scene, frame, station, targets), frame)
            encoder.idle()
        frames.append(frame)
        truth.append(targets)
        sent.append(packets)
    return Recording(scene, scheme_name, tuple(frames), tuple(truth), tuple(sent))


def replay(recording: Recording, arrived: np.ndarray) -> LossFigures:
    """Decode and track the packets that arrived.

    arrived: [num_frames, num_receivers], bool; all do in the first SETTLED_FRAMES
    """
    scene = recording.scene
    decoder = make_scheme(recording.scheme_name, scene).center()
    tracker = Tracker(scene.tracking, scene.dimension)
    score = RunScore(
        scene.continuity_threshold_m, scene.tracking, scene.dimension, scene.class_thresholds_m
    )

    gospa_m = []
    squares = []
    parts = zip(recording.frames, recording.targets, recording.packets)
    for number, (frame, targets, packets) in enumerate(parts):
        # Center and tracker, with the packets that arrived.
        time_s = number / scene.update_rate_hz
        kept = {
            site.name: packets[site.name]
            for index, site in enumerate(scene.receivers)
            if number < SETTLED_FRAMES or arrived[number, index]
        }
        detections = decoder.decode(kept, frame)
        tracks = tracker.update(time_s, detections, len(kept) / len(scene.receivers))

        # Score.
        figures = score.add(time_s, targets, detections, tracks)
        if number >= SETTLED_FRAMES:
            gospa_m.append(figures.gospa.distance_m)
            squares.extend(_track_nees(scene, targets, tracks))

    summary = score.summary()
    continuity = [target.continuity for target in summary.targets.values()]
    return LossFigures(
        gospa_m=np.array(gospa_m),
        track_nees=float(np.mean(squares)) if squares else float("nan"),
        continuity=float(np.mean([share for share in continuity if share is not None])),
        identity_switches=sum(target.identity_switches for target in summary.targets.values()),
        false_tracks=summary.false_tracks,
    )


def _track_nees(
    scene: Scene, targets: Sequence[TargetState], tracks: Sequence[Track]
) -> Sequence[float]:
    """Normalized squared error of each established track near a target."""
    axes = STATE_AXES[scene.dimension]
    size = scene.dimension
    shown = [track for track in tracks if track.status in ESTABLISHED]
    truth = np.array([[*item.position_m, *item.velocity_mps] for item in targets]).reshape(-1, 6)
    states = np.array([[*item.position_m, *item.velocity_mps] for item in shown]).reshape(-1, 6)
    pairs = match_within(pairwise_distances(truth[:, :size], states[:, :size]), NEES_GATE_M)
    return [
        float(
            nees(
                (states[column] - truth[row])[None, axes],
                shown[column].covariance[np.ix_(axes, axes)][None],
            )[0]
        )
        for row, column in pairs
    ]


def independent_loss(
    share: float, num_frames: int, num_receivers: int, generator: np.random.Generator
) -> np.ndarray:
    """Packets that arrive where each is lost by itself, [num_frames, num_receivers], bool."""
    return generator.random((num_frames, num_receivers)) >= share


def burst_loss(
    share: float,
    mean_burst: float,
    num_frames: int,
    num_receivers: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Packets that arrive where losses come in bursts (Gilbert 1960), receivers independent.

    share: of packets lost in the long run
    mean_burst: mean length of a burst [frames]
    Returns [num_frames, num_receivers], bool.
    """
    ends = 1 / mean_burst
    begins = ends * share / (1 - share)
    lost = generator.random(num_receivers) < share
    arrived = np.empty((num_frames, num_receivers), bool)
    for row in arrived:
        row[:] = ~lost
        changes = generator.random(num_receivers)
        lost = np.where(lost, changes >= ends, changes < begins)
    return arrived


def outage(
    first: int, length: int, receivers: Sequence[int], num_frames: int, num_receivers: int
) -> np.ndarray:
    """Packets that arrive where some receivers are silent for a while.

    receivers: indices of the silent ones
    Returns [num_frames, num_receivers], bool.
    """
    arrived = np.ones((num_frames, num_receivers), bool)
    arrived[np.ix_(np.arange(first, first + length), np.asarray(receivers, int))] = False
    return arrived

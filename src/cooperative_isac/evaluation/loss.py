"""Packet loss: recorded packets of a run, decoded and tracked under patterns of loss."""

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

# Frames at the start that are complete and not scored: the tracker confirms its tracks in them.
SETTLED_FRAMES = 10
# Distance within which a track is assigned to a target, m: the cutoff of GOSPA.
NEES_GATE_M = 5.0


@dataclass(frozen=True)
class Recording:
    """Packets of consecutive frames, encoded once.

    scene: the scene, with the stations of the scheme
    frames: the transmitted frames
    targets: true states in each frame
    packets: packets of each frame, by receiver
    """

    scene: Scene
    scheme_name: str
    frames: tuple[Frame, ...]
    targets: tuple[tuple[TargetState, ...], ...]
    packets: tuple[Mapping[str, bytes], ...]


@dataclass(frozen=True)
class LossFigures:
    """Accuracy of a run under one pattern of loss, without its first SETTLED_FRAMES.

    gospa_m: [num_frames], float64, m, of the established tracks
    track_nees: mean normalized estimation error squared (NEES) of the established tracks near a
        target; nan without any
    continuity: mean over the targets
    identity_switches: sum over the targets
    false_tracks: number of confirmed tracks without a target
    """

    gospa_m: np.ndarray
    track_nees: float
    continuity: float
    identity_switches: int
    false_tracks: int


def record(scene: Scene, scheme_name: str, num_frames: int) -> Recording:
    """Encode consecutive frames at every station, in the order of the nodes."""
    # The scene as the scheme has it, and the encoders of its stations.
    scheme = make_scheme(scheme_name, scene)
    scene = scheme.scene
    encoders = make_encoders(scheme)

    frames = []
    truths = []
    packets_of_frames = []
    for number in range(num_frames):
        # Targets and signals of the frame.
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        frame = make_frame(scene, number, time_s)

        # Packet of each station, and the work that its encoder does between two frames.
        packets = {}
        for station, encoder in encoders.items():
            packets[station] = encoder.encode(receive(scene, frame, station, targets), frame)
            encoder.idle()
        frames.append(frame)
        truths.append(targets)
        packets_of_frames.append(packets)

    return Recording(
        scene=scene,
        scheme_name=scheme_name,
        frames=tuple(frames),
        targets=tuple(truths),
        packets=tuple(packets_of_frames),
    )


def replay(recording: Recording, arrived: np.ndarray) -> LossFigures:
    """Decode the packets that arrived, and track the detections.

    arrived: [num_frames, num_receivers], bool; not used in the first SETTLED_FRAMES, in which all
        packets arrive
    """
    scene = recording.scene
    decoder = make_scheme(recording.scheme_name, scene).center()
    tracker = Tracker(scene.tracking, scene.dimension)
    score = RunScore(
        scene.continuity_threshold_m, scene.tracking, scene.dimension, scene.class_thresholds_m
    )

    gospa_m = []
    nees_values = []
    parts = zip(recording.frames, recording.targets, recording.packets)
    for number, (frame, targets, packets) in enumerate(parts):
        # Packets that arrived.
        arrived_packets = {
            site.name: packets[site.name]
            for index, site in enumerate(scene.receivers)
            if number < SETTLED_FRAMES or arrived[number, index]
        }
        share_arrived = len(arrived_packets) / len(scene.receivers)

        # Fusion center and tracker.
        time_s = number / scene.update_rate_hz
        detections = decoder.decode(arrived_packets, frame)
        tracks = tracker.update(time_s, detections, share_arrived)

        # Score detections and tracks.
        figures = score.add(time_s, targets, detections, tracks)
        if number >= SETTLED_FRAMES:
            gospa_m.append(figures.gospa.distance_m)
            nees_values.extend(_track_nees(scene, targets, tracks))

    # Figures of the run; a target that was never counted has no continuity.
    summary = score.summary()
    continuities = [target.continuity for target in summary.targets.values()]
    return LossFigures(
        gospa_m=np.array(gospa_m),
        track_nees=float(np.mean(nees_values)) if nees_values else float("nan"),
        continuity=float(np.mean([share for share in continuities if share is not None])),
        identity_switches=sum(target.identity_switches for target in summary.targets.values()),
        false_tracks=summary.false_tracks,
    )


def _track_nees(
    scene: Scene, targets: Sequence[TargetState], tracks: Sequence[Track]
) -> Sequence[float]:
    """NEES of each established track near a target."""
    # Assign tracks to targets by their distance.
    established = [track for track in tracks if track.status in ESTABLISHED]
    truth = _state_vectors(targets)
    estimates = _state_vectors(established)
    size = scene.dimension
    pairs = match_within(pairwise_distances(truth[:, :size], estimates[:, :size]), NEES_GATE_M)

    # Errors over the covariance that the track reports.
    axes = STATE_AXES[scene.dimension]
    values = []
    for target, track in pairs:
        error = (estimates[track] - truth[target])[axes]
        covariance = established[track].covariance[np.ix_(axes, axes)]
        values.append(float(nees(error[None], covariance[None])[0]))
    return values


def _state_vectors(items: Sequence[TargetState | Track]) -> np.ndarray:
    """Positions and velocities of targets or tracks, [num_items, 6], m and m/s."""
    vectors = [[*item.position_m, *item.velocity_mps] for item in items]
    return np.array(vectors).reshape(-1, 6)


def independent_loss(
    share: float, num_frames: int, num_receivers: int, generator: np.random.Generator
) -> np.ndarray:
    """Packets that arrive if every packet is lost independently of the others.

    share: probability of loss

    Returns [num_frames, num_receivers], bool.
    """
    return generator.random((num_frames, num_receivers)) >= share


def burst_loss(
    share: float,
    mean_burst: float,
    num_frames: int,
    num_receivers: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Packets that arrive if losses come in bursts, independently for each receiver.

    A Markov chain of two states with the given share of losses and mean length of a burst.

    share: long-run share of packets that are lost
    mean_burst: mean length of a burst, frames

    Returns [num_frames, num_receivers], bool.
    Source: E. N. Gilbert, "Capacity of a burst-noise channel", 1960
    """
    # Transition probabilities; in the long run as many bursts begin as end.
    end_probability = 1 / mean_burst
    begin_probability = end_probability * share / (1 - share)

    # The first state is drawn from the long-run distribution.
    lost = generator.random(num_receivers) < share
    arrived = np.empty((num_frames, num_receivers), bool)
    for row in arrived:
        row[:] = ~lost

        # A burst goes on unless it ends, and another may begin.
        draws = generator.random(num_receivers)
        lost = np.where(lost, draws >= end_probability, draws < begin_probability)
    return arrived


def outage(
    first: int, length: int, receivers: Sequence[int], num_frames: int, num_receivers: int
) -> np.ndarray:
    """Packets that arrive if some receivers send nothing for a time.

    first: first frame of the outage
    length: length of the outage, frames
    receivers: indices of the receivers without packets

    Returns [num_frames, num_receivers], bool.
    """
    frames = np.arange(first, first + length)
    arrived = np.ones((num_frames, num_receivers), bool)
    arrived[np.ix_(frames, np.asarray(receivers, int))] = False
    return arrived

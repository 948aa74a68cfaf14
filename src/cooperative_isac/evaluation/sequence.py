"""Consecutive frames of a scene through schemes and tracker: which targets are found and held."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.evaluation.monte_carlo import Ends, SchemeFailure, make_ends
from cooperative_isac.fusion.detection import Detection, complete
from cooperative_isac.metrics.assignment import match_within, match_within_each, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M, RunScore, RunSummary
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.tracker import Tracker

NEAR_M = 1.0  # location error of a target that is found well; DETECTION_CUTOFF_M: found at all
ENOUGH_LINKS = 3  # pairs of sites that locate a target in three dimensions


@dataclass(frozen=True)
class FrameScore:
    """Detections of one frame beside the truth.

    near, found, held: [num_targets], bool, a detection within NEAR_M, DETECTION_CUTOFF_M, the
    target's own threshold
    visible: [num_targets], bool, at least ENOUGH_LINKS pairs of sites have a path by way of the
    target and no wall; None where the scene has no path file
    location_errors_m, velocity_errors_mps: [num_found], float64
    """

    near: np.ndarray
    found: np.ndarray
    held: np.ndarray
    visible: np.ndarray | None
    location_errors_m: np.ndarray
    velocity_errors_mps: np.ndarray
    num_false: int
    packet_bits: tuple[int, ...]


@dataclass(frozen=True)
class SequenceFigures:
    """A scheme over consecutive frames; shares are of pairs of target and frame, nan without any.

    found_near, found: detection within 1 m and 3 m; found_held: within the target's continuity
    threshold
    visible: share with direct paths over at least three pairs of sites; *_visible: shares of those;
    None where the scene has no path file
    false_per_frame: detections farther than 3 m from all targets
    median_location_m, median_velocity_mps: of the detections within 3 m
    continuity: by target; None for one that was not there long enough
    uplink_bits: mean of an access point and frame
    """

    found_near: float
    found: float
    found_held: float
    visible: float | None
    found_near_visible: float | None
    found_visible: float | None
    false_per_frame: float
    median_location_m: float
    median_velocity_mps: float
    continuity: Mapping[str, float | None]
    identity_switches: int
    false_tracks: int
    uplink_bits: float


@dataclass
class _Chain:
    """A scheme with what it carries from frame to frame: its own state, tracker and score."""

    ends: Ends
    scene: Scene
    tracker: Tracker
    run: RunScore
    frames: list[FrameScore]


def measure_sequence(
    scene: Scene,
    scheme_names: Sequence[str],
    num_frames: int,
    on_frame: Callable[[], None] = lambda: None,
) -> dict[str, SequenceFigures]:
    """Figures of schemes on the same consecutive frames, as the nodes work on them.

    on_frame is called after each frame. SchemeFailure names the scheme that failed.
    """
    chains = {name: _chain(scene, name) for name in scheme_names}
    for number in range(num_frames):
        echoes: dict[str, dict[str, Echo]] = {}
        for name, chain in chains.items():
            own = echoes if chain.scene is scene else {}
            try:
                _work(chain, number, own)
            except Exception as error:
                raise SchemeFailure(
                    f"scheme '{name}' failed in frame {number}: {type(error).__name__}: {error}"
                ) from error
        on_frame()
    return {
        name: sequence_figures(chain.frames, chain.run.summary()) for name, chain in chains.items()
    }


def _chain(scene: Scene, name: str) -> _Chain:
    try:
        scheme = make_scheme(name, scene)
    except ValueError as error:
        raise SchemeFailure(
            f"scheme '{name}' cannot be made for scene '{scene.name}': {error}"
        ) from error
    arranged = scheme.scene
    score = RunScore(
        scene.continuity_threshold_m, scene.tracking, scene.dimension, scene.class_thresholds_m
    )
    return _Chain(make_ends(scheme), arranged, Tracker(scene.tracking, scene.dimension), score, [])


def _work(chain: _Chain, number: int, echoes: dict[str, dict[str, Echo]]) -> None:
    """One frame through the chain.

    echoes: by station and band, those of the frame so far, shared by schemes with the same sites
    """
    scene = chain.scene
    time_s = number / scene.update_rate_hz
    targets = scene_targets(scene, time_s)
    frame = make_frame(scene, number, time_s)

    # Stations, as the node does it: encode, send, work on.
    packets = {}
    for station, encoder in chain.ends.encoders.items():
        if station not in echoes:
            echoes[station] = receive(scene, frame, station, targets)
        if echoes[station]:
            packets[station] = encoder.encode(echoes[station], frame)
            encoder.idle()

    # Center and tracker.
    detections = chain.ends.decoder.decode(packets, frame)
    tracks = chain.tracker.update(time_s, detections)

    # Score.
    chain.run.add(time_s, targets, detections, tracks)
    bits = tuple(8 * len(packet) for packet in packets.values())
    chain.frames.append(
        score_frame(scene, targets, detections, visible_targets(scene, number, targets), bits)
    )


def visible_targets(scene: Scene, number: int, targets: Sequence[TargetState]) -> np.ndarray | None:
    """Targets that ENOUGH_LINKS pairs of sites see without a wall; None without a path file.

    Returns [num_targets], bool.
    """
    file = scene.propagation.paths
    if file is None:
        return None
    links = dict(zip(file.names, file.links(number)))
    return np.array([links.get(target.name, 0) >= ENOUGH_LINKS for target in targets], bool)


def score_frame(
    scene: Scene,
    targets: Sequence[TargetState],
    detections: Sequence[Detection],
    visible: np.ndarray | None,
    packet_bits: tuple[int, ...],
) -> FrameScore:
    """Detections of a frame beside its targets, each target with at most one; no partial
    detections.
    """
    detections = complete(detections)
    positions, velocities = _states(targets, scene.dimension)
    found_positions, found_velocities = _states(detections, scene.dimension)
    distances = pairwise_distances(positions, found_positions)
    thresholds = np.array(
        [
            scene.class_thresholds_m.get(target.target_class, scene.continuity_threshold_m)
            for target in targets
        ]
    )

    pairs = match_within(distances, DETECTION_CUTOFF_M)
    rows = [row for row, _ in pairs]
    columns = [column for _, column in pairs]

    return FrameScore(
        _hit(match_within(distances, NEAR_M), targets),
        _hit(pairs, targets),
        _hit(match_within_each(distances, thresholds), targets),
        visible,
        distances[rows, columns],
        np.linalg.norm(found_velocities[columns] - velocities[rows], axis=1),
        len(detections) - len(pairs),
        packet_bits,
    )


def sequence_figures(frames: Sequence[FrameScore], run: RunSummary) -> SequenceFigures:
    """Figures of a sequence from its frames' scores and its tracks' summary."""
    near, found, held = (
        np.concatenate([getattr(frame, name) for frame in frames])
        for name in ("near", "found", "held")
    )
    seen = (None, None, None)
    known = [frame.visible for frame in frames if frame.visible is not None]
    if len(known) == len(frames):
        visible = np.concatenate(known)
        seen = _share(visible), _share(near[visible]), _share(found[visible])
    return SequenceFigures(
        _share(near),
        _share(found),
        _share(held),
        *seen,
        false_per_frame=float(np.mean([frame.num_false for frame in frames])),
        median_location_m=_median([frame.location_errors_m for frame in frames]),
        median_velocity_mps=_median([frame.velocity_errors_mps for frame in frames]),
        continuity={name: target.continuity for name, target in run.targets.items()},
        identity_switches=sum(target.identity_switches for target in run.targets.values()),
        false_tracks=run.false_tracks,
        uplink_bits=float(np.mean([bits for frame in frames for bits in frame.packet_bits])),
    )


def _states(
    items: Sequence[TargetState | Detection], dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    positions = np.array([item.position_m for item in items], float).reshape(-1, 3)
    velocities = np.array([item.velocity_mps for item in items], float).reshape(-1, 3)
    return positions[:, :dimension], velocities[:, :dimension]


def _hit(pairs: Sequence[tuple[int, int]], targets: Sequence[TargetState]) -> np.ndarray:
    hit = np.zeros(len(targets), bool)
    hit[[row for row, _ in pairs]] = True
    return hit


def _share(flags: np.ndarray) -> float:
    return float(np.mean(flags)) if len(flags) else math.nan


def _median(parts: Sequence[np.ndarray]) -> float:
    values = np.concatenate(parts)
    return float(np.median(values)) if len(values) else math.nan

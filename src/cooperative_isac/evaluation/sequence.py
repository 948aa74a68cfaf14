"""Evaluation on consecutive frames: detections and tracks of schemes beside the truth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.evaluation.monte_carlo import Ends, SchemeFailure, make_ends, states
from cooperative_isac.fronthaul.delivery import deliver, result_sender
from cooperative_isac.fusion.detection import Detection, complete
from cooperative_isac.metrics.assignment import match_within, match_within_each, pairwise_distances
from cooperative_isac.metrics.requirements import SensingQuality
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M, RunScore, RunSummary
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.schedule import scheduled_bands
from cooperative_isac.tracking.track import Track
from cooperative_isac.tracking.tracker import Tracker

# Location error of an accurate detection, m: the default continuity threshold of scenes. Within
# DETECTION_CUTOFF_M a target counts as found.
NEAR_M = 1.0
# Links with a direct path that locate a target: three bistatic ranges fix a point in space.
ENOUGH_LINKS = 3


@dataclass(frozen=True)
class FrameScore:
    """Detections of one frame beside the truth.

    near: [num_targets], bool, a detection is within NEAR_M
    found: [num_targets], bool, a detection is within DETECTION_CUTOFF_M
    held: [num_targets], bool, a detection is within the continuity threshold of the target
    visible: [num_targets], bool, at least ENOUGH_LINKS links have a direct path to the target; None
        without a path file
    location_errors_m: [num_found], float64, m
    velocity_errors_mps: [num_found], float64, m/s
    num_false: detections without a target
    packet_bits: size of the packet of each station, 0 without one
    num_undelivered: packets out of range of the fusion center
    fused_at: name of the station that fuses the frame; empty: all packets arrive
    is_kept: a UE fuses the frame, and its result does not get to the base station
    """

    near: np.ndarray
    found: np.ndarray
    held: np.ndarray
    visible: np.ndarray | None
    location_errors_m: np.ndarray
    velocity_errors_mps: np.ndarray
    num_false: int
    packet_bits: tuple[int, ...]
    num_undelivered: int = 0
    fused_at: str = ""
    is_kept: bool = False


@dataclass(frozen=True)
class SequenceFigures:
    """Accuracy and cost of a scheme over consecutive frames.

    Shares count pairs of target and frame; nan without any.

    found_near: share with a detection within 1 m
    found: share with a detection within 3 m
    found_held: share with a detection within the continuity threshold of the target
    visible: share with direct paths over at least three links; None without a path file
    found_near_visible, found_visible: shares of the visible pairs; None without a path file
    false_per_frame: mean number of detections farther than 3 m from all targets
    median_location_m, median_velocity_mps: errors of the detections within 3 m
    continuity: by target; None for a target that was present too briefly
    identity_switches: sum over the targets
    false_tracks: number of confirmed tracks without a target
    uplink_bits: mean per station and frame
    undelivered: number of packets out of range of the fusion center
    fused_at: number of frames by the station that fuses them; empty where all packets arrive
    kept: number of frames whose results do not get to the base station
    longest_kept: largest number of such frames in a row, after which a result gets there
    quality: of the tracks
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
    undelivered: int
    fused_at: Mapping[str, int]
    kept: int
    longest_kept: int
    quality: SensingQuality


@dataclass
class _Chain:
    """A scheme, its tracker and its score, with the state that they carry between frames."""

    ends: Ends
    scene: Scene
    tracker: Tracker
    run: RunScore
    frames: list[FrameScore]
    tracks: tuple[Track, ...] = ()


def measure_sequence(
    scene: Scene,
    scheme_names: Sequence[str],
    num_frames: int,
    on_frame: Callable[[], None] = lambda: None,
) -> dict[str, SequenceFigures]:
    """Run schemes and trackers on the same consecutive frames, in the order of the nodes.

    on_frame: called after each frame

    Returns the figures by name of the scheme.
    Raises SchemeFailure: a scheme failed; the message names it
    """
    chains = {name: _chain(scene, name) for name in scheme_names}
    for number in range(num_frames):
        # Schemes with the stations of the scene share its echoes; not where their tracks schedule
        # the bands.
        shared_echoes: dict[str, dict[str, Echo]] = {}
        for name, chain in chains.items():
            is_shared = chain.scene is scene and scene.cooperation is None
            echoes = shared_echoes if is_shared else {}
            try:
                _process_frame(chain, number, echoes)
            except Exception as error:
                raise SchemeFailure(
                    f"scheme '{name}' failed in frame {number}: {type(error).__name__}: {error}"
                ) from error
        on_frame()

    return {
        name: sequence_figures(chain.frames, chain.run.summary()) for name, chain in chains.items()
    }


def _chain(scene: Scene, name: str) -> _Chain:
    """A scheme at the beginning of a sequence."""
    try:
        scheme = make_scheme(name, scene)
    except ValueError as error:
        raise SchemeFailure(
            f"scheme '{name}' cannot be made for scene '{scene.name}': {error}"
        ) from error
    score = RunScore(
        scene.continuity_threshold_m, scene.tracking, scene.dimension, scene.class_thresholds_m
    )
    return _Chain(
        ends=make_ends(scheme),
        scene=scheme.scene,
        tracker=Tracker(scene.tracking, scene.dimension),
        run=score,
        frames=[],
    )


def _process_frame(chain: _Chain, number: int, echoes: dict[str, dict[str, Echo]]) -> None:
    """Process one frame from the echoes to the tracks, and score it.

    echoes: by station and band; echoes that are missing are simulated and added
    """
    scene = chain.scene
    time_s = number / scene.update_rate_hz
    targets = scene_targets(scene, time_s)
    bands = scheduled_bands(scene, number, chain.tracks, 1 / scene.update_rate_hz)
    frame = make_frame(scene, number, time_s, bands=bands)

    # Stations: encode, send, and use the time until the next frame.
    packets = {}
    encoders = chain.ends.encoders
    for station, encoder in encoders.items():
        if station not in echoes:
            echoes[station] = receive(scene, frame, station, targets)
        if echoes[station]:
            packets[station] = encoder.encode(echoes[station], frame)
            encoder.idle()

    # Fusion center and tracker.
    delivery = deliver(scene, frame, packets)
    detections = chain.ends.decoder.decode(delivery.packets, frame)
    answered = 1 - len(delivery.undelivered) / len(encoders)
    chain.tracks = chain.tracker.update(time_s, detections, answered)
    fused_at = delivery.fused_at
    sender = result_sender(scene, frame, fused_at, len(detections))

    # Score detections and tracks.
    chain.run.add(time_s, targets, detections, chain.tracks)
    visible = visible_targets(scene, number, targets)
    packet_bits = tuple(8 * len(packets.get(station, b"")) for station in encoders)
    score = score_frame(scene, targets, detections, visible, packet_bits)
    chain.frames.append(
        replace(
            score,
            num_undelivered=len(delivery.undelivered),
            fused_at=fused_at,
            is_kept=bool(fused_at) and not sender,
        )
    )


def visible_targets(scene: Scene, number: int, targets: Sequence[TargetState]) -> np.ndarray | None:
    """Targets with a direct path over at least ENOUGH_LINKS links.

    number: number of the frame

    Returns [num_targets], bool; None without a path file.
    """
    path_file = scene.propagation.paths
    if path_file is None:
        return None
    num_links = dict(zip(path_file.names, path_file.links(number)))
    return np.array([num_links.get(target.name, 0) >= ENOUGH_LINKS for target in targets], bool)


def score_frame(
    scene: Scene,
    targets: Sequence[TargetState],
    detections: Sequence[Detection],
    visible: np.ndarray | None,
    packet_bits: tuple[int, ...],
) -> FrameScore:
    """Score the detections of a frame. Each target is paired with at most one detection.

    Partial detections are left out.

    visible: [num_targets], bool, as visible_targets returns it
    packet_bits: size of the packet of each station, 0 without one
    """
    detections = complete(detections)
    positions_m, velocities_mps = states(targets, scene.dimension)
    found_positions_m, found_velocities_mps = states(detections, scene.dimension)
    distances_m = pairwise_distances(positions_m, found_positions_m)

    # Optimal assignment within each of the three thresholds.
    thresholds_m = np.array(
        [
            scene.class_thresholds_m.get(target.target_class, scene.continuity_threshold_m)
            for target in targets
        ]
    )
    near_pairs = match_within(distances_m, NEAR_M)
    found_pairs = match_within(distances_m, DETECTION_CUTOFF_M)
    held_pairs = match_within_each(distances_m, thresholds_m)

    # Errors of the targets that are found.
    rows = [row for row, _ in found_pairs]
    columns = [column for _, column in found_pairs]
    velocity_errors_mps = found_velocities_mps[columns] - velocities_mps[rows]

    return FrameScore(
        near=_paired(near_pairs, len(targets)),
        found=_paired(found_pairs, len(targets)),
        held=_paired(held_pairs, len(targets)),
        visible=visible,
        location_errors_m=distances_m[rows, columns],
        velocity_errors_mps=np.linalg.norm(velocity_errors_mps, axis=1),
        num_false=len(detections) - len(found_pairs),
        packet_bits=packet_bits,
    )


def sequence_figures(frames: Sequence[FrameScore], run: RunSummary) -> SequenceFigures:
    """Summarize the scores of the frames and of the tracks."""
    near = np.concatenate([frame.near for frame in frames])
    found = np.concatenate([frame.found for frame in frames])
    held = np.concatenate([frame.held for frame in frames])

    # Shares of the visible targets, with a path file only.
    visible_share = None
    near_visible_share = None
    found_visible_share = None
    visibilities = [frame.visible for frame in frames if frame.visible is not None]
    if len(visibilities) == len(frames):
        visible = np.concatenate(visibilities)
        visible_share = _share(visible)
        near_visible_share = _share(near[visible])
        found_visible_share = _share(found[visible])

    return SequenceFigures(
        found_near=_share(near),
        found=_share(found),
        found_held=_share(held),
        visible=visible_share,
        found_near_visible=near_visible_share,
        found_visible=found_visible_share,
        false_per_frame=float(np.mean([frame.num_false for frame in frames])),
        median_location_m=_median([frame.location_errors_m for frame in frames]),
        median_velocity_mps=_median([frame.velocity_errors_mps for frame in frames]),
        continuity={name: target.continuity for name, target in run.targets.items()},
        identity_switches=sum(target.identity_switches for target in run.targets.values()),
        false_tracks=run.false_tracks,
        uplink_bits=float(np.mean([bits for frame in frames for bits in frame.packet_bits])),
        undelivered=sum(frame.num_undelivered for frame in frames),
        fused_at=dict(Counter(frame.fused_at for frame in frames if frame.fused_at)),
        kept=sum(frame.is_kept for frame in frames),
        longest_kept=_longest_run([frame.is_kept for frame in frames]),
        quality=run.quality,
    )


def _paired(pairs: Sequence[tuple[int, int]], num_targets: int) -> np.ndarray:
    """Targets that are in a pair of target and detection, [num_targets], bool."""
    paired = np.zeros(num_targets, bool)
    paired[[target for target, _ in pairs]] = True
    return paired


def _longest_run(flags: Sequence[bool]) -> int:
    """Length of the longest run of true flags."""
    return max((sum(run) for flag, run in groupby(flags) if flag), default=0)


def _share(flags: np.ndarray) -> float:
    return float(np.mean(flags)) if len(flags) else math.nan


def _median(parts: Sequence[np.ndarray]) -> float:
    values = np.concatenate(parts)
    return float(np.median(values)) if len(values) else math.nan

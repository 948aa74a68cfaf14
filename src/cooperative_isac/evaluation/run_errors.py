"""How far the tracks of a run were from their targets, over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.evaluation.run_record import RunRecord
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import GOSPA_CUTOFF_M
from cooperative_isac.tracking.track import ESTABLISHED_NUMBERS

# Frames of a long run that are looked at, evenly spread: more than a picture has pixels.
MAX_FRAMES = 3000


@dataclass(frozen=True)
class TargetErrors:
    """Location errors of one target's tracks, [num_frames] each; nan where no track was near.

    seconds: since the run's first frame, of the frames that have the target
    error_m: distance of the nearest established track
    reported_m: r.m.s. error by that track's own covariance
    """

    seconds: np.ndarray
    error_m: np.ndarray
    reported_m: np.ndarray


def frame_seconds(record: RunRecord, frames: np.ndarray) -> np.ndarray:
    """Times of frame numbers since the run's first frame, s; frames: [num_rows], int64."""
    order = np.argsort(record.frame_number, kind="stable")
    places = np.searchsorted(record.frame_number[order], frames)
    stamps_ns = record.frame_stamp_ns[order][places]
    return (stamps_ns - record.frame_stamp_ns[:1]) * 1e-9


def track_errors(record: RunRecord, dimension: int) -> dict[str, TargetErrors]:
    """Errors of each target by its name, in the plane when the scene is 2-D."""
    step = max(1, -(-len(record.frame_number) // MAX_FRAMES))
    established = np.isin(record.track_status, ESTABLISHED_NUMBERS)
    rows: dict[str, list[tuple[int, float, float]]] = {}
    for frame in record.frame_number[::step]:
        truths = np.flatnonzero(record.truth_frame == frame)
        tracks = np.flatnonzero((record.track_frame == frame) & established)
        errors_m, reported_m = _nearest(record, truths, tracks, dimension)
        for row, error_m, rms_m in zip(truths, errors_m, reported_m):
            rows.setdefault(str(record.truth_name[row]), []).append((frame, error_m, rms_m))

    found = {}
    for name in sorted(rows):
        frames, errors_m, reported_m = zip(*rows[name])
        seconds = frame_seconds(record, np.array(frames))
        found[name] = TargetErrors(seconds, np.array(errors_m), np.array(reported_m))
    return found


def _nearest(
    record: RunRecord, truths: np.ndarray, tracks: np.ndarray, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Error and reported error of each of one frame's truths, [num_truths]; rows of the record."""
    errors_m = np.full(len(truths), np.nan)
    reported_m = np.full(len(truths), np.nan)
    distances_m = pairwise_distances(
        record.truth_state[truths, :dimension], record.track_state[tracks, :dimension]
    )
    for truth, track in match_within(distances_m, GOSPA_CUTOFF_M):
        covariance = record.track_covariance[tracks[track], :dimension, :dimension]
        errors_m[truth] = distances_m[truth, track]
        reported_m[truth] = np.sqrt(np.trace(covariance))
    return errors_m, reported_m

"""Location errors of the tracks of a run over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cooperative_isac.evaluation.run_record import RunRecord
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import GOSPA_CUTOFF_M
from cooperative_isac.tracking.track import ESTABLISHED_NUMBERS

# Largest number of frames that are scored, evenly spaced: more than the pixels of a picture.
MAX_FRAMES = 3000


@dataclass(frozen=True)
class TargetErrors:
    """Location errors of the tracks of one target, in the frames with this target.

    seconds: [num_frames], float64, s since the first frame of the run
    error_m: [num_frames], float64, m, distance of the assigned track; nan without one
    reported_m: [num_frames], float64, m, r.m.s. error from the covariance of that track
    """

    seconds: np.ndarray
    error_m: np.ndarray
    reported_m: np.ndarray


def frame_seconds(record: RunRecord, frames: np.ndarray) -> np.ndarray:
    """Times of frames since the first frame of the run.

    frames: [num_rows], int64, frame numbers

    Returns [num_rows], float64, s.
    """
    # Row of each frame in the table of frames, sorted by their numbers.
    order = np.argsort(record.frame_number, kind="stable")
    rows = np.searchsorted(record.frame_number[order], frames)
    stamps_ns = record.frame_stamp_ns[order][rows]
    return (stamps_ns - record.frame_stamp_ns[:1]) * 1e-9


def track_errors(record: RunRecord, dimension: int) -> dict[str, TargetErrors]:
    """Location errors of each target, by its name.

    dimension: 2 compares horizontal positions only
    """
    # Errors of every frame, or of evenly spaced ones in a long run.
    num_frames = len(record.frame_number)
    step = max(1, math.ceil(num_frames / MAX_FRAMES))
    established = np.isin(record.track_status, ESTABLISHED_NUMBERS)
    samples: dict[str, list[tuple[int, float, float]]] = {}
    for frame in record.frame_number[::step]:
        truths = np.flatnonzero(record.truth_frame == frame)
        tracks = np.flatnonzero((record.track_frame == frame) & established)
        errors_m, reported_m = _frame_errors(record, truths, tracks, dimension)
        for row, error_m, rms_m in zip(truths, errors_m, reported_m):
            name = str(record.truth_name[row])
            samples.setdefault(name, []).append((frame, error_m, rms_m))

    # One array for each target.
    errors = {}
    for name in sorted(samples):
        frames, errors_m, reported_m = zip(*samples[name])
        seconds = frame_seconds(record, np.array(frames))
        errors[name] = TargetErrors(seconds, np.array(errors_m), np.array(reported_m))
    return errors


def _frame_errors(
    record: RunRecord, truths: np.ndarray, tracks: np.ndarray, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Errors and reported errors of the targets of one frame, by optimal assignment.

    truths, tracks: rows of the record

    Returns two arrays [num_truths], float64, m; nan for targets without a track.
    """
    # Assign tracks to targets by their distance.
    truths_m = record.truth_state[truths, :dimension]
    tracks_m = record.track_state[tracks, :dimension]
    distances_m = pairwise_distances(truths_m, tracks_m)
    pairs = match_within(distances_m, GOSPA_CUTOFF_M)

    # Error, and r.m.s. error that the track reports.
    errors_m = np.full(len(truths), np.nan)
    reported_m = np.full(len(truths), np.nan)
    for truth, track in pairs:
        covariance = record.track_covariance[tracks[track], :dimension, :dimension]
        errors_m[truth] = distances_m[truth, track]
        reported_m[truth] = np.sqrt(np.trace(covariance))
    return errors_m, reported_m

"""The score of a run, frame by frame: live figures and the summary at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NotRequired, TypedDict

import numpy as np

from cooperative_isac.fusion.detection import Detection, complete
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.consistency import error_to_bound, nees, nees_interval
from cooperative_isac.metrics.continuity import TrackTally, match_tracks
from cooperative_isac.metrics.ospa import Gospa, gospa
from cooperative_isac.metrics.quality_log import QualityLog
from cooperative_isac.metrics.requirements import SensingQuality
from cooperative_isac.metrics.target_log import TargetLog, TargetScore
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import TargetClass, TargetState, Tracking
from cooperative_isac.tracking.track import ESTABLISHED, Track

# Distance from a target within which a detection, or a track, is taken to be of it, m: three times
# the usual continuity threshold, so that poor detections count, and detections of nothing do not.
DETECTION_CUTOFF_M = 3.0
# Cutoff of GOSPA, m: from this error on, a track counts as a missed target and a false track.
GOSPA_CUTOFF_M = 5.0


@dataclass(frozen=True)
class LiveFigures:
    """The score of one frame.

    gospa: of the established tracks
    num_detected: targets with a detection within DETECTION_CUTOFF_M
    nees: mean over their detections; None without any, like all below
    nees_low, nees_high: interval that has the mean NEES of consistent detections with
    probability 0.95
    error_to_bound: ratio of errors to bounds, 1 at the bound
    """

    time_s: float
    gospa: Gospa
    num_detected: int
    nees: float | None = None
    nees_low: float | None = None
    nees_high: float | None = None
    error_to_bound: float | None = None


class _DetectionFigures(TypedDict):
    """The figures of LiveFigures that score detections of true targets."""

    num_detected: int
    nees: NotRequired[float]
    nees_low: NotRequired[float]
    nees_high: NotRequired[float]
    error_to_bound: NotRequired[float]


@dataclass(frozen=True)
class RunSummary:
    """The score of a whole run.

    targets: by name
    confirmed_tracks: all tracks that were ever established; false_tracks: the false ones of them
    gospa_m, nees, error_to_bound: means of the live figures; None where there were none
    quality: of the established tracks
    """

    frames: int
    targets: dict[str, TargetScore]
    false_tracks: int
    confirmed_tracks: int
    gospa_m: float | None
    nees: float | None
    error_to_bound: float | None
    quality: SensingQuality


class RunScore:
    """Score of a run, frame by frame.

    Keeps running figures, so that a run of any length takes the same memory.

    threshold_m: largest distance of a track from the target that it follows, m
    settings: of the scene's tracker
    dimension: of the scene; in a plane heights are not compared
    class_thresholds_m: thresholds of target classes that have another one, m
    """

    def __init__(
        self,
        threshold_m: float,
        settings: Tracking,
        dimension: int,
        class_thresholds_m: Mapping[TargetClass, float] = MappingProxyType({}),
    ):
        self._threshold_m = threshold_m
        self._class_thresholds_m = class_thresholds_m
        self._settings = settings
        self._dimension = dimension
        self._axes = STATE_AXES[dimension]

        # Targets and tracks so far.
        self._targets: dict[str, TargetLog] = {}
        self._matches: dict[str, int] = {}
        self._tally = TrackTally()
        self._quality = QualityLog(dimension)

        # Means over the frames so far.
        self._frames = 0
        self._gospa_m = _Mean()
        self._nees = _Mean()
        self._error_to_bound = _Mean()

    def add(
        self,
        time_s: float,
        truths: Sequence[TargetState],
        detections: Sequence[Detection],
        tracks: Sequence[Track],
        bounds_m: Mapping[str, float] | None = None,
    ) -> LiveFigures:
        """Score one frame.

        truths: states of the targets at time_s
        bounds_m: root CRLB of location by target name, m; None: the detections' own covariances
        """
        # Tracks: continuity of each target, and the distance of both sets.
        established = [track for track in tracks if track.status in ESTABLISHED]
        truths_m = self._positions(truths)
        estimates_m = self._positions(established)
        distances_m = pairwise_distances(truths_m, estimates_m)
        self._score_tracks(time_s, truths, established, distances_m)
        self._add_quality(truths, established, distances_m)

        # Detections: consistency of their errors.
        figures = LiveFigures(
            time_s,
            gospa(estimates_m, truths_m, GOSPA_CUTOFF_M),
            **self._detection_figures(truths, detections, bounds_m),
        )

        self._frames += 1
        self._gospa_m.add(figures.gospa.distance_m)
        self._nees.add(figures.nees)
        self._error_to_bound.add(figures.error_to_bound)
        return figures

    def _score_tracks(
        self,
        time_s: float,
        truths: Sequence[TargetState],
        established: Sequence[Track],
        distances_m: np.ndarray,
    ) -> None:
        """Match tracks to targets, and count the frame for each of them.

        distances_m: [num_truths, num_established], float64, m
        """
        names = [truth.name for truth in truths]
        track_ids = [track.track_id for track in established]
        thresholds_m = [
            self._class_thresholds_m.get(truth.target_class, self._threshold_m) for truth in truths
        ]

        # Begin the logs of new targets.
        for name, threshold_m in zip(names, thresholds_m):
            if name not in self._targets:
                self._targets[name] = TargetLog(threshold_m, self._settings)
            self._targets[name].mark_present(time_s)

        self._matches = match_tracks(
            distances_m, names, track_ids, self._matches, np.array(thresholds_m)
        )

        # Error of each target, inf without a track.
        for row, name in enumerate(names):
            track_id = self._matches.get(name)
            error_m = np.inf
            if track_id is not None:
                error_m = distances_m[row, track_ids.index(track_id)]
            self._targets[name].add(track_id, float(error_m))

        # Tracks with and without a target.
        matched = set(self._matches.values())
        for track_id in track_ids:
            self._tally.add(track_id, track_id in matched)

    def _add_quality(
        self,
        truths: Sequence[TargetState],
        established: Sequence[Track],
        distances_m: np.ndarray,
    ) -> None:
        """Add the errors of the tracks that follow a target, and the counts of the frame.

        distances_m: [num_truths, num_established], float64, m
        """
        # Pairs of the targets that a tracker may be expected to have confirmed.
        is_counted = [not self._targets[truth.name].is_confirming for truth in truths]
        all_pairs = match_within(distances_m, DETECTION_CUTOFF_M)
        pairs = [(row, column) for row, column in all_pairs if is_counted[row]]

        # Errors.
        errors = [
            (_state(established[column]) - _state(truths[row]))[self._axes] for row, column in pairs
        ]

        # A track of a target that is not counted yet is not counted, so that it is not false.
        num_early = len(all_pairs) - len(pairs)
        self._quality.add(
            np.array(errors).reshape(-1, len(self._axes)),
            num_targets=sum(is_counted),
            num_estimates=len(established) - num_early,
        )

    def _detection_figures(
        self,
        truths: Sequence[TargetState],
        detections: Sequence[Detection],
        bounds_m: Mapping[str, float] | None,
    ) -> _DetectionFigures:
        """NEES and ratio of error to bound of the detections of true targets.

        bounds_m: root CRLB of location by target name, m; None: the detections' own covariances
        Returns values for LiveFigures.
        """
        # Pair targets with detections, of which partial ones are not scored.
        detections = complete(detections)
        distances_m = pairwise_distances(self._positions(truths), self._positions(detections))
        pairs = match_within(distances_m, DETECTION_CUTOFF_M)
        if not pairs:
            return {"num_detected": 0}
        matched_truths = [truths[row] for row, _ in pairs]
        matched_detections = [detections[column] for _, column in pairs]

        # Errors and covariances of the estimated axes.
        estimates = np.array([_state(detection) for detection in matched_detections])
        true_states = np.array([_state(truth) for truth in matched_truths])
        errors = (estimates - true_states)[:, self._axes]
        covariances = np.array([detection.covariance for detection in matched_detections])
        covariances = covariances[:, *np.ix_(self._axes, self._axes)]

        # Bounds of the location, the first axes of a state: given, or the detections' own.
        location = slice(self._dimension)
        if bounds_m is None:
            variances = covariances[:, location, location]
            bounds = np.sqrt(np.trace(variances, axis1=1, axis2=2))
        else:
            bounds = np.array([bounds_m[truth.name] for truth in matched_truths])

        # Means over the detections.
        low, high = nees_interval(len(pairs), len(self._axes))
        return {
            "num_detected": len(pairs),
            "nees": float(nees(errors, covariances).mean()),
            "nees_low": low,
            "nees_high": high,
            "error_to_bound": error_to_bound(errors[:, location], bounds),
        }

    def _positions(self, items: Sequence[TargetState | Track | Detection]) -> np.ndarray:
        """Positions along the axes of the scene, [num_items, dimension], float64, m."""
        positions = np.array([item.position_m for item in items], float).reshape(-1, 3)
        return positions[:, : self._dimension]

    def summary(self) -> RunSummary:
        """The score of the run so far."""
        return RunSummary(
            frames=self._frames,
            targets={name: log.score() for name, log in sorted(self._targets.items())},
            false_tracks=self._tally.num_false,
            confirmed_tracks=self._tally.num_tracks,
            gospa_m=self._gospa_m.value,
            nees=self._nees.value,
            error_to_bound=self._error_to_bound.value,
            quality=self._quality.quality(),
        )


class _Mean:
    """Mean of the finite values so far, None without any."""

    def __init__(self):
        self._sum = 0.0
        self._count = 0

    def add(self, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self._sum += value
            self._count += 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


def _state(item: TargetState | Detection | Track) -> np.ndarray:
    """Position and velocity, [6], float64, m and m/s."""
    return np.concatenate((item.position_m, item.velocity_mps))

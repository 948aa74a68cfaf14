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
from cooperative_isac.metrics.target_log import TargetLog, TargetScore
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import TargetClass, TargetState, Tracking
from cooperative_isac.tracking.track import ESTABLISHED, Track

DETECTION_CUTOFF_M = 3.0
GOSPA_CUTOFF_M = 5.0


@dataclass(frozen=True)
class LiveFigures:
    """One frame: GOSPA of the established tracks, and how the detections agree with their stated
    bound.

    nees: mean over num_detected detections, nees_low..nees_high: where 95 % of consistent ones lie;
    error_to_bound: 1 at the bound. None where no detection was within DETECTION_CUTOFF_M of a
    target.
    """

    time_s: float
    gospa: Gospa
    num_detected: int
    nees: float | None = None
    nees_low: float | None = None
    nees_high: float | None = None
    error_to_bound: float | None = None


class _Judged(TypedDict):
    """The figures of LiveFigures that judge detections of true targets."""

    num_detected: int
    nees: NotRequired[float]
    nees_low: NotRequired[float]
    nees_high: NotRequired[float]
    error_to_bound: NotRequired[float]


@dataclass(frozen=True)
class RunSummary:
    """A whole run; gospa_m, nees, error_to_bound: means of the live figures, None where there were
    none.
    """

    frames: int
    targets: dict[str, TargetScore]
    false_tracks: int
    confirmed_tracks: int
    gospa_m: float | None
    nees: float | None
    error_to_bound: float | None


class RunScore:
    """Collects a run of the scene's tracker settings; threshold_m: how near a track holds its
    target.

    class_thresholds_m: the same for targets of some classes.

    Keeps running figures, so that a run of any length takes the same memory.
    """

    def __init__(
        self,
        threshold_m: float,
        settings: Tracking,
        dimension: int,
        class_thresholds_m: Mapping[TargetClass, float] = MappingProxyType({}),
    ):
        self._threshold_m, self._settings = threshold_m, settings
        self._class_thresholds_m = class_thresholds_m
        self._dimension, self._axes = dimension, STATE_AXES[dimension]
        self._targets: dict[str, TargetLog] = {}
        self._previous: dict[str, int] = {}
        self._tally, self._frames = TrackTally(), 0
        self._gospa_m, self._nees, self._error_to_bound = _Mean(), _Mean(), _Mean()

    def add(
        self,
        time_s: float,
        truths: Sequence[TargetState],
        detections: Sequence[Detection],
        tracks: Sequence[Track],
        bounds_m: Mapping[str, float] | None = None,
    ) -> LiveFigures:
        """Score one frame; truths are the targets at time_s, compared in the plane when the scene
        is 2-D.

        bounds_m: root CRLB of location by target name [m]; without it the bound is the stated
        covariance.
        """
        established = [track for track in tracks if track.status in ESTABLISHED]
        positions, estimates = self._positions(truths), self._positions(established)
        self._follow(time_s, truths, established, pairwise_distances(positions, estimates))
        figures = LiveFigures(
            time_s,
            gospa(estimates, positions, GOSPA_CUTOFF_M),
            **self._judge(truths, detections, bounds_m),
        )
        self._frames += 1
        self._gospa_m.add(figures.gospa.distance_m)
        self._nees.add(figures.nees)
        self._error_to_bound.add(figures.error_to_bound)
        return figures

    def _follow(
        self,
        time_s: float,
        truths: Sequence[TargetState],
        established: Sequence[Track],
        distances: np.ndarray,
    ) -> None:
        names, track_ids = [t.name for t in truths], [t.track_id for t in established]
        thresholds = [
            self._class_thresholds_m.get(truth.target_class, self._threshold_m) for truth in truths
        ]
        for name, threshold in zip(names, thresholds):
            self._targets.setdefault(name, TargetLog(threshold, self._settings)).see(time_s)
        matches = match_tracks(distances, names, track_ids, self._previous, np.array(thresholds))
        self._previous = matches
        for row, name in enumerate(names):
            track_id = matches.get(name)
            error = np.inf if track_id is None else distances[row, track_ids.index(track_id)]
            self._targets[name].add(track_id, float(error))
        for track_id in track_ids:
            self._tally.add(track_id, track_id in matches.values())

    def _judge(
        self,
        truths: Sequence[TargetState],
        detections: Sequence[Detection],
        bounds_m: Mapping[str, float] | None,
    ) -> _Judged:
        """NEES and error to bound of the detections of true targets; partial ones may be of
        none.
        """
        detections = complete(detections)
        distances = pairwise_distances(self._positions(truths), self._positions(detections))
        pairs = match_within(distances, DETECTION_CUTOFF_M)
        if not pairs:
            return {"num_detected": 0}
        errors = np.array([_state(detections[d]) - _state(truths[t]) for t, d in pairs])[
            :, self._axes
        ]
        covariances = np.array([detections[d].covariance for _, d in pairs])
        covariances = covariances[:, *np.ix_(self._axes, self._axes)]
        located = slice(self._dimension)
        bounds = (
            np.sqrt(np.trace(covariances[:, located, located], axis1=1, axis2=2))
            if bounds_m is None
            else np.array([bounds_m[truths[t].name] for t, _ in pairs])
        )
        low, high = nees_interval(len(pairs), len(self._axes))
        return {
            "num_detected": len(pairs),
            "nees": float(nees(errors, covariances).mean()),
            "nees_low": low,
            "nees_high": high,
            "error_to_bound": error_to_bound(errors[:, located], bounds),
        }

    def _positions(self, items: Sequence[TargetState | Track | Detection]) -> np.ndarray:
        return np.array([item.position_m for item in items], float).reshape(-1, 3)[
            :, : self._dimension
        ]

    def summary(self) -> RunSummary:
        """The run so far."""
        return RunSummary(
            frames=self._frames,
            targets={name: log.score() for name, log in sorted(self._targets.items())},
            false_tracks=self._tally.num_false,
            confirmed_tracks=self._tally.num_tracks,
            gospa_m=self._gospa_m.value,
            nees=self._nees.value,
            error_to_bound=self._error_to_bound.value,
        )


class _Mean:
    """Mean of the finite values so far, None without any."""

    def __init__(self):
        self._sum, self._count = 0.0, 0

    def add(self, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self._sum, self._count = self._sum + value, self._count + 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


def _state(item: TargetState | Detection) -> np.ndarray:
    return np.concatenate((item.position_m, item.velocity_mps))

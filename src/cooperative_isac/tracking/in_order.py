"""Tracker of detection lists in the order of their stamps: one list after another.

It holds the tracks and their motion filters. Its parts are predictor and updater (`filters`), data
association (`gating`, `association`), initiator (`initiation`) and deleter (`life`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.limits import TRACK_MARGIN
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.association import Pairs, nearest_neighbors
from cooperative_isac.tracking.filters import make_filters
from cooperative_isac.tracking.gating import (
    LEAST_PROBABILITY,
    TENTATIVE_INFLATION,
    Gating,
    rounds,
)
from cooperative_isac.tracking.initiation import beginnings, start_states
from cooperative_isac.tracking.life import LOST_ERROR_M, Gains
from cooperative_isac.tracking.live_tracks import (
    concatenate,
    newborn,
    restored,
    snapshots,
)
from cooperative_isac.tracking.measurement import DetectionList, Measurements
from cooperative_isac.tracking.sequential_test import SequentialTest, track_test
from cooperative_isac.tracking.track import Track, TrackStatus, renamed
from cooperative_isac.tracking.validity import state_problems

# Share of receivers with a packet, below which a miss does not count for a tentative track.
OBSERVED_SHARE = 0.5

# Period of the frames that the test of weak detections takes before a second frame shows it, s: a
# short one makes a high threshold, so that no track is confirmed too early.
FIRST_PERIOD_S = 1e-3

# Number of tracks at most: so many take half of a frame at 10 Hz, and no scene has as many targets.
MAX_TRACKS = 1024


@dataclass(frozen=True)
class ListResult:
    """Result of one list.

    tracks: last snapshots of those whose filter failed in the prediction, then all others
    failed: reasons why tracks were dropped, in words, by identity
    num_refused: number of tracks that were not started because of MAX_TRACKS
    """

    tracks: tuple[Track, ...]
    failed: Mapping[int, str]
    num_refused: int


class InOrderTracker:
    """Tracks of one scene, and their motion filters in the same order.

    tracks: attributes of the tracks
    time_s: stamp of the last list, s
    frame_s: stamp of the last frame, s
    interval_s: between the last two frames, s
    period_s: shortest interval so far, s
    published: tracks of the last result, by identity
    settings: tracking settings of the scene
    dimension: of the scene, 2 or 3
    Raises ValueError where the dimension or the motion model is unknown.
    """

    def __init__(self, settings: Tracking, dimension: int):
        if dimension not in STATE_AXES:
            raise ValueError(f"dimension {dimension} is unknown; allowed: {sorted(STATE_AXES)}")
        self._settings = settings
        self._dimension = dimension
        self._gating = Gating(settings, dimension)

        # Tracks, and their motion filters in the same order.
        self.tracks = newborn(np.empty(0, int), -np.inf)
        self._filters = make_filters(settings, dimension)
        self.published: Mapping[int, Track] = {}

        # Times of lists and frames.
        self.time_s = -np.inf
        self.frame_s = -np.inf
        self.interval_s = np.inf
        self.period_s = np.inf

        # Of the present list.
        self._failed: dict[int, str] = {}
        self._num_refused = 0

    @property
    def copy_every(self) -> int:
        """Lists after which a copy is worth its time."""
        return self._filters.copy_every

    @property
    def scores(self) -> dict[int, float]:
        """Scores of tracks of weak detections by identity (life.Lives)."""
        scores = self.tracks.lives.scores
        tested = np.isfinite(scores)
        identities = self.tracks.track_ids[tested].tolist()
        return dict(zip(identities, scores[tested].tolist()))

    def copy(self) -> InOrderTracker | None:
        """The tracker as it is, whatever becomes of this one; None where it is impossible."""
        filters = self._filters.copy()
        if filters is None:
            return None
        copied = copy(self)
        copied._filters = filters
        return copied

    def renamed(self, names: Mapping[int, int]) -> InOrderTracker:
        """The tracker with other identities, in place of this one, whose filters it takes.

        names: by the former identities
        """
        other = copy(self)
        other.tracks = self.tracks.renamed(names)
        other.published = renamed(self.published, names)
        return other

    def snapshots(self) -> list[Track]:
        """Snapshots of all tracks."""
        return snapshots(self.tracks, self._filters.means, self._filters.covariances, self.time_s)

    def live(self) -> dict[int, Track]:
        """Tracks of the last result that did not end, by identity."""
        return {
            number: track
            for number, track in self.published.items()
            if track.status is not TrackStatus.DELETED
        }

    def clear(self) -> None:
        """Delete all tracks, and the stamps of frames."""
        self._keep(np.zeros(len(self.tracks), bool))
        self.published = {}
        self.time_s = -np.inf
        self.frame_s = -np.inf
        self.interval_s = np.inf
        self.period_s = np.inf

    def restore(
        self,
        time_s: float,
        tracks: Sequence[Track],
        period_s: float,
        scores: Mapping[int, float],
    ) -> Mapping[int, str]:
        """Continue the tracks of another tracker (Tracker.restore).

        Returns the reasons why tracks were dropped, in words, by identity.
        """
        self.time_s = time_s
        self.frame_s = time_s
        self.period_s = period_s

        # Filters start from the posteriors, not from detections.
        means = np.array([[*track.position_m, *track.velocity_mps] for track in tracks], float)
        covariances = np.array([track.covariance for track in tracks], float)
        self.tracks = restored(tracks, time_s, scores)
        self._filters = make_filters(self._settings, self._dimension)
        problems = self._filters.start(means.reshape(-1, 6), covariances.reshape(-1, 6, 6))
        self.published = {track.track_id: track for track in tracks}
        self._failed = {}
        self._drop(problems)
        return self._failed

    def update(
        self, given: DetectionList, new_identities: Callable[[int], np.ndarray]
    ) -> ListResult:
        """Update the tracks by a list that is not older than the last one.

        given: the list
        new_identities: returns as many identities for new tracks, [num], int
        """
        self._failed = {}
        self._num_refused = 0
        time_s = given.time_s
        measurements = given.measurements

        # Prediction.
        is_new_frame = given.is_frame and time_s > self.frame_s
        if is_new_frame:
            self._begin_frame(time_s, given.answered)
        elapsed_s = time_s - self.time_s
        self.time_s = time_s
        ended = self._predict(elapsed_s)

        # Association and update of the filters, then of the tracks' other attributes.
        hits, taken, gains, problems = self._associate(measurements)
        self.tracks = self.tracks.hit(
            hits,
            time_s,
            self._filters.means,
            self._filters.covariances,
            self._settings,
            self._dimension,
            gains,
        )
        if is_new_frame:
            observed = given.answered >= OBSERVED_SHARE
            self.tracks = self.tracks.miss(
                ~hits, time_s, self._settings, observed, self._test(), self._lost()
            )
        ended += self._drop(problems)

        # Initiation.
        self._start(measurements, np.flatnonzero(~taken), new_identities)

        # Deletion.
        tracks = self.snapshots()
        self._keep(~self.tracks.lives.deleted)
        self.published = {track.track_id: track for track in tracks}
        return ListResult((*ended, *tracks), self._failed, self._num_refused)

    def _begin_frame(self, time_s: float, answered: float) -> None:
        """Begin a later frame; the time of missing packets and frames counts as unobserved."""
        self.interval_s = time_s - self.frame_s
        self.frame_s = time_s
        self.period_s = min(self.period_s, self.interval_s)

        # One period in proportion to the packets that arrived is observed, the rest is not.
        if len(self.tracks):
            unobserved_s = 0.0
            if np.isfinite(self.interval_s):
                unobserved_s = self.interval_s - answered * self.period_s
            self.tracks = self.tracks.next_frame(unobserved_s)

    def _predict(self, dt_s: float) -> list[Track]:
        """Predict all tracks; the last snapshots of those whose filter failed."""
        failures = {}
        if len(self.tracks):
            failures = self._filters.predict(dt_s)
        all_tracks = np.arange(len(self.tracks))
        return self._drop(self._problems(all_tracks) | failures)

    def _associate(
        self, measurements: Measurements
    ) -> tuple[np.ndarray, np.ndarray, Gains, dict[int, str]]:
        """Update tracks by detections in four rounds of association.

        Returns the tracks with a detection, [num_tracks], bool; the detections that belong to a
        track, [num_detections], bool; the evidence of the weak ones; and the problems of failed
        filters, in words, by track.
        """
        tracks = self.tracks
        hits = np.zeros(len(tracks), bool)
        taken = np.zeros(len(measurements), bool)
        weak = np.zeros(len(tracks), bool)
        log_ratios = np.zeros(len(tracks))
        problems = {}

        for turn in rounds(tracks, self.time_s, self._settings):
            candidates = np.flatnonzero(turn.eligible & ~hits)
            spare = np.flatnonzero(~taken)
            if not len(candidates) or not len(spare):
                continue

            # Assignment.
            left = measurements.at(spare)
            pairs = self._pairs(candidates, left, turn.inflation)
            probabilities = expit(self._gating.log_ratios(pairs, left))
            matched = nearest_neighbors(pairs.where(probabilities >= turn.least_probability))
            rows = candidates[matched.tracks]
            columns = spare[matched.detections]
            if not len(rows):
                continue

            # Update: weak detections in proportion to the probability that they are of the track.
            ratios = self._gating.log_ratios(matched, left)
            inflations = turn.inflation / np.maximum(expit(ratios), LEAST_PROBABILITY)
            failures = self._filters.update(
                rows,
                measurements.values[columns],
                inflations[:, None, None] * measurements.covariances[columns],
            )
            problems |= self._problems(rows) | failures
            hits[rows] = True
            taken[columns] = True

            # Evidence of weak detections.
            weak[rows] = measurements.weak[columns]
            log_ratios[rows] = np.where(measurements.weak[columns], ratios, 0.0)
        return hits, taken, Gains(weak, log_ratios, self._test()), problems

    def _pairs(self, candidates: np.ndarray, measurements: Measurements, inflation: float) -> Pairs:
        """Pairs of some tracks and detections that may be assigned to each other.

        candidates: [num_candidates], int, the tracks
        measurements, inflation: see Gating.pairs
        Returns pairs, as indices among the candidates and among the measurements.
        """
        since_update_s = self.time_s - self.tracks.updated_s[candidates]
        return self._gating.pairs(
            self._filters.means[candidates],
            self._filters.covariances[candidates],
            self.tracks.lives.established[candidates],
            np.maximum(since_update_s, self.interval_s),
            measurements,
            inflation,
        )

    def _start(
        self,
        measurements: Measurements,
        spare: np.ndarray,
        new_identities: Callable[[int], np.ndarray],
    ) -> None:
        """Start a tentative track from each detection of a new target.

        measurements: all detections of the frame
        spare: [num_spare], int, indices of those that were assigned to no track
        new_identities: see update
        """
        if not len(spare):
            return

        # Near an established track a detection is a second echo of its target, and starts no track.
        established = np.flatnonzero(self.tracks.lives.established)
        near_pairs = self._pairs(established, measurements.at(spare), TENTATIVE_INFLATION)
        explained = np.isin(np.arange(len(spare)), near_pairs.detections)

        # Detections that start a track, [num_begun].
        begun = beginnings(
            measurements, spare, explained, self._settings.max_speed_mps, self._dimension
        )

        # Limit of the number of tracks.
        room = max(MAX_TRACKS - len(self.tracks), 0)
        self._num_refused = max(len(begun) - room, 0)
        begun = begun[:room]
        if not len(begun):
            return

        # Filters, behind those of the older tracks.
        means, covariances = start_states(
            measurements.values[begun],
            measurements.covariances[begun],
            self._settings.max_speed_mps,
        )
        num_before = len(self.tracks)
        failures = self._filters.start(means, covariances)

        # Tracks with new identities, each with its first detection.
        track_ids = new_identities(len(begun))
        started = newborn(track_ids, self.time_s).hit(
            np.ones(len(begun), bool),
            self.time_s,
            self._filters.means[num_before:],
            self._filters.covariances[num_before:],
            self._settings,
            self._dimension,
            Gains(measurements.weak[begun], measurements.log_ratios[begun], self._test()),
        )
        self.tracks = concatenate(self.tracks, started)

        # New tracks with an invalid state are dropped; failures count from the first new filter.
        problems = self._problems(np.arange(num_before, len(self.tracks)))
        start_failures = {num_before + index: reason for index, reason in failures.items()}
        self._drop(problems | start_failures)

    def _test(self) -> SequentialTest:
        """The test of tentative tracks with weak detections."""
        period_s = self.period_s if np.isfinite(self.period_s) else FIRST_PERIOD_S
        return track_test(self._settings.false_tracks_per_minute, period_s)

    def _lost(self) -> np.ndarray:
        """Tracks whose location is too uncertain to coast on, [num_tracks], bool."""
        size = self._dimension
        covariances = self._filters.covariances[:, :size, :size]
        return np.trace(covariances, axis1=1, axis2=2) > LOST_ERROR_M**2

    def _problems(self, tracks: np.ndarray) -> dict[int, str]:
        """Reasons why states are invalid, in words, by track.

        tracks: [num], int, indices of those to check
        """
        means = self._filters.means[tracks]
        covariances = self._filters.covariances[tracks]
        problems = state_problems(means, covariances, TRACK_MARGIN)
        return {int(tracks[place]): words for place, words in problems.items()}

    def _drop(self, problems: Mapping[int, str]) -> list[Track]:
        """Remove failed tracks, and return the last valid snapshots of those that were returned.

        problems: reasons, in words, by track
        """
        if not problems:
            return []
        failed = np.isin(np.arange(len(self.tracks)), list(problems))
        track_ids = self.tracks.track_ids.tolist()
        self._failed |= {track_ids[track]: words for track, words in sorted(problems.items())}
        dropped = self.tracks.track_ids[failed].tolist()
        self._keep(~failed)

        # Tracks of this frame have no snapshot yet.
        last = [self.published[track_id] for track_id in dropped if track_id in self.published]
        return [replace(snapshot, status=TrackStatus.DELETED) for snapshot in last]

    def _keep(self, tracks: np.ndarray) -> None:
        """Keep only some tracks.

        tracks: mask [num_tracks], bool
        """
        if tracks.all():
            return
        self.tracks = self.tracks.at(tracks)
        self._filters.keep(tracks)

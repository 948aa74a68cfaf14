"""Multi-target tracker: detections of one frame after another to tracks with an identity.

It holds the state; its parts are predictor and updater (`filters`), data association
(`association`), initiator (`initiation`), deleter (`life`), and a short history of lists and states
(`history`), into which detections of an earlier stamp are inserted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from scipy.special import expit

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.limits import TRACK_MARGIN
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.association import Pairs, gate, gated_pairs, nearest_neighbors
from cooperative_isac.tracking.filters import make_filters
from cooperative_isac.tracking.history import (
    REWIND_S,
    DetectionList,
    Entry,
    Replay,
    TrackerState,
    insertion,
    num_since_state,
    pruned,
    renamed,
    revision,
    same_targets,
)
from cooperative_isac.tracking.initiation import beginnings, start_states
from cooperative_isac.tracking.life import LOST_ERROR_M, Gains, expired
from cooperative_isac.tracking.live_tracks import (
    concatenate,
    newborn,
    restored,
    snapshots,
)
from cooperative_isac.tracking.measurement import Measurements, stack
from cooperative_isac.tracking.sequential_test import SequentialTest, track_test
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac.tracking.validity import state_problems

# Factors of the detections' covariances in a second round of association, for tracks without a
# detection: errors with heavy tails, of four standard deviations, must not end an established
# track; a tentative one may be a false alarm, and gets half of that.
ESTABLISHED_INFLATION = 16.0
TENTATIVE_INFLATION = 4.0

# Least probability that a weak detection is of a track, rather than false: less likely ones do not
# update an established track, and update a tentative one, whose score they lower, hardly at all.
LEAST_PROBABILITY = 0.05

# Share of receivers with a packet, below which a miss does not count for a tentative track.
OBSERVED_SHARE = 0.5

# Period of the frames that the test of weak detections takes before a second frame shows it, s: a
# short one makes a high threshold, so that no track is confirmed too early.
FIRST_PERIOD_S = 1e-3

# Scores by identity where no track is of weak detections.
NO_SCORES: Mapping[int, float] = MappingProxyType({})

# Number of tracks at most: so many take half of a frame at 10 Hz, and no scene has as many targets.
MAX_TRACKS = 1024


class Tracker:
    """Tracker of one scene.

    settings: tracking settings of the scene
    dimension: of the scene, 2 or 3
    Raises ValueError where the dimension or the motion model is unknown.
    """

    def __init__(self, settings: Tracking, dimension: int):
        if dimension not in STATE_AXES:
            raise ValueError(f"dimension {dimension} is unknown; allowed: {sorted(STATE_AXES)}")
        self._settings = settings
        self._dimension = dimension
        self._gate = gate(settings.gate_probability, dimension)

        # Tracks, and their motion filters in the same order.
        self._tracks = newborn(np.empty(0, int), -np.inf)
        self._filters = make_filters(settings, dimension)
        self._num_born = 0

        # Stamps of the last list and frame, interval before it, and the shortest interval so far.
        self._time_s = -np.inf
        self._frame_s = -np.inf
        self._interval_s = np.inf
        self._period_s = np.inf

        # Lists of the last time with the states before them, and tracks that began in replays.
        self._history: tuple[Entry, ...] = ()
        self._is_replayed = False
        self._num_replayed = 0

        # Results of the last update.
        self._was_reset = False
        self._was_late = False
        self._snapshots: dict[int, Track] = {}
        self._failed: dict[int, str] = {}
        self._num_refused = 0

    @property
    def failed(self) -> tuple[str, ...]:
        """Tracks that the last update dropped because of an invalid state, with the reasons."""
        return tuple(f"track {number}: {problem}" for number, problem in self._failed.items())

    @property
    def num_refused(self) -> int:
        """Number of tracks that the last update did not start because of MAX_TRACKS."""
        return self._num_refused

    @property
    def was_reset(self) -> bool:
        """True where the clock had gone backwards in the last update, so that it began anew."""
        return self._was_reset

    @property
    def was_late(self) -> bool:
        """True where the last list was older than the history, and was not used."""
        return self._was_late

    @property
    def time_s(self) -> float:
        """Newest stamp, s, which is that of all returned tracks; -inf before the first list."""
        return self._time_s

    @property
    def scores(self) -> dict[int, float]:
        """Log-likelihood ratios, by identity, that tracks of weak detections had added up at last
        before they were established.
        """
        scores = self._tracks.lives.scores
        tested = np.isfinite(scores)
        identities = self._tracks.track_ids[tested].tolist()
        return dict(zip(identities, scores[tested].tolist()))

    @property
    def num_born(self) -> int:
        """Number of identities so far; the next track gets this number plus one."""
        return self._num_born

    @property
    def period_s(self) -> float:
        """Shortest interval between frames so far, s; infinite before the second."""
        return self._period_s

    def reset(self) -> tuple[Track, ...]:
        """Delete all tracks and return their last snapshots; no identity is used again."""
        ended = tuple(
            replace(track, status=TrackStatus.DELETED) for track in self._take_snapshots()
        )
        self._keep(np.zeros(len(self._tracks), bool))
        self._snapshots = {}
        self._history = ()
        self._time_s = -np.inf
        self._frame_s = -np.inf
        self._interval_s = np.inf
        self._period_s = np.inf
        return ended

    def restore(
        self,
        time_s: float,
        tracks: Sequence[Track],
        num_born: int,
        period_s: float,
        scores: Mapping[int, float] = NO_SCORES,
    ) -> None:
        """Continue the tracks of another tracker of the same settings, before the first update.

        time_s: stamp of the tracks, s; the first update must be later
        tracks: established tracks at that stamp; filters start from their means and covariances
        num_born: number of identities that were used, so that none is used again
        period_s: of the frames, s: longer intervals count as unobserved
        scores: of tracks of weak detections, by identity
        """
        self._num_born = max([num_born, *(track.track_id for track in tracks)])
        self._time_s = time_s
        self._frame_s = time_s
        self._period_s = period_s
        self._history = ()

        # Filters start from the posteriors, not from detections.
        means = np.array([[*track.position_m, *track.velocity_mps] for track in tracks], float)
        covariances = np.array([track.covariance for track in tracks], float)
        self._tracks = restored(tracks, time_s, scores)
        self._filters = make_filters(self._settings, self._dimension)
        problems = self._filters.start(means.reshape(-1, 6), covariances.reshape(-1, 6, 6))
        self._snapshots = {track.track_id: track for track in tracks}
        self._drop(problems)

    def skip_identities(self, num_born: int) -> None:
        """Leave out the first num_born identities, which another tracker has used."""
        self._num_born = max(self._num_born, num_born)

    def update(
        self,
        time_s: float,
        detections: Sequence[Detection],
        answered: float = 1.0,
        is_frame: bool = True,
    ) -> tuple[Track, ...]:
        """Update the tracks by the detections of a frame, also of an empty one.

        All returned tracks are valid: a track whose filter fails is dropped (`failed`), and the
        others are not affected.

        time_s: stamp of the frame, s. With the stamp of an earlier frame again, further detections
            of that frame update tracks without a prediction, and tracks without one count no miss.
            An earlier stamp than the newest: the detections are inserted where they belong, within
            history.HISTORY_S; older ones are not used (`was_late`). More than history.REWIND_S
            earlier the clock was set back: all tracks are deleted (`was_reset`).
        detections: of the frame
        answered: share of the receivers whose packets arrived; misses count in proportion
        is_frame: False for a further source with stamps of its own, between those of the frames:
            tracks without a detection count no miss, as with a stamp that comes again
        Returns all live tracks at the newest stamp, and the last snapshots of those that ended.
        Raises ValueError where the stamp is not finite, or a detection is no Gaussian within the
            limits; the tracks are unchanged then.
        """
        given = self._begun(time_s, detections, answered, is_frame)

        # Reset where the clock has gone backwards.
        self._was_reset = bool(time_s < self._time_s - REWIND_S)
        ended = self.reset() if self._was_reset else ()
        if time_s >= self._time_s:
            return (*ended, *self._process(given))
        return self._replayed(insertion(self._history, given))

    def revise(
        self, time_s: float, detections: Sequence[Detection], answered: float = 1.0
    ) -> tuple[Track, ...]:
        """Replace the detections of a frame, by those of more of its packets.

        The tracks are then as if these had been its detections from the beginning.

        time_s: stamp of the frame, s; where it is not in the history, its detections stay as they
            were (`was_late`)
        detections, answered: see update
        Returns tracks and raises ValueError as update does.
        """
        given = self._begun(time_s, detections, answered, is_frame=True)
        self._was_reset = False
        return self._replayed(revision(self._history, given))

    def _begun(
        self, time_s: float, detections: Sequence[Detection], answered: float, is_frame: bool
    ) -> DetectionList:
        """A list that is valid; results of the last update are cleared."""
        measurements = stack(detections)
        if not np.isfinite(time_s):
            raise ValueError(f"stamp {time_s} s is not finite")
        self._failed = {}
        self._num_refused = 0
        self._was_late = False
        return DetectionList(time_s, measurements, answered, is_frame)

    def _process(self, given: DetectionList) -> list[Track]:
        """Update the tracks by a list that is not older than the last one."""
        self._remember(given)
        time_s = given.time_s
        measurements = given.measurements

        # Prediction.
        is_new_frame = given.is_frame and time_s > self._frame_s
        if is_new_frame:
            self._begin_frame(time_s, given.answered)
        elapsed_s = time_s - self._time_s
        self._time_s = time_s
        ended = self._predict(elapsed_s)

        # Association and update of the filters, then of the tracks' other attributes.
        hits, taken, gains, problems = self._associate(measurements)
        self._tracks = self._tracks.hit(
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
            self._tracks = self._tracks.miss(
                ~hits, time_s, self._settings, observed, self._test(), self._lost()
            )
        ended += self._drop(problems)

        # Initiation.
        self._start(measurements, np.flatnonzero(~taken))

        # Deletion.
        tracks = self._take_snapshots()
        self._keep(~self._tracks.lives.deleted)
        self._snapshots = {track.track_id: track for track in tracks}
        return ended + tracks

    def _remember(self, given: DetectionList) -> None:
        """Add a list to the history, with the state before it where one is due."""
        num_lists = num_since_state(self._history)
        is_due = num_lists is None or num_lists >= self._filters.copy_every
        filters = self._filters.copy() if is_due else None
        state = None
        if filters is not None:
            state = TrackerState(
                self._tracks,
                filters,
                self._time_s,
                self._frame_s,
                self._interval_s,
                self._period_s,
                self._snapshots,
            )
        self._history = pruned((*self._history, Entry(given, state)))

    def _replayed(self, replay: Replay | None) -> tuple[Track, ...]:
        """Tracks after a replay, at the newest stamp; without one they stay as they were."""
        published = self._live_snapshots()
        if replay is None:
            self._was_late = True
            return tuple(published.values())

        # All lists from the changed one on, from the state before it.
        self._go_back_to(replay.start)
        self._history = replay.kept
        self._is_replayed = True
        try:
            for given in replay.lists:
                self._process(given)
        finally:
            self._is_replayed = False

        # Identities, with which the tracks were published.
        self._rename(self._names(published))
        live = self._live_snapshots()
        gone = [track for number, track in published.items() if number not in live]
        ended = [replace(track, status=TrackStatus.DELETED) for track in gone]
        numbers = {track.track_id for track in gone}
        self._failed = {
            number: words for number, words in self._failed.items() if number in numbers
        }
        return (*ended, *live.values())

    def _go_back_to(self, state: TrackerState) -> None:
        """Continue from an earlier state; identities since then stay used."""
        self._tracks = state.tracks
        self._filters = state.filters
        self._time_s = state.time_s
        self._frame_s = state.frame_s
        self._interval_s = state.interval_s
        self._period_s = state.period_s
        self._snapshots = dict(state.published)

    def _live_snapshots(self) -> dict[int, Track]:
        """Tracks that the last update returned and that did not end, by identity."""
        return {
            number: track
            for number, track in self._snapshots.items()
            if track.status is not TrackStatus.DELETED
        }

    def _names(self, published: Mapping[int, Track]) -> dict[int, int]:
        """Identities after a replay, by those that it gave to its tracks.

        A target keeps the identity under which its track was published. One that has ended before
        is not used again, and the other new tracks get the next ones.

        published: live tracks before the replay, by identity
        """
        live = self._live_snapshots()
        lost = [track for number, track in published.items() if number not in live]
        unnamed = [track for number, track in live.items() if number not in published]

        # The same targets: both identities change their places, so that each is unique.
        names: dict[int, int] = {}
        for former, new in same_targets(lost, unnamed, self._dimension):
            names[unnamed[new].track_id] = lost[former].track_id
            names[lost[former].track_id] = unnamed[new].track_id

        # Other targets.
        for track in unnamed:
            if track.track_id not in names:
                self._num_born += 1
                names[track.track_id] = self._num_born
        return names

    def _rename(self, names: Mapping[int, int]) -> None:
        """Give tracks other identities, also in the history."""
        if not names:
            return
        self._tracks = self._tracks.renamed(names)
        self._snapshots = renamed(self._snapshots, names)
        self._history = tuple(entry.renamed(names) for entry in self._history)

    def _new_identities(self, num_tracks: int) -> np.ndarray:
        """Identities of new tracks, [num_tracks], int; negative ones in a replay, until its end."""
        numbers = 1 + np.arange(num_tracks)
        if self._is_replayed:
            self._num_replayed += num_tracks
            return -(self._num_replayed - num_tracks + numbers)
        self._num_born += num_tracks
        return self._num_born - num_tracks + numbers

    def _begin_frame(self, time_s: float, answered: float) -> None:
        """Begin a later frame; the time of missing packets and frames counts as unobserved."""
        self._interval_s = time_s - self._frame_s
        self._frame_s = time_s
        self._period_s = min(self._period_s, self._interval_s)

        # One period in proportion to the packets that arrived is observed, the rest is not.
        if len(self._tracks):
            unobserved_s = 0.0
            if np.isfinite(self._interval_s):
                unobserved_s = self._interval_s - answered * self._period_s
            self._tracks = self._tracks.next_frame(unobserved_s)

    def _predict(self, dt_s: float) -> list[Track]:
        """Predict all tracks; the last snapshots of those whose filter failed."""
        failures = {}
        if len(self._tracks):
            failures = self._filters.predict(dt_s)
        all_tracks = np.arange(len(self._tracks))
        return self._drop(self._problems(all_tracks) | failures)

    def _associate(
        self, measurements: Measurements
    ) -> tuple[np.ndarray, np.ndarray, Gains, dict[int, str]]:
        """Update tracks by detections in four rounds of association.

        Established tracks come first, and tracks without a detection have a second round with
        inflated covariances.

        Returns the tracks with a detection, [num_tracks], bool; the detections that belong to a
        track, [num_detections], bool; the evidence of the weak ones; and the problems of failed
        filters, in words, by track.
        """
        tracks = self._tracks
        hits = np.zeros(len(tracks), bool)
        taken = np.zeros(len(measurements), bool)
        weak = np.zeros(len(tracks), bool)
        log_ratios = np.zeros(len(tracks))
        problems = {}

        for eligible, inflation, least in self._rounds():
            candidates = np.flatnonzero(eligible & ~hits)
            spare = np.flatnonzero(~taken)
            if not len(candidates) or not len(spare):
                continue

            # Assignment.
            left = measurements.at(spare)
            pairs = self._pairs(candidates, left, inflation)
            probabilities = expit(self._log_ratios(pairs, left))
            matched = nearest_neighbors(pairs.where(probabilities >= least))
            rows = candidates[matched.tracks]
            columns = spare[matched.detections]
            if not len(rows):
                continue

            # Update: weak detections in proportion to the probability that they are of the track.
            ratios = self._log_ratios(matched, left)
            inflations = inflation / np.maximum(expit(ratios), LEAST_PROBABILITY)
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

    def _rounds(self) -> tuple[tuple[np.ndarray, float, float], ...]:
        """Rounds of association.

        Returns for each the eligible tracks, [num_tracks], bool; the inflation of the detections'
        covariances; and the least probability with which a weak detection is of its track.
        """
        # A track that has coasted too long takes no detection.
        tracks = self._tracks
        since_update_s = self._time_s - tracks.updated_s
        current = ~expired(since_update_s, self._settings, tracks.unobserved_s)
        live = tracks.lives.established & current
        tentative = ~tracks.lives.established & current
        return (
            (live, 1.0, LEAST_PROBABILITY),
            (live, ESTABLISHED_INFLATION, LEAST_PROBABILITY),
            (tentative, 1.0, 0.0),
            (tentative, TENTATIVE_INFLATION, 0.0),
        )

    def _log_ratios(self, pairs: Pairs, measurements: Measurements) -> np.ndarray:
        """Log-likelihood ratios of detections of tracks to false ones, [num_pairs], float64.

        Infinite for detections by stations, which are not weak.

        pairs: of a track and a detection
        measurements: the detections
        """
        log_likelihoods = pairs.log_likelihoods(len(STATE_AXES[self._dimension]))
        ratios = log_likelihoods - measurements.log_false_densities[pairs.detections]
        return np.where(measurements.weak[pairs.detections], ratios, np.inf)

    def _pairs(self, candidates: np.ndarray, measurements: Measurements, inflation: float) -> Pairs:
        """Pairs of some tracks and detections that may be assigned to each other.

        candidates: [num_candidates], int, the tracks
        measurements: the detections
        inflation: factor of the detections' covariances; above 1, a detection is no further from
            its track than a target can move
        Returns pairs, as indices among the candidates and among the measurements.
        """
        means = self._filters.means[candidates]
        covariances = self._filters.covariances[candidates]
        tracks = self._tracks.at(candidates)
        pairs = gated_pairs(
            means, covariances, measurements, self._dimension, self._gate, inflation
        )

        # Partial detections update established tracks only.
        partial = measurements.partial[pairs.detections]
        if inflation == 1.0:
            return pairs.where(tracks.lives.established[pairs.tracks] | ~partial)

        # With inflated covariances: full detections within reach.
        silence_s = np.maximum(self._time_s - tracks.updated_s, self._interval_s)
        reach_m = self._settings.max_speed_mps * silence_s
        differences_m = measurements.values[pairs.detections, :3] - means[pairs.tracks, :3]
        distances_m = np.linalg.norm(differences_m, axis=1)
        return pairs.where(~partial & (distances_m <= reach_m[pairs.tracks]))

    def _start(self, measurements: Measurements, spare: np.ndarray) -> None:
        """Start a tentative track from each detection of a new target.

        measurements: all detections of the frame
        spare: [num_spare], int, indices of those that were assigned to no track
        """
        if not len(spare):
            return

        # Near an established track a detection is a second echo of its target, and starts no track.
        established = np.flatnonzero(self._tracks.lives.established)
        near_pairs = self._pairs(established, measurements.at(spare), TENTATIVE_INFLATION)
        explained = np.isin(np.arange(len(spare)), near_pairs.detections)

        # Detections that start a track, [num_begun].
        begun = beginnings(
            measurements, spare, explained, self._settings.max_speed_mps, self._dimension
        )

        # Limit of the number of tracks.
        room = max(MAX_TRACKS - len(self._tracks), 0)
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
        num_before = len(self._tracks)
        failures = self._filters.start(means, covariances)

        # Tracks with new identities, each with its first detection.
        track_ids = self._new_identities(len(begun))
        started = newborn(track_ids, self._time_s).hit(
            np.ones(len(begun), bool),
            self._time_s,
            self._filters.means[num_before:],
            self._filters.covariances[num_before:],
            self._settings,
            self._dimension,
            Gains(measurements.weak[begun], measurements.log_ratios[begun], self._test()),
        )
        self._tracks = concatenate(self._tracks, started)

        # New tracks with an invalid state are dropped; failures count from the first new filter.
        problems = self._problems(np.arange(num_before, len(self._tracks)))
        start_failures = {num_before + index: reason for index, reason in failures.items()}
        self._drop(problems | start_failures)

    def _test(self) -> SequentialTest:
        """The test of tentative tracks with weak detections."""
        period_s = self._period_s if np.isfinite(self._period_s) else FIRST_PERIOD_S
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
        failed = np.isin(np.arange(len(self._tracks)), list(problems))
        track_ids = self._tracks.track_ids.tolist()
        self._failed |= {track_ids[track]: words for track, words in sorted(problems.items())}
        dropped = self._tracks.track_ids[failed].tolist()
        self._keep(~failed)

        # Tracks of this frame have no snapshot yet.
        last = [self._snapshots[track_id] for track_id in dropped if track_id in self._snapshots]
        return [replace(snapshot, status=TrackStatus.DELETED) for snapshot in last]

    def _keep(self, tracks: np.ndarray) -> None:
        """Keep only some tracks.

        tracks: mask [num_tracks], bool
        """
        if tracks.all():
            return
        self._tracks = self._tracks.at(tracks)
        self._filters.keep(tracks)

    def _take_snapshots(self) -> list[Track]:
        """Snapshots of all tracks."""
        return snapshots(self._tracks, self._filters.means, self._filters.covariances, self._time_s)

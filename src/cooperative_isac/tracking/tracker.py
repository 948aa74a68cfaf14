"""Detections of one frame after another become tracks with an identity; the tracker's state lives
here.

Its parts are those of any tracker: predictor and updater (`filters`), data association
(`association`), initiator (`initiation`) and deleter (`life`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.limits import TRACK_MARGIN
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.association import Pairs, gate, gated_pairs, nearest_neighbors
from cooperative_isac.tracking.filters import make_filters
from cooperative_isac.tracking.initiation import beginnings, start_states
from cooperative_isac.tracking.life import expired
from cooperative_isac.tracking.live_tracks import (
    concatenate,
    newborn,
    restored,
    snapshots,
)
from cooperative_isac.tracking.measurement import Measurements, stack
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac.tracking.validity import state_problems

# Factors of the detections' covariances in the second chance of tracks without a detection: heavy
# tails must not cost an established track its identity.
ESTABLISHED_INFLATION = 16.0
NEWCOMER_INFLATION = 4.0
# Share of the receivers below which a miss does not count against a tentative track.
OBSERVED_SHARE = 0.5
# Tracks of one scene: as many take half of a frame of 10 Hz, and no scene has as many targets.
MAX_TRACKS = 1024


class Tracker:
    """Keeps the tracks of one scene.

    Args:
        settings: tracking settings of the scene
        dimension: of the scene, 2 or 3

    Raises:
        ValueError: the dimension or the motion model is unknown
    """

    def __init__(self, settings: Tracking, dimension: int):
        if dimension not in STATE_AXES:
            raise ValueError(f"dimension {dimension} is unknown; allowed: {sorted(STATE_AXES)}")
        self._settings = settings
        self._dimension = dimension
        self._gate = gate(settings.gate_probability, dimension)

        # The tracks, and their motion filters in the same order
        self._tracks = newborn(np.empty(0, int), -np.inf)
        self._filters = make_filters(settings, dimension)
        self._num_born = 0

        # Stamp of the last frame, interval before it, and the shortest interval so far
        self._time_s = -np.inf
        self._interval_s = np.inf
        self._period_s = np.inf

        # Of the last update
        self._was_reset = False
        self._snapshots: dict[int, Track] = {}
        self._failed: dict[int, str] = {}
        self._num_refused = 0

    @property
    def failed(self) -> tuple[str, ...]:
        """Tracks that the last update dropped because their state became invalid, each with the
        reason.
        """
        return tuple(f"track {number}: {problem}" for number, problem in self._failed.items())

    @property
    def num_refused(self) -> int:
        """Detections that started no track in the last update because there are MAX_TRACKS."""
        return self._num_refused

    @property
    def was_reset(self) -> bool:
        """Whether the last update met a clock that had gone backwards, and began anew."""
        return self._was_reset

    @property
    def num_born(self) -> int:
        """How many identities were given out: the next track has this number plus one."""
        return self._num_born

    @property
    def period_s(self) -> float:
        """Shortest interval between frames so far [s]; infinite before the second."""
        return self._period_s

    def reset(self) -> tuple[Track, ...]:
        """End all tracks and report them for the last time; no identity is used twice."""
        ended = tuple(
            replace(track, status=TrackStatus.DELETED) for track in self._take_snapshots()
        )
        self._keep(np.zeros(len(self._tracks), bool))
        self._time_s = -np.inf
        self._interval_s = np.inf
        self._period_s = np.inf
        return ended

    def restore(
        self, time_s: float, tracks: Sequence[Track], num_born: int, period_s: float
    ) -> None:
        """Go on from what another tracker of the same settings had; before the first update.

        Args:
            time_s: stamp of the tracks [s]; the first update must be later
            tracks: established tracks at that stamp; their filters begin from mean and covariance
            num_born: identities that were given out, so that none is used twice
            period_s: of the frames [s]: time without frames is no time without detections
        """
        self._num_born = max([num_born, *(track.track_id for track in tracks)])
        self._time_s = time_s
        self._period_s = period_s

        # A detection would be an update of the prior of a newborn track; this is the posterior.
        means = np.array([[*track.position_m, *track.velocity_mps] for track in tracks], float)
        covariances = np.array([track.covariance for track in tracks], float)
        self._tracks = restored(tracks, time_s)
        self._filters = make_filters(self._settings, self._dimension)
        problems = self._filters.start(means.reshape(-1, 6), covariances.reshape(-1, 6, 6))
        self._snapshots = {track.track_id: track for track in tracks}
        self._drop(problems)

    def skip_identities(self, num_born: int) -> None:
        """Give out none of the first num_born identities: another tracker did."""
        self._num_born = max(self._num_born, num_born)

    def update(
        self, time_s: float, detections: Sequence[Detection], answered: float = 1.0
    ) -> tuple[Track, ...]:
        """Take in one frame, also an empty one.

        Every track that is returned is valid: one whose filter fails is dropped (`failed`) and the
        others go on.

        Args:
            time_s: stamp of the frame, s. Later than the last one; the same again brings more
                detections of that frame, which update tracks without a prediction, while tracks
                that get none have not missed anything. A stamp before the last one deletes all
                tracks and starts anew (`was_reset`).
            detections: of the frame
            answered: share of the receivers whose packets arrived; where few did, a miss weighs
                little

        Returns:
            every live track, and for the last time each that this frame ended

        Raises:
            ValueError: the stamp is not finite, or a detection is no Gaussian within the limits;
                then nothing has changed
        """
        measurements = stack(detections)
        if not np.isfinite(time_s):
            raise ValueError(f"stamp {time_s} s is not finite")
        self._failed = {}
        self._num_refused = 0

        # A clock that has gone backwards
        self._was_reset = bool(time_s < self._time_s)
        ended = list(self.reset()) if self._was_reset else []

        # Prediction
        is_new_frame = time_s > self._time_s
        if is_new_frame:
            self._turn_clock(time_s, answered)
        ended += self._predict(self._interval_s if is_new_frame else 0.0)

        # Association and update
        hits, taken, problems = self._associate(measurements)
        self._tracks = self._tracks.hit(
            hits,
            time_s,
            self._filters.means,
            self._filters.covariances,
            self._settings,
            self._dimension,
        )
        if is_new_frame:
            observed = answered >= OBSERVED_SHARE
            self._tracks = self._tracks.miss(~hits, time_s, self._settings, observed)
        ended += self._drop(problems)

        # Initiation
        self._start(measurements, np.flatnonzero(~taken))

        # Deletion
        tracks = self._take_snapshots()
        self._keep(~self._tracks.lives.deleted)
        self._snapshots = {track.track_id: track for track in tracks}
        return tuple(ended + tracks)

    def _turn_clock(self, time_s: float, answered: float) -> None:
        """Go on to a later stamp; the time of missing receivers and frames counts as unobserved."""
        self._interval_s = time_s - self._time_s
        self._time_s = time_s
        self._period_s = min(self._period_s, self._interval_s)
        if len(self._tracks):
            unobserved_s = self._interval_s - answered * self._period_s
            self._tracks = self._tracks.next_frame(unobserved_s)

    def _predict(self, dt_s: float) -> list[Track]:
        """Take all tracks dt_s into the future; the last snapshots of those that failed."""
        problems = {}
        if len(self._tracks):
            problems = self._filters.predict(dt_s)
        everyone = np.arange(len(self._tracks))
        return self._drop(self._problems(everyone) | problems)

    def _associate(
        self, measurements: Measurements
    ) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Update tracks with detections, established ones first, all with a second chance.

        Returns:
            hits: [num_tracks], bool, which tracks have a detection
            taken: [num_detections], bool, which detections belong to a track
            problems: of tracks whose filter failed, in words, by track
        """
        tracks = self._tracks
        hits = np.zeros(len(tracks), bool)
        taken = np.zeros(len(measurements), bool)
        problems = {}

        # A track that has coasted too long takes no detection.
        since_update_s = self._time_s - tracks.updated_s
        current = ~expired(since_update_s, self._settings, tracks.unobserved_s)
        established = tracks.lives.established
        rounds = (
            (established & current, 1.0),
            (established & current, ESTABLISHED_INFLATION),
            (~established & current, 1.0),
            (~established & current, NEWCOMER_INFLATION),
        )
        for eligible, inflation in rounds:
            candidates = np.flatnonzero(eligible & ~hits)
            spare = np.flatnonzero(~taken)
            if not len(candidates) or not len(spare):
                continue
            matched = nearest_neighbors(self._pairs(candidates, measurements.at(spare), inflation))
            rows = candidates[matched.tracks]
            columns = spare[matched.detections]
            if not len(rows):
                continue
            failures = self._filters.update(
                rows,
                measurements.values[columns],
                inflation * measurements.covariances[columns],
            )
            problems |= self._problems(rows) | failures
            hits[rows] = True
            taken[columns] = True
        return hits, taken, problems

    def _pairs(self, candidates: np.ndarray, measurements: Measurements, inflation: float) -> Pairs:
        """Pairs of some tracks and detections that may belong together.

        Args:
            candidates: [num_candidates], int, the tracks
            measurements: the detections
            inflation: factor of the detections' covariances; above 1 the second chance, in which a
                detection is no further from its track than a target can go

        Returns:
            pairs of places among the candidates and among the measurements
        """
        means = self._filters.means[candidates]
        covariances = self._filters.covariances[candidates]
        tracks = self._tracks.at(candidates)
        pairs = gated_pairs(
            means, covariances, measurements, self._dimension, self._gate, inflation
        )

        # A partial detection confirms no track.
        partial = measurements.partial[pairs.detections]
        if inflation == 1.0:
            return pairs.where(tracks.lives.established[pairs.tracks] | ~partial)

        # Nor has what is doubtful itself a second chance.
        silence_s = np.maximum(self._time_s - tracks.updated_s, self._interval_s)
        reach_m = self._settings.max_speed_mps * silence_s
        differences_m = measurements.values[pairs.detections, :3] - means[pairs.tracks, :3]
        distances_m = np.linalg.norm(differences_m, axis=1)
        return pairs.where(~partial & (distances_m <= reach_m[pairs.tracks]))

    def _start(self, measurements: Measurements, spare: np.ndarray) -> None:
        """Begin a tentative track from each detection that is a target of its own.

        Args:
            measurements: all detections of the frame
            spare: [num_spare], int, indices of those that belong to no track
        """
        if not len(spare):
            return

        # Another echo of an established track begins none.
        established = np.flatnonzero(self._tracks.lives.established)
        echoes = self._pairs(established, measurements.at(spare), NEWCOMER_INFLATION)
        explained = np.isin(np.arange(len(spare)), echoes.detections)
        begun = beginnings(
            measurements, spare, explained, self._settings.max_speed_mps, self._dimension
        )

        # As many as there is room for
        room = max(MAX_TRACKS - len(self._tracks), 0)
        self._num_refused = max(len(begun) - room, 0)
        begun = begun[:room]
        if not len(begun):
            return

        # Their identities, filters and first detection
        means, covariances = start_states(
            measurements.values[begun],
            measurements.covariances[begun],
            self._settings.max_speed_mps,
        )
        num_before = len(self._tracks)
        failures = self._filters.start(means, covariances)
        started = newborn(self._num_born + 1 + np.arange(len(begun)), self._time_s)
        first = np.ones(len(begun), bool)
        started = started.hit(
            first,
            self._time_s,
            self._filters.means[num_before:],
            self._filters.covariances[num_before:],
            self._settings,
            self._dimension,
        )
        self._num_born += len(begun)
        self._tracks = concatenate(self._tracks, started)

        # Those that are no valid state are no track.
        problems = self._problems(np.arange(num_before, len(self._tracks)))
        self._drop(problems | {num_before + place: words for place, words in failures.items()})

    def _problems(self, tracks: np.ndarray) -> dict[int, str]:
        """What makes the states of some tracks invalid, in words, by track; indices [num], int."""
        means = self._filters.means[tracks]
        covariances = self._filters.covariances[tracks]
        problems = state_problems(means, covariances, TRACK_MARGIN)
        return {int(tracks[place]): words for place, words in problems.items()}

    def _drop(self, problems: Mapping[int, str]) -> list[Track]:
        """Take failed tracks out; the last valid snapshots of those that were given out, as
        deleted.

        problems: why they failed, in words, by track
        """
        if not problems:
            return []
        failed = np.isin(np.arange(len(self._tracks)), list(problems))
        numbers = self._tracks.track_ids.tolist()
        self._failed |= {numbers[track]: words for track, words in sorted(problems.items())}
        gone = self._tracks.track_ids[failed].tolist()
        self._keep(~failed)
        known = [self._snapshots[number] for number in gone if number in self._snapshots]
        return [replace(snapshot, status=TrackStatus.DELETED) for snapshot in known]

    def _keep(self, tracks: np.ndarray) -> None:
        """Keep these tracks alone; a mask [num_tracks], bool."""
        if tracks.all():
            return
        self._tracks = self._tracks.at(tracks)
        self._filters.keep(tracks)

    def _take_snapshots(self) -> list[Track]:
        """All tracks as they are now."""
        return snapshots(self._tracks, self._filters.means, self._filters.covariances, self._time_s)

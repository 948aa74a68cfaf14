"""Detections of one frame after another become tracks with an identity; the tracker's state lives
here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.association import (
    OBSERVED,
    gate,
    nearest_neighbors,
    squared_distances,
)
from cooperative_isac.tracking.filters import check_model
from cooperative_isac.tracking.live_track import LiveTrack, restored_track
from cooperative_isac.tracking.measurement import Measurements, stack
from cooperative_isac.tracking.track import Track, TrackStatus

ESTABLISHED_INFLATION = (
    16.0  # of covariances in the second chance: heavy tails must not cost an identity
)
NEWCOMER_INFLATION = 4.0
SPEED_SIGMAS = 3.0
OBSERVED_SHARE = (
    0.5  # of the receivers: where fewer answer, a miss says nothing of a tentative track
)
# Squared distance below which two detections of a frame cannot be told apart: one standard
# deviation of their difference. More would keep targets apart that stand close to each other.
INDISTINGUISHABLE = 1.0
# Tracks of one scene; more would take longer than a frame, and no scene has as many targets.
MAX_TRACKS = 128


class Tracker:
    """Keeps the tracks of one scene; dimension 2 or 3 as the scene's."""

    def __init__(self, settings: Tracking, dimension: int):
        if dimension not in OBSERVED:
            raise ValueError(f"dimension {dimension} is unknown; allowed: {sorted(OBSERVED)}")
        check_model(settings)
        self._settings, self._dimension = settings, dimension
        self._gate = gate(settings.gate_probability, dimension)
        self._tracks: list[LiveTrack] = []
        self._num_born = 0
        self._time_s, self._interval_s = -np.inf, np.inf
        self._period_s = np.inf  # shortest interval between frames so far
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

    def reset(self) -> tuple[Track, ...]:
        """End all tracks, told for the last time; identities go on, so that none is used twice."""
        ended = tuple(
            replace(track.snapshot(self._time_s), status=TrackStatus.DELETED)
            for track in self._tracks
        )
        self._tracks, self._time_s, self._interval_s = [], -np.inf, np.inf
        self._period_s = np.inf
        return ended

    @property
    def num_born(self) -> int:
        """How many identities were given out: the next track has this number plus one."""
        return self._num_born

    @property
    def period_s(self) -> float:
        """Shortest interval between frames so far [s]; infinite before the second."""
        return self._period_s

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
        self._tracks = [
            restored_track(track, time_s, self._settings, self._dimension) for track in tracks
        ]
        self._snapshots = {track.track_id: track for track in tracks}

    def skip_identities(self, num_born: int) -> None:
        """Give out none of the first num_born identities: another tracker did."""
        self._num_born = max(self._num_born, num_born)

    def update(
        self, time_s: float, detections: Sequence[Detection], answered: float = 1.0
    ) -> tuple[Track, ...]:
        """Take in one frame, also an empty one; every live track, and for the last time each that
        it ended.

        time_s must grow. A stamp before the last one deletes all tracks and starts anew
        (`was_reset`); the same stamp twice, or a detection that is no Gaussian, is a ValueError and
        changes nothing. Every
        track is valid: one whose filter fails is dropped (`failed`) and the others go on.

        answered: share of the receivers whose packets arrived; where few did, a miss weighs little
        """
        measurements = stack(detections)
        self._failed, self._num_refused = {}, 0
        ended = self._turn_clock(time_s)
        self._pass_unobserved(answered)
        ended += self._drop_failed()
        self._start(self._assign(measurements, answered), measurements)
        ended += self._drop_failed()

        snapshots = [track.snapshot(time_s) for track in self._tracks]
        self._tracks = [track for track in self._tracks if track.alive]
        self._snapshots = {snapshot.track_id: snapshot for snapshot in snapshots}
        return tuple(ended + snapshots)

    def _turn_clock(self, time_s: float) -> list[Track]:
        """Predict all tracks to time_s; when the clock went backwards, the tracks that this
        ended.
        """
        if not np.isfinite(time_s):
            raise ValueError(f"stamp {time_s} s is not finite")
        if time_s == self._time_s:
            raise ValueError(f"stamp {time_s} s came twice; each frame needs a later stamp")
        self._was_reset = bool(time_s < self._time_s)
        ended = list(self.reset()) if self._was_reset else []
        self._interval_s, self._time_s = time_s - self._time_s, time_s
        for track in self._tracks:
            self._attempt(track, partial(track.filter.predict, self._interval_s))
        return ended

    def _pass_unobserved(self, answered: float) -> None:
        """Count the time of missing receivers, and of missing frames, as unobserved."""
        self._period_s = min(self._period_s, self._interval_s)
        for track in self._tracks:
            track.unobserved_s += self._interval_s - answered * self._period_s

    def _attempt(self, track: LiveTrack, step: Callable[[], None]) -> None:
        """One step of a track's filter; the track has failed when its state is no valid one
        afterwards.
        """
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                step()
                problem = track.problem
        except (ArithmeticError, ValueError) as error:  # LinAlgError is a ValueError
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            self._failed[track.track_id] = problem

    def _drop_failed(self) -> list[Track]:
        """Take failed tracks out; the last valid snapshots of those that were given out, as
        deleted.
        """
        gone = [track.track_id for track in self._tracks if track.track_id in self._failed]
        self._tracks = [track for track in self._tracks if track.track_id not in self._failed]
        known = [self._snapshots[number] for number in gone if number in self._snapshots]
        return [replace(snapshot, status=TrackStatus.DELETED) for snapshot in known]

    def _assign(self, measurements: Measurements, answered: float) -> Measurements:
        """Give detections to tracks, to established ones first, to all with a second chance; what
        is left.
        """
        overdue = [t for t in self._tracks if t.has_expired(self._time_s)]
        current = [t for t in self._tracks if t not in overdue]
        established = [t for t in current if t.life.established]
        tentative = [t for t in current if not t.life.established]
        missed, spare = overdue, measurements
        for tracks, second_chance in (
            (established, ESTABLISHED_INFLATION),
            (tentative, NEWCOMER_INFLATION),
        ):
            lonely, spare = self._match(tracks, spare, 1.0)
            lonely, spare = self._match(lonely, spare, second_chance)
            missed = missed + lonely
        for track in missed:
            track.miss(self._time_s, answered >= OBSERVED_SHARE)
        return spare

    def _match(
        self, tracks: list[LiveTrack], measurements: Measurements, inflation: float
    ) -> tuple[list[LiveTrack], Measurements]:
        """Update tracks with the detections assigned to them; the tracks and the detections left
        over.
        """
        costs, allowed = self._pairs(tracks, measurements, inflation)
        pairs = nearest_neighbors(costs, allowed)
        for row, column in pairs:
            self._attempt(
                tracks[row],
                partial(
                    tracks[row].hit,
                    self._time_s,
                    measurements.values[column],
                    inflation * measurements.covariances[column],
                ),
            )
        rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
        return [t for row, t in enumerate(tracks) if row not in rows], measurements.without(columns)

    def _pairs(
        self, tracks: list[LiveTrack], measurements: Measurements, inflation: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Costs and gates, [num_tracks, num_detections]; with inflation, no further than a target
        can go.
        """
        means = np.array([t.filter.mean for t in tracks]).reshape(-1, 6)
        covariances = np.array([t.filter.covariance for t in tracks]).reshape(-1, 6, 6)
        squared, log_det = squared_distances(
            means, covariances, measurements, self._dimension, inflation
        )
        allowed = squared <= self._gate
        allowed &= (
            np.array([t.life.established for t in tracks], bool)[:, None] | ~measurements.partial
        )
        if inflation > 1:
            allowed &= ~measurements.partial  # no second chance for what is doubtful itself
            silence = [max(self._time_s - t.updated_s, self._interval_s) for t in tracks]
            distance = np.linalg.norm(
                measurements.values[None, :, :3] - means[:, None, :3], axis=-1
            )
            allowed &= distance <= self._settings.max_speed_mps * np.array(silence).reshape(-1, 1)
        return squared + log_det, allowed

    def _start(self, spare: Measurements, measurements: Measurements) -> None:
        """Start a tentative track from each possible detection that no established track explains.

        One that cannot be told apart from another of the frame starts no second track: neither from
        one that belongs to a track, nor from one that has just started a track.
        """
        established = [
            t for t in self._tracks if t.life.established and t.track_id not in self._failed
        ]
        _, explained = self._pairs(established, spare, NEWCOMER_INFLATION)
        slow_enough = self._settings.max_speed_mps + SPEED_SIGMAS * spare.speed_stds_mps()
        possible = ~spare.partial & (spare.speeds_mps() <= slow_enough)
        candidates = np.flatnonzero(possible & ~explained.any(axis=0))
        if not len(candidates):
            return

        # Which detections of the frame, [num_detections, num_spare], each of the spare ones may be.
        squared, _ = squared_distances(
            measurements.values, measurements.covariances, spare, self._dimension
        )
        same = squared <= INDISTINGUISHABLE
        # A partial one resembles whatever is near it, and is evidence of none.
        used = ~measurements.partial
        used[spare.places] = False

        # Those that are a target of their own begin a track, while there is room.
        for column in candidates:
            if (same[:, column] & used).any():
                continue
            if len(self._tracks) >= MAX_TRACKS:
                self._num_refused += 1
                continue
            used[spare.places[column]] = True
            self._begin(spare.values[column], spare.covariances[column])

    def _begin(self, value: np.ndarray, covariance: np.ndarray) -> None:
        """Start a track from one detection, unless that gives no valid state."""
        self._num_born += 1
        try:
            track = LiveTrack(
                self._num_born, self._time_s, value, covariance, self._settings, self._dimension
            )
            problem = track.problem
        except (ArithmeticError, ValueError) as error:
            self._failed[self._num_born] = f"{type(error).__name__}: {error}"
            return
        if problem is None:
            self._tracks.append(track)
        else:
            self._failed[self._num_born] = problem

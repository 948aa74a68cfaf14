"""Detections of one frame after another become tracks with an identity; the tracker's state lives here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.association import OBSERVED, gate, nearest_neighbours, squared_distances
from cooperative_isac.tracking.filters import check_model
from cooperative_isac.tracking.life import expired
from cooperative_isac.tracking.live_track import LiveTrack, restored_track
from cooperative_isac.tracking.measurement import Measurements, stack
from cooperative_isac.tracking.track import Track, TrackStatus

ESTABLISHED_INFLATION = 16.0  # of covariances in the second chance: heavy tails must not cost an identity
NEWCOMER_INFLATION = 4.0
SPEED_SIGMAS = 3.0
# [s] Without any frame for longer than a track may coast, no track had a chance: the first frame
# after it may still continue them. Beyond this, a prediction reaches over a whole scene.
LONGEST_OUTAGE_S = 10.0


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
        self._was_reset = False

    @property
    def was_reset(self) -> bool:
        """Whether the last update met a clock that had gone backwards, and began anew."""
        return self._was_reset

    def reset(self) -> tuple[Track, ...]:
        """End all tracks, told for the last time; identities go on, so that none is used twice."""
        ended = tuple(replace(track.snapshot(self._time_s), status=TrackStatus.DELETED) for track in self._tracks)
        self._tracks, self._time_s, self._interval_s = [], -np.inf, np.inf
        return ended

    @property
    def num_born(self) -> int:
        """How many identities were given out: the next track has this number plus one."""
        return self._num_born

    def restore(self, time_s: float, tracks: Sequence[Track], num_born: int) -> None:
        """Go on from what another tracker of the same settings had; before the first update.

        Args:
            time_s: stamp of the tracks [s]; the first update must be later
            tracks: established tracks at that stamp; their filters begin from mean and covariance
            num_born: identities that were given out, so that none is used twice
        """
        self._num_born = max([num_born, *(track.track_id for track in tracks)])
        self._time_s = time_s
        self._tracks = [restored_track(track, time_s, self._settings, self._dimension)
                        for track in tracks]

    def skip_identities(self, num_born: int) -> None:
        """Give out none of the first num_born identities: another tracker did."""
        self._num_born = max(self._num_born, num_born)

    def update(self, time_s: float, detections: Sequence[Detection]) -> tuple[Track, ...]:
        """Take in one frame, also an empty one; every live track, and for the last time each that it ended.

        time_s must grow. A stamp before the last one deletes all tracks and starts anew (`was_reset`); the
        same stamp twice, or a detection that is no Gaussian, is a ValueError and changes nothing.
        """
        measurements = stack(detections)
        ended = self._turn_clock(time_s)
        self._start(self._assign(measurements))
        snapshots = ended + [track.snapshot(time_s) for track in self._tracks]
        self._tracks = [track for track in self._tracks if track.alive]
        return tuple(snapshots)

    def _turn_clock(self, time_s: float) -> list[Track]:
        """Predict all tracks to time_s; when the clock went backwards, the tracks that this ended."""
        if not np.isfinite(time_s):
            raise ValueError(f"stamp {time_s} s is not finite")
        if time_s == self._time_s:
            raise ValueError(f"stamp {time_s} s came twice; each frame needs a later stamp")
        self._was_reset = bool(time_s < self._time_s)
        ended = list(self.reset()) if self._was_reset else []
        self._interval_s, self._time_s = time_s - self._time_s, time_s
        outage = self._settings.max_coast_s < self._interval_s <= LONGEST_OUTAGE_S
        for track in self._tracks:
            track.filter.predict(self._interval_s)
            if outage:
                track.excuse(self._interval_s)
        return ended

    def _assign(self, measurements: Measurements) -> Measurements:
        """Give detections to tracks, to established ones first, to all with a second chance; what is left."""
        overdue = [t for t in self._tracks if expired(t.silence_s(self._time_s), self._settings)]
        current = [t for t in self._tracks if t not in overdue]
        established = [t for t in current if t.life.established]
        tentative = [t for t in current if not t.life.established]
        missed, spare = overdue, measurements
        for tracks, second_chance in ((established, ESTABLISHED_INFLATION), (tentative, NEWCOMER_INFLATION)):
            lonely, spare = self._match(tracks, spare, 1.0)
            lonely, spare = self._match(lonely, spare, second_chance)
            missed = missed + lonely
        for track in missed:
            track.miss(self._time_s)
        return spare

    def _match(self, tracks: list[LiveTrack], measurements: Measurements,
               inflation: float) -> tuple[list[LiveTrack], Measurements]:
        """Update tracks with the detections assigned to them; the tracks and the detections left over."""
        costs, allowed = self._pairs(tracks, measurements, inflation)
        pairs = nearest_neighbours(costs, allowed)
        for row, column in pairs:
            tracks[row].hit(self._time_s, measurements.values[column],
                            inflation * measurements.covariances[column])
        rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
        return [t for row, t in enumerate(tracks) if row not in rows], measurements.without(columns)

    def _pairs(self, tracks: list[LiveTrack], measurements: Measurements,
               inflation: float) -> tuple[np.ndarray, np.ndarray]:
        """Costs and gates, [num_tracks, num_detections]; with inflation, no further than a target can go."""
        means = np.array([t.filter.mean for t in tracks]).reshape(-1, 6)
        covariances = np.array([t.filter.covariance for t in tracks]).reshape(-1, 6, 6)
        squared, log_det = squared_distances(means, covariances, measurements, self._dimension, inflation)
        allowed = squared <= self._gate
        if inflation > 1:
            silence = [max(self._time_s - t.updated_s, self._interval_s) for t in tracks]
            distance = np.linalg.norm(measurements.values[None, :, :3] - means[:, None, :3], axis=-1)
            allowed &= distance <= self._settings.max_speed_mps * np.array(silence).reshape(-1, 1)
        return squared + log_det, allowed

    def _start(self, spare: Measurements) -> None:
        """Start a tentative track from each possible detection that no established track explains."""
        established = [t for t in self._tracks if t.life.established]
        _, explained = self._pairs(established, spare, NEWCOMER_INFLATION)
        possible = spare.speeds_mps() <= self._settings.max_speed_mps + SPEED_SIGMAS * spare.speed_stds_mps()
        for column in np.flatnonzero(possible & ~explained.any(axis=0)):
            self._num_born += 1
            self._tracks.append(LiveTrack(self._num_born, self._time_s, spare.values[column],
                                          spare.covariances[column], self._settings, self._dimension))

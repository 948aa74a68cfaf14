"""The tracks of a tracker while they live, in arrays: identity, times, life and class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.classify import accumulate, decide, frame_log_odds, log_odds_of
from cooperative_isac.tracking.life import Lives, advance, unborn
from cooperative_isac.tracking.track import Track, TrackStatus

STATUSES = {status.value: status for status in TrackStatus}


@dataclass(frozen=True)
class LiveTracks:
    """All that is known of tracks beside the states of their motion filters.

    track_ids: [num_tracks], int, identities
    born_s: [num_tracks], float64, s, stamp of the first detection
    updated_s: [num_tracks], float64, s, stamp of the last detection
    unobserved_s: [num_tracks], float64, s, part of the time since then in which no receiver could
        have detected the target
    num_detections: [num_tracks], int
    log_odds: [num_tracks], float64, of UAV against vehicle
    former_lives: lives before the present frame
    lives: lives after what has come of the present frame
    """

    track_ids: np.ndarray
    born_s: np.ndarray
    updated_s: np.ndarray
    unobserved_s: np.ndarray
    num_detections: np.ndarray
    log_odds: np.ndarray
    former_lives: Lives
    lives: Lives

    def __len__(self) -> int:
        return len(self.track_ids)

    def at(self, tracks: np.ndarray) -> LiveTracks:
        """Some of the tracks.

        tracks: indices [num], int, or a mask [num_tracks], bool
        """
        return LiveTracks(
            self.track_ids[tracks],
            self.born_s[tracks],
            self.updated_s[tracks],
            self.unobserved_s[tracks],
            self.num_detections[tracks],
            self.log_odds[tracks],
            self.former_lives.at(tracks),
            self.lives.at(tracks),
        )

    def next_frame(self, unobserved_s: float) -> LiveTracks:
        """The tracks at the beginning of another frame.

        unobserved_s: part of the time since the last frame in which no receiver could have detected
            a target, s
        """
        return replace(self, unobserved_s=self.unobserved_s + unobserved_s, former_lives=self.lives)

    def hit(
        self,
        hits: np.ndarray,
        time_s: float,
        means: np.ndarray,
        covariances: np.ndarray,
        settings: Tracking,
        dimension: int,
    ) -> LiveTracks:
        """The tracks after a detection of some of them.

        A second detection in the same frame does not count towards confirmation, and a detection
        in a second list of a frame makes up for the miss in the first.

        Args:
            hits: [num_tracks], bool, which tracks have a detection
            time_s: stamp of the detections, s
            means: [num_tracks, 6], float64, SI, map: updated states
            covariances: [num_tracks, 6, 6], float64, SI
            settings: of the scene
            dimension: of the scene, 2 or 3
        """
        advanced = advance(self.former_lives, True, 0.0, settings)
        with np.errstate(invalid="ignore"):  # the tracker drops a track whose filter failed
            added = frame_log_odds(means, covariances, settings, dimension)
        return replace(
            self,
            updated_s=np.where(hits, time_s, self.updated_s),
            unobserved_s=np.where(hits, 0.0, self.unobserved_s),
            num_detections=self.num_detections + hits,
            log_odds=np.where(hits, accumulate(self.log_odds, added), self.log_odds),
            lives=_where(hits, advanced, self.lives),
        )

    def miss(
        self, missed: np.ndarray, time_s: float, settings: Tracking, observed: bool
    ) -> LiveTracks:
        """The tracks after a frame without a detection of some of them.

        Args:
            missed: [num_tracks], bool, which tracks have no detection
            time_s: stamp of the frame, s
            settings: of the scene
            observed: whether a detection was to be expected
        """
        since_update_s = time_s - self.updated_s
        advanced = advance(
            self.former_lives, False, since_update_s, settings, self.unobserved_s, observed
        )
        return replace(self, lives=_where(missed, advanced, self.lives))


def newborn(track_ids: np.ndarray, time_s: float) -> LiveTracks:
    """Tracks that are born at time_s and have no detection yet.

    track_ids: [num_tracks], int
    """
    num_tracks = len(track_ids)
    return LiveTracks(
        track_ids=track_ids,
        born_s=np.full(num_tracks, time_s),
        updated_s=np.full(num_tracks, time_s),
        unobserved_s=np.zeros(num_tracks),
        num_detections=np.zeros(num_tracks, int),
        log_odds=np.zeros(num_tracks),
        former_lives=unborn(num_tracks),
        lives=unborn(num_tracks),
    )


def concatenate(first: LiveTracks, second: LiveTracks) -> LiveTracks:
    """The tracks of both."""
    return LiveTracks(
        np.concatenate([first.track_ids, second.track_ids]),
        np.concatenate([first.born_s, second.born_s]),
        np.concatenate([first.updated_s, second.updated_s]),
        np.concatenate([first.unobserved_s, second.unobserved_s]),
        np.concatenate([first.num_detections, second.num_detections]),
        np.concatenate([first.log_odds, second.log_odds]),
        _joined(first.former_lives, second.former_lives),
        _joined(first.lives, second.lives),
    )


def restored(tracks: Sequence[Track], time_s: float) -> LiveTracks:
    """The live tracks that go on from snapshots of established tracks, taken at time_s."""
    statuses = np.array([track.status.value for track in tracks], int)
    lives = replace(unborn(len(tracks)), statuses=statuses)
    live = newborn(np.array([track.track_id for track in tracks], int), time_s)
    return replace(
        live,
        born_s=time_s - np.array([track.age_s for track in tracks], float),
        updated_s=time_s - np.array([track.since_update_s for track in tracks], float),
        num_detections=np.array([track.num_detections for track in tracks], int),
        log_odds=np.array(
            [log_odds_of(track.target_class, track.class_probability) for track in tracks], float
        ),
        former_lives=lives,
        lives=lives,
    )


def snapshots(
    tracks: LiveTracks, means: np.ndarray, covariances: np.ndarray, time_s: float
) -> list[Track]:
    """The tracks as others see them at time_s.

    Args:
        tracks: to show
        means: [num_tracks, 6], float64, SI, map; must not be written to afterwards
        covariances: [num_tracks, 6, 6], float64, SI; must not be written to afterwards
        time_s: stamp, s
    """
    classes = [decide(log_odds) for log_odds in tracks.log_odds.tolist()]
    rows = zip(
        tracks.track_ids.tolist(),
        tracks.lives.statuses.tolist(),
        classes,
        means[:, :3],
        means[:, 3:],
        covariances,
        (time_s - tracks.born_s).tolist(),
        (time_s - tracks.updated_s).tolist(),
        tracks.num_detections.tolist(),
    )
    return [
        Track(
            track_id=track_id,
            status=STATUSES[status],
            target_class=target_class,
            class_probability=probability,
            position_m=position_m,
            velocity_mps=velocity_mps,
            covariance=covariance,
            age_s=age_s,
            since_update_s=since_update_s,
            num_detections=num_detections,
        )
        for (
            track_id,
            status,
            (target_class, probability),
            position_m,
            velocity_mps,
            covariance,
            age_s,
            since_update_s,
            num_detections,
        ) in rows
    ]


def _where(chosen: np.ndarray, lives: Lives, others: Lives) -> Lives:
    """These lives where chosen, [num_tracks], bool, and others elsewhere."""
    return Lives(
        np.where(chosen, lives.statuses, others.statuses),
        np.where(chosen, lives.num_frames, others.num_frames),
        np.where(chosen, lives.num_hits, others.num_hits),
    )


def _joined(first: Lives, second: Lives) -> Lives:
    """The lives of both."""
    return Lives(
        np.concatenate([first.statuses, second.statuses]),
        np.concatenate([first.num_frames, second.num_frames]),
        np.concatenate([first.num_hits, second.num_hits]),
    )

"""Track life: tentative, confirmed, coasting, deleted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.track import ESTABLISHED, TrackStatus

TIME_SLACK_S = 1e-6  # stamps are sums of periods and never exact
# [s] Without a detection, whatever was observed: a prediction over more time reaches over a whole
# scene and identifies nothing.
LONGEST_OUTAGE_S = 10.0
# Whether a track stands for a target, by the value of its status.
IS_ESTABLISHED = np.array([status in ESTABLISHED for status in TrackStatus])


@dataclass(frozen=True)
class Lives:
    """Lives of many tracks.

    statuses: [num_tracks], int, values of TrackStatus
    num_frames: [num_tracks], int, frames in which a track has been tentative
    num_hits: [num_tracks], int, those of them that brought a detection
    """

    statuses: np.ndarray
    num_frames: np.ndarray
    num_hits: np.ndarray

    @property
    def established(self) -> np.ndarray:
        """Which tracks stand for a target, [num_tracks], bool."""
        return IS_ESTABLISHED[self.statuses]

    @property
    def deleted(self) -> np.ndarray:
        """Which tracks have ended, [num_tracks], bool."""
        return self.statuses == TrackStatus.DELETED.value

    def at(self, tracks: np.ndarray) -> Lives:
        """The lives of some tracks.

        tracks: indices [num], int, or a mask [num_tracks], bool
        """
        return Lives(self.statuses[tracks], self.num_frames[tracks], self.num_hits[tracks])


def unborn(num_tracks: int) -> Lives:
    """Tentative lives without a frame yet."""
    tentative = np.full(num_tracks, TrackStatus.TENTATIVE.value)
    return Lives(tentative, np.zeros(num_tracks, int), np.zeros(num_tracks, int))


def expired(
    since_update_s: np.ndarray | float,
    settings: Tracking,
    unobserved_s: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Whether tracks have coasted too long, bool, of the shape of the arguments.

    since_update_s: age of the last detection, s
    unobserved_s: the part of that time in which no receiver could have detected the target, s
    """
    longest_s = max(LONGEST_OUTAGE_S, settings.max_coast_s)
    observed_s = np.maximum(
        since_update_s - unobserved_s, since_update_s - longest_s + settings.max_coast_s
    )
    return observed_s > settings.max_coast_s + TIME_SLACK_S


def advance(
    lives: Lives,
    hit: np.ndarray | bool,
    since_update_s: np.ndarray | float,
    settings: Tracking,
    unobserved_s: np.ndarray | float = 0.0,
    observed: bool = True,
) -> Lives:
    """Lives after one more frame.

    A tentative track is confirmed by confirm_hits in confirm_window frames and dies as soon as it
    cannot be; an established track coasts without detections until max_coast_s of observed time.

    Args:
        lives: before the frame
        hit: [num_tracks] or one for all, bool, whether a detection was assigned
        since_update_s: [num_tracks] or one for all, s, age of the last detection
        settings: of the scene
        unobserved_s: [num_tracks] or one for all, s, the part of that age in which no receiver
            could have detected the target
        observed: whether this frame could have brought a detection
    """
    hits = np.broadcast_to(hit, lives.statuses.shape)
    tentative = lives.statuses == TrackStatus.TENTATIVE.value

    # A frame that could not have brought a detection says nothing of a tentative track.
    counted = tentative & (hits | observed)
    num_frames = lives.num_frames + counted
    num_hits = lives.num_hits + (counted & hits)
    frames_left = settings.confirm_window - num_frames

    ended = lives.deleted | (~hits & expired(since_update_s, settings, unobserved_s))
    confirmed = num_hits >= settings.confirm_hits
    hopeless = num_hits + frames_left < settings.confirm_hits
    statuses = np.select(
        [ended, ~tentative & hits, ~tentative, confirmed, hopeless],
        [
            TrackStatus.DELETED.value,
            TrackStatus.CONFIRMED.value,
            TrackStatus.COASTING.value,
            TrackStatus.CONFIRMED.value,
            TrackStatus.DELETED.value,
        ],
        TrackStatus.TENTATIVE.value,
    )
    return Lives(statuses, num_frames, num_hits)

"""Track life: tentative, confirmed, coasting, deleted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.sequential_test import MISS_RATIO, SequentialTest
from cooperative_isac.tracking.track import ESTABLISHED, TrackStatus

# Time that is added to limits, s: above the rounding of stamps that are sums of periods.
TIME_SLACK_S = 1e-6

# Time without a detection after which a track is deleted even if no receiver could observe its
# target, s: the gate of a longer prediction reaches over a whole scene.
LONGEST_OUTAGE_S = 10.0

# Least number of detections with which the test of weak ones confirms a track. A single one may
# contain a path that was estimated on a side lobe, for which the likelihoods of a frame have no
# term; in the next frame that hardly happens again.
LEAST_DETECTIONS = 2

# Error of the predicted location, root mean square over all axes together, m, beyond which a missed
# track that weak detections have confirmed is deleted. Its target is missed in every second frame,
# so that it still exists, but the prediction is off by meters: up to 2 m it is mostly within the
# 3 m that count as tracked.
LOST_ERROR_M = 2.0

# By the value of a status: True where the track is established.
IS_ESTABLISHED = np.array([status in ESTABLISHED for status in TrackStatus])


@dataclass(frozen=True)
class Gains:
    """Evidence of the detections that were assigned to tracks.

    weak: [num_tracks], bool, True where the detection is a weak one
    log_ratios: [num_tracks], float64, log-likelihood ratio of the track's target to other causes of
        a weak detection
    test: of tentative tracks
    """

    weak: np.ndarray
    log_ratios: np.ndarray
    test: SequentialTest


def no_gains(num_tracks: int, test: SequentialTest) -> Gains:
    """Evidence of tracks without weak detections.

    test: of tentative tracks
    """
    return Gains(np.zeros(num_tracks, bool), np.zeros(num_tracks), test)


@dataclass(frozen=True)
class Lives:
    """Lives of several tracks.

    statuses: [num_tracks], int, values of TrackStatus
    num_frames: [num_tracks], int, frames in which a track has been tentative
    num_hits: [num_tracks], int, those of them with a detection by stations
    num_weak: [num_tracks], int, those of them with a weak detection
    num_strong: [num_tracks], int, latest detections by stations in a row, since the last weak one
        or the last miss
    scores: [num_tracks], float64, log-likelihood ratio of a target to other causes that tentative
        tracks with weak detections have added up; -inf without any, and for tracks that no longer
        count as of weak detections
    """

    statuses: np.ndarray
    num_frames: np.ndarray
    num_hits: np.ndarray
    num_weak: np.ndarray
    num_strong: np.ndarray
    scores: np.ndarray

    @property
    def established(self) -> np.ndarray:
        """Mask of the confirmed and coasting tracks, [num_tracks], bool."""
        return IS_ESTABLISHED[self.statuses]

    @property
    def deleted(self) -> np.ndarray:
        """Mask of the deleted tracks, [num_tracks], bool."""
        return self.statuses == TrackStatus.DELETED.value

    def at(self, tracks: np.ndarray) -> Lives:
        """The lives of some tracks.

        tracks: indices [num], int, or a mask [num_tracks], bool
        """
        return Lives(
            self.statuses[tracks],
            self.num_frames[tracks],
            self.num_hits[tracks],
            self.num_weak[tracks],
            self.num_strong[tracks],
            self.scores[tracks],
        )


def unborn(num_tracks: int) -> Lives:
    """Tentative lives without a frame yet."""
    tentative = np.full(num_tracks, TrackStatus.TENTATIVE.value)
    return Lives(
        tentative,
        np.zeros(num_tracks, int),
        np.zeros(num_tracks, int),
        np.zeros(num_tracks, int),
        np.zeros(num_tracks, int),
        np.full(num_tracks, -np.inf),
    )


def expired(
    since_update_s: np.ndarray | float,
    settings: Tracking,
    unobserved_s: np.ndarray | float = 0.0,
) -> np.ndarray:
    """True where tracks have coasted too long.

    since_update_s: [...], float64, s, age of the last detection
    settings: of the scene, max_coast_s
    unobserved_s: [...], float64, s, the part of that time in which no receiver could have detected
        the target
    Returns [...], bool.
    """
    # Only observed time counts, until an outage as a whole has lasted longest_s.
    longest_s = max(LONGEST_OUTAGE_S, settings.max_coast_s)
    least_observed_s = since_update_s - longest_s + settings.max_coast_s
    observed_s = np.maximum(since_update_s - unobserved_s, least_observed_s)
    return observed_s > settings.max_coast_s + TIME_SLACK_S


def advance(
    lives: Lives,
    hit: np.ndarray | bool,
    since_update_s: np.ndarray | float,
    settings: Tracking,
    unobserved_s: np.ndarray | float = 0.0,
    observed: bool = True,
    evidence: Gains | None = None,
    lost: np.ndarray | bool = False,
) -> Lives:
    """Lives after one more frame.

    A tentative track is confirmed by confirm_hits in confirm_window frames, or by a sequential test
    of its weak detections, and deleted as soon as neither can confirm it any more; an established
    track coasts without detections until max_coast_s of observed time, one of weak detections only
    as long as its location is known. It is no longer one of them after confirm_hits detections by
    stations in a row.

    lives: before the frame
    hit: [num_tracks] or one for all, bool, True where a detection was assigned
    since_update_s: [num_tracks] or one for all, float64, s, age of the last detection
    settings: of the scene
    unobserved_s: [num_tracks] or one for all, float64, s, the part of that age in which no receiver
        could have detected the target
    observed: True where enough receivers sent packets of this frame to detect the targets
    evidence: of the weak ones among the detections; None: there are none
    lost: [num_tracks] or one for all, bool, True where the location is uncertain by LOST_ERROR_M
    """
    hits = np.broadcast_to(hit, lives.statuses.shape)
    weak = np.zeros(hits.shape, bool) if evidence is None else hits & evidence.weak
    tentative = lives.statuses == TrackStatus.TENTATIVE.value

    # Confirmation counts hits, and misses in observed frames only.
    counted = tentative & (hits | observed)
    num_frames = lives.num_frames + counted
    num_hits = lives.num_hits + (counted & hits & ~weak)
    num_weak = lives.num_weak + (counted & weak)
    frames_left = settings.confirm_window - num_frames

    # Confirmed by enough hits within the window; hopeless where too few frames are left for them.
    confirmed = (num_hits >= settings.confirm_hits) & (frames_left >= 0)
    hopeless = num_hits + frames_left < settings.confirm_hits

    # Sequential test of tracks with weak detections.
    scores = lives.scores
    if evidence is not None:
        scores = _tested(lives, counted, hits, settings, evidence)
        enough = num_hits + num_weak >= LEAST_DETECTIONS
        confirmed |= enough & (scores >= evidence.test.accept)
        hopeless &= scores <= evidence.test.reject

    # Established tracks of weak detections that stations have detected often enough by themselves.
    interrupted = (hits & weak) | (~hits & observed)
    num_strong = np.where(hits & ~weak, lives.num_strong + 1, lives.num_strong)
    num_strong = np.where(interrupted, 0, num_strong)
    scores = np.where(~tentative & (num_strong >= settings.confirm_hits), -np.inf, scores)

    # Transitions: of each track, the first whose condition is met.
    is_too_old = expired(since_update_s, settings, unobserved_s)
    is_lost = ~tentative & np.isfinite(scores) & observed & lost
    ended = lives.deleted | (~hits & (is_too_old | is_lost))
    transitions = (
        (ended, TrackStatus.DELETED),
        (~tentative & hits, TrackStatus.CONFIRMED),
        (~tentative, TrackStatus.COASTING),
        (confirmed, TrackStatus.CONFIRMED),
        (hopeless, TrackStatus.DELETED),
    )
    statuses = np.select(
        [condition for condition, _ in transitions],
        [status.value for _, status in transitions],
        TrackStatus.TENTATIVE.value,
    )
    return Lives(statuses, num_frames, num_hits, num_weak, num_strong, scores)


def _tested(
    lives: Lives, counted: np.ndarray, hits: np.ndarray, settings: Tracking, evidence: Gains
) -> np.ndarray:
    """Scores after one more frame, [num_tracks], float64.

    lives: before the frame
    counted: [num_tracks], bool, tentative tracks for which the frame counts
    hits: [num_tracks], bool, True where a detection was assigned
    settings: of the scene
    evidence: of the weak ones among the detections
    """
    # Score of a detection by stations: confirm_hits of them reach the threshold of the test, too.
    hit_score = evidence.test.accept / settings.confirm_hits

    # The first weak detection of a track begins its test, in which earlier hits count as well.
    has_begun = np.isfinite(lives.scores)
    scores_before = np.where(has_begun, lives.scores, hit_score * lives.num_hits)
    with_weak = scores_before + evidence.log_ratios

    # In a test that has begun, other hits add to the score, and misses take away from it.
    without_weak = lives.scores + np.where(hits, hit_score, MISS_RATIO)

    is_weak = counted & hits & evidence.weak
    scores = np.where(counted & has_begun, without_weak, lives.scores)
    return np.where(is_weak, with_weak, scores)

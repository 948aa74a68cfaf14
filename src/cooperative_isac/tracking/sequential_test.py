"""Sequential probability ratio test of tentative tracks with weak detections (track before detect).

A weak detection has a log-likelihood ratio of its target to other causes. A tentative track adds up
those of its detections and misses, and is confirmed or deleted at a threshold (Wald, Sequential
Analysis, 1947; Blackman and Popoli, Design and Analysis of Modern Tracking Systems, 1999, ch. 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Probability with which the test deletes the track of a target. Such a target gets a new track with
# its next detection: a larger probability delays tracks, a smaller one keeps false ones longer.
MISS_PROBABILITY = 0.1
# Probability that a target near the threshold has no weak detection in a frame: about that at
# 22 dBm in `campus`. A larger one forgives more misses.
NO_DETECTION_PROBABILITY = 0.55
# Log-likelihood ratio of a frame without a detection.
MISS_RATIO = math.log(NO_DETECTION_PROBABILITY)
# Confirmed false tracks in a frame over Wald's bound exp(-accept), for four targets whose paths
# noise completes to false detections: 0.012 for each. It is below 1, since a target does not begin
# a track in every frame, and since scores exceed the threshold when they pass it. Measured in
# `campus` at 22 and 25 dBm (benchmarks/false_tracks.py prints the rate that follows from it).
BOUND_SHARE = 0.05
# Log-likelihood ratio by which the threshold is above the one that noise requires. Targets in one
# beam, and a peak of noise in place of one of a target's paths, displace a detection by meters, and
# the likelihoods of a frame have no term for that. Without a margin tracks that begin so are some
# times as frequent as those of noise; a larger one delays all tracks (benchmarks/false_tracks.py).
DISPLACEMENT_MARGIN = 4.0


@dataclass(frozen=True)
class SequentialTest:
    """Thresholds of a test's accumulated log-likelihood ratio.

    accept: from which on the track is confirmed
    reject: down to which it is deleted
    """

    accept: float
    reject: float


def track_test(false_tracks_per_minute: float, period_s: float) -> SequentialTest:
    """The test that confirms a stated number of false tracks on average.

    Noise is exp(-s) times as likely as a target to give a track the score s. So the number of false
    tracks that begin in a frame and are confirmed is the mean of exp(-s) over the confirmed tracks
    that a target begins in a frame (Wald's identity), which is at most exp(-accept).

    false_tracks_per_minute: mean number of false tracks that are confirmed in a minute
    period_s: of the frames, s
    """
    # Solve false_per_frame = BOUND_SHARE exp(-noise_ratio).
    false_per_frame = false_tracks_per_minute * period_s / 60
    noise_ratio = math.log(BOUND_SHARE / false_per_frame)

    # A score below 0 confirms no track.
    accept = max(noise_ratio + DISPLACEMENT_MARGIN, 0.0)

    # Wald's lower threshold.
    reject = math.log(MISS_PROBABILITY)
    return SequentialTest(accept, reject)

"""Track life: tentative, confirmed, coasting, deleted."""

from __future__ import annotations

from dataclasses import dataclass

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.track import ESTABLISHED, TrackStatus

TIME_SLACK_S = 1e-6  # stamps are sums of periods and never exact
# [s] Without a detection, whatever was observed: a prediction over more time reaches over a whole
# scene and identifies nothing.
LONGEST_OUTAGE_S = 10.0


@dataclass(frozen=True)
class Life:
    """Status, and for a tentative track which of its frames brought a detection, oldest first."""

    status: TrackStatus = TrackStatus.TENTATIVE
    recent: tuple[bool, ...] = ()

    @property
    def established(self) -> bool:
        """Whether the track counts as one of a target."""
        return self.status in ESTABLISHED


def expired(since_update_s: float, settings: Tracking, unobserved_s: float = 0.0) -> bool:
    """Whether a track without detections for since_update_s has coasted too long.

    unobserved_s: the part of that time in which no receiver could have detected the target
    """
    longest_s = max(LONGEST_OUTAGE_S, settings.max_coast_s)
    observed_s = max(
        since_update_s - unobserved_s, since_update_s - longest_s + settings.max_coast_s
    )
    return observed_s > settings.max_coast_s + TIME_SLACK_S


def advance(
    life: Life,
    hit: bool,
    since_update_s: float,
    settings: Tracking,
    unobserved_s: float = 0.0,
    observed: bool = True,
) -> Life:
    """Life after one more frame.

    A tentative track is confirmed by confirm_hits in confirm_window frames and dies as soon as it
    cannot be; an established track coasts without detections until max_coast_s of observed time.

    hit: a detection was assigned
    since_update_s: age of the last detection
    unobserved_s: the part of that age in which no receiver could have detected the target
    observed: whether this frame could have brought a detection
    """
    if life.status is TrackStatus.DELETED:
        return life
    if not hit and expired(since_update_s, settings, unobserved_s):
        return Life(TrackStatus.DELETED)
    if life.established:
        return Life(TrackStatus.CONFIRMED if hit else TrackStatus.COASTING)
    if not hit and not observed:
        return life
    recent = (*life.recent, hit)
    if sum(recent) >= settings.confirm_hits:
        return Life(TrackStatus.CONFIRMED)
    if sum(recent) + settings.confirm_window - len(recent) < settings.confirm_hits:
        return Life(TrackStatus.DELETED)
    return Life(TrackStatus.TENTATIVE, recent)

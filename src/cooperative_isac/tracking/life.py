"""Track life: tentative, confirmed, coasting, deleted."""

from __future__ import annotations

from dataclasses import dataclass

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.track import TrackStatus

TIME_SLACK_S = 1e-6  # stamps are sums of periods and never exact


@dataclass(frozen=True)
class Life:
    """Status, and for a tentative track which of its frames brought a detection, oldest first."""

    status: TrackStatus = TrackStatus.TENTATIVE
    recent: tuple[bool, ...] = ()

    @property
    def established(self) -> bool:
        return self.status in (TrackStatus.CONFIRMED, TrackStatus.COASTING)


def expired(since_update_s: float, settings: Tracking) -> bool:
    """Whether a track without detections for since_update_s has coasted too long."""
    return since_update_s > settings.max_coast_s + TIME_SLACK_S


def advance(life: Life, hit: bool, since_update_s: float, settings: Tracking) -> Life:
    """Life after one more frame; hit: a detection was assigned; since_update_s: age of the last one.

    A tentative track is confirmed by confirm_hits in confirm_window frames and dies as soon as it cannot be;
    an established track coasts without detections until max_coast_s.
    """
    if life.status is TrackStatus.DELETED or (not hit and expired(since_update_s, settings)):
        return Life(TrackStatus.DELETED)
    if life.established:
        return Life(TrackStatus.CONFIRMED if hit else TrackStatus.COASTING)
    recent = (*life.recent, hit)
    if sum(recent) >= settings.confirm_hits:
        return Life(TrackStatus.CONFIRMED)
    if sum(recent) + settings.confirm_window - len(recent) < settings.confirm_hits:
        return Life(TrackStatus.DELETED)
    return Life(TrackStatus.TENTATIVE, recent)

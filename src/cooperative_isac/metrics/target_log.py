"""What happened to one target over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.life import expired


@dataclass(frozen=True)
class TargetScore:
    """One target over its counted frames; rmse_m over those in which it was tracked, None
    without.
    """

    continuity: float | None
    rmse_m: float | None
    identity_switches: int
    frames: int


class TargetLog:
    """Running figures of one target, frame by frame; a run of any length takes the same memory.

    Continuity is the fraction of counted frames with an error below threshold_m (DC II-B). The
    first
    confirm_window frames of an appearance do not count towards continuity and error: that is how
    long a tracker may take to confirm. A target that was away longer than a track coasts appears
    anew.
    """

    def __init__(self, threshold_m: float, settings: Tracking):
        self._threshold_m, self._settings = threshold_m, settings
        self._seen_s, self._appeared_frames = -math.inf, 0
        self._track_id: int | None = None
        self._counted = self._accurate = self._tracked = self._switches = 0
        self._squares_m2 = 0.0

    def see(self, time_s: float) -> None:
        """Note that the target is there at time_s, and whether this begins a new appearance."""
        away_s, self._seen_s = time_s - self._seen_s, time_s
        if away_s < 0 or expired(away_s, self._settings):
            self._appeared_frames, self._track_id = 0, None

    def add(self, track_id: int | None, error_m: float) -> None:
        """The track that held the target in this frame and its error [m]; None and inf without
        one.
        """
        self._appeared_frames += 1
        if track_id is not None:
            self._switches += self._track_id not in (None, track_id)
            self._track_id = track_id
        if self._appeared_frames <= self._settings.confirm_window:
            return
        self._counted += 1
        self._accurate += error_m < self._threshold_m
        if math.isfinite(error_m):
            self._tracked += 1
            self._squares_m2 += error_m**2

    def score(self) -> TargetScore:
        """The score so far."""
        return TargetScore(
            continuity=self._accurate / self._counted if self._counted else None,
            rmse_m=math.sqrt(self._squares_m2 / self._tracked) if self._tracked else None,
            identity_switches=self._switches,
            frames=self._counted,
        )

"""Continuity, error and identity switches of one target over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cooperative_isac.scene.model import Tracking

# s by which an absence may exceed max_coast_s: stamps are sums of frame periods and never exact.
STAMP_TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class TargetScore:
    """The score of one target.

    continuity: fraction of counted frames with an error below the threshold; None without frames
    rmse_m: over the counted frames in which it was tracked, m; None without
    identity_switches: changes of its track
    frames: counted frames
    """

    continuity: float | None
    rmse_m: float | None
    identity_switches: int
    frames: int


class TargetLog:
    """Running figures of one target, frame by frame; a run of any length takes the same memory.

    Continuity is the fraction of counted frames with an error below threshold_m (DC section II-B).
    The first confirm_window frames of an appearance do not count towards continuity and error, as a
    tracker may take so long to confirm. A target appears anew after an absence of more than
    max_coast_s, over which no track has to coast.
    """

    def __init__(self, threshold_m: float, settings: Tracking):
        self._threshold_m = threshold_m
        self._settings = settings

        # The current appearance.
        self._last_seen_s = -math.inf
        self._appearance_frames = 0
        self._track_id: int | None = None

        # All counted frames.
        self._counted = 0
        self._accurate = 0
        self._tracked = 0
        self._switches = 0
        self._squared_errors_m2 = 0.0

    def mark_present(self, time_s: float) -> None:
        """Note that the target is present at a time; begin a new appearance after an absence."""
        absence_s = time_s - self._last_seen_s
        self._last_seen_s = time_s
        longest_s = self._settings.max_coast_s + STAMP_TOLERANCE_S
        if absence_s < 0 or absence_s > longest_s:
            self._appearance_frames = 0
            self._track_id = None

    @property
    def is_confirming(self) -> bool:
        """True until the frames of the current appearance exceed those of confirmation."""
        return self._appearance_frames <= self._settings.confirm_window

    def add(self, track_id: int | None, error_m: float) -> None:
        """Count a frame with the target's track and its error, m; None and inf without a track."""
        # Identity switches also count while a tracker may be confirming.
        self._appearance_frames += 1
        if track_id is not None:
            self._switches += self._track_id not in (None, track_id)
            self._track_id = track_id

        # Continuity and error do not.
        if self.is_confirming:
            return

        self._counted += 1
        self._accurate += error_m < self._threshold_m
        if math.isfinite(error_m):
            self._tracked += 1
            self._squared_errors_m2 += error_m**2

    def score(self) -> TargetScore:
        """The score so far."""
        continuity = None
        if self._counted:
            continuity = self._accurate / self._counted
        rmse_m = None
        if self._tracked:
            rmse_m = math.sqrt(self._squared_errors_m2 / self._tracked)
        return TargetScore(continuity, rmse_m, self._switches, self._counted)

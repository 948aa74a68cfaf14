"""What happened to one target over a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.metrics.continuity import identity_switches, sensing_continuity
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.life import expired


@dataclass(frozen=True)
class TargetScore:
    """One target over its counted frames; rmse_m over those in which it was tracked, None without."""

    continuity: float | None
    rmse_m: float | None
    identity_switches: int
    frames: int


class TargetLog:
    """Errors and track of one target, frame by frame.

    The first confirm_window frames of an appearance do not count towards continuity and error: that is how
    long a tracker may take to confirm. A target that was away longer than a track coasts appears anew.
    """

    def __init__(self, settings: Tracking):
        self._settings = settings
        self._seen_s = -np.inf
        self._appearances: list[list[int | None]] = []
        self._errors_m: list[float] = []

    def see(self, time_s: float) -> None:
        """Note that the target is there at time_s, and whether this begins a new appearance."""
        away_s, self._seen_s = time_s - self._seen_s, time_s
        if away_s < 0 or expired(away_s, self._settings):
            self._appearances.append([])

    def add(self, track_id: int | None, error_m: float) -> None:
        """The track that held the target in this frame and its error [m]; None and inf without one."""
        self._appearances[-1].append(track_id)
        if len(self._appearances[-1]) > self._settings.confirm_window:
            self._errors_m.append(error_m)

    def score(self, threshold_m: float) -> TargetScore:
        """The score so far."""
        errors = np.array(self._errors_m)
        tracked = errors[np.isfinite(errors)]
        return TargetScore(
            continuity=sensing_continuity(errors, threshold_m) if len(errors) else None,
            rmse_m=float(np.sqrt(np.mean(tracked ** 2))) if len(tracked) else None,
            identity_switches=sum(identity_switches(ids) for ids in self._appearances), frames=len(errors))

"""One track while it lives: its filter, its life and what is known of its class."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.limits import TRACK_MARGIN, state_problem
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.classify import accumulate, decide, frame_log_odds, log_odds_of
from cooperative_isac.tracking.filters import make_filter
from cooperative_isac.tracking.life import Life, advance, expired
from cooperative_isac.tracking.track import Track, TrackStatus


def start_state(
    value: np.ndarray, covariance: np.ndarray, max_speed_mps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [6] and covariance [6, 6] of a track's start: the detection, and velocities near
    max_speed_mps.

    value: [6], position and velocity; covariance: [6, 6]; float64, SI, map. The prior matters only
    where the detection says little of the velocity.
    """
    gain = covariance[:, 3:] @ np.linalg.inv(covariance[3:, 3:] + max_speed_mps**2 * np.eye(3))
    return value - gain @ value[3:], covariance - gain @ covariance[3:, :]


class LiveTrack:
    """A track that was born at time_s from one detection, value [6] and covariance [6, 6]."""

    def __init__(
        self,
        track_id: int,
        time_s: float,
        value: np.ndarray,
        covariance: np.ndarray,
        settings: Tracking,
        dimension: int,
    ):
        self.track_id, self._settings, self._dimension = track_id, settings, dimension
        self.filter = make_filter(settings, *start_state(value, covariance, settings.max_speed_mps))
        self._born_s, self.updated_s = time_s, time_s
        self.unobserved_s = 0.0  # of the time since the last detection
        self.life, self._log_odds, self._num_detections = Life(), 0.0, 0
        self._count(time_s)

    @property
    def alive(self) -> bool:
        """Whether the track goes on."""
        return self.life.status is not TrackStatus.DELETED

    @property
    def problem(self) -> str | None:
        """What makes the state no valid one, in words, or None."""
        mean = self.filter.mean
        return state_problem(mean[:3], mean[3:], self.filter.covariance, TRACK_MARGIN)

    def hit(self, time_s: float, value: np.ndarray, covariance: np.ndarray) -> None:
        """A detection of this frame, value [6] and covariance [6, 6], belongs to the track."""
        self.filter.update(value, covariance)
        self._count(time_s)

    def miss(self, time_s: float, observed: bool = True) -> None:
        """No detection of this frame belongs to the track; observed: whether one was to be
        expected.
        """
        self.life = advance(
            self.life, False, time_s - self.updated_s, self._settings, self.unobserved_s, observed
        )

    def has_expired(self, time_s: float) -> bool:
        """Whether the track has coasted too long to take a detection."""
        return expired(time_s - self.updated_s, self._settings, self.unobserved_s)

    def _count(self, time_s: float) -> None:
        self.updated_s = time_s
        self.unobserved_s = 0.0
        self._num_detections += 1
        self.life = advance(self.life, True, 0.0, self._settings)
        added = frame_log_odds(
            self.filter.mean, self.filter.covariance, self._settings, self._dimension
        )
        self._log_odds = accumulate(self._log_odds, added)

    def snapshot(self, time_s: float) -> Track:
        """The track as others see it, at time_s."""
        target_class, probability = decide(self._log_odds)
        mean = self.filter.mean
        return Track(
            track_id=self.track_id,
            status=self.life.status,
            target_class=target_class,
            class_probability=probability,
            position_m=mean[:3],
            velocity_mps=mean[3:],
            covariance=self.filter.covariance,
            age_s=time_s - self._born_s,
            since_update_s=time_s - self.updated_s,
            num_detections=self._num_detections,
        )


def restored_track(track: Track, time_s: float, settings: Tracking, dimension: int) -> LiveTrack:
    """The live track that goes on from a snapshot of an established track, taken at time_s."""
    value = np.concatenate([track.position_m, track.velocity_mps])
    live = LiveTrack(
        track.track_id, time_s - track.age_s, value, track.covariance, settings, dimension
    )

    # A detection would be an update of the prior of a newborn track; this is the posterior itself.
    live.filter = make_filter(settings, value, track.covariance)
    live.life = Life(track.status)
    live.updated_s = time_s - track.since_update_s
    live._num_detections = track.num_detections
    live._log_odds = log_odds_of(track.target_class, track.class_probability)
    return live

"""Tracks: the state of one target after one frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from cooperative_isac.scene.model import TargetClass


class TrackStatus(Enum):
    """Track life; the numbers are those of cooperative_isac_msgs/Track."""

    TENTATIVE = 0
    CONFIRMED = 1
    COASTING = 2
    DELETED = 3


# Status of a track that stands for a target: such tracks are scored, shown, published and kept.
ESTABLISHED = (TrackStatus.CONFIRMED, TrackStatus.COASTING)
# The same as a Track message and a record hold it.
ESTABLISHED_NUMBERS = tuple(status.value for status in ESTABLISHED)


@dataclass(frozen=True)
class Track:
    """A snapshot of one track. position_m, velocity_mps: [3] in map; covariance: [6, 6] of both,
    SI.
    """

    track_id: int
    status: TrackStatus
    target_class: TargetClass
    class_probability: float
    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    age_s: float
    since_update_s: float
    num_detections: int

"""Tracks: the state of one target after one frame, with its identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from cooperative_isac.scene.model import TargetClass


class TrackStatus(Enum):
    """Status of a track; the numbers are those of cooperative_isac_msgs/Track."""

    TENTATIVE = 0
    CONFIRMED = 1
    COASTING = 2
    DELETED = 3


# Status of established tracks: these are scored, shown, published and saved.
ESTABLISHED = (TrackStatus.CONFIRMED, TrackStatus.COASTING)

# Their numbers in Track messages and records.
ESTABLISHED_NUMBERS = tuple(status.value for status in ESTABLISHED)


@dataclass(frozen=True)
class Track:
    """Snapshot of one track.

    track_id: identity, never given to another target
    status: stage of its life
    target_class: UAV, vehicle, or unknown
    class_probability: of the class; of the likelier one where it is unknown
    position_m: [3], float64, m, map
    velocity_mps: [3], float64, m/s, map
    covariance: [6, 6], float64, SI, of position and velocity
    age_s: time since the first detection, s
    since_update_s: time since the last detection, s
    num_detections: number of detections that updated it
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


def renamed(tracks: Mapping[int, Track], names: Mapping[int, int]) -> dict[int, Track]:
    """Tracks by their identities, with other ones by the former ones."""
    found = {}
    for number, track in tracks.items():
        name = names.get(number, number)
        found[name] = track if name == number else replace(track, track_id=name)
    return found

"""What the fusion center says of one target in one frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.limits import state_problem
from cooperative_isac.scene.station import Link

SHAPES = {"position_m": (3,), "velocity_mps": (3,), "covariance": (6, 6)}
PARTIAL = 0  # paths that support a partial detection


@dataclass(frozen=True)
class Detection:
    """One located target.

    position_m, velocity_mps: [3] in map; covariance: [6, 6] of (position, velocity), SI;
    snr_db: after coherent integration, summed over its paths; sites: receivers that support it;
    num_paths: transmitter-receiver paths that support it; PARTIAL: too few, or doubtful ones;
    links: those whose paths support it; empty where the scheme does not tell them apart.
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    snr_db: float
    sites: tuple[str, ...]
    num_paths: int
    links: tuple[Link, ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether it may update tracks but start none: what some receivers see while others are
        missing.
        """
        return self.num_paths == PARTIAL


def complete(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """Those that are not partial: what is judged, recorded and published as a point."""
    return tuple(detection for detection in detections if not detection.is_partial)


def detection_problem(detection: Detection) -> str | None:
    """What makes this detection unfit for a tracker, in words, or None; the limits are those of
    scene.limits.
    """
    arrays = {}
    for name, shape in SHAPES.items():
        array = np.asarray(getattr(detection, name), float)
        if array.shape != shape:
            return f"{name} has shape {array.shape}, it must be {shape}"
        arrays[name] = array
    return state_problem(arrays["position_m"], arrays["velocity_mps"], arrays["covariance"])

"""Detections: the state of one target in one frame, without memory of earlier frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.limits import state_problem
from cooperative_isac.scene.station import Link

# Shapes of the arrays of a detection.
SHAPES = {"position_m": (3,), "velocity_mps": (3,), "covariance": (6, 6)}

# Number of paths that marks a partial detection.
PARTIAL = 0


@dataclass(frozen=True)
class Evidence:
    """Evidence for a weak detection, against the likeliest other cause of its paths.

    Other causes are noise, and targets at other places whose paths meet here.

    log_likelihood_ratio: of a target with the prior of the scene to the other cause
    log_false_density: logarithm of the density of false detections of as much evidence about this
    state, of all in a frame, in 1/m^D (s/m)^D
    """

    log_likelihood_ratio: float
    log_false_density: float


# Of detections by stations themselves, in arrays and messages.
NO_EVIDENCE = Evidence(0.0, 0.0)


@dataclass(frozen=True)
class Detection:
    """One located target.

    position_m: [3], float64, m, map
    velocity_mps: [3], float64, m/s, map
    covariance: [6, 6], float64, SI, of position and velocity
    snr_db: SNR after coherent integration, summed over its paths, dB
    sites: names of the receivers that detected it
    num_paths: number of paths from a transmitter to a receiver; PARTIAL where they are too few or
        doubtful
    links: links of these paths; empty where the scheme does not report paths link by link
    evidence: of a weak detection; None where stations detected the target by themselves
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    snr_db: float
    sites: tuple[str, ...]
    num_paths: int
    links: tuple[Link, ...] = ()
    evidence: Evidence | None = None

    @property
    def is_partial(self) -> bool:
        """True where it may update tracks but start none, because packets are missing."""
        return self.num_paths == PARTIAL


def complete(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """The detections that are not partial: these are scored, recorded and published as points."""
    return tuple(detection for detection in detections if not detection.is_partial)


def detection_problem(detection: Detection) -> str | None:
    """Reason why a detection is unfit for a tracker (limits of scene.limits), or None."""
    arrays = {}
    for name, shape in SHAPES.items():
        array = np.asarray(getattr(detection, name), float)
        if array.shape != shape:
            return f"{name} has shape {array.shape}, it must be {shape}"
        arrays[name] = array
    return state_problem(arrays["position_m"], arrays["velocity_mps"], arrays["covariance"])

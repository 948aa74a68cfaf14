"""What the fusion centre says of one target in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One located target. position_m, velocity_mps: [3] in map; covariance: [6, 6] of (position, velocity), SI;

    snr_db: after coherent integration, summed over its paths; sites: receivers that support it;
    num_paths: transmitter-receiver paths that support it.
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    snr_db: float
    sites: tuple[str, ...]
    num_paths: int

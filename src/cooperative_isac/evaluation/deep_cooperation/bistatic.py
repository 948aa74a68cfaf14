"""Errors and bounds of a path between two stations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import ChannelMatrix, PathEstimate, path_information


def path_errors(path: PathEstimate, delay_s: float, path_speed_mps: float) -> dict[str, float]:
    """Errors of length in m and of speed in m/s, by quantity.

    path: the estimate
    delay_s: true delay of the path, s
    path_speed_mps: true speed at which the path shortens, m/s
    """
    return {
        "path_m": LIGHT_SPEED_MPS * (path.delay_s - delay_s),
        "path_speed_mps": path.path_speed_mps - path_speed_mps,
    }


def path_bounds(matrices: Sequence[ChannelMatrix], snrs: Sequence[float]) -> dict[str, float]:
    """Root Cramer-Rao bounds of length in m and of speed in m/s, by quantity.

    matrices: the grids, one a band or antenna, with an unknown amplitude in each
    snrs: [num_bands], float64, power ratio of the path to the noise on one resource element
    """
    covariance = np.linalg.inv(path_information(matrices, snrs))
    delay_std_s, speed_std_mps = np.sqrt(np.diag(covariance))
    return {
        "path_m": float(LIGHT_SPEED_MPS * delay_std_s),
        "path_speed_mps": float(speed_std_mps),
    }

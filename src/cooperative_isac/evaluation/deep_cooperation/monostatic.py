"""Errors and bounds of a station that receives its own echoes: half of those of the path."""

from __future__ import annotations

from collections.abc import Sequence

from cooperative_isac.estimation import ChannelMatrix, PathEstimate
from cooperative_isac.evaluation.deep_cooperation.bistatic import path_bounds, path_errors


def target_errors(path: PathEstimate, delay_s: float, path_speed_mps: float) -> dict[str, float]:
    """Errors of range in m and of velocity in m/s, by quantity.

    path: the estimate
    delay_s: true delay of the path, s
    path_speed_mps: true speed at which the path shortens, m/s
    """
    return _halved(path_errors(path, delay_s, path_speed_mps))


def target_bounds(matrices: Sequence[ChannelMatrix], snrs: Sequence[float]) -> dict[str, float]:
    """Root Cramer-Rao bounds of range in m and of velocity in m/s, by quantity.

    matrices: the grids, one a band or antenna, with an unknown amplitude in each
    snrs: [num_bands], float64, power ratio of the path to the noise on one resource element
    """
    return _halved(path_bounds(matrices, snrs))


def _halved(of_path: dict[str, float]) -> dict[str, float]:
    """Range and velocity of a target from length and speed of its path there and back."""
    return {
        "range_m": of_path["path_m"] / 2,
        "velocity_mps": of_path["path_speed_mps"] / 2,
    }

"""Figures 5a and 5b: range and velocity from a high band, a low band, and both (DC section VI-A).

The high band is 24 GHz with 120 kHz between subcarriers, the low band 5.9 GHz with 30 kHz. The
target's path has an unknown phase in each band.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import (
    ChannelMatrix,
    channel_matrix,
    estimate_path,
    threshold_error,
)
from cooperative_isac.estimation.threshold import resolution_cells
from cooperative_isac.evaluation.deep_cooperation.draws import (
    echo_of_path,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.monostatic import target_bounds, target_errors

# Size of a frame, the same in both bands.
NUM_SUBCARRIERS = 128
NUM_SYMBOLS = 32

# Target of a run: ranges and radial velocities of UAVs about a site, and the windows of the
# search, which leave room for errors on both sides.
RANGES_M = (60.0, 240.0)
VELOCITIES_MPS = (-30.0, 30.0)
SEARCH_DELAYS_S = (0.0, 2 * 300.0 / LIGHT_SPEED_MPS)
SEARCH_SPEEDS_MPS = (-2 * 50.0, 2 * 50.0)

# Targets over which the theory is averaged: midpoints of equal parts of both intervals.
THEORY_RANGES_M = (90.0, 150.0, 210.0)
THEORY_VELOCITIES_MPS = (-20.0, 0.0, 20.0)

# SNR of one resource element, dB, from below the threshold to where errors are small.
SNRS_DB = (-28.0, -26.0, -25.0, -24.0, -23.0, -22.0, -21.0, -20.0, -18.0, -15.0, -10.0, -5.0)

# With a link budget of equal power, antennas and noise figure: the low band's spreading loss is
# 12.2 dB less, and its noise 6 dB less in a quarter of the subcarrier's bandwidth, at the same
# radar cross-section and with antennas of equal gain.
LOW_BAND_GAIN_DB = 12.2 + 6.0

# Shares of outliers in the picture: from one in 1000 runs on.
SHARES = (1e-3, 1.0)

CURVES = {
    "24 GHz, 120 kHz": ("high",),
    "5.9 GHz, 30 kHz": ("low",),
    "both bands": ("high", "low"),
}
QUANTITIES = {
    "range_m": Quantity("RMSE of range (m)"),
    "velocity_mps": Quantity("RMSE of radial velocity (m/s)"),
    "outlier": Quantity("share of outliers", "mean", limits=SHARES),
}


@dataclass(frozen=True)
class _Band:
    carrier_hz: float
    spacing_hz: float


BANDS = {"high": _Band(24e9, 120e3), "low": _Band(5.9e9, 30e3)}


def multi_band(name: str, *, link_budget: bool) -> Experiment:
    """The experiment of figures 5a and 5b, which share their runs.

    name: name of the figure
    link_budget: with the low band's advantage in spreading loss and noise; otherwise both bands
        have the same SNR
    """
    variant = "with link budget" if link_budget else "equal SNR"
    return Experiment(
        name=name,
        title=f"DC Figs. 5a, 5b: bands alone and together, {variant}",
        axis="SNR of a resource element" + (" in the high band (dB)" if link_budget else " (dB)"),
        values=SNRS_DB,
        quantities=QUANTITIES,
        trial=_trial_with_budget if link_budget else _trial_of_equal_snr,
        bounds=_bounds_with_budget if link_budget else _bounds_of_equal_snr,
        theory=_theory_with_budget if link_budget else _theory_of_equal_snr,
    )


def _equal_snr(snr_db: float) -> dict[str, float]:
    return {"high": snr_db, "low": snr_db}


def _with_budget(snr_db: float) -> dict[str, float]:
    return {"high": snr_db, "low": snr_db + LOW_BAND_GAIN_DB}


def _trial_of_equal_snr(snr_db: float, generator: np.random.Generator) -> Errors:
    return _trial(_equal_snr(snr_db), generator)


def _trial_with_budget(snr_db: float, generator: np.random.Generator) -> Errors:
    return _trial(_with_budget(snr_db), generator)


def _bounds_of_equal_snr(snr_db: float) -> Errors:
    return _bounds(_equal_snr(snr_db))


def _bounds_with_budget(snr_db: float) -> Errors:
    return _bounds(_with_budget(snr_db))


def _theory_of_equal_snr(snr_db: float) -> Errors:
    return _theory(_equal_snr(snr_db))


def _theory_with_budget(snr_db: float) -> Errors:
    return _theory(_with_budget(snr_db))


def _trial(snrs_db: dict[str, float], generator: np.random.Generator) -> Errors:
    """Errors of one run: all curves see the same echoes."""
    range_m = generator.uniform(*RANGES_M)
    velocity_mps = generator.uniform(*VELOCITIES_MPS)
    echoes = {
        band: _echo(band, snr_db, range_m, velocity_mps, generator)
        for band, snr_db in snrs_db.items()
    }

    errors = {}
    for curve, bands in CURVES.items():
        path = estimate_path([echoes[band] for band in bands], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS)
        of_target = target_errors(path, 2 * range_m / LIGHT_SPEED_MPS, 2 * velocity_mps)

        # An outlier is outside the main lobe: a resolution cell off, or more. Cells of the target
        # are half of those of the path.
        cell_s, cell_mps = resolution_cells([_grid(band) for band in bands])
        is_outlier = abs(of_target["range_m"]) >= LIGHT_SPEED_MPS * cell_s / 2
        is_outlier |= abs(of_target["velocity_mps"]) >= cell_mps / 2
        errors[curve] = {**of_target, "outlier": float(is_outlier)}
    return errors


def _theory(snrs_db: dict[str, float]) -> Errors:
    """Root mean squared errors of maximum likelihood with its outliers, and their probability."""
    theory = {}
    for curve, bands in CURVES.items():
        grids = [_grid(band) for band in bands]
        snrs = [10 ** (snrs_db[band] / 10) for band in bands]

        # Mean over targets.
        variances = []
        outlier_probabilities = []
        for range_m, velocity_mps in product(THEORY_RANGES_M, THEORY_VELOCITIES_MPS):
            delay_s = 2 * range_m / LIGHT_SPEED_MPS
            error = threshold_error(
                grids, snrs, SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS, delay_s, 2 * velocity_mps
            )
            variances.append(error.variances)
            outlier_probabilities.append(error.outlier_probability)
        root_s, root_mps = np.sqrt(np.mean(variances, axis=0))
        theory[curve] = {
            "range_m": float(LIGHT_SPEED_MPS * root_s / 2),
            "velocity_mps": float(root_mps / 2),
            "outlier": float(np.mean(outlier_probabilities)),
        }
    return theory


def _bounds(snrs_db: dict[str, float]) -> Errors:
    bounds = {}
    for curve, bands in CURVES.items():
        snrs = [10 ** (snrs_db[band] / 10) for band in bands]
        bounds[curve] = target_bounds([_grid(band) for band in bands], snrs)
    return bounds


def _echo(
    band: str,
    snr_db: float,
    range_m: float,
    velocity_mps: float,
    generator: np.random.Generator,
) -> ChannelMatrix:
    """Channel matrix of one target in unit noise; the target approaches at its velocity."""
    amplitude = 10 ** (snr_db / 20) * random_phase(generator)
    delay_s = 2 * range_m / LIGHT_SPEED_MPS
    return echo_of_path(_grid(band), amplitude, delay_s, 2 * velocity_mps, generator)


@cache
def _grid(band: str) -> ChannelMatrix:
    """Resource elements of a band."""
    spec = BANDS[band]
    return channel_matrix(
        np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), complex),
        spec.carrier_hz,
        spec.spacing_hz,
        symbol_duration_s(spec.spacing_hz),
        1.0,
    )

"""Errors of maximum likelihood near the threshold: closed form of noise, and Monte Carlo runs."""

import numpy as np
import pytest
from channel_draws import channel, empty_grid
from scipy.stats import ncx2

from cooperative_isac.estimation import estimate_path, path_information, threshold_error

LIGHT_SPEED_MPS = 299_792_458
NUM_SUBCARRIERS = 32
NUM_SYMBOLS = 16
HIGH = empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, 24e9, 120e3, 8.92e-6)
LOW = empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, 5.9e9, 30e3, 35.7e-6)

# Cells of the high band, and windows of 28 by 5 of them.
CELL_S = 1 / (NUM_SUBCARRIERS * 120e3)
CELL_MPS = LIGHT_SPEED_MPS / (24e9 * NUM_SYMBOLS * 8.92e-6)
DELAYS_S = (1 * CELL_S, 29 * CELL_S)
SPEEDS_MPS = (-2.5 * CELL_MPS, 2.5 * CELL_MPS)


def element_snr(energy_db):
    return 10 ** (energy_db / 10) / (NUM_SUBCARRIERS * NUM_SYMBOLS)


@pytest.mark.parametrize("energy_db", [10.0, 12.0, 14.0])
def test_outliers_of_one_band_are_maxima_of_noise(energy_db):
    snr = element_snr(energy_db)
    path = (15 * CELL_S, 0.0)
    found = threshold_error([HIGH], [snr], DELAYS_S, SPEEDS_MPS, *path).outlier_probability

    # Mean number of maxima of noise above a height, over the window without the main lobe; the
    # root of the curvature's determinant is pi squared over three in a cell of a full grid.
    energy = 10 ** (energy_db / 10)
    heights = np.linspace(0, 4 * energy + 30, 4000)
    weights = ncx2.pdf(2 * heights, 4, 2 * energy)
    counts = (28 * 5 - 4) * np.pi / 3 * heights * np.exp(-heights)
    expected = weights @ -np.expm1(-counts) / weights.sum()

    # Side lobes of the path add to noise.
    assert expected < found < 1.15 * expected


def monte_carlo(rng, grids, snrs, num_runs):
    """Root mean squared errors of delay and speed in cells."""
    errors = []
    for _ in range(num_runs):
        delay_s = 15.3 * CELL_S
        speed_mps = 0.4 * CELL_MPS
        matrices = [
            channel(
                rng, grid, [(np.sqrt(snr) * np.exp(2j * np.pi * rng.random()), delay_s, speed_mps)]
            )
            for grid, snr in zip(grids, snrs, strict=True)
        ]
        path = estimate_path(matrices, DELAYS_S, SPEEDS_MPS)
        errors.append((path.delay_s - delay_s, path.path_speed_mps - speed_mps))
    return np.sqrt(np.mean(np.square(errors), axis=0))


@pytest.mark.parametrize(
    ("grids", "energy_db"),
    [((HIGH,), 11.0), ((LOW,), 9.0), ((HIGH, LOW), 9.5)],
    ids=["high", "low", "both"],
)
def test_root_errors_below_the_threshold_are_those_of_many_runs(grids, energy_db):
    rng = np.random.default_rng(2)
    snrs = [element_snr(energy_db)] * len(grids)
    theory = threshold_error(grids, snrs, DELAYS_S, SPEEDS_MPS, 15.3 * CELL_S, 0.4 * CELL_MPS)
    measured = monte_carlo(rng, grids, snrs, 1000)

    # Some 30 outliers or more, whose mean square has a deviation of a fifth at most.
    assert 0.03 < theory.outlier_probability < 0.3
    assert measured == pytest.approx(np.sqrt(theory.variances), rel=0.25)


def test_above_the_threshold_the_error_is_the_bound():
    snr = element_snr(20.0)
    theory = threshold_error([HIGH, LOW], [snr, snr], DELAYS_S, SPEEDS_MPS, 15 * CELL_S, 0.0)
    bound = np.linalg.inv(path_information([HIGH, LOW], [snr, snr]))
    assert theory.outlier_probability < 1e-9
    assert theory.variances == pytest.approx(np.diag(bound), rel=1e-3)


def test_a_window_of_the_main_lobe_has_no_outliers():
    path = (15 * CELL_S, 0.0)
    narrow = (14.5 * CELL_S, 15.5 * CELL_S), (-0.5 * CELL_MPS, 0.5 * CELL_MPS)
    theory = threshold_error([HIGH], [element_snr(10)], *narrow, *path)
    assert theory.outlier_probability == 0

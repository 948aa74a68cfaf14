"""Paths off the grid, refined together: likelihood, close paths, several bands, covariances."""

from dataclasses import replace

import numpy as np
import pytest
from channel_draws import channel, complex_normal, empty_grid

from cooperative_isac.estimation import newtonized, newtonized_omp, path_response
from cooperative_isac.estimation.path_likelihood import path_likelihood, used_elements
from cooperative_isac.estimation.range_doppler import delay_speed_map

NUM_SUBCARRIERS = 96
NUM_SYMBOLS = 28
SYMBOL_S = 8.92e-6
CELL_S = 1 / (NUM_SUBCARRIERS * 120e3)
CELL_MPS = 299_792_458 / (24e9 * NUM_SYMBOLS * SYMBOL_S)
WINDOWS = ((0, 60 * CELL_S), (-5 * CELL_MPS, 5 * CELL_MPS))


def holey_grid(rng, carrier_hz=24e9, spacing_hz=120e3, symbol_s=SYMBOL_S):
    mask = rng.random((NUM_SUBCARRIERS, NUM_SYMBOLS)) < 0.2
    return empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, carrier_hz, spacing_hz, symbol_s, mask)


def cells_of(paths):
    return np.array([[path.delay_s / CELL_S, path.path_speed_mps / CELL_MPS] for path in paths])


def least_squares_likelihood(matrix, parameters):
    """Energy in noise variances that the best amplitudes explain, by plain least squares."""
    columns = [path_response(matrix, *path)[matrix.mask] for path in parameters.reshape(-1, 2)]
    measured = matrix.values[matrix.mask]
    amplitudes, *_ = np.linalg.lstsq(np.array(columns).T, measured, rcond=None)
    residual = measured - np.array(columns).T @ amplitudes
    energy = np.sum(np.abs(measured) ** 2) - np.sum(np.abs(residual) ** 2)
    return energy / matrix.noise_power


def test_likelihood_and_gradient_are_those_of_plain_least_squares():
    rng = np.random.default_rng(1)
    grids = [holey_grid(rng), holey_grid(rng, 5.9e9, 30e3, 35.7e-6)]
    truth = np.array([20.0 * CELL_S, 1.0 * CELL_MPS, 20.8 * CELL_S, 1.4 * CELL_MPS])
    paths = [(1.5, *truth[:2]), (1j, *truth[2:])]
    matrices = [channel(rng, grid, paths) for grid in grids]
    bands = [used_elements(matrix) for matrix in matrices]

    trial = truth + np.array([0.1 * CELL_S, 0.1 * CELL_MPS, -0.1 * CELL_S, 0.0])
    likelihood, gradient, _ = path_likelihood(bands, trial)

    def plain(parameters):
        return sum(least_squares_likelihood(matrix, parameters) for matrix in matrices)

    assert likelihood == pytest.approx(plain(trial), rel=1e-9)
    for index, step in enumerate((1e-5 * CELL_S, 1e-5 * CELL_MPS) * 2):
        shift = np.zeros(4)
        shift[index] = step
        slope = (plain(trial + shift) - plain(trial - shift)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, rel=1e-4)


def test_information_is_the_curvature_without_noise():
    rng = np.random.default_rng(2)
    grid = holey_grid(rng)
    truth = np.array([20.0 * CELL_S, 1.0 * CELL_MPS, 20.8 * CELL_S, 1.4 * CELL_MPS])
    values = 1.5 * path_response(grid, *truth[:2]) + 1j * path_response(grid, *truth[2:])
    bands = [used_elements(replace(grid, values=values))]
    _, _, information = path_likelihood(bands, truth)
    steps = 1e-5 * np.array([CELL_S, CELL_MPS, CELL_S, CELL_MPS])
    for index, step in enumerate(steps):
        shift = np.zeros(4)
        shift[index] = step
        after = path_likelihood(bands, truth + shift)[1]
        before = path_likelihood(bands, truth - shift)[1]
        curvature = -(after - before) / (2 * step)
        assert curvature * steps == pytest.approx(information[index] * steps, rel=1e-3)


def test_search_is_the_correlation_with_paths_on_the_grid():
    rng = np.random.default_rng(3)
    grid = holey_grid(rng)
    matrix = channel(rng, grid, [(2.0, 20.3 * CELL_S, 0.4 * CELL_MPS)])
    delays_s = np.linspace(3 * CELL_S, 50 * CELL_S, 95)
    speeds_mps = np.linspace(-4 * CELL_MPS, 3 * CELL_MPS, 13)
    found = newtonized._search(matrix, delays_s, speeds_mps).statistic(matrix.values[matrix.mask])
    correlation = delay_speed_map(matrix, delays_s, speeds_mps)
    expected = np.abs(correlation) ** 2 / np.count_nonzero(matrix.mask)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_paths_closer_than_a_cell_are_all_found_and_no_more():
    rng = np.random.default_rng(4)
    for _ in range(10):
        first = np.array([rng.uniform(10, 40), rng.uniform(-3, 3)])
        cells = first + np.array([[0.0, 0.0], [0.8, 0.3], [1.6, 0.6]])
        paths = [
            (3 * np.exp(2j * np.pi * rng.random()), delay * CELL_S, speed * CELL_MPS)
            for delay, speed in cells
        ]
        found = cells_of(newtonized_omp([channel(rng, holey_grid(rng), paths)], *WINDOWS))
        assert len(found) == 3
        assert found[np.argsort(found[:, 0])] == pytest.approx(cells, abs=0.15)


def test_two_bands_share_delay_and_speed_and_have_amplitudes_of_their_own():
    rng = np.random.default_rng(5)
    grids = [holey_grid(rng), holey_grid(rng, 5.9e9, 30e3, 35.7e-6)]
    delay_s, speed_mps = 20.37 * CELL_S, 1.41 * CELL_MPS
    amplitudes = (0.5 + 0.2j, -1.0j)
    matrices = [
        channel(rng, grid, [(amplitude, delay_s, speed_mps)])
        for grid, amplitude in zip(grids, amplitudes, strict=True)
    ]
    (path,) = newtonized_omp(matrices, *WINDOWS)
    assert cells_of([path])[0] == pytest.approx([20.37, 1.41], abs=0.1)
    assert path.amplitudes == pytest.approx(np.array(amplitudes), abs=0.25)


def test_covariances_are_those_of_the_errors_beside_other_paths():
    rng = np.random.default_rng(6)
    grid = holey_grid(rng)
    cells = np.array([[20.0, 1.0], [21.2, 1.5]])
    nees = []
    for _ in range(60):
        paths = [
            (2 * np.exp(2j * np.pi * rng.random()), delay * CELL_S, speed * CELL_MPS)
            for delay, speed in cells
        ]
        estimates = newtonized_omp([channel(rng, grid, paths)], *WINDOWS)
        found = cells_of(estimates)
        for truth in cells:
            nearest = int(np.argmin(np.abs(found - truth).max(axis=1)))
            error = (found[nearest] - truth) * (CELL_S, CELL_MPS)
            nees.append(error @ np.linalg.inv(estimates[nearest].covariance) @ error)
    # Chi-square of two degrees of freedom: the mean of 120 has a deviation of 0.18.
    assert np.mean(nees) == pytest.approx(2, abs=0.6)


def test_a_window_of_one_delay_is_searched():
    rng = np.random.default_rng(7)
    matrix = channel(rng, holey_grid(rng), [(2.0, 20 * CELL_S, 1.2 * CELL_MPS)])
    (path,) = newtonized_omp([matrix], (20 * CELL_S, 20 * CELL_S), WINDOWS[1])
    assert cells_of([path])[0] == pytest.approx([20, 1.2], abs=0.1)


def test_paths_are_not_more_than_the_elements_determine():
    rng = np.random.default_rng(8)
    mask = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), bool)
    mask[[0, 5, 40, 90], [0, 9, 3, 27]] = True
    grid = empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, 24e9, 120e3, SYMBOL_S, mask)
    for _ in range(20):
        values = np.where(mask, 30 * complex_normal(rng, *mask.shape), 0)
        assert len(newtonized_omp([replace(grid, values=values)], *WINDOWS)) <= 2

"""Sparse recovery over holes, against plain matrices and where zero filling fails."""

import numpy as np
import pytest
from channel_draws import channel, complex_normal, empty_grid

from cooperative_isac.estimation import (
    DelayDopplerGrid,
    ambiguity,
    debiased,
    fista,
    newtonized_omp,
    omp,
    peak_threshold,
    sidelobes,
    unambiguous_delay_cells,
    unambiguous_doppler_cells,
)

NUM_SUBCARRIERS = 96
NUM_SYMBOLS = 28
CELL_S = 1 / (NUM_SUBCARRIERS * 120e3)
CELL_MPS = 299_792_458 / (24e9 * NUM_SYMBOLS * 8.92e-6)


def holey_mask(rng):
    mask = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), bool)
    mask[::2, ::4] = True
    mask[1::4, 2::7] = True
    return mask | (rng.random(mask.shape) < 0.1)


def small_grid(rng):
    mask = rng.random((7, 5)) < 0.6
    return DelayDopplerGrid(mask, 9, 6)


def dense_dictionary(grid):
    rows, columns = np.nonzero(grid.mask)
    atoms = []
    for k in range(grid.num_delays):
        for m in range(grid.num_dopplers):
            phase = -rows * k / grid.num_delays + columns * m / grid.num_dopplers
            atoms.append(np.exp(2j * np.pi * phase) / np.sqrt(len(rows)))
    return np.array(atoms).T


def test_transforms_equal_the_dense_dictionary():
    rng = np.random.default_rng(1)
    grid = small_grid(rng)
    dense = dense_dictionary(grid)
    cells = complex_normal(rng, 9, 6)
    values = complex_normal(rng, 7, 5)
    assert grid.synthesize(cells)[grid.mask] == pytest.approx(dense @ cells.reshape(-1))
    expected = dense.conj().T @ values[grid.mask]
    assert grid.correlate(values).reshape(-1) == pytest.approx(expected)
    largest = np.linalg.norm(dense, 2) ** 2
    assert grid.squared_gain == pytest.approx(largest)


WINDOW = (range(2, 7), range(-2, 2))


@pytest.mark.parametrize("search", [None, WINDOW], ids=["all cells", "window"])
def test_matching_pursuit_equals_plain_least_squares(search):
    rng = np.random.default_rng(2)
    grid = small_grid(rng)
    dense = dense_dictionary(grid)
    values = complex_normal(rng, 7, 5)
    measured = values[grid.mask]
    delays, dopplers = search or (range(9), range(6))
    searched = [k * 6 + m % 6 for k in delays for m in dopplers]

    chosen = []
    residual = measured
    for _ in range(5):
        correlations = np.abs(dense[:, searched].conj().T @ residual)
        chosen.append(searched[int(np.argmax(correlations))])
        solution, *_ = np.linalg.lstsq(dense[:, chosen], measured, rcond=None)
        residual = measured - dense[:, chosen] @ solution
    expected = np.zeros(54, complex)
    expected[chosen] = solution

    assert omp(values, grid, 0.0, 5, search).reshape(-1) == pytest.approx(expected)


def test_matching_pursuit_ends_at_the_threshold():
    rng = np.random.default_rng(7)
    grid = small_grid(rng)
    values = complex_normal(rng, 7, 5)
    strongest = float(np.max(np.abs(grid.correlate(values)) ** 2))
    assert not np.any(omp(values, grid, 1.01 * strongest, 5))
    assert np.count_nonzero(omp(values, grid, 0.99 * strongest, 5)) == 1


def test_fista_satisfies_the_optimality_conditions():
    rng = np.random.default_rng(3)
    grid = small_grid(rng)
    values = np.where(grid.mask, complex_normal(rng, 7, 5), 0)
    shrinkage = 0.7
    cells = fista(values, grid, shrinkage, 3000)
    gradient = grid.correlate(values - grid.synthesize(cells))
    active = np.abs(cells) > 1e-6
    assert np.abs(gradient).max() <= shrinkage * (1 + 1e-3)
    assert gradient[active] == pytest.approx(
        shrinkage * cells[active] / np.abs(cells[active]), abs=1e-3
    )


@pytest.mark.parametrize("method", ["omp", "fista", "newtonized"])
def test_weak_second_target_three_cells_away_is_found(method):
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(20):
        mask = holey_mask(rng)
        delay_s = rng.uniform(10, 40) * CELL_S
        speed_mps = rng.uniform(-3, 3) * CELL_MPS
        phases = np.exp(2j * np.pi * rng.random(2))
        strong = (4 * phases[0], delay_s, speed_mps)
        weak = (0.4 * phases[1], delay_s + 3 * CELL_S, speed_mps)
        matrix = channel(
            rng,
            empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, 24e9, 120e3, 8.92e-6, mask),
            [strong, weak],
        )
        if method == "newtonized":
            paths = newtonized_omp([matrix], (0, 60 * CELL_S), (-5 * CELL_MPS, 5 * CELL_MPS))
            delays = np.array([path.delay_s / CELL_S for path in paths])
            speeds = np.array([path.path_speed_mps / CELL_MPS for path in paths])
        else:
            delays, speeds = on_the_grid(method, matrix)
        near = np.abs(delays - weak[1] / CELL_S) < 0.75
        near &= np.abs(speeds - speed_mps / CELL_MPS) < 0.75
        found += bool(near.any())
    assert found >= 18


def on_the_grid(method, matrix):
    grid = DelayDopplerGrid(matrix.mask, 2 * NUM_SUBCARRIERS, 2 * NUM_SYMBOLS)
    threshold = peak_threshold(matrix.mask.size, 1e-2, 1.0)
    if method == "omp":
        cells = omp(matrix.values, grid, threshold, 20)
    else:
        cells = debiased(matrix.values, grid, fista(matrix.values, grid, np.sqrt(threshold), 100))
    rows, columns = np.nonzero(cells)
    signed = np.where(columns >= NUM_SYMBOLS, columns - 2 * NUM_SYMBOLS, columns)
    return rows / 2, signed / 2


def test_gridless_paths_are_free_of_grid_error_and_false_paths():
    rng = np.random.default_rng(5)
    mask = holey_mask(rng)
    grid = empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, 24e9, 120e3, 8.92e-6, mask)
    matrix = channel(rng, grid, [(3.0, 20.37 * CELL_S, 1.41 * CELL_MPS)])
    paths = newtonized_omp([matrix], (0, 60 * CELL_S), (-5 * CELL_MPS, 5 * CELL_MPS))
    assert len(paths) == 1
    assert paths[0].delay_s / CELL_S == pytest.approx(20.37, abs=0.03)


def test_noise_alone_gives_hardly_a_path():
    rng = np.random.default_rng(6)
    grid = empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, 24e9, 120e3, 8.92e-6)
    counts = [
        len(
            newtonized_omp(
                [channel(rng, grid, [])],
                (0, 60 * CELL_S),
                (-5 * CELL_MPS, 5 * CELL_MPS),
                false_alarm_rate=0.05,
            )
        )
        for _ in range(60)
    ]
    assert np.mean(counts) < 0.15


def test_ambiguity_equals_plain_loops():
    mask = np.random.default_rng(9).random((5, 4)) < 0.5
    response = np.zeros((10, 8), complex)
    for delay in range(10):
        for doppler in range(8):
            for subcarrier, symbol in np.argwhere(mask):
                turns = subcarrier * delay / 10 + symbol * doppler / 8
                response[delay, doppler] += np.exp(-2j * np.pi * turns)
    expected = np.abs(response / mask.sum()) ** 2
    assert ambiguity(mask, oversampling=2) == pytest.approx(expected)


def test_sidelobes_of_a_full_grid_and_of_a_comb():
    full = sidelobes(np.ones((32, 16), bool))
    assert full.peak_db == pytest.approx(-13.2, abs=0.3)

    comb = np.zeros((32, 16), bool)
    comb[::4] = True
    assert sidelobes(comb).peak_db == pytest.approx(0, abs=1e-6)
    assert unambiguous_delay_cells(comb) == 8
    assert unambiguous_doppler_cells(comb) == 16

    staggered = np.zeros((32, 16), bool)
    for symbol in range(16):
        staggered[symbol % 4 :: 4, symbol] = True
    assert unambiguous_delay_cells(staggered) == 32


def test_grid_coarser_than_the_elements_is_refused():
    with pytest.raises(ValueError, match="coarser"):
        DelayDopplerGrid(np.ones((8, 8), bool), 4, 8)

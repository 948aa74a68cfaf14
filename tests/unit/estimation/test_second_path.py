"""Detection of a second path: closed forms of its energy, and Monte Carlo runs of the pursuit."""

import numpy as np
import pytest
from channel_draws import channel, empty_grid

from cooperative_isac.estimation import (
    newtonized_omp,
    second_path_energy,
    second_path_probability,
    two_path_bound,
)

LIGHT_SPEED_MPS = 299_792_458
NUM_SUBCARRIERS = 32
NUM_SYMBOLS = 16
GRID = empty_grid(NUM_SUBCARRIERS, NUM_SYMBOLS, 24e9, 120e3, 8.92e-6)
CELL_S = 1 / (NUM_SUBCARRIERS * 120e3)
CELL_MPS = LIGHT_SPEED_MPS / (24e9 * NUM_SYMBOLS * 8.92e-6)
DELAYS_S = (1 * CELL_S, 20 * CELL_S)
SPEEDS_MPS = (-2.5 * CELL_MPS, 2.5 * CELL_MPS)


def left_energy(cells_apart, amplitudes):
    delays_s = CELL_S * np.array([8.0, 8.0 + cells_apart])
    return second_path_energy(GRID, amplitudes, delays_s, np.zeros(2), DELAYS_S, SPEEDS_MPS)


def test_a_path_in_another_cell_has_all_of_its_energy():
    # Cells of a full grid are orthogonal; the first path moves by a small share of its side lobe.
    energy = NUM_SUBCARRIERS * NUM_SYMBOLS * 0.1**2
    assert left_energy(4, np.array([1.0, 0.1])) == pytest.approx(energy, rel=0.02)
    assert left_energy(4, np.array([10.0, 1.0j])) == pytest.approx(100 * energy, rel=0.02)


def test_one_place_has_one_path():
    assert left_energy(0, np.array([1.0, 0.5j])) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("turn", [0.0, 0.2, 0.5])
def test_paths_nearby_leave_what_no_path_of_a_fine_lattice_explains(turn):
    amplitudes = np.array([1.0, np.exp(2j * np.pi * turn)])
    over_frequency = [np.exp(-2j * np.pi * np.arange(32) * cells / 32) for cells in (8.0, 8.6)]
    echo = amplitudes @ np.array(over_frequency)

    # Delays a hundredth of a cell apart; the second dimension only multiplies the energy.
    trials = np.exp(-2j * np.pi * np.outer(np.arange(2, 20, 0.01), np.arange(32)) / 32)
    explained = np.abs(trials.conj() @ echo) ** 2 / 32
    expected = NUM_SYMBOLS * (np.sum(np.abs(echo) ** 2) - explained.max())
    assert left_energy(0.6, amplitudes) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("energy_db", [9.0, 11.5, 14.0])
def test_the_pursuit_detects_as_many_second_paths(energy_db):
    snrs = 10 ** (np.array([25.0, energy_db]) / 10) / (NUM_SUBCARRIERS * NUM_SYMBOLS)
    delays_s = CELL_S * np.array([8.3, 11.8])
    speeds_mps = CELL_MPS * np.array([0.2, 0.2])
    expected = second_path_probability(
        GRID, np.sqrt(snrs), delays_s, speeds_mps, DELAYS_S, SPEEDS_MPS
    )

    rng = np.random.default_rng(3)
    num_runs = 150
    num_found = 0
    for _ in range(num_runs):
        amplitudes = np.sqrt(snrs) * np.exp(2j * np.pi * rng.random(2))
        matrix = channel(rng, GRID, list(zip(amplitudes, delays_s, speeds_mps)))
        paths = newtonized_omp([matrix], DELAYS_S, SPEEDS_MPS)
        num_found += len(paths) > 1

    # Maxima of noise add a little to the theory.
    deviation = np.sqrt(max(expected * (1 - expected), 0.01) / num_runs)
    assert expected - 3 * deviation < num_found / num_runs < expected + 0.05 + 3 * deviation


def test_the_bound_of_two_paths_is_that_of_their_derivatives():
    amplitudes = np.array([0.8, 0.3 - 0.4j])
    parameters = np.array([8.0 * CELL_S, 0.3 * CELL_MPS, 8.7 * CELL_S, -0.4 * CELL_MPS])
    steps = 1e-4 * np.array([CELL_S, CELL_MPS, CELL_S, CELL_MPS])

    def echo(delays_and_speeds):
        """Echo of both paths, from delays and Doppler shifts element by element."""
        paths = zip(amplitudes, delays_and_speeds[::2], delays_and_speeds[1::2])
        frequency_hz, time_s = np.meshgrid(GRID.frequency_hz, GRID.time_s, indexing="ij")
        shortened = [
            amplitude
            * np.exp(-2j * np.pi * frequency_hz * delay_s)
            * np.exp(2j * np.pi * (24e9 + frequency_hz) * speed_mps * time_s / LIGHT_SPEED_MPS)
            for amplitude, delay_s, speed_mps in paths
        ]
        return np.stack(shortened).reshape(2, -1)

    # Numerical derivatives by delays and speeds, and those by real and imaginary amplitudes.
    columns = []
    for index, step in enumerate(steps):
        ahead = parameters + step * (np.arange(4) == index)
        behind = parameters - step * (np.arange(4) == index)
        columns.append((echo(ahead) - echo(behind)).sum(axis=0) / (2 * step))
    units = echo(parameters) / amplitudes[:, None]
    slopes = np.stack([*columns, *units, *(1j * units)], axis=1)
    information = 2 * np.real(slopes.conj().T @ slopes)

    bound = two_path_bound(GRID, amplitudes, parameters[::2], parameters[1::2])
    expected = np.linalg.inv(information)[:4, :4]
    scale = np.sqrt(np.multiply.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(bound / scale, expected / scale, atol=2e-4)

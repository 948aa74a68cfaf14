"""Delay and speed of a path at the Cramer-Rao bound, over one band and several."""

import numpy as np
import pytest
from channel_draws import channel, empty_grid
from scipy.optimize import minimize

from cooperative_isac.estimation import (
    delay_speed_map,
    detection_statistic,
    estimate_path,
    path_information,
    path_response,
    refine_path,
    reorganize,
)

HIGH = empty_grid(64, 32, 24e9, 120e3, 8.92e-6)
LOW = empty_grid(64, 32, 5.9e9, 30e3, 35.7e-6)
DELAYS_S = (0.0, 3e-6)
SPEEDS_MPS = (-80.0, 80.0)


@pytest.mark.parametrize("grids", [[HIGH], [LOW], [HIGH, LOW]], ids=["high", "low", "both"])
def test_estimate_reaches_the_bound(grids):
    rng = np.random.default_rng(21)
    snr = 0.1
    errors = []
    for _ in range(150):
        delay_s = rng.uniform(0.2e-6, 2e-6)
        speed_mps = rng.uniform(-60, 60)
        matrices = [
            channel(
                rng, grid, [(np.sqrt(snr) * np.exp(2j * np.pi * rng.random()), delay_s, speed_mps)]
            )
            for grid in grids
        ]
        path = estimate_path(matrices, DELAYS_S, SPEEDS_MPS)
        errors.append((path.delay_s - delay_s, path.path_speed_mps - speed_mps))
    bound = np.diag(np.linalg.inv(path_information(grids, [snr] * len(grids))))
    ratio = np.sqrt(np.mean(np.square(errors), axis=0) / bound)
    assert np.all(ratio > 0.85)
    assert np.all(ratio < 1.15)


def test_estimate_is_the_highest_maximum_between_the_points_of_the_search():
    # Energy of 10 dB after integration: noise often has maxima as high as the path.
    rng = np.random.default_rng(22)
    snr = 10 / HIGH.mask.sum()
    delays_s = np.linspace(*DELAYS_S, 300)
    speeds_mps = np.linspace(*SPEEDS_MPS, 60)
    for _ in range(60):
        delay_s, speed_mps = rng.uniform(0.5e-6, 2.5e-6), rng.uniform(-40, 40)
        matrix = channel(rng, HIGH, [(np.sqrt(snr), delay_s, speed_mps)])
        path = estimate_path([matrix], DELAYS_S, SPEEDS_MPS)
        found = detection_statistic(
            [matrix], np.array([path.delay_s]), np.array([path.path_speed_mps])
        )
        dense = detection_statistic([matrix], delays_s, speeds_mps)
        inner = dense[4:-4, 4:-4]
        assert found[0, 0] > 0.995 * inner.max()
        assert DELAYS_S[0] - 0.05e-6 < path.delay_s < DELAYS_S[1] + 0.05e-6


def test_refinement_is_the_maximum_of_a_foreign_optimizer():
    # Two bands; from a start half a cell of the finer one away.
    rng = np.random.default_rng(23)
    matrices = [channel(rng, grid, [(0.3, 1e-6, 20.0)]) for grid in (HIGH, LOW)]
    scales = np.array([1e-7, 10.0])

    def negative(point):
        delay_s, speed_mps = point * scales
        return -detection_statistic(matrices, np.array([delay_s]), np.array([speed_mps]))[0, 0]

    start = np.array([1.05e-6, 16.0])
    optimum = minimize(
        negative, start / scales, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-9}
    )
    path = refine_path(matrices, start)
    difference = np.array([path.delay_s, path.path_speed_mps]) - optimum.x * scales

    # Within a hundredth of the standard deviation.
    assert difference @ np.linalg.solve(path.covariance, difference) < 1e-4


def test_information_has_the_closed_form_of_a_regular_grid():
    num_subcarriers, num_symbols = HIGH.values.shape
    information = path_information([HIGH], [0.5])
    elements = num_subcarriers * num_symbols
    closed = 0.5 * (2 * np.pi * 120e3) ** 2 * elements * (num_subcarriers**2 - 1) / 6
    assert information[0, 0] == pytest.approx(closed)
    doppler_s = 24e9 / 299_792_458 * 8.92e-6
    closed = 0.5 * (2 * np.pi * doppler_s) ** 2 * elements * (num_symbols**2 - 1) / 6
    assert information[1, 1] == pytest.approx(closed, rel=1e-3)


def test_information_equals_numerical_differences_of_the_likelihood():
    # The log-likelihood of a noiseless channel falls with the curvature of the information.
    grid = HIGH
    truth = np.array([1e-6, 20.0])
    clean = path_response(grid, *truth)
    steps = 0.05 / np.sqrt(np.diag(path_information([grid], [1.0])))

    def concentrated(parameters):
        correlation = np.vdot(path_response(grid, *parameters), clean)
        return abs(correlation) ** 2 / clean.size

    for axis in range(2):
        offset = np.zeros(2)
        offset[axis] = steps[axis]
        curvature = (
            2 * concentrated(truth) - concentrated(truth + offset) - concentrated(truth - offset)
        ) / steps[axis] ** 2
        assert curvature == pytest.approx(path_information([grid], [1.0])[axis, axis], rel=1e-2)


def test_bands_add_their_information():
    both = path_information([HIGH, LOW], [0.2, 0.3])
    assert both == pytest.approx(path_information([HIGH], [0.2]) + path_information([LOW], [0.3]))


def test_map_is_the_discrete_fourier_transform_of_a_regular_grid():
    rng = np.random.default_rng(5)
    matrix = channel(rng, HIGH, [])
    num_subcarriers, num_symbols = matrix.values.shape
    delays_s = np.arange(num_subcarriers) / (num_subcarriers * 120e3)
    turns = np.fft.fftfreq(num_symbols)
    speeds_mps = turns / 8.92e-6 * 299_792_458 / 24e9
    expected = np.fft.fft(np.fft.ifft(matrix.values, axis=0, norm="forward"), axis=1)
    assert delay_speed_map(matrix, delays_s, speeds_mps) == pytest.approx(expected)


def test_statistic_under_noise_has_unit_mean_per_band():
    rng = np.random.default_rng(6)
    delays_s = np.linspace(0, 5e-6, 40)
    speeds_mps = np.linspace(-100, 100, 40)
    matrices = [channel(rng, grid, []) for grid in (HIGH, LOW)]
    assert detection_statistic(matrices, delays_s, speeds_mps).mean() == pytest.approx(2, abs=0.3)


def test_reorganized_bands_have_one_delay_axis():
    placed = reorganize([HIGH, LOW])
    assert placed[0].frequency_hz == pytest.approx(placed[1].frequency_hz)
    assert placed[0].mask[::4].all()
    assert not placed[0].mask[1::4].any()
    assert placed[0].frequency_hz[4] == 120e3


def test_low_band_removes_the_images_of_the_high_band():
    # A path at 10 us is beyond the 8.3 us that a spacing of 120 kHz leaves unambiguous.
    rng = np.random.default_rng(8)
    path = [(1.0, 10e-6, 15.0)]
    high = channel(rng, HIGH, path)
    low = channel(rng, LOW, path)
    window = (0.0, 16e-6)
    fused = estimate_path(reorganize([high, low]), window, (-30.0, 30.0))
    assert fused.delay_s == pytest.approx(10e-6, abs=5e-9)
    images = detection_statistic([high], np.array([10e-6, 10e-6 - 1 / 120e3]), np.array([15.0]))
    assert images[0] == pytest.approx(images[1], rel=1e-6)


def test_spacing_that_is_no_multiple_is_refused():
    odd = empty_grid(16, 8, 3e9, 45e3, 3e-5)
    with pytest.raises(ValueError, match="no multiple"):
        reorganize([LOW, odd])
    with pytest.raises(ValueError, match="window"):
        estimate_path([LOW], (1.0, 0.0), SPEEDS_MPS)

"""Frequencies from subspaces, against bounds, plain loops and closed forms."""

import math

import numpy as np
import pytest
from channel_draws import complex_normal, snapshots

from cooperative_isac.estimation import (
    deterministic_crlb,
    esprit,
    forward_backward,
    music,
    music_mse,
    music_spectrum,
    num_sources_aic,
    num_sources_mdl,
    root_music,
    sample_covariance,
    spatially_smoothed,
    steering,
    stochastic_crlb,
)

FREQUENCIES = np.array([-0.1, 0.03, 0.2])
POWERS = np.array([100.0, 100.0, 200.0])
POSITIONS = np.arange(10.0)
NUM_SNAPSHOTS = 200


def exact_covariance():
    array = steering(FREQUENCIES, POSITIONS)
    return (array * POWERS) @ array.conj().T + np.eye(10)


@pytest.mark.parametrize("method", [music, root_music, esprit])
def test_exact_covariance_gives_exact_frequencies(method):
    assert method(exact_covariance(), 3) == pytest.approx(FREQUENCIES, abs=1e-7)


@pytest.mark.parametrize("method", [music, root_music, esprit])
def test_rmse_within_a_fifth_of_the_bound_at_high_snr(method):
    rng = np.random.default_rng(31)
    errors = [
        method(sample_covariance(snapshots(rng, FREQUENCIES, POSITIONS, POWERS, NUM_SNAPSHOTS)), 3)
        - FREQUENCIES
        for _ in range(400)
    ]
    bound = stochastic_crlb(FREQUENCIES, POSITIONS, POWERS, 1.0, NUM_SNAPSHOTS)
    ratio = np.sqrt(np.mean(np.square(errors)) / np.mean(np.diag(bound)))
    assert 0.9 < ratio < 1.2


def test_neighboring_subarrays_waste_aperture():
    rng = np.random.default_rng(5)
    covariances = [
        sample_covariance(snapshots(rng, FREQUENCIES, POSITIONS, POWERS, NUM_SNAPSHOTS))
        for _ in range(200)
    ]
    neighbors = np.mean([(esprit(c, 3, displacement=1) - FREQUENCIES) ** 2 for c in covariances])
    third = np.mean([(esprit(c, 3) - FREQUENCIES) ** 2 for c in covariances])
    assert neighbors > 1.3 * third


def test_spectrum_equals_plain_loops():
    covariance = exact_covariance()
    _, vectors = np.linalg.eigh(covariance)
    frequencies = np.linspace(-0.5, 0.5, 7)
    expected = []
    for frequency in frequencies:
        leakage = 0.0
        for column in range(7):
            product = 0.0
            for sensor in range(10):
                phase = np.exp(2j * np.pi * frequency * POSITIONS[sensor])
                product += vectors[sensor, column].conj() * phase
            leakage += abs(product) ** 2 / 10
        expected.append(1 / leakage)
    assert music_spectrum(covariance, 3, frequencies) == pytest.approx(expected, rel=1e-6)


def test_one_source_reaches_the_closed_form():
    # 6 / (snapshots snr N (N^2 - 1)) / (2 pi)^2 for one source of high SNR.
    bound = stochastic_crlb(np.array([0.1]), np.arange(8.0), np.array([1e4]), 1.0, 50)
    closed = 6 / (50 * 1e4 * 8 * (8**2 - 1)) / (2 * np.pi) ** 2
    assert bound[0, 0] == pytest.approx(closed, rel=1e-3)


def test_deterministic_bound_is_the_inverse_of_the_whole_information():
    # Fisher information of frequencies and of both parts of every amplitude, by differences.
    amplitudes = complex_normal(np.random.default_rng(8), 3, 4)
    noise_power = 0.5

    def mean(parameters):
        parts = parameters[3:].reshape(2, 3, 4)
        return steering(parameters[:3], POSITIONS) @ (parts[0] + 1j * parts[1])

    parameters = np.concatenate([FREQUENCIES, amplitudes.real.ravel(), amplitudes.imag.ravel()])
    steps = 1e-6 * np.eye(len(parameters))
    slopes = np.stack(
        [(mean(parameters + step) - mean(parameters - step)).ravel() / 2e-6 for step in steps]
    )
    information = 2 / noise_power * np.real(slopes.conj() @ slopes.T)
    bound = deterministic_crlb(FREQUENCIES, POSITIONS, amplitudes, noise_power)
    assert bound == pytest.approx(np.linalg.inv(information)[:3, :3], rel=1e-5)


def test_analytic_error_of_music_meets_the_bound_at_high_snr():
    analytic = music_mse(FREQUENCIES, POSITIONS, POWERS, 1.0, NUM_SNAPSHOTS)
    bound = stochastic_crlb(FREQUENCIES, POSITIONS, POWERS, 1.0, NUM_SNAPSHOTS)
    assert analytic == pytest.approx(np.diag(bound), rel=0.01)


def test_coherent_sources_need_smoothing():
    rng = np.random.default_rng(2)
    amplitude = rng.normal(size=100) + 1j * rng.normal(size=100)
    coherent = np.stack([amplitude, 0.8j * amplitude])
    frequencies = np.array([-0.12, 0.05])
    echoes = steering(frequencies, POSITIONS) @ coherent
    echoes = echoes + 0.01 * (rng.normal(size=echoes.shape) + 1j * rng.normal(size=echoes.shape))

    smoothed = root_music(spatially_smoothed(echoes, 6), 2)
    plain = root_music(sample_covariance(echoes), 2)

    assert smoothed == pytest.approx(frequencies, abs=1e-3)
    assert np.abs(plain - frequencies).max() > 1e-2


def test_forward_backward_restores_the_rank_of_two_coherent_sources():
    frequencies = np.array([-0.12, 0.05])
    array = steering(frequencies, POSITIONS)
    signal = array @ np.array([1.0, 1j])
    covariance = np.multiply.outer(signal, signal.conj())
    assert np.linalg.matrix_rank(covariance, tol=1e-9) == 1
    assert np.linalg.matrix_rank(forward_backward(covariance), tol=1e-9) == 2


def test_model_order():
    rng = np.random.default_rng(7)
    aic = []
    mdl = []
    for _ in range(100):
        echoes = snapshots(rng, FREQUENCIES, POSITIONS, POWERS / 100, NUM_SNAPSHOTS)
        eigenvalues = np.linalg.eigvalsh(sample_covariance(echoes))
        aic.append(num_sources_aic(eigenvalues, NUM_SNAPSHOTS))
        mdl.append(num_sources_mdl(eigenvalues, NUM_SNAPSHOTS))
    assert np.mean(np.equal(mdl, 3)) >= 0.95
    assert np.mean(np.equal(aic, 3)) >= 0.75
    assert min(aic) >= 3


@pytest.mark.parametrize(
    ("eigenvalues", "num_sources"),
    [
        ([9.0, 5, 1, 1, 1, 1], 2),
        ([1.0, 1, 1, 1, 1, 1], 0),
        ([9.0, 1.02, 1.0, 1, 0.99, 0.98], 1),
    ],
)
def test_order_counts_the_large_eigenvalues(eigenvalues, num_sources):
    assert num_sources_aic(np.array(eigenvalues), 1000) == num_sources


def plain_order(eigenvalues, num_snapshots, penalty_per_parameter):
    """Number of sources by an information criterion in plain loops, on products of eigenvalues.

    Source: Wax, Kailath, IEEE Trans. ASSP 33(2), 1985, eqs. (16) and (17).
    """
    descending = sorted(eigenvalues, reverse=True)
    num_sensors = len(descending)
    best = math.inf
    order = -1
    for k in range(num_sensors):
        # Likelihood of equal noise eigenvalues: geometric over arithmetic mean.
        product = 1.0
        total = 0.0
        for eigenvalue in descending[k:]:
            product *= eigenvalue
            total += eigenvalue
        num_noise = num_sensors - k
        ratio = product ** (1 / num_noise) / (total / num_noise)
        log_likelihood = num_noise * num_snapshots * math.log(ratio)

        # Free parameters: k (2 p - k), without the noise power, which all orders have.
        parameters = k * (2 * num_sensors - k)
        criterion = -2 * log_likelihood + penalty_per_parameter * parameters
        if criterion < best:
            best = criterion
            order = k
    return order


def test_model_order_is_that_of_plain_loops():
    rng = np.random.default_rng(17)
    orders = []
    for _ in range(300):
        # Sources from far below to far above the noise, few snapshots and many.
        num_snapshots = int(rng.integers(len(POSITIONS), 200))
        powers = 10 ** rng.uniform(-2, 1, len(FREQUENCIES))
        echoes = snapshots(rng, FREQUENCIES, POSITIONS, powers, num_snapshots)
        eigenvalues = np.linalg.eigvalsh(sample_covariance(echoes))

        aic = num_sources_aic(eigenvalues, num_snapshots)
        mdl = num_sources_mdl(eigenvalues, num_snapshots)
        assert aic == plain_order(eigenvalues, num_snapshots, 2)
        assert mdl == plain_order(eigenvalues, num_snapshots, math.log(num_snapshots))
        orders.append((aic, mdl))

    # The draws tell the criteria apart, and have every number of sources.
    assert sum(aic != mdl for aic, mdl in orders) > 30
    assert {0, 1, 2, 3} <= {mdl for _, mdl in orders}


def test_noise_alone_has_no_source():
    rng = np.random.default_rng(8)
    echoes = snapshots(rng, np.zeros(1), POSITIONS, np.zeros(1), NUM_SNAPSHOTS)
    assert num_sources_mdl(np.linalg.eigvalsh(sample_covariance(echoes)), NUM_SNAPSHOTS) == 0


def test_too_many_sources_are_refused():
    with pytest.raises(ValueError, match="10 sources on 10 sensors"):
        music(exact_covariance(), 10)
    with pytest.raises(ValueError, match="take a displacement from 1 to 7"):
        esprit(exact_covariance(), 3, displacement=8)
    with pytest.raises(ValueError, match="smallest eigenvalue"):
        num_sources_mdl(np.array([1.0, 0.0]), 10)

"""Sparse arrays: more sources than sensors, and what that costs."""

import numpy as np
import pytest
from channel_draws import snapshots

from cooperative_isac.estimation import (
    augmented_covariance,
    coarray_music_mse,
    coarray_weights,
    coprime_positions,
    nested_positions,
    product_snr,
    root_music,
    sample_covariance,
    smoothed_covariance,
    uniform_lags,
    virtual_snapshot,
)

ELEVEN = (np.arange(11) - 5) / 12


def test_nested_array_of_six_has_twenty_three_virtual_elements():
    positions = nested_positions(3, 3)
    assert len(positions) == 6
    assert 2 * uniform_lags(positions) + 1 == 23


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 5), (4, 7)])
def test_coprime_array_has_the_stated_size(first, second):
    positions = coprime_positions(first, second)
    assert len(positions) == 2 * first + second - 1
    assert uniform_lags(positions) == first * second + first - 1


def test_weights_count_the_pairs():
    positions = nested_positions(2, 2)
    lags, weights = coarray_weights(positions)
    expected = {}
    for one in positions:
        for other in positions:
            expected[one - other] = expected.get(one - other, 0) + 1
    assert dict(zip(lags.tolist(), weights.tolist(), strict=True)) == expected


def test_virtual_snapshot_equals_plain_loops():
    rng = np.random.default_rng(3)
    positions = coprime_positions(2, 3)
    echoes = snapshots(rng, ELEVEN[:2], positions, np.ones(2), 20)
    covariance = sample_covariance(echoes)
    largest = uniform_lags(positions)
    expected = np.zeros(2 * largest + 1, complex)
    for lag in range(-largest, largest + 1):
        products = [
            covariance[i, j]
            for i, p in enumerate(positions)
            for j, q in enumerate(positions)
            if p - q == lag
        ]
        expected[lag + largest] = np.mean(products)
    assert virtual_snapshot(covariance, positions) == pytest.approx(expected)


def test_six_elements_resolve_eleven_sources_at_the_analytic_error():
    rng = np.random.default_rng(11)
    positions = nested_positions(3, 3)
    powers = np.full(11, 10.0)
    errors = []
    for _ in range(200):
        echoes = snapshots(rng, ELEVEN, positions, powers, 1000)
        covariance = smoothed_covariance(sample_covariance(echoes), positions)
        errors.append(root_music(covariance, 11) - ELEVEN)
    analytic = coarray_music_mse(ELEVEN, positions, powers, 1.0, 1000)
    ratio = np.sqrt(np.mean(np.square(errors)) / np.mean(analytic))
    assert 0.9 < ratio < 1.1


def test_coprime_array_of_ten_resolves_twelve_sources_at_the_analytic_error():
    rng = np.random.default_rng(12)
    positions = coprime_positions(3, 5)
    assert len(positions) == 10
    twelve = (np.arange(12) - 5.5) / 13
    powers = np.full(12, 10.0)
    errors = []
    for _ in range(100):
        echoes = snapshots(rng, twelve, positions, powers, 1000)
        covariance = smoothed_covariance(sample_covariance(echoes), positions)
        errors.append(root_music(covariance, 12) - twelve)
    assert np.abs(errors).max() < np.diff(twelve).min() / 2
    analytic = coarray_music_mse(twelve, positions, powers, 1.0, 1000)
    ratio = np.sqrt(np.mean(np.square(errors)) / np.mean(analytic))
    assert 0.9 < ratio < 1.1


def test_error_saturates_with_as_many_sources_as_sensors():
    positions = nested_positions(3, 3)
    strong = coarray_music_mse(ELEVEN, positions, np.full(11, 1e4), 1.0, 1000)
    stronger = coarray_music_mse(ELEVEN, positions, np.full(11, 1e6), 1.0, 1000)
    assert stronger == pytest.approx(strong, rel=1e-2)


def test_smoothing_squares_the_augmented_covariance():
    rng = np.random.default_rng(4)
    positions = nested_positions(3, 3)
    covariance = sample_covariance(snapshots(rng, ELEVEN, positions, np.ones(11), 50))
    augmented = augmented_covariance(covariance, positions)
    smoothed = smoothed_covariance(covariance, positions)
    assert augmented @ augmented / len(augmented) == pytest.approx(smoothed)


def test_loss_of_products_by_simulation():
    # Mean power of the product's signal over the variance of its noise, at 0 and at -10 dB.
    rng = np.random.default_rng(9)
    for snr in (1.0, 0.1):
        amplitude = np.sqrt(snr)
        shape = (2, 400_000)
        draws = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)
        products = (amplitude + draws[0]) * (amplitude + draws[1]).conj()
        measured = abs(products.mean()) ** 2 / products.var()
        assert 10 * np.log10(product_snr(snr) / measured) == pytest.approx(0, abs=0.2)
    assert 10 * np.log10(product_snr(1.0)) == pytest.approx(-4.77, abs=0.01)
    assert 10 * np.log10(product_snr(0.1)) == pytest.approx(-20.79, abs=0.01)


def test_numbers_with_a_common_divisor_are_refused():
    with pytest.raises(ValueError, match="common divisor 2"):
        coprime_positions(4, 6)

"""Precoders against their textbook forms, the power limit, rates by hand."""

import numpy as np
import pytest

from cooperative_isac.pipeline import downlink_channels, transmit
from cooperative_isac.waveform.precoding import PRECODERS, limit_power, precode, user_rates

NUM_GROUPS = 3
NUM_USERS = 4
NUM_ANT = 7


@pytest.fixture
def channels():
    generator = np.random.default_rng(2)
    return generator.standard_normal((NUM_GROUPS, NUM_USERS, NUM_ANT, 2)) @ [1, 1j]


def test_zero_forcing_leaves_no_interference(channels):
    gains = np.abs(channels @ precode("zero_forcing", channels, 1e-3, 1.0))
    wanted = np.diagonal(gains, axis1=1, axis2=2)
    assert np.all(wanted > 0.1)
    assert np.all(gains - wanted[:, None] * np.eye(NUM_USERS) < 1e-12)


def test_mmse_is_the_regularized_inverse_of_the_covariance(channels):
    # w_k is along (sum_l h_l h_l^H + K sigma^2 / P I)^-1 h_k: the other side of the matrix
    # inversion lemma.
    noise = 0.7
    power = 2.0
    found = precode("mmse", channels, noise, power)
    for group in range(NUM_GROUPS):
        covariance = NUM_USERS * noise / power * np.eye(NUM_ANT, dtype=complex)
        for row in channels[group]:
            covariance += np.outer(row.conj(), row)
        for user, row in enumerate(channels[group]):
            direction = np.linalg.solve(covariance, row.conj())
            assert np.allclose(found[group, :, user], direction / np.linalg.norm(direction))


@pytest.mark.parametrize(("noise", "limit"), [(1e-9, "zero_forcing"), (1e9, "maximum_ratio")])
def test_mmse_is_between_zero_forcing_and_maximum_ratio(channels, noise, limit):
    other = {"zero_forcing": "maximum_ratio", "maximum_ratio": "zero_forcing"}[limit]
    found = precode("mmse", channels, noise, 1.0)
    assert np.allclose(found, precode(limit, channels, noise, 1.0), atol=1e-6)
    assert not np.allclose(found, precode(other, channels, noise, 1.0), atol=0.1)


@pytest.mark.parametrize("kind", PRECODERS)
def test_vectors_have_unit_norm(channels, kind):
    assert np.allclose(np.linalg.norm(precode(kind, channels, 0.1, 1.0), axis=1), 1)


def test_an_unknown_precoder_names_the_known_ones(channels):
    with pytest.raises(
        ValueError, match=r"precoder 'dirty_paper' is not known; use one of .*zero_forcing"
    ):
        precode("dirty_paper", channels, 0.1, 1.0)


def test_the_strongest_transmitter_radiates_the_limit(channels):
    antennas = slice(0, 3), slice(3, 7)
    precoders = precode("mmse", channels, 0.1, 1.0)
    limited = limit_power(precoders, antennas, 16, 2.5)
    radiated = [16 * np.sum(np.abs(limited[:, part]) ** 2) for part in antennas]
    assert max(radiated) == pytest.approx(2.5) and min(radiated) < 2.5
    ratio = limited / precoders
    assert np.allclose(ratio, ratio[0, 0, 0]) and ratio[0, 0, 0].imag == 0


@pytest.mark.parametrize("name", ["small", "tilted"])
def test_no_transmitter_of_a_frame_exceeds_its_power(name, request):
    scene = request.getfixturevalue(name)
    frame = transmit(scene, 3)
    gains = np.repeat(frame.precoders, frame.group_size, axis=0)
    radiated = [np.sum(np.abs(gains[:, part]) ** 2) for part in frame.antennas]
    assert max(radiated) == pytest.approx(scene.waveform.power_w, rel=1e-5)
    assert min(radiated) <= max(radiated)


def test_rates_of_an_example_by_hand():
    # Noise 1; user 1 receives 2 and interference of 1, user 2 receives 1 alone; the second group is
    # silent.
    precoders = np.array([[[2, 1], [0, 1]], [[0, 0], [0, 0]]], complex)
    channels = np.broadcast_to(np.eye(2), (2, 2, 2))
    assert np.allclose(
        user_rates(channels, precoders, 1.0), [np.log2(1 + 4 / 2) / 2, np.log2(1 + 1) / 2]
    )


def test_zero_forcing_serves_its_users_at_high_power(tilted):
    channels = downlink_channels(tilted, 0)
    frame = transmit(tilted, 0)
    rates = [
        user_rates(channels, frame.precoders * gain, tilted.users.noise_power_w) for gain in (1, 2)
    ]
    # Without interference four times the power is worth two bits at most, and at high SNR nearly
    # so.
    assert np.all(rates[1] - rates[0] < 2) and np.all(rates[1] > rates[0]) and rates[0].max() > 3

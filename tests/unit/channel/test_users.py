"""Channels to the users: mean power, line of sight, selectivity."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.gain import amplitude_gain
from cooperative_isac.channel.users import group_offsets_hz, user_channels
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.waveform.precoding import precode

PLACES = np.array([[20.0, 30, 1.5], [35, 8, 1.5]])


def with_users(scene, **changes):
    return replace(scene, users=replace(scene.users, **changes))


def channels(scene, num_draws=1):
    return np.array(
        [user_channels(scene, PLACES, np.random.default_rng(seed)) for seed in range(num_draws)]
    )


@pytest.mark.parametrize("factor", [0.0, 4.0])
def test_the_mean_power_is_the_pathloss(tilted, factor):
    drawn = channels(with_users(tilted, rician_factor=factor), 300)
    assert drawn.shape == (300, 4, 2, 10)
    for site, part in zip(tilted.transmitters, (slice(0, 6), slice(6, 10))):
        gains = amplitude_gain(tilted.propagation, np.linalg.norm(PLACES - site.position_m, axis=1))
        power = np.mean(np.abs(drawn[..., part]) ** 2, axis=(0, 1, 3))
        assert power == pytest.approx(gains**2, rel=0.12)


def test_a_beam_to_a_user_covers_a_target_at_its_place(tilted):
    # Communication and sensing must agree on where a precoder radiates: h^H of CF eq. 4 along
    # a_t^T.
    site = tilted.transmitters[0]
    only = channels(with_users(tilted, rician_factor=1e9))[0][:, :1, :6]
    beam = precode("maximum_ratio", only, 1.0, 1.0)[0, :, 0]
    away = PLACES[0] - site.position_m
    steering = steering_vectors(
        site.elements_m, away / np.linalg.norm(away), tilted.grid.wavelength_m
    )
    assert abs(np.dot(steering, beam)) == pytest.approx(1, abs=1e-3)


def test_frequency_correlation_follows_the_delay_spread(tilted):
    # Correlation over f of an exponential profile: 1 / sqrt(1 + (2 pi f s)^2), up to its truncation
    # at 4 s.
    grid = replace(tilted.grid, num_subcarriers=64, subcarrier_stride=1)
    scene = replace(
        with_users(tilted, rician_factor=0.0, delay_spread_s=60e-9),
        waveform=replace(tilted.waveform, grid=grid, group_size=1),
    )
    drawn = channels(scene, 150)
    power = np.mean(np.abs(drawn) ** 2, axis=(0, 1))
    for step in (4, 24):
        together = np.mean(drawn[:, step:] * drawn[:, :-step].conj(), axis=(0, 1)) / power
        turn = 2 * np.pi * step * 240e3 * 60e-9
        assert np.abs(together).mean() == pytest.approx(1 / np.hypot(1, turn), abs=0.12)


def test_groups_stand_for_their_middle(tilted):
    # Three subcarriers, each the fifth of 240 kHz: 0, 1.2 and 2.4 MHz.
    assert np.allclose(group_offsets_hz(tilted.grid, 3)[:2], [1.2e6, 4.8e6])

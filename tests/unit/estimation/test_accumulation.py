"""Gains of accumulation and splicing in decibels, and where they end."""

import numpy as np
import pytest
from channel_draws import channel, complex_normal, empty_grid

from cooperative_isac.estimation import (
    accumulate_coherently,
    accumulate_noncoherently,
    delay_doppler_map,
    estimate_path,
    gain_after_migration,
    migration_gain,
    migration_limit_s,
    mvdr_weights,
    null_steering_weights,
    output_sinr,
    path_information,
    path_response,
    phases_of_path,
    relative_phases,
    splice,
    splicing_gain_db,
    steering,
)

LIGHT_SPEED_MPS = 299_792_458


def test_antennas_gain_their_number():
    rng = np.random.default_rng(1)
    phases = rng.uniform(-np.pi, np.pi, 8)
    grid = empty_grid(64, 32, 24e9, 120e3, 8.92e-6)
    echo = path_response(grid, 0.7e-6, 12.0)
    channels = np.exp(1j * phases)[:, None, None] * echo + complex_normal(rng, 8, 64, 32)

    estimated = relative_phases(channels)
    accumulated = accumulate_coherently(channels, estimated)

    offset = np.exp(1j * (estimated - phases + phases[0]))
    assert np.angle(offset) == pytest.approx(0, abs=0.1)
    # The echo's power over that of what remains beside it.
    amplitude = np.vdot(echo, accumulated) / echo.size
    noise = np.mean(np.abs(accumulated - amplitude * echo) ** 2)
    assert 10 * np.log10(abs(amplitude) ** 2 / noise) == pytest.approx(10 * np.log10(8), abs=0.5)


def test_noncoherent_accumulation_narrows_the_noise():
    rng = np.random.default_rng(2)
    maps = complex_normal(rng, 16, 40, 40)
    power = accumulate_noncoherently(maps)
    assert power.mean() == pytest.approx(1, abs=0.02)
    assert power.std() == pytest.approx(1 / 4, rel=0.1)


def test_migration_ends_the_gain_and_its_compensation_restores_it():
    # 1.6 GHz for ten times the time in which the path crosses a cell; the Doppler shift stays
    # within half a turn per symbol.
    num_subcarriers, num_symbols, spacing_hz = 64, 512, 25e6
    speed_mps = 60.0
    limit_s = migration_limit_s(num_subcarriers * spacing_hz, speed_mps)
    symbol_s = 10 * limit_s / num_symbols
    grid = empty_grid(num_subcarriers, num_symbols, 24e9, spacing_hz, symbol_s)
    echo = path_response(grid, 10 / (num_subcarriers * spacing_hz), speed_mps)

    plain = delay_doppler_map(echo, 24e9, spacing_hz, 256, 1024, compensate_migration=False)
    keystone = delay_doppler_map(echo, 24e9, spacing_hz, 256, 1024, compensate_migration=True)

    assert np.abs(keystone).max() > 0.95
    assert np.abs(plain).max() ** 2 < 0.2
    cell = np.unravel_index(np.argmax(np.abs(keystone)), keystone.shape)
    assert cell[0] == 40
    doppler_turns = 24e9 * speed_mps / LIGHT_SPEED_MPS * symbol_s
    assert cell[1] == pytest.approx(np.round(doppler_turns * 1024) % 1024, abs=1)


def test_gain_at_one_cell_of_migration():
    limit_s = migration_limit_s(100e6, 60.0)
    gain = migration_gain(64, 256, 100e6 / 64, limit_s / 256, 60.0)
    # Mean of exp(j 2 pi x y) over the unit square about zero.
    points = (np.arange(2000) + 0.5) / 2000 - 0.5
    expected = np.mean(np.sinc(points)) ** 2
    assert gain == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("cells", [0.0, 0.01, 0.5, 1.0, -1.0, 3.0, 8.0])
def test_gain_after_migration_is_the_integral_of_the_sum(cells):
    # Mean of exp(j 2 pi cells x y) over the unit square about zero, and the sum over a large grid.
    points = (np.arange(4000) + 0.5) / 4000 - 0.5
    expected = np.mean(np.sinc(cells * points)) ** 2
    assert gain_after_migration(cells) == pytest.approx(expected, rel=1e-4)
    speed_mps = cells * LIGHT_SPEED_MPS / (256 * 256)
    assert gain_after_migration(cells) == pytest.approx(
        migration_gain(256, 256, 1e6, 1e-6, speed_mps), rel=1e-3
    )


def spliced_parts(rng, snr, num_parts, phases, delay_s, speed_mps):
    """Antennas on neighboring blocks of subcarriers."""
    parts = []
    for part in range(num_parts):
        grid = empty_grid(32, 16, 24e9, 120e3, 8.92e-6)
        grid = type(grid)(
            grid.values,
            grid.frequency_hz + part * 32 * 120e3,
            grid.time_s,
            grid.carrier_hz,
            1.0,
            grid.mask,
        )
        amplitude = np.sqrt(snr) * np.exp(1j * phases[part])
        parts.append(channel(rng, grid, [(amplitude, delay_s, speed_mps)]))
    return parts


def test_splicing_gains_the_third_power_of_the_parts():
    rng = np.random.default_rng(3)
    phases = rng.uniform(-np.pi, np.pi, 4)
    known = (0.2e-6, 0.0)
    errors = []
    for _ in range(150):
        delay_s = rng.uniform(0.5e-6, 2e-6)
        parts = spliced_parts(rng, 1.0, 4, phases, delay_s, 5.0)
        # Initial phases from a line of sight of known delay.
        sight = spliced_parts(rng, 100.0, 4, phases, *known)
        united = splice(parts, phases_of_path(sight, *known))
        path = estimate_path([united], (0, 3e-6), (-30.0, 30.0))
        errors.append(path.delay_s - delay_s)
    one = np.linalg.inv(path_information([parts[0]], [1.0]))[0, 0]
    gain_db = 10 * np.log10(one / np.mean(np.square(errors)))
    assert gain_db == pytest.approx(splicing_gain_db(4), abs=1.0)


def test_phases_of_the_path_itself_give_no_splicing_gain():
    # With a phase of its own in each part the information is the sum of the parts' information.
    rng = np.random.default_rng(4)
    parts = spliced_parts(rng, 1.0, 4, np.zeros(4), 1e-6, 5.0)
    separate = np.linalg.inv(path_information(parts, [1.0] * 4))[0, 0]
    coherent = np.linalg.inv(path_information([splice(parts, np.zeros(4))], [1.0]))[0, 0]
    assert 10 * np.log10(separate / coherent) == pytest.approx(
        splicing_gain_db(4) - 10 * np.log10(4), abs=0.1
    )


def test_overlapping_parts_are_refused():
    rng = np.random.default_rng(5)
    part = spliced_parts(rng, 1.0, 1, np.zeros(1), 1e-6, 0.0)[0]
    with pytest.raises(ValueError, match="same resource element"):
        splice([part, part], np.zeros(2))


def test_beamformers_null_the_interference():
    positions = np.arange(8.0)
    wanted = steering(np.array([0.05]), positions)[:, 0]
    interference = steering(np.array([0.3, -0.21]), positions)
    covariance = 1e4 * interference @ interference.conj().T + np.eye(8)

    nulling = null_steering_weights(wanted, interference)
    assert np.vdot(nulling, wanted) == pytest.approx(1)
    assert np.abs(nulling.conj() @ interference) == pytest.approx(0, abs=1e-9)

    capon = mvdr_weights(covariance, wanted)
    best = np.real(np.vdot(wanted, np.linalg.solve(covariance, wanted)))
    assert output_sinr(capon, wanted, 1.0, covariance) == pytest.approx(best)
    assert output_sinr(nulling, wanted, 1.0, covariance) == pytest.approx(best, rel=1e-2)
    assert output_sinr(wanted / 8, wanted, 1.0, covariance) < best / 10


def test_interferer_in_the_direction_of_the_echo_is_refused():
    wanted = steering(np.array([0.05]), np.arange(4.0))
    with pytest.raises(ValueError, match="no weights separate"):
        null_steering_weights(wanted[:, 0], wanted)


@pytest.mark.parametrize("num_dopplers", [9, 20], ids=["fewer cells than symbols", "more"])
@pytest.mark.parametrize("compensate", [False, True], ids=["fixed", "compensated"])
def test_map_is_the_sum_over_all_elements(compensate, num_dopplers):
    rng = np.random.default_rng(9)
    values = complex_normal(rng, 6, 12)
    found = delay_doppler_map(values, 24e9, 50e6, 8, num_dopplers, compensate_migration=compensate)
    for k, cell in ((0, 0), (3, 4), (7, num_dopplers - 1)):
        shift = cell if cell < (num_dopplers + 1) // 2 else cell - num_dopplers
        total = 0
        for n in range(6):
            scale = 1 + n * 50e6 / 24e9 if compensate else 1
            for m in range(12):
                turns = k * n / 8 - scale * shift * m / num_dopplers
                total += values[n, m] * np.exp(2j * np.pi * turns)
        assert found[k, cell] == pytest.approx(total / 72)

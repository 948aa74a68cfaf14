"""Symbol-level fusion at the Cramer-Rao bound, beside fusion of estimates."""

from dataclasses import replace

import numpy as np
import pytest
from channel_draws import complex_normal

from cooperative_isac.estimation import estimate_path
from cooperative_isac.fusion.data_level import (
    LinkEstimate,
    estimate_bits,
    locate_by_estimates,
    symbol_bits,
)
from cooperative_isac.fusion.link_channel import LinkChannel, link_response, path_of, without_offset
from cooperative_isac.fusion.symbol_level import (
    covariance_of,
    locate_by_symbols,
    location_statistic,
    refine_state,
    state_information,
)

LIGHT_SPEED_MPS = 299_792_458
CARRIER_HZ = 24e9
STATIONS_M = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 100.0], [0.0, 100.0]])
ELEMENTS_M = LIGHT_SPEED_MPS / CARRIER_HZ / 2 * np.array([[-1.5, 0], [-0.5, 0], [0.5, 0], [1.5, 0]])
AXIS_M = np.linspace(28, 72, 12)
POINTS_M = np.stack(np.meshgrid(AXIS_M, AXIS_M), axis=-1).reshape(-1, 2)
AXIS_MPS = np.linspace(-30, 30, 13)
VELOCITIES_MPS = np.stack(np.meshgrid(AXIS_MPS, AXIS_MPS), axis=-1).reshape(-1, 2)


def empty_link(transmitter, receiver):
    return LinkChannel(
        values=np.zeros((4, 64, 32), complex),
        frequency_hz=240e3 * np.arange(64),
        time_s=4.46e-6 * np.arange(32),
        carrier_hz=CARRIER_HZ,
        noise_power=1.0,
        mask=np.ones((64, 32), bool),
        transmitter_m=STATIONS_M[transmitter],
        receiver_m=STATIONS_M[receiver],
        elements_m=ELEMENTS_M,
    )


ACTIVE = [empty_link(i, i) for i in range(4)]
PASSIVE = [empty_link(i, (i + 1) % 4) for i in range(4)]


def draw(rng, links, position_m, velocity_mps, snr):
    drawn = []
    for link in links:
        amplitude = np.sqrt(snr) * np.exp(2j * np.pi * rng.random())
        echo = amplitude * link_response(link, position_m, velocity_mps)
        drawn.append(replace(link, values=echo + complex_normal(rng, *link.values.shape)))
    return drawn


def random_state(rng):
    return rng.uniform(30, 70, 2), rng.uniform(-20, 20, 2)


@pytest.mark.parametrize("links", [ACTIVE, PASSIVE, ACTIVE + PASSIVE], ids=["a", "p", "ap"])
def test_location_and_velocity_reach_the_bound(links):
    rng = np.random.default_rng(1)
    normalized = []
    for _ in range(40):
        position_m, velocity_mps = random_state(rng)
        channels = draw(rng, links, position_m, velocity_mps, 0.02)
        state = locate_by_symbols(channels, POINTS_M, VELOCITIES_MPS)
        error = np.concatenate([state.position_m - position_m, state.velocity_mps - velocity_mps])
        information = state_information(links, [0.02] * len(links), position_m, velocity_mps)
        normalized.append(error @ information @ error)
    assert np.mean(normalized) == pytest.approx(4, rel=0.3)


def test_start_that_a_station_sees_along_an_axis_is_refined():
    # The velocity across is not measured there: its information is rounding error, not zero.
    rng = np.random.default_rng(8)
    position_m = np.array([52.0, -0.5])
    facing = replace(empty_link(0, 0), elements_m=ELEMENTS_M[:, ::-1])
    [link] = draw(rng, [facing], position_m, np.array([2.0, -3.0]), 0.5)
    state = refine_state([link], np.array([52.4, -2e-14]), np.array([2.0, 0.0]))
    assert state.position_m == pytest.approx(position_m, abs=0.3)


def test_information_equals_numerical_differences():
    # Twice the SNR times the energy of the response's change orthogonal to the response.
    link = PASSIVE[0]
    position_m = np.array([40.0, 55.0])
    velocity_mps = np.array([10.0, -6.0])
    clean = link_response(link, position_m, velocity_mps).reshape(-1)
    columns = []
    for axis in range(4):
        step = np.zeros(4)
        step[axis] = 1e-4
        above = link_response(link, position_m + step[:2], velocity_mps + step[2:]).reshape(-1)
        below = link_response(link, position_m - step[:2], velocity_mps - step[2:]).reshape(-1)
        change = (above - below) / 2e-4
        columns.append(change - clean * np.vdot(clean, change) / np.vdot(clean, clean))
    jacobian = np.stack(columns, axis=-1)
    expected = 2 * 0.3 * np.real(jacobian.conj().T @ jacobian)
    found = state_information([link], [0.3], position_m, velocity_mps)
    assert found == pytest.approx(expected, rel=1e-3)


def test_path_speed_is_the_rate_at_which_the_path_shortens():
    link = PASSIVE[1]
    position_m = np.array([40.0, 55.0])
    velocity_mps = np.array([10.0, -6.0])
    before_s, speed_mps = path_of(link, position_m, velocity_mps)
    after_s, _ = path_of(link, position_m + 1e-4 * velocity_mps, velocity_mps)
    assert speed_mps == pytest.approx((before_s - after_s) * LIGHT_SPEED_MPS / 1e-4, rel=1e-4)


def test_statistic_equals_plain_loops():
    rng = np.random.default_rng(2)
    links = draw(rng, [ACTIVE[0]], np.array([40.0, 55.0]), np.array([3.0, 4.0]), 0.1)
    points = POINTS_M[[0, 70, 120]]
    found = location_statistic(links, points, 0.0)
    for point, value in zip(points, found, strict=True):
        response = link_response(links[0], point, np.zeros(2))
        # At zero speed the response has no Doppler shift.
        expected = abs(np.vdot(response, links[0].values)) ** 2 / response.size
        # The search takes the nearest delay of its table.
        assert value == pytest.approx(expected, rel=0.1, abs=0.3)


def test_one_station_measures_no_velocity_across_the_line_of_sight():
    rng = np.random.default_rng(3)
    position_m = np.array([50.0, 0.1])
    links = draw(rng, ACTIVE[:1], position_m, np.array([5.0, 8.0]), 1.0)
    state = refine_state(links, position_m, np.array([5.0, 0.0]))
    assert state.velocity_mps[0] == pytest.approx(5, abs=1)
    assert np.isinf(state.covariance[3, 3])


def test_symbols_find_what_no_link_finds_alone():
    rng = np.random.default_rng(4)
    hits = {"symbols": 0, "estimates": 0}
    for _ in range(20):
        position_m, velocity_mps = random_state(rng)
        links = draw(rng, ACTIVE + PASSIVE, position_m, velocity_mps, 0.0009)
        fused = locate_by_symbols(links, POINTS_M, VELOCITIES_MPS)
        hits["symbols"] += np.linalg.norm(fused.position_m - position_m) < 3

        estimates = []
        for link in links:
            beam = link.toward(position_m)
            estimates.append(LinkEstimate(link, estimate_path([beam], (0, 1e-6), (-60, 60))))
        data = locate_by_estimates(estimates, position_m, velocity_mps)
        hits["estimates"] += np.linalg.norm(data.position_m - position_m) < 3
    assert hits["symbols"] >= 18
    assert hits["estimates"] <= hits["symbols"] - 6


def test_data_level_is_as_good_at_high_snr_and_a_thousandth_of_the_bits():
    rng = np.random.default_rng(5)
    normalized = []
    for _ in range(40):
        position_m, velocity_mps = random_state(rng)
        links = draw(rng, ACTIVE, position_m, velocity_mps, 0.5)
        estimates = [
            LinkEstimate(link, estimate_path([link.toward(position_m)], (0, 1e-6), (-60, 60)))
            for link in links
        ]
        state = locate_by_estimates(estimates, position_m + 1, velocity_mps + 1)
        error = np.concatenate([state.position_m - position_m, state.velocity_mps - velocity_mps])
        normalized.append(error @ np.linalg.solve(state.covariance, error))
    assert np.mean(normalized) == pytest.approx(4, rel=0.3)
    assert symbol_bits(ACTIVE[0]) > 1000 * estimate_bits(2)


def test_offset_is_taken_off():
    link = PASSIVE[0]
    position_m = np.array([40.0, 55.0])
    clean = replace(link, values=link_response(link, position_m, np.zeros(2)))
    over_frequency = np.exp(-2j * np.pi * link.frequency_hz * 30e-9)
    over_time = np.exp(2j * np.pi * 200.0 * link.time_s)
    shifted = replace(clean, values=clean.values * np.multiply.outer(over_frequency, over_time))
    assert without_offset(shifted, 30e-9, 200.0).values == pytest.approx(clean.values)


def test_parameters_without_information_leave_the_others_as_they_are():
    measured = np.array([[4.0, 1.0], [1.0, 9.0]])

    # No information about the second of three parameters.
    information = np.zeros((3, 3))
    information[np.ix_([0, 2], [0, 2])] = measured
    found = covariance_of(information)
    assert found[1, 1] == np.inf
    assert found[np.ix_([0, 2], [0, 2])] == pytest.approx(np.linalg.inv(measured))

    # None about the difference of the last two of four.
    together = np.zeros((4, 4))
    together[:2, :2] = measured
    together[2:, 2:] = 5.0
    found = covariance_of(together)
    assert found[:2, :2] == pytest.approx(np.linalg.inv(measured))
    assert found[2, 2] == found[3, 3] == np.inf
    assert not found[:2, 2:].any()

    assert covariance_of(np.zeros((2, 2))).diagonal() == pytest.approx(np.inf)

"""Clock offsets from the line of sight, from both directions, and from an active observation."""

from dataclasses import replace

import numpy as np
import pytest
from channel_draws import channel, empty_grid
from faulty_arguments import fault_cases

from cooperative_isac.calibration.offsets import (
    NO_OFFSET,
    ClockOffset,
    corrected,
    cross_correlated,
    cross_correlation_snr,
    half_difference,
    mean_offset,
    offset_of_both_directions,
    offset_of_path,
    separable,
)
from cooperative_isac.estimation import PathEstimate, estimate_path, path_information

GRID = empty_grid(64, 32, 24e9, 240e3, 4.46e-6)
CARRIER_HZ = 24e9
MPS_PER_HERTZ = 299_792_458 / CARRIER_HZ
DELAYS_S = (-1e-6, 3e-6)
SPEEDS_MPS = (-100.0, 100.0)
SIGHT_S = 0.2e-6


def draw(rng, snr, delay_s, speed_mps):
    amplitude = np.sqrt(snr) * np.exp(2j * np.pi * rng.random())
    return channel(rng, GRID, [(amplitude, delay_s, speed_mps)])


def bound(snr):
    return np.diag(np.linalg.inv(path_information([GRID], [snr])))


def test_estimated_offsets_cost_a_tenth_when_the_line_of_sight_is_ten_decibels_stronger():
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(200):
        offset_s = rng.uniform(-0.3e-6, 0.3e-6)
        offset_mps = rng.uniform(-5, 5)
        delay_s = rng.uniform(0.4e-6, 1.2e-6)
        speed_mps = rng.uniform(-40, 40)
        echo = draw(rng, 0.1, delay_s + offset_s, speed_mps + offset_mps)
        sight = draw(rng, 1.0, SIGHT_S + offset_s, offset_mps)

        seen = estimate_path([sight], DELAYS_S, SPEEDS_MPS)
        offset = offset_of_path(seen, CARRIER_HZ, SIGHT_S, 0.0)
        path = estimate_path([corrected(echo, offset)], DELAYS_S, SPEEDS_MPS)
        errors.append((path.delay_s - delay_s, path.path_speed_mps - speed_mps))
    ratio = np.sqrt(np.mean(np.square(errors), axis=0) / bound(0.1))
    assert np.all(ratio < 1.15)


def test_offset_has_the_stated_covariance():
    rng = np.random.default_rng(2)
    normalized = []
    for _ in range(300):
        offset_mps = rng.uniform(-5, 5)
        sight = draw(rng, 1.0, SIGHT_S + 0.1e-6, offset_mps)
        offset = offset_of_path(
            estimate_path([sight], DELAYS_S, SPEEDS_MPS), CARRIER_HZ, SIGHT_S, 0.0
        )
        error = [offset.delay_s - 0.1e-6, offset.frequency_hz - offset_mps / MPS_PER_HERTZ]
        normalized.append(error @ np.linalg.solve(offset.covariance, error))
    assert np.mean(normalized) == pytest.approx(2, abs=0.3)


def test_both_directions_give_the_offset_without_a_known_path():
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(200):
        offset_s = rng.uniform(-0.3e-6, 0.3e-6)
        delay_s = rng.uniform(0.4e-6, 1.2e-6)
        forward = estimate_path([draw(rng, 0.2, delay_s + offset_s, 7.0)], DELAYS_S, SPEEDS_MPS)
        backward = estimate_path([draw(rng, 0.2, delay_s - offset_s, 7.0)], DELAYS_S, SPEEDS_MPS)
        offset = offset_of_both_directions(forward, backward, CARRIER_HZ)
        errors.append(offset.delay_s - offset_s)
    # Half the difference of two independent estimates.
    assert np.std(errors) == pytest.approx(np.sqrt(bound(0.2)[0] / 2), rel=0.15)


def test_uncertainty_of_the_active_observation_adds():
    rng = np.random.default_rng(4)
    path = estimate_path([draw(rng, 1.0, 0.9e-6, 3.0)], DELAYS_S, SPEEDS_MPS)
    known = np.diag([1e-18, 0.01])
    certain = offset_of_path(path, CARRIER_HZ, 0.5e-6, 3.0)
    uncertain = offset_of_path(path, CARRIER_HZ, 0.5e-6, 3.0, known)
    added = uncertain.covariance - certain.covariance
    assert added[0, 0] == pytest.approx(1e-18)
    assert added[1, 1] == pytest.approx(0.01 / MPS_PER_HERTZ**2)


def test_cross_correlation_cancels_clocks_that_wander_from_symbol_to_symbol():
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(150):
        echo = draw(rng, 0.1, 0.9e-6, 12.0)
        sight = draw(rng, 1.0, SIGHT_S, 0.0)
        wander = np.exp(2j * np.pi * rng.random(32))
        turned = [
            type(matrix)(
                matrix.values * wander,
                matrix.frequency_hz,
                matrix.time_s,
                CARRIER_HZ,
                1.0,
                matrix.mask,
            )
            for matrix in (echo, sight)
        ]
        path = estimate_path([cross_correlated(*turned)], DELAYS_S, SPEEDS_MPS)
        errors.append(path.delay_s + SIGHT_S - 0.9e-6)
    expected = bound(cross_correlation_snr(0.1, 1.0))[0]
    assert np.sqrt(np.mean(np.square(errors)) / expected) == pytest.approx(1, abs=0.2)


def test_grids_that_differ_are_refused():
    other = empty_grid(32, 32, 24e9, 240e3, 4.46e-6)
    with pytest.raises(ValueError, match="same link and band"):
        cross_correlated(GRID, other)


def test_a_separable_line_of_sight_has_less_noise_even_with_a_phase_of_each_symbol():
    rng = np.random.default_rng(6)
    sight = draw(rng, 1.0, SIGHT_S, 3.0)
    turns = np.exp(2j * np.pi * rng.random(32))
    turned = replace(sight, values=sight.values * turns)
    cleaned = separable(turned)

    # The product of exact responses, of unknown amplitude, with the same turns.
    delays = np.exp(-2j * np.pi * np.multiply.outer(GRID.frequency_hz, SIGHT_S))
    response = delays.reshape(-1)
    run = response.conj() @ turned.values / len(response)
    left = np.mean(np.abs(cleaned.values - np.multiply.outer(response, run)) ** 2)
    assert left < 0.1
    assert cleaned.noise_power == pytest.approx(GRID.noise_power * 95 / 2048)
    holes = replace(sight, mask=np.arange(64)[:, None] % 2 == np.zeros(32))
    with pytest.raises(ValueError, match="has holes"):
        separable(holes)


MATRIX = channel(np.random.default_rng(7), GRID, [(3.0, SIGHT_S, 0.0)])
PATH = PathEstimate(SIGHT_S, 0.0, np.ones(1), np.diag([1e-18, 0.01]))
OFFSET = ClockOffset(1e-7, 100.0, np.diag([1e-18, 4.0]))

# Valid arguments of every function.
VALID = {
    offset_of_path: {
        "measured": PATH,
        "carrier_hz": CARRIER_HZ,
        "delay_s": SIGHT_S,
        "path_speed_mps": 0.0,
        "covariance": np.diag([1e-18, 0.01]),
    },
    offset_of_both_directions: {"forward": PATH, "backward": PATH, "carrier_hz": CARRIER_HZ},
    half_difference: {"forward": OFFSET, "backward": OFFSET},
    mean_offset: {"estimates": [OFFSET]},
    corrected: {"matrix": MATRIX, "offset": OFFSET},
    cross_correlated: {"echo": MATRIX, "line_of_sight": MATRIX},
    separable: {"line_of_sight": MATRIX},
    cross_correlation_snr: {"echo_snr": 0.1, "sight_snr": 1.0},
}
# Without any estimate there is no mean.
ALLOWED = {(mean_offset, "estimates", "empty")}

FAULTS = fault_cases(VALID, ALLOWED)


@pytest.mark.parametrize(("function", "argument", "fault"), FAULTS)
def test_a_faulty_argument_is_refused_by_its_name(function, argument, fault):
    function(**VALID[function])
    with pytest.raises(ValueError, match=argument) as refusal:
        function(**VALID[function] | {argument: fault})
    assert ": " in str(refusal.value)


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        (offset_of_path, {"carrier_hz": 0.0}, "carrier_hz is 0: pass a number above zero"),
        (offset_of_path, {"covariance": np.eye(3)}, r"covariance has the shape \(3, 3\)"),
        (offset_of_both_directions, {"carrier_hz": -1.0}, "carrier_hz is -1"),
        (mean_offset, {"estimates": [NO_OFFSET]}, "estimates .*covariance without an inverse"),
        (cross_correlated, {"echo": [1], "line_of_sight": [2]}, "echo is of type list: pass a Ch"),
        (cross_correlation_snr, {"echo_snr": -0.1}, "echo_snr is -0.1: pass zero or more"),
        (cross_correlation_snr, {"sight_snr": -1.0}, "sight_snr is -1: pass zero or more"),
    ],
)
def test_what_makes_no_sense_is_refused(function, changes, message):
    with pytest.raises(ValueError, match=message):
        function(**VALID[function] | changes)


def test_masks_without_a_common_element_are_refused():
    first = np.zeros(GRID.mask.shape, bool)
    first[::2] = True
    with pytest.raises(ValueError, match="echo and line_of_sight have no resource element"):
        cross_correlated(replace(MATRIX, mask=first), replace(MATRIX, mask=~first))


def test_no_estimate_has_no_mean():
    assert mean_offset([]) is None

"""Detections of one target by groups of stations, merged."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.detection import PARTIAL, Detection
from cooperative_isac.fusion.merge import merge_detections
from cooperative_isac.scene.limits import are_states, state_problem
from cooperative_isac.scene.station import Link


def detection(position, std_m=0.1, sites=("a",), snr_db=10.0, velocity=(1.0, 2.0, 0.0)):
    covariance = np.diag([std_m**2] * 3 + [(10 * std_m) ** 2] * 3)
    place = np.array(position, float)
    return Detection(place, np.array(velocity), covariance, snr_db, sites, 3)


@pytest.mark.parametrize("dimension", [2, 3])
def test_detections_of_one_target_are_weighted_by_their_information(dimension):
    first = detection((0, 0, 1), 0.1)
    second = replace(detection((0.1, 0, 1.2), 0.2, ("b",)), links=(Link("t", "b", "mid"),))
    (found,) = merge_detections(dimension, [[first], [second]])
    assert found.position_m[0] == pytest.approx(0.1 * 0.1**2 / (0.1**2 + 0.2**2))
    assert found.covariance[0, 0] == pytest.approx(1 / (1 / 0.1**2 + 1 / 0.2**2))
    assert found.sites == ("a", "b") and found.num_paths == 6
    assert found.links == (Link("t", "b", "mid"),)
    assert found.snr_db == pytest.approx(10 * np.log10(20))
    # In a plane both have the height of the scene, which counts once.
    expected = 0.1**2 if dimension == 2 else 1 / (1 / 0.1**2 + 1 / 0.2**2)
    assert found.covariance[2, 2] == pytest.approx(expected)


def test_detections_of_different_targets_stay_apart_strongest_first():
    first = [detection((0, 0, 0)), detection((20, 0, 0), snr_db=30.0)]
    second = [detection((5, 0, 0), sites=("b",), snr_db=20.0)]
    found = merge_detections(3, [first, second])
    assert [one.position_m[0] for one in found] == [20, 5, 0]


def test_each_detection_is_merged_once():
    first = [detection((0, 0, 0)), detection((0.3, 0, 0))]
    second = [detection((0.1, 0, 0), sites=("b",)), detection((0.35, 0, 0), sites=("b",))]
    found = merge_detections(3, [first, second])
    assert sorted(round(float(one.position_m[0]), 3) for one in found) == [0.05, 0.325]


def test_partial_detections_and_single_groups_stay_as_they_are():
    whole = detection((0, 0, 0))
    partial = replace(detection((0.01, 0, 0)), num_paths=PARTIAL)
    assert merge_detections(3, [[whole], [partial]]) == (whole, partial)
    assert merge_detections(3, []) == merge_detections(3, [[]]) == ()


def test_merged_errors_are_consistent():
    generator = np.random.default_rng(1)
    squares = []
    for _ in range(400):
        pair = []
        for std_m, name in ((0.1, "a"), (0.2, "b")):
            one = detection((0, 0, 0), std_m, (name,))
            error = np.sqrt(np.diag(one.covariance)) * generator.standard_normal(6)
            moved = replace(
                one, position_m=one.position_m + error[:3], velocity_mps=error[3:] + (1, 2, 0)
            )
            pair.append([moved])
        found = merge_detections(3, pair)
        if len(found) == 1:
            away = np.concatenate([found[0].position_m, found[0].velocity_mps - (1, 2, 0)])
            squares.append(away @ np.linalg.solve(found[0].covariance, away))
    assert len(squares) > 395 and np.mean(squares) == pytest.approx(6.0, abs=0.5)


def test_states_that_are_fit_for_a_filter_are_those_without_a_problem():
    generator = np.random.default_rng(2)
    positions = 10.0 ** generator.uniform(-3, 9, (300, 3))
    velocities = 10.0 ** generator.uniform(-3, 5, (300, 3))
    roots = generator.standard_normal((300, 6, 6)) * 10.0 ** generator.uniform(-5, 6, (300, 1, 1))
    covariances = roots @ roots.swapaxes(1, 2)
    covariances[::7] -= (
        0.1 * np.eye(6) * np.trace(covariances[::7], axis1=1, axis2=2)[:, None, None]
    )
    covariances[3, 0, 1] += 1.0
    covariances[5, 2, 2] = np.nan
    covariances[6] = np.inf
    positions[8, 1] = np.nan
    velocities[9, 0] = -np.inf
    expected = [state_problem(*state) is None for state in zip(positions, velocities, covariances)]
    assert are_states(positions, velocities, covariances).tolist() == expected
    assert 20 < sum(expected) < 280
    assert are_states(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 6, 6))).shape == (0,)

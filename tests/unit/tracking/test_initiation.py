"""Initiation of tracks against a plain loop, and the states in which they start."""

import numpy as np
import pytest

from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.tracking.initiation import (
    DUPLICATE_DISTANCE,
    IMPOSSIBLE_SPEED_SIGMAS,
    beginnings,
    start_states,
)
from cooperative_isac.tracking.measurement import Measurements

MAX_SPEED_MPS = 20.0


def crowd(rng, num=30):
    """Detections so close together that many are duplicates."""
    factors = rng.standard_normal((num, 6, 8))
    covariances = factors @ np.swapaxes(factors, 1, 2)
    values = rng.normal(0, 3, (num, 6))
    values[:, 3:] *= 5
    none = np.zeros(num, bool)
    return Measurements(values, covariances, rng.random(num) < 0.2, none, 0.0 * none, 0.0 * none)


def plain_beginnings(measurements, spare, explained, dimension):
    """The same with loops over detections."""
    axes = STATE_AXES[dimension]
    begun = []
    for detection in spare:
        speed = np.linalg.norm(measurements.values[detection, 3:])
        std = np.sqrt(np.trace(measurements.covariances[detection, 3:, 3:]))
        if speed > MAX_SPEED_MPS + IMPOSSIBLE_SPEED_SIGMAS * std or detection in explained:
            continue
        if measurements.partial[detection]:
            continue
        is_another = False
        for other in range(len(measurements)):
            belongs = other not in spare and not measurements.partial[other]
            if not belongs and other not in begun:
                continue
            difference = (measurements.values[detection] - measurements.values[other])[axes]
            covariance = (measurements.covariances[detection] + measurements.covariances[other])[
                np.ix_(axes, axes)
            ]
            squared = difference @ np.linalg.inv(covariance) @ difference
            is_another = is_another or squared <= DUPLICATE_DISTANCE
        if not is_another:
            begun.append(detection)
    return begun


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_initiation_agrees_with_a_plain_loop(dimension, seed):
    rng = np.random.default_rng(seed)
    measurements = crowd(rng)
    spare = np.flatnonzero(rng.random(30) < 0.8)
    explained = rng.random(len(spare)) < 0.1
    begun = beginnings(measurements, spare, explained, MAX_SPEED_MPS, dimension)
    expected = plain_beginnings(measurements, spare, spare[explained], dimension)
    assert begun.tolist() == expected and 2 < len(expected) < len(spare)


def test_no_track_begins_without_unassigned_detections():
    measurements = crowd(np.random.default_rng(4))
    none = np.empty(0, int)
    assert len(beginnings(measurements, none, none.astype(bool), MAX_SPEED_MPS, 3)) == 0


def test_many_start_states_are_those_of_each_and_an_update_of_the_prior():
    measurements = crowd(np.random.default_rng(5), 4)
    means, covariances = start_states(measurements.values, measurements.covariances, MAX_SPEED_MPS)
    observation = np.eye(6)[3:]
    prior = MAX_SPEED_MPS**-2 * observation.T @ observation
    for target in range(4):
        information = np.linalg.inv(measurements.covariances[target])
        covariance = np.linalg.inv(information + prior)
        assert np.allclose(covariances[target], covariance)
        assert np.allclose(means[target], covariance @ information @ measurements.values[target])

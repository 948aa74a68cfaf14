"""Detections with one component of the velocity: the tracker estimates the others over frames."""

import numpy as np
import pytest

from cooperative_isac.metrics.consistency import nees
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Tracking
from cooperative_isac.scene.motion_filters import BUILT_IN_FILTERS
from cooperative_isac.tracking.initiation import start_states
from cooperative_isac.tracking.track import TrackStatus
from cooperative_isac.tracking.tracker import Tracker

TRANSMITTER = np.zeros(3)
RECEIVER = np.array([60.0, 0.0, 12.0])
MAX_SPEED_MPS = 20.0
PERIOD_S = 0.2
POSITION_STD_M = 0.1
ALONG_STD_MPS = 0.05


def measured(position, velocity, generator):
    """Value [6] and covariance [6, 6] of a detection of one pair of sites."""
    slope = bistatic_geometry(TRANSMITTER, RECEIVER, position, velocity, 1.0).range_gradient
    along = slope / np.linalg.norm(slope)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = POSITION_STD_M**2 * np.eye(3)
    across = np.eye(3) - np.outer(along, along)
    covariance[3:, 3:] = MAX_SPEED_MPS**2 * across + ALONG_STD_MPS**2 * np.outer(along, along)
    speed = velocity @ along + ALONG_STD_MPS * generator.standard_normal()
    where = position + POSITION_STD_M * generator.standard_normal(3)
    return np.concatenate([where, speed * along]), covariance


def follow(detect, model, num_frames, seed, velocity=(7.0, -4.0, 1.0)):
    """The tracks of each frame, and the true states, of a target in straight motion."""
    generator = np.random.default_rng(seed)
    tracker = Tracker(Tracking(model=model, max_speed_mps=MAX_SPEED_MPS), 3)
    start = np.array([10.0, 60.0, 8.0])
    velocity = np.array(velocity)
    for number in range(num_frames):
        position = start + number * PERIOD_S * velocity
        value, covariance = measured(position, velocity, generator)
        tracks = tracker.update(
            number * PERIOD_S, [detect(value[:3], value[3:], covariance=covariance)]
        )
        yield tracks, position, velocity


def test_a_track_starts_with_the_measured_component_and_a_prior_of_the_others():
    value, covariance = measured(
        np.array([10.0, 60.0, 8.0]), np.array([7.0, -4.0, 1.0]), np.random.default_rng(0)
    )
    mean, spread = start_states(value, covariance, MAX_SPEED_MPS)
    variances, axes = np.linalg.eigh(spread[3:, 3:])
    along = value[3:] / np.linalg.norm(value[3:])
    assert abs(axes[:, 0] @ along) == pytest.approx(1, abs=1e-9)
    assert np.sqrt(variances[0]) == pytest.approx(ALONG_STD_MPS, rel=1e-3)
    # The prior of the detection and that of the tracker, both of the maximum speed.
    assert np.sqrt(variances[1:]) == pytest.approx(np.full(2, MAX_SPEED_MPS / np.sqrt(2)))
    assert np.allclose(mean, value, rtol=1e-4)


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
@pytest.mark.parametrize("seed", range(3))
def test_the_full_velocity_is_estimated_over_frames(detect, model, seed):
    errors = []
    deviations = []
    for tracks, _, velocity in follow(detect, model, 15, seed):
        assert [track.track_id for track in tracks] == [1]
        errors.append(np.linalg.norm(tracks[0].velocity_mps - velocity))
        deviations.append(np.sqrt(np.trace(tracks[0].covariance[3:, 3:])))
    assert errors[0] > 3.0 and deviations[0] > MAX_SPEED_MPS / 2
    assert max(errors[4:]) < 2.0 and np.mean(errors[8:]) < 0.8
    assert deviations[4] < 2.0 and deviations[-1] < 1.0
    assert tracks[0].status is TrackStatus.CONFIRMED


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
def test_covariances_of_tracks_on_one_component_are_consistent(detect, model):
    errors = []
    covariances = []
    for seed in range(40):
        *_, (tracks, position, velocity) = follow(detect, model, 12, seed)
        errors.append(
            np.concatenate([tracks[0].position_m - position, tracks[0].velocity_mps - velocity])
        )
        covariances.append(tracks[0].covariance)
    # Straight motion is quieter than the process noise allows, so that the mean is below 6.
    assert 1.0 < nees(np.array(errors), np.array(covariances)).mean() < 7.0


def test_two_targets_in_one_place_are_separated_by_the_measured_component(detect):
    generator = np.random.default_rng(5)
    tracker = Tracker(Tracking(max_speed_mps=MAX_SPEED_MPS), 3)
    velocities = np.array([7.0, -4.0, 1.0]), np.array([-3.0, 6.0, 0.0])
    middle = np.array([20.0, 50.0, 8.0])
    for number in range(21):
        found = []
        for velocity in velocities:
            value, covariance = measured(
                middle + (number - 10) * PERIOD_S * velocity, velocity, generator
            )
            found.append(detect(value[:3], value[3:], covariance=covariance))
        tracks = tracker.update(number * PERIOD_S, found)
    assert sorted(track.track_id for track in tracks) == [1, 2]
    ends = {track.track_id: track.velocity_mps for track in tracks}
    assert (
        np.linalg.norm(ends[1] - velocities[0]) < 1.5
        and np.linalg.norm(ends[2] - velocities[1]) < 1.5
    )

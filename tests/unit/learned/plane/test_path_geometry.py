"""Locations and velocities from path lengths and Doppler shifts, against scene.geometry."""

import numpy as np
import pytest
import torch

from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, bistatic_geometry

STATE = torch.tensor([[20.0, 35.0, 6.0, -4.0], [41.0, 12.0, -3.0, 8.0]])
MASK = torch.ones(2, 4)


@pytest.fixture
def paths(small):
    return PathGeometry(small)


def measurements(value, std, log_odds=-5.0):
    return PathMeasurements(
        value, torch.full_like(value, std).log(), torch.full_like(value, log_odds)
    )


def test_lengths_and_doppler_shifts_are_those_of_the_geometry(small, paths):
    points, velocities = (
        np.column_stack([part, np.zeros(2)]) for part in (STATE[:, :2], STATE[:, 2:])
    )
    wanted = [
        bistatic_geometry(tx.position_m, rx.position_m, points, velocities, small.grid.wavelength_m)
        for rx in small.receivers
        for tx in small.transmitters
    ]
    assert paths.doppler(STATE).numpy() == pytest.approx(
        1e-3 * np.array([path.doppler_hz for path in wanted]).T, abs=1e-4
    )
    assert paths.length(STATE[:, :2]).numpy() == pytest.approx(
        SPEED_OF_LIGHT_MPS * np.array([path.delay_s for path in wanted]).T, abs=1e-3
    )


def test_locations_converge_from_a_first_estimate(paths):
    guess = STATE[:, :2] + torch.tensor([1.0, -1.5])
    location, covariance = paths.location(
        guess, torch.full_like(guess, 2.0), measurements(paths.length(STATE[:, :2]), 0.01), MASK
    )
    assert location.numpy() == pytest.approx(STATE[:, :2].numpy(), abs=0.02)
    assert torch.linalg.eigvalsh(covariance).min() > 0


def test_velocities_withstand_one_outlier(paths):
    doppler = paths.doppler(STATE)
    doppler[:, 2] += 2.0
    velocity, covariance = paths.velocity(STATE[:, :2], measurements(doppler, 1e-3), MASK)
    assert velocity.numpy() == pytest.approx(STATE[:, 2:].numpy(), abs=0.05)
    assert torch.linalg.eigvalsh(covariance).min() > 0


def test_masked_paths_do_not_count(paths):
    doppler, mask = paths.doppler(STATE), torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(2, -1)
    spoilt = torch.where(mask > 0, doppler, 99.0)
    velocity, covariance = paths.velocity(STATE[:, :2], measurements(spoilt, 1e-3), mask)
    without, same = paths.velocity(STATE[:, :2], measurements(doppler, 1e-3), mask)
    assert torch.equal(velocity, without) and torch.equal(covariance, same)
    _, better = paths.velocity(STATE[:, :2], measurements(doppler, 1e-3), MASK)
    assert torch.all(torch.det(covariance) > torch.det(better))


def test_without_paths_the_prior_remains(small, paths):
    nothing = torch.zeros(2, paths.num_paths)
    velocity, covariance = paths.velocity(STATE[:, :2], measurements(nothing, 1.0), nothing)
    assert not velocity.any() and covariance[0, 0, 0] == pytest.approx(
        small.draw.max_speed_mps**2 / 3
    )
    location, covariance = paths.location(
        STATE[:, :2], torch.ones(2, 2), measurements(nothing, 1.0), nothing
    )
    assert torch.equal(location, STATE[:, :2]) and covariance[0].numpy() == pytest.approx(
        np.eye(2), abs=1e-6
    )

"""Doppler shifts to velocities, against the geometry that everything else uses."""

import numpy as np
import pytest
import torch

from cooperative_isac.fronthaul.learned.path_velocity import PathVelocity
from cooperative_isac.scene.geometry import bistatic_geometry

STATE = torch.tensor([[20.0, 35.0, 6.0, -4.0], [41.0, 12.0, -3.0, 8.0]])


@pytest.fixture
def paths(small):
    return PathVelocity(small, 1e3)


def test_doppler_shifts_are_those_of_the_geometry(small, paths):
    points, velocities = (np.column_stack([part, np.zeros(2)]) for part in (STATE[:, :2], STATE[:, 2:]))
    wanted = [bistatic_geometry(tx.position_m, rx.position_m, points, velocities, small.grid.wavelength_m).doppler_hz
              for rx in small.receivers for tx in small.transmitters]
    assert paths.doppler(STATE).numpy() == pytest.approx(1e-3 * np.array(wanted).T, abs=1e-4)


def test_velocities_come_back(paths):
    doppler = paths.doppler(STATE)
    sure, heard = torch.full_like(doppler, 1e-3), torch.ones_like(doppler)
    velocity, covariance = paths.velocity(STATE[:, :2], doppler, sure, heard)
    assert velocity.numpy() == pytest.approx(STATE[:, 2:].numpy(), abs=1e-2)
    assert torch.linalg.eigvalsh(covariance).min() > 0


def test_what_was_not_heard_does_not_count(paths):
    doppler, heard = paths.doppler(STATE), torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(2, -1)
    spoilt = torch.where(heard > 0, doppler, 99.0)
    sure = torch.full_like(doppler, 1e-3)
    velocity, covariance = paths.velocity(STATE[:, :2], spoilt, sure, heard)
    assert velocity.numpy() == pytest.approx(STATE[:, 2:].numpy(), abs=0.2)
    _, better = paths.velocity(STATE[:, :2], doppler, sure, torch.ones_like(doppler))
    assert torch.all(torch.det(covariance) > torch.det(better))


def test_nothing_heard_is_the_draws_spread(small, paths):
    nothing = torch.zeros(2, paths.num_paths)
    velocity, covariance = paths.velocity(STATE[:, :2], nothing, nothing + 1, nothing)
    assert not velocity.any() and covariance[0, 0, 0] == pytest.approx(small.draw.max_speed_mps ** 2 / 3)

"""Locations and velocities from path lengths and Doppler shifts, against scene.geometry."""

import numpy as np
import pytest
import torch

from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.scene.file.config import load_scene
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


PLACES = torch.tensor([[40.0, 61.0, 18.0], [71.0, 22.0, 1.0]])


@pytest.fixture(scope="module")
def space():
    """A scene in space, and the geometry of its paths."""
    scene = load_scene("campus")
    return scene, PathGeometry(scene)


def test_elevations_are_angles_over_the_plane_of_each_array(space):
    scene, paths = space
    for receiver, site in enumerate(scene.receivers):
        away = PLACES.numpy() - site.position_m
        local = away @ site.rotation
        wanted = np.degrees(np.arctan2(local[:, 2], np.hypot(local[:, 0], local[:, 1])))
        for path in range(2 * receiver, 2 * receiver + 2):
            assert paths.elevation(PLACES)[:, path].numpy() == pytest.approx(wanted, abs=1e-3)


def test_elevation_slopes_are_their_derivatives(space):
    _, paths = space
    wanted = torch.autograd.functional.jacobian(
        lambda point: paths.elevation(point[None])[0], PLACES[0]
    )
    assert paths.elevation_slopes(PLACES[:1])[0].numpy() == pytest.approx(wanted.numpy(), abs=1e-4)


def test_heights_follow_from_elevations_over_the_true_place(space):
    scene, paths = space
    for receiver in range(len(scene.receivers)):
        own = slice(2 * receiver, 2 * receiver + 2)
        rises = torch.deg2rad(paths.elevation(PLACES)[:, own]).sin()
        heights_m = paths.height(PLACES[:, :2], rises, receiver)
        assert heights_m.numpy() == pytest.approx(PLACES[:, 2:].expand(-1, 2).numpy(), abs=0.01)


def test_horizontal_columns_give_finite_heights(space):
    # An array on a ceiling: toward places across its columns no height follows from a rise.
    paths = PathGeometry(space[0])
    paths.columns[0] = torch.tensor([1.0, 0.0, 0.0])
    across_m = paths.receivers[0, :2] + torch.tensor([[0.0, 10.0], [10.0, 0.0]])
    for rise in (0.0, 0.2):
        assert torch.isfinite(paths.height(across_m, torch.full((2, 2), rise), 0)).all()


def test_a_path_of_another_target_spoils_neither_location_nor_height(space):
    _, paths = space
    length = paths.length(PLACES)
    elevation = paths.elevation(PLACES)
    length[:, 3] += 4.0
    elevation[:, 3] -= 12.0
    guess = PLACES + torch.tensor([1.0, -1.5, 6.0])
    location, covariance = paths.location(
        guess,
        torch.tensor([2.0, 2.0, 8.0]).expand(2, 3),
        measurements(length, 0.1),
        torch.ones(2, paths.num_paths),
        measurements(elevation, 0.5),
    )
    assert location.numpy() == pytest.approx(PLACES.numpy(), abs=0.15)
    assert torch.linalg.eigvalsh(covariance).min() > 0


def test_elevations_make_heights_certain(space):
    _, paths = space
    mask = torch.ones(2, paths.num_paths)
    length = measurements(paths.length(PLACES), 0.3)
    std_m = torch.tensor([2.0, 2.0, 8.0]).expand(2, 3)
    _, without = paths.location(PLACES, std_m, length, mask)
    elevation = measurements(paths.elevation(PLACES), 0.5)
    _, with_them = paths.location(PLACES, std_m, length, mask, elevation)
    assert (with_them[:, 2, 2] < 0.5 * without[:, 2, 2]).all()

"""Fewer paths than dimensions: accepted where few links face a place, with a partial velocity."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.estimate import estimate
from cooperative_isac.fusion.fuse import detection_of, fuse
from cooperative_isac.fusion.paths_needed import paths_needed
from cooperative_isac.fusion.received import Received
from cooperative_isac.fusion.rejection import (
    Accepted,
    is_ghost,
    is_possible,
    is_static,
)
from cooperative_isac.metrics.consistency import nees, nees_interval
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY
from cooperative_isac.scene.world import Building, Material, World
from cooperative_isac.sensing.information import doppler_information

PLACE = (25.0, 40.0, 10.0)
VELOCITY = (6.0, 5.0, 1.0)
CONCRETE = Material(5.24 - 0.3j, None, 0.0)


@pytest.fixture
def space():
    """One pair of sites with planar arrays."""
    return load_scene("one_pair")


@pytest.fixture
def campus():
    return load_scene("campus")


@pytest.fixture(params=["space", "plane"])
def pair(request, space, pair_plane):
    """One pair of sites in three dimensions and in two."""
    return space if request.param == "space" else pair_plane


def truth_of(scene, target):
    size = scene.dimension
    return target(PLACE[:size], VELOCITY[:size])


def bistatic_direction(scene, point_m):
    """Unit vector [D] along which a pair measures the velocity, and the range gradient's length."""
    geometry = bistatic_geometry(
        scene.transmitters[0].position_m,
        scene.receivers[0].position_m,
        point_m,
        np.zeros(3),
        scene.grid.wavelength_m,
    )
    gradient = geometry.range_gradient[: scene.dimension]
    return gradient / np.linalg.norm(gradient), np.linalg.norm(gradient)


def single(scene, report):
    """The report with its first path alone."""
    return replace(report, paths=report.paths[:1])


def test_a_single_path_of_a_pair_is_a_detection_with_the_measured_velocity(
    pair, target, reports_of
):
    truth = truth_of(pair, target)
    size = pair.dimension
    (found,) = fuse(pair, reports_of(pair, truth))
    assert found.num_paths == 1 and found.sites == ("rx1",)
    assert np.allclose(found.position_m[:size], truth.position_m[:size], atol=1e-6)
    along, _ = bistatic_direction(pair, truth.position_m)
    velocity = found.velocity_mps[:size]
    assert velocity @ along == pytest.approx(truth.velocity_mps[:size] @ along, abs=1e-3)
    # Zero across: the slowest velocity that explains the shift.
    assert np.linalg.norm(velocity - (velocity @ along) * along) < 0.05


def test_unobserved_directions_have_the_maximum_speed_as_deviation(pair, target, reports_of):
    truth = truth_of(pair, target)
    size = pair.dimension
    power = 1e4
    fitted = estimate(pair, reports_of(pair, truth, power=power))
    variances, axes = np.linalg.eigh(fitted.covariance[size:, size:])
    along, slope = bistatic_direction(pair, truth.position_m)
    assert abs(axes[:, 0] @ along) == pytest.approx(1, abs=1e-4)
    assert np.allclose(np.sqrt(variances[1:]), pair.sensing.max_speed_mps, rtol=1e-3)
    # Along the bistatic direction at least the deviation of the Doppler shift.
    wavelength = pair.grid.wavelength_m
    measured = wavelength / slope / np.sqrt(doppler_information(pair.grid, power))
    assert measured < np.sqrt(variances[0]) < 0.2 * pair.sensing.max_speed_mps


def test_with_an_exact_location_the_deviation_along_is_that_of_the_doppler_shift(
    pair, target, reports_of
):
    truth = truth_of(pair, target)
    size = pair.dimension
    power = 1e4
    (report,) = reports_of(pair, truth, power=power)
    sure = replace(
        report, paths=tuple(replace(path, information=1e12 * np.eye(size)) for path in report.paths)
    )
    variances = np.linalg.eigvalsh(estimate(pair, [sure]).covariance[size:, size:])
    _, slope = bistatic_direction(pair, truth.position_m)
    expected = pair.grid.wavelength_m / slope / np.sqrt(doppler_information(pair.grid, power))
    assert np.sqrt(variances[0]) == pytest.approx(expected, rel=1e-3)


def test_the_covariance_is_the_inverse_information_where_rounding_allows_one(
    pair, target, reports_of
):
    truth = truth_of(pair, target)
    size = pair.dimension
    power = 300.0
    (report,) = reports_of(pair, truth, power=power)
    fitted = estimate(pair, [report])
    transmitter = pair.transmitters[0].position_m
    receiver = pair.receivers[0].position_m
    wavelength = pair.grid.wavelength_m

    def shift(state):
        point = np.zeros(3)
        moving = np.zeros(3)
        point[:size] = state[:size]
        moving[:size] = state[size:]
        return float(bistatic_geometry(transmitter, receiver, point, moving, wavelength).doppler_hz)

    state = np.concatenate([fitted.position_m, fitted.velocity_mps])
    step = 1e-4 * np.eye(2 * size)
    row = np.array([shift(state + one) - shift(state - one) for one in step]) / 2e-4
    mixed = (
        np.array(
            [
                [
                    (
                        shift(state + a + b)
                        - shift(state - a + b)
                        - shift(state + a - b)
                        + shift(state - a - b)
                    )
                    for b in 1e2 * step[size:]
                ]
                for a in 1e2 * step[:size]
            ]
        )
        / 4e-4
    )
    turning = pair.sensing.max_speed_mps**2 * np.trace(mixed @ mixed.T @ report.covariance)
    noise = 1 / doppler_information(pair.grid, power) + turning
    normal = np.outer(row, row) / noise
    normal[:size, :size] += report.information
    normal[size:, size:] += np.eye(size) / pair.sensing.max_speed_mps**2
    assert np.allclose(fitted.covariance, np.linalg.inv(normal), rtol=1e-4, atol=1e-6)


def test_covariances_stay_positive_definite_for_any_echo_power(pair, target, reports_of):
    for power in (1e2, 1e5, 1e8, 1e11):
        covariance = estimate(
            pair, reports_of(pair, truth_of(pair, target), power=power)
        ).covariance
        assert np.array_equal(covariance, covariance.T)
        np.linalg.cholesky(covariance)


def test_covariances_of_detections_of_a_pair_are_consistent(pair, target, reports_of):
    size = pair.dimension
    generator = np.random.default_rng(3)
    errors = []
    covariances = []
    tries = 400
    for _ in range(tries):
        # Velocities drawn from the prior, a Gaussian of the maximum speed, test the whole
        # covariance.
        velocity = pair.sensing.max_speed_mps * generator.standard_normal(size)
        truth = target(PLACE[:size], velocity)
        fitted = estimate(pair, reports_of(pair, truth, generator))
        away = fitted.position_m - truth.position_m[:size], fitted.velocity_mps - velocity
        errors.append(np.concatenate(away))
        covariances.append(fitted.covariance)
    low, high = nees_interval(tries, 2 * size, 0.999)
    assert low < nees(np.array(errors), np.array(covariances)).mean() < high


def needed(scene, point_m, received=None):
    """Paths that a single location needs."""
    return paths_needed(scene, point_m[None], received)[0]


def test_a_place_needs_as_many_paths_as_dimensions_where_enough_links_face_it(campus, small, pair):
    place = np.array([50.0, 50.0, 10.0])
    assert needed(campus, place) == 3
    assert needed(campus, place, Received(["rx1", "rx2"])) == 3
    assert needed(campus, place, Received(["rx1"])) == needed(campus, place, Received([])) == 1
    # Links of stations that send no reports confirm none, and none of their reports is missing.
    mixed = Received(["rx1"], without_reports=["rx2", "rx3"])
    assert needed(campus, place, mixed) == 1
    assert not mixed.is_incomplete(campus)
    assert Received(["rx1"], without_reports=["rx2"]).is_incomplete(campus)
    assert needed(small, np.array([30.0, 30.0, 0.0])) == 2
    assert needed(small, np.array([30.0, 30.0, 0.0]), Received(["rx2"])) == 2
    assert needed(pair, np.array([30.0, 30.0, 0.0])) == 1


def test_arrays_that_face_away_are_no_links_of_a_place(campus):
    place = np.array([50.0, 50.0, 10.0])
    turned = [replace(site, rotation=-site.rotation) for site in campus.receivers[1:]]
    assert needed(replace(campus, receivers=(campus.receivers[0], *turned)), place) == 1
    assert needed(replace(campus, receivers=(*campus.receivers[:2], turned[1])), place) == 3


def test_walls_hide_a_place_from_links_that_face_it(campus):
    # A building between a place and some access points.
    place = np.array([50.0, 50.0, 10.0])
    assert needed(campus, place) == 3
    receivers = [site.position_m for site in campus.receivers]
    towards = [(place + 3 * position_m) / 4 for position_m in receivers]

    def hidden_from(indices):
        """The campus with a small building in the way of some receivers."""
        boxes = tuple(
            Building(towards[index] - 2.0, towards[index] + 2.0, CONCRETE) for index in indices
        )
        return replace(campus, world=World(True, None, (), boxes, 1.0, False))

    # Links of one receiver are left for a single path, and two receivers have enough.
    num_links = len(campus.transmitters)
    assert num_links < campus.dimension
    assert needed(hidden_from(range(1, len(receivers))), place) == 1
    assert needed(hidden_from(range(2, len(receivers))), place) == 3

    # A place that no link sees has mirror images alone.
    assert needed(hidden_from(range(len(receivers))), place) == 3

    # Other places are not affected.
    assert needed(hidden_from(range(len(receivers))), np.array([20.0, 30.0, 10.0])) == 3


def test_beyond_the_edge_of_the_area_the_nearest_place_counts(campus, small):
    behind_all = np.array([-4.9, -4.9, 1.0])
    assert not any(
        site.boresight @ (behind_all - site.position_m) > 0 for site in campus.transmitters[:1]
    )
    assert needed(campus, behind_all) == 3
    assert needed(small, np.array([30.0, -2.9, 0.0])) == 2


def test_one_path_among_many_links_is_a_ghost_unless_the_other_receivers_are_missing(
    campus, target, reports_of
):
    report = single(campus, reports_of(campus, target((40, 60, 14), (4, -6, 1)))[0])
    assert fuse(campus, [report]) == ()
    assert fuse(campus, [report], ["rx1", "rx2", "rx3"]) == ()
    (part,) = fuse(campus, [report], ["rx1", "rx2"])
    assert part.is_partial
    (found,) = fuse(campus, [report], ["rx1"])
    assert not found.is_partial
    assert np.allclose(found.position_m, (40, 60, 14), atol=1e-6)


def test_without_some_receivers_doubtful_clusters_are_partial_detections(
    campus, target, reports_of
):
    moving = reports_of(campus, target((40, 60, 14), (4, -6, 1)))
    resting = reports_of(campus, target((60, 30, 5), (0, 0, 0)))
    found = fuse(campus, [*moving[:2], *resting[:2]], ["rx1", "rx2"])
    assert [item.is_partial for item in found] == [False, True]
    assert np.allclose(found[1].position_m, (60, 30, 5), atol=0.01)
    assert len(fuse(campus, [*moving, *resting], ["rx1", "rx2", "rx3"])) == 1


def test_a_location_along_a_line_only_is_no_target(pair, target, reports_of):
    (report,) = reports_of(pair, truth_of(pair, target))
    size = pair.dimension
    line = np.diag([1e4] * (size - 1) + [1e-3])
    vague = replace(report, paths=(replace(report.paths[0], information=line),))
    assert len(fuse(pair, [report])) == 1 and fuse(pair, [vague]) == ()


def test_a_static_echo_of_a_pair_is_clutter(pair, target, reports_of):
    generator = np.random.default_rng(4)
    size = pair.dimension
    for _ in range(50):
        resting = reports_of(pair, target(PLACE[:size], (0.0,) * size), generator)
        assert is_static(pair, resting, estimate(pair, resting)) and fuse(pair, resting) == ()


def test_a_weak_echo_with_the_shift_of_a_strong_one_is_its_side_lobe(pair, target, reports_of):
    (strong,) = reports_of(pair, truth_of(pair, target), power=1e5)
    path = strong.paths[0]
    away = np.array([10.0, 12.0, 0.0])
    weak = replace(
        strong,
        point_m=strong.point_m + away,
        paths=(replace(path, power=path.power / 30, information=path.information / 30),),
    )
    accepted = [
        Accepted([strong], detection_of(pair, [strong], estimate(pair, [strong])), POINT_BODY)
    ]
    assert is_ghost(pair, [weak], accepted)
    apart = path.doppler_hz + 1.1 * pair.grid.doppler_resolution_hz
    other = replace(weak, paths=(replace(weak.paths[0], doppler_hz=apart),))
    assert not is_ghost(pair, [other], accepted)


def test_a_shift_that_only_an_impossible_speed_explains_is_rejected(space, target, reports_of):
    # Near the line between the sites shifts are small: a large one is from another place.
    place = (30.0, 16.0, 12.0)
    (report,) = reports_of(space, target(place, (0.0, 18.0, 0.0)))
    fastest = report.paths[0].doppler_hz
    assert len(fuse(space, [report])) == 1
    beyond = replace(report, paths=(replace(report.paths[0], doppler_hz=1.5 * fastest),))
    detection = detection_of(space, [beyond], estimate(space, [beyond]))
    assert not is_possible(space, detection) and fuse(space, [beyond]) == ()
    assert abs(1.5 * fastest) < 2 * space.sensing.max_speed_mps / space.grid.wavelength_m

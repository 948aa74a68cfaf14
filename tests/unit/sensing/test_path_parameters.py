"""Parameters of a path and its location are there and back; slopes are those of finite
differences.
"""

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.path_parameters import (
    NEAREST_M,
    PathParameters,
    accuracy_of,
    arrival_direction,
    beam_width,
    check_plane,
    location_information,
    location_of,
    location_slopes,
    on_bins,
    parameters_of,
)

POINTS = np.array([[22.0, 31, 0], [50, 5, 0], [3, 58, 0]])


@pytest.mark.parametrize("transmitter", [0, 1])
def test_location_and_parameters_are_inverse(small, transmitter):
    for receiver in small.receivers:
        for point in POINTS:
            parameters = parameters_of(small, receiver, transmitter, point, 300.0)
            assert np.allclose(location_of(small, receiver, parameters), point)


def test_parameters_are_those_of_the_geometry(small):
    receiver, sender = small.receivers[0], small.transmitters[1]
    found = parameters_of(small, receiver, 1, POINTS[0], 300.0)
    away = POINTS[0] - receiver.position_m
    # The array looks along -y, so its axis is +x.
    assert found.angle_rad == pytest.approx(np.arctan2(-away[1], away[0]))
    path_m = np.linalg.norm(away) + np.linalg.norm(POINTS[0] - sender.position_m)
    assert found.range_m == pytest.approx(path_m)
    assert found.range_rate_mps == pytest.approx(-300.0 * small.grid.wavelength_m)


def test_a_range_within_the_direct_path_is_put_before_the_receiver(small):
    receiver = small.receivers[0]
    point = location_of(small, receiver, PathParameters(0, 1.2, 10.0, 0.0))
    assert np.allclose(
        point - receiver.position_m, NEAREST_M * np.array([np.cos(1.2), -np.sin(1.2), 0])
    )


def test_arrivals_are_in_front_of_the_array(small):
    for receiver in small.receivers:
        directions = arrival_direction(receiver, np.linspace(-1, 1, 9))
        assert np.allclose(np.linalg.norm(directions, axis=1), 1)
        assert np.all(directions @ receiver.boresight >= 0)


def test_the_beam_of_a_half_wavelength_array_is_two_over_its_elements(small):
    assert beam_width(small.receivers[0], small.grid.wavelength_m) == pytest.approx(2 / 8)


def test_slopes_are_those_of_finite_differences(small):
    receiver, sender = small.receivers[1], small.transmitters[0].position_m

    def measured(point):
        path = bistatic_geometry(sender, receiver.position_m, point, np.zeros(3), 1.0)
        return np.array([path.aoa @ receiver.axis, path.range_m])

    found = location_slopes(small, receiver, 0, POINTS[0])
    for axis, step in enumerate(1e-4 * np.eye(3)[:2]):
        slopes = (measured(POINTS[0] + step) - measured(POINTS[0] - step)) / 2e-4
        assert np.allclose(found[:, axis], slopes, atol=1e-7)


def test_information_weighs_slopes_by_their_accuracy(small):
    receiver = small.receivers[1]
    accuracy = accuracy_of(small, receiver, 0.1, 0.2)
    slopes = location_slopes(small, receiver, 0, POINTS[0])
    wanted = (
        np.outer(slopes[0], slopes[0]) / accuracy.cosine**2
        + np.outer(slopes[1], slopes[1]) / accuracy.range_m**2
    )
    assert np.allclose(location_information(small, receiver, 0, POINTS[0], accuracy), wanted)
    # 61.44 MHz and 1.33 ms: cells of 4.88 m and 7.5 m/s of path.
    assert accuracy.range_m == pytest.approx(0.488, rel=0.01)
    assert accuracy.range_rate_mps == pytest.approx(1.499, rel=0.01)


def test_bins_are_the_nearest_ones(small):
    before = PathParameters(1, 1.1, 100.0, -20.0)
    after = on_bins(small, before)
    bins = after.range_m / small.grid.range_resolution_m, after.range_rate_mps / 7.4968
    assert np.allclose(bins, [20, -3], atol=1e-3)
    assert (after.transmitter, after.angle_rad) == (1, 1.1)


def test_a_scene_in_space_or_without_lines_is_refused(small, tilted):
    check_plane(small, "music")
    for scene in (tilted, load_scene("campus")):
        with pytest.raises(
            ValueError, match=r"'music' measures angles in a plane.*use scheme local_ml"
        ):
            check_plane(scene, "music")

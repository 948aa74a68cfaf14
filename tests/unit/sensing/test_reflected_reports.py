"""Reports by way of walls: mirror images of what a receiver finds behind them."""

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.reflected import over
from cooperative_isac.sensing.reflected_reports import at_their_places
from cooperative_isac.sensing.report import EchoReport, PathReport

FACADE = 10
PLACE_M = np.array([58.0, -30.0, 1.5])


@pytest.fixture(scope="module")
def scene():
    return load_scene("side_street")


def range_gradients(view, point_m):
    """Gradients of the path lengths from both stations to bs1, [2, 3]."""
    transmitters_m = np.array([site.position_m for site in view.transmitters])
    receiver_m = view.receiver("bs1").position_m
    return bistatic_geometry(transmitters_m, receiver_m, point_m, np.zeros(3), 1.0).range_gradient


def report_at(view, point_m):
    """A report of bs1 that measures two path lengths, with unit information of each."""
    paths = tuple(
        PathReport(index, 100.0 * index, 50.0, np.outer(gradient, gradient))
        for index, gradient in enumerate(range_gradients(view, point_m))
    )
    return EchoReport("bs1", point_m, paths, "high")


def test_a_hidden_target_is_at_the_mirror_image(scene):
    image_m = PLACE_M * [1, -1, 1] + [0, 36, 0]
    (report,) = at_their_places(scene, [report_at(scene, image_m)])
    assert report.surface == FACADE and np.allclose(report.point_m, PLACE_M)
    assert [path.doppler_hz for path in report.paths] == [0.0, 100.0]

    # Information of the same measurements by the images of the stations.
    expected = range_gradients(over(scene, FACADE), PLACE_M)
    for path, gradient in zip(report.paths, expected, strict=True):
        assert np.allclose(path.information, np.outer(gradient, gradient))


def test_a_visible_target_is_where_it_is(scene):
    report = report_at(scene, np.array([60.0, 0.0, 1.0]))
    assert at_their_places(scene, [report]) == (report,)


@pytest.mark.parametrize(
    "point_m",
    [
        [60.0, -30.0, 1.0],  # hidden, and no image of anything
        [49.0, 81.0, 1.0],  # image of a corner that is hidden from the station's image
    ],
)
def test_places_that_a_receiver_cannot_see_are_left_out(scene, point_m):
    assert not at_their_places(scene, [report_at(scene, np.array(point_m))])

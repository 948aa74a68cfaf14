"""Images of stations, and what they show of places that buildings hide."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.images import mirrored_site
from cooperative_isac.scene.reflected import locates, over, reflectors, sees, sensed_views

# Faces of the boxes in the order south, north, west, east, top: west face of the box in the east,
# south face of the one in the north.
EAST_BOX_WEST = 7
FACADE = 10
PLACES_M = np.array(
    [
        [60.0, 0.0, 1.0],  # main street
        [57.0, -30.0, 1.0],  # side street, bs1 sees it by way of the facade
        [49.0, -45.0, 1.0],  # its deepest corner, hidden from the image of bs1, too
        [40.0, -30.0, 1.0],  # in a building
    ]
)


@pytest.fixture(scope="module")
def scene():
    return load_scene("side_street")


def test_an_image_has_the_distances_of_its_station(scene):
    site = replace(scene.receivers[0], velocity_mps=np.array([1.0, 2.0, 3.0]))
    mirror = scene.world.surfaces[FACADE]
    image = mirrored_site(site, mirror)
    point_m = np.array([60.0, -30.0, 1.0])
    for place in range(site.num_ant):
        element_m = site.position_m + site.elements_m[place]
        image_element_m = image.position_m + image.elements_m[place]
        expected_m = np.linalg.norm(mirror.mirrored(element_m) - point_m)
        assert np.linalg.norm(image_element_m - point_m) == pytest.approx(expected_m)
    assert np.allclose(image.position_m, [30, 45, 8])
    assert np.allclose(image.boresight, site.boresight * [1, -1, 1])
    assert np.allclose(image.velocity_mps, [1, -2, 3])
    again = mirrored_site(image, mirror)
    assert np.allclose(again.rotation, site.rotation)


def test_hidden_places_are_seen_by_way_of_the_facade(scene):
    station = scene.receiver("bs1")
    image_view = over(scene, FACADE)
    image = image_view.receiver("bs1")
    assert sees(scene, station, PLACES_M).tolist() == [True, False, False, False]
    assert sees(image_view, image, PLACES_M).tolist() == [True, True, False, False]
    assert locates(image_view, image, PLACES_M).tolist() == [False, True, False, False]


def test_regions_contain_all_hidden_places_that_a_surface_shows(scene):
    assert [region.surface for region in scene.hidden_regions["bs1"]] == [EAST_BOX_WEST, FACADE]
    assert reflectors(scene) == (3, EAST_BOX_WEST, FACADE)
    generator = np.random.default_rng(1)
    places_m = generator.uniform(scene.box.low_m, scene.box.high_m, (4000, 3))
    for region in scene.hidden_regions["bs1"]:
        image_view = over(scene, region.surface)
        is_shown = locates(image_view, image_view.receiver("bs1"), places_m)
        is_shown &= ~scene.world.is_inside(places_m)
        assert is_shown.any() and region.box.contains(places_m[is_shown]).all()


def test_without_the_key_the_scene_is_seen_directly_alone(scene):
    ignoring = replace(scene, sensing=replace(scene.sensing, reflections="ignore"))
    assert ignoring.hidden_regions == {"bs1": (), "bs2": ()}
    assert [view.surface for view in sensed_views(ignoring)] == [None]
    assert [view.surface for view in sensed_views(scene)] == [None, 3, EAST_BOX_WEST, FACADE]

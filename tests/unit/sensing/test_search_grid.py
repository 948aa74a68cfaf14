"""Search cells: they cover the area, and stay in it."""

from dataclasses import replace

import numpy as np

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.sensing.search_grid import beam_directions, search_grid


def test_beams_are_unit_vectors_in_front_of_the_array(listener):
    directions = beam_directions(
        listener.site, listener.scene.dimension, listener.scene.grid.wavelength_m
    )
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    assert np.all(directions @ listener.site.boresight > 0)


def test_every_point_of_the_area_is_in_the_main_lobe_of_a_cell(listener):
    scene, site = listener.scene, listener.site
    grid = search_grid(scene, site, scene.grid)
    generator = np.random.default_rng(1)
    for point in generator.uniform(scene.box.low_m, scene.box.high_m, (60, 3)):
        if scene.dimension == 2:
            point[2] = scene.plane_height_m
        away = point - site.position_m
        heard = np.abs(
            grid.beams
            @ steering_vectors(
                site.elements_m, away / np.linalg.norm(away), scene.grid.wavelength_m
            )
        )
        near = np.abs(grid.ranges_m - np.linalg.norm(away)) <= grid.range_step_m
        assert heard[grid.beam_of_cell[near]].max() > 0.6


def test_neighbors_are_close_in_range_and_direction(listener):
    grid = search_grid(listener.scene, listener.site, listener.scene.grid)
    cell = len(grid.points_m) // 2
    near = grid.neighbors(cell)
    assert near[cell] and 1 < near.sum() < len(near) / 4


def test_beams_are_twice_as_dense_where_a_single_link_faces_the_area(plane):
    alone = replace(plane, transmitters=plane.transmitters[:1], receivers=plane.receivers[:1])
    site = plane.receivers[0]
    usual = len(search_grid(plane, site, plane.grid).beams)
    assert 1.7 < len(search_grid(alone, site, plane.grid).beams) / usual < 2.3
    two = replace(plane, transmitters=plane.transmitters[:1])
    assert len(search_grid(two, site, plane.grid).beams) == usual

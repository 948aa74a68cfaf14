"""Search cells: they cover the area, and stay in it."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.sensing.search_grid import (
    NEAR_FINENESS,
    beam_directions,
    cells_along,
    search_grid,
)


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


def test_cells_for_some_transmitters_share_their_paths(listener):
    scene = listener.scene
    whole = search_grid(scene, listener.site, scene.grid)
    chosen = [len(scene.transmitters) - 1]
    part = whole.of(chosen)
    alone = replace(whole, transmitters=(scene.transmitters[-1],))
    assert part.transmitters == alone.transmitters
    assert part.delay_phases[0] is whole.delay_phases[-1]
    assert np.array_equal(part.delay_phases[0], alone.delay_phases[0])
    assert np.array_equal(part.departures[0], alone.departures[0])


def test_beams_are_twice_as_dense_where_a_single_link_faces_the_area(plane):
    alone = replace(plane, transmitters=plane.transmitters[:1], receivers=plane.receivers[:1])
    site = plane.receivers[0]
    usual = len(search_grid(plane, site, plane.grid).beams)
    assert 1.7 < len(search_grid(alone, site, plane.grid).beams) / usual < 2.3
    two = replace(plane, transmitters=plane.transmitters[:1])
    assert len(search_grid(two, site, plane.grid).beams) == usual


def test_a_cell_is_in_the_beams_of_receiver_and_transmitter_near_another_station():
    scene = load_scene("multi_bs").on("high")
    receiver = scene.receiver("bs4")
    transmitter = scene.receiver("bs3")
    grid = search_grid(scene, receiver, scene.grid)
    wavelength_m = scene.grid.wavelength_m

    # Targets around the other station, 60 m from the receiver.
    generator = np.random.default_rng(1)
    offsets_m = generator.uniform(-12, 0, (100, 3)) * [1, 1, 0.5] + [0, 0, 3]
    points_m = transmitter.position_m + offsets_m
    points_m = points_m[np.linalg.norm(points_m - transmitter.position_m, axis=1) > 5]
    gains = []
    for point_m in points_m:
        gain = np.ones(len(grid.points_m))
        for site in (receiver, transmitter):
            toward = (point_m - site.position_m) / np.linalg.norm(point_m - site.position_m)
            cells = grid.points_m - site.position_m
            cells /= np.linalg.norm(cells, axis=1, keepdims=True)
            steering = steering_vectors(site.elements_m, cells, wavelength_m)
            gain *= np.abs(
                steering.conj() @ steering_vectors(site.elements_m, toward, wavelength_m)
            )
        gains.append(gain.max())
    assert np.quantile(gains, 0.05) > 0.6


@pytest.mark.parametrize(
    ("name", "band", "station"), [("multi_bs", "high", "bs4"), ("macro_micro", "high", "micro1")]
)
def test_finer_cells_are_those_of_all_finer_beams_that_are_near_another_station(
    name, band, station
):
    scene = load_scene(name).on(band)
    receiver = scene.receiver(station)
    others = [
        site
        for site in (scene.transmitters[row] for row in scene.linked_transmitters(station))
        if site.name != station
    ]
    search = search_grid(scene, receiver, scene.grid)

    for finer in NEAR_FINENESS:
        directions = beam_directions(receiver, 3, scene.grid.wavelength_m, finer)
        cells_m = cells_along(scene, receiver, scene.grid, directions).points_m
        # Arrays of all stations are alike: their beams are as wide as the receiver's.
        distances_m = np.min(
            [np.linalg.norm(cells_m - site.position_m, axis=1) for site in others], axis=0
        )
        ranges_m = np.linalg.norm(cells_m - receiver.position_m, axis=1)
        expected_m = cells_m[finer * distances_m < ranges_m]
        assert len(expected_m)
        found = {tuple(point) for point in np.round(search.points_m, 6)}
        assert found >= {tuple(point) for point in np.round(expected_m, 6)}


@pytest.mark.parametrize("number", [6, 8])
def test_a_strong_target_near_another_station_hides_no_other(number):
    scene = load_scene("multi_bs")
    places_m = np.array([[57.9, 58.0, 11.9], [16.3, 30.4, 13.9], [44.8, 35.8, 9.2]])
    velocities_mps = np.array([[-4.7, -8.8, 0.3], [-8.4, 3.8, -1.0], [-3.9, -8.3, 1.5]])
    targets = tuple(
        TargetState(f"uav{index}", TargetClass.UAV, place_m, velocity_mps)
        for index, (place_m, velocity_mps) in enumerate(zip(places_m, velocities_mps))
    )
    frame = make_frame(scene, number)
    encoder = make_scheme("local_ml", scene).at("bs4")
    reports = encoder.reports(receive(scene, frame, "bs4", targets), frame)
    points_m = np.array([report.point_m for report in reports])
    distances_m = np.linalg.norm(points_m[:, None] - places_m, axis=2)
    assert len(reports) == 3
    assert distances_m.min(axis=0).max() < 0.5

"""Maps of locations in space against the plain matched filter and known targets."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.arrays import planar, steering_vectors
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.sensing.space_map import SpaceMap
from cooperative_isac.sensing.static_stage import StaticStage

CELLS = 16
HEIGHTS = 4


@pytest.fixture(scope="module")
def campus():
    """Planar arrays in space; all symbols are payload."""
    scene = load_scene("campus")
    return replace(scene, waveform=replace(scene.waveform, reference_subcarrier_stride=0))


@pytest.fixture(scope="module")
def space(campus):
    return SpaceMap(campus, campus.receivers[0], CELLS, HEIGHTS)


def path_over(scene, transmitter, point_m, velocity_mps=(0.0, 0.0, 0.0)):
    """Geometry of a path to the first receiver."""
    return bistatic_geometry(
        scene.transmitters[transmitter].position_m,
        scene.receivers[0].position_m,
        np.asarray(point_m, float),
        np.array(velocity_mps),
        scene.grid.wavelength_m,
    )


def plain_power(scene, frame, echo, transmitter, point_m, shift_hz):
    """|u^H y|^2 / (sigma^2 ||u||^2) of one path, with nothing shared and nothing approximated."""
    grid = scene.grid
    path = path_over(scene, transmitter, point_m)
    departure = steering_vectors(
        scene.transmitters[transmitter].elements_m, path.aod[None], grid.wavelength_m
    )
    sent = frame.toward(transmitter, departure)[:, 0]
    arrival = steering_vectors(scene.receivers[0].elements_m, path.aoa[None], grid.wavelength_m)[0]
    delay = np.exp(-2j * np.pi * path.delay_s * grid.subcarrier_offsets_hz)
    shift = np.exp(2j * np.pi * shift_hz * grid.symbol_times_s)
    replica = arrival[:, None, None] * (sent * delay[:, None] * shift)
    energy = np.sum(np.abs(replica) ** 2) * scene.propagation.noise_power_w
    return np.abs(np.vdot(replica, echo)) ** 2 / energy


def column(space, cell):
    """Points of a cell over all heights."""
    ground_m = space.scene.box.cell_centers_m(CELLS).reshape(-1, 2)[cell]
    return [np.append(ground_m, height_m) for height_m in space.heights_m]


def test_a_map_is_the_strongest_matched_filter_of_every_column(campus, listen, space):
    listener = listen(campus)
    echo, _ = listener.echo([[42.0, 61.0, 18.0]], [[4.0, -6.0, 1.0]], 1e-5)
    maps = space.observe(echo, listener.frame).reshape(2, 4, -1)
    for transmitter in range(2):
        for cell in np.argsort(-maps[transmitter, 0])[:2]:
            plain = max(
                plain_power(campus, listener.frame, echo, transmitter, point_m, shift)
                for point_m in column(space, cell)
                for shift in space.shifts_hz
            )
            assert 10 ** maps[transmitter, 0, cell] - 1 == pytest.approx(plain, rel=0.15)


def test_length_elevation_and_doppler_shift_are_those_of_the_target(campus, listen, space):
    cell = 9 * CELLS + 7
    height_m = space.heights_m[2] + 1.0
    place_m = column(space, cell)[2] + np.array([0.5, -0.4, 1.0])
    velocity_mps = np.array([5.0, -3.0, 1.0])
    middle_m = (campus.box.low_m[2] + campus.box.high_m[2]) / 2
    columns = campus.receivers[0].rotation[:, 2]
    assert abs(height_m - middle_m) > 2.0, "the length must hold off the middle height"

    errors = []
    for number in range(1, 7):
        listener = listen(campus, number)
        echo, _ = listener.echo([place_m], [velocity_mps], 1e-5, seed=number)
        maps = space.observe(echo, listener.frame).reshape(2, 4, -1)[:, :, cell]
        for transmitter, (_, doppler, length, rise) in enumerate(maps):
            path = path_over(campus, transmitter, place_m, velocity_mps)
            at_middle = path_over(campus, transmitter, [*column(space, cell)[0][:2], middle_m])
            errors.append(
                [
                    at_middle.range_m + length * space.max_excess_m - path.range_m,
                    (rise - path.aoa @ columns) * path.rx_distance_m,
                    (doppler * space.max_doppler_hz - path.doppler_hz)
                    / campus.grid.doppler_resolution_hz,
                ]
            )
    length_m, across_m, shift_cells = np.sqrt(np.mean(np.square(errors), axis=0))
    assert length_m < 0.5 and across_m < 1.0 and shift_cells < 0.1


@pytest.mark.parametrize("static_paths", ["keep", "project"])
def test_slow_paths_keep_their_power_behind_the_suppression(campus, listen, static_paths):
    scene = replace(campus, sensing=replace(campus.sensing, static_paths=static_paths))
    space = SpaceMap(scene, scene.receivers[0], CELLS, HEIGHTS)
    listener = listen(scene)
    point_m = column(space, 9 * CELLS + 7)[2]
    echo, _ = listener.echo([point_m], [np.zeros(3)], 1e-5)
    cleaned, _ = StaticStage(scene, scene.receivers[0]).prepare(echo, listener.frame)
    power = 10 ** space.observe(cleaned, listener.frame)[:, 0] - 1
    if static_paths == "project":
        assert power.max() < 30, "a target at rest is suppressed, and no filter restores it"
    else:
        assert power.max() > 300

    # Filters have noise of the same power at all shifts, also the middle one.
    energies = np.square(np.abs(space._doppler_filters)).sum(axis=0)
    assert energies == pytest.approx(np.full(len(energies), scene.grid.num_symbols), rel=1e-3)


def test_scenes_and_arrays_without_heights_are_refused(plane, campus):
    with pytest.raises(ValueError, match="dimension 2; maps with heights need dimension 3"):
        SpaceMap(plane, plane.receivers[0], CELLS, HEIGHTS)
    with pytest.raises(ValueError, match="dimension 3; maps of locations need dimension 2"):
        LocationMap(campus, campus.receivers[0], CELLS)
    site = campus.receivers[0]
    row_m = planar(4, 1, 0.005) @ site.rotation.T
    with pytest.raises(ValueError, match="has one row"):
        SpaceMap(campus, replace(site, elements_m=row_m), CELLS, HEIGHTS)
    with pytest.raises(ValueError, match="0 heights"):
        SpaceMap(campus, site, CELLS, 0)

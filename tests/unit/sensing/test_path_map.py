"""Maps of detected paths in space against known targets: no side lobes, and weak paths stay."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import thermal_noise
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.path_map import RESTORED_RADIUS_M, PathMap
from cooperative_isac.sensing.space_map import SpaceMap
from cooperative_isac.sensing.static_stage import StaticStage

CELLS = 24
# A car, and a UAV beside it whose echoes are 20 dB weaker.
CAR_M = np.array([48.0, 40.0, 1.0])
CAR_MPS = np.array([9.0, 0.0, 0.0])
UAV_M = np.array([52.0, 51.0, 18.0])
UAV_MPS = np.array([1.0, 8.0, 1.0])


@pytest.fixture(scope="module")
def campus():
    """Planar arrays in space; all symbols are payload, and static paths are suppressed."""
    scene = load_scene("campus")
    return replace(
        scene,
        waveform=replace(scene.waveform, reference_subcarrier_stride=0),
        sensing=replace(scene.sensing, static_paths="project"),
    )


@pytest.fixture(scope="module")
def plain(campus):
    return SpaceMap(campus, campus.receivers[0], CELLS, 6)


def cell_of(scene, point_m):
    """Row and column of the cell over which a point is."""
    size_m = (scene.box.high_m - scene.box.low_m)[:2] / CELLS
    column, row = ((point_m[:2] - scene.box.low_m[:2]) // size_m).astype(int)
    return row, column


def errors(plain, maps, point_m, velocity_mps):
    """Errors of length, m, rise and Doppler shift, resolution cells, over a target's own cell."""
    scene = plain.scene
    row, column = cell_of(scene, point_m)
    middle_m = (scene.box.low_m[2] + scene.box.high_m[2]) / 2
    over_cell_m = np.append(scene.box.cell_centers_m(CELLS)[row, column], middle_m)
    found = []
    for sender, (_, shift, excess, rise) in zip(scene.transmitters, maps[:, :, row, column]):
        ends = sender.position_m, plain.receiver.position_m
        wavelength_m = scene.grid.wavelength_m
        path = bistatic_geometry(*ends, point_m, velocity_mps, wavelength_m)
        over_cell = bistatic_geometry(*ends, over_cell_m, np.zeros(3), wavelength_m)
        shift_hz = shift * plain.max_doppler_hz - path.doppler_hz
        found.append(
            [
                over_cell.range_m + excess * plain.max_excess_m - path.range_m,
                rise - path.aoa @ plain.receiver.rotation[:, 2],
                shift_hz / scene.grid.doppler_resolution_hz,
            ]
        )
    return np.abs(found)


def test_a_weak_target_beside_a_strong_one_keeps_its_own_cell(campus, listen, plain):
    before = []
    after = []
    for number in range(1, 7):
        listener = listen(campus, number)
        of_car, _ = listener.echo([CAR_M], [CAR_MPS], 1e-4, seed=number)
        of_uav, _ = listener.echo([UAV_M], [UAV_MPS], 1e-5, seed=number)
        echo = StaticStage(campus, campus.receivers[0]).clean(of_car + of_uav, listener.frame)
        before.append(errors(plain, plain.observe(echo, listener.frame), UAV_M, UAV_MPS))
        maps = PathMap(plain).observe(echo, listener.frame)
        after.append(errors(plain, maps, UAV_M, UAV_MPS))
        assert (errors(plain, maps, CAR_M, CAR_MPS) < [0.1, 0.01, 0.05]).all()
    length_m, rise, shift_cells = np.median(after, axis=(0, 1))
    assert length_m < 0.2 and rise < 0.02 and shift_cells < 0.2
    plain_length_m, plain_rise, plain_shift_cells = np.median(before, axis=(0, 1))
    assert plain_length_m > 1 and plain_rise > 0.1 and plain_shift_cells > 1


def test_a_path_is_restored_around_its_place_alone(campus, listen, plain):
    listener = listen(campus)
    echo, _ = listener.echo([UAV_M], [UAV_MPS], 1e-4)
    echo = StaticStage(campus, campus.receivers[0]).clean(echo, listener.frame)
    powers = PathMap(plain).observe(echo, listener.frame)[:, 0]
    cells_m = campus.box.cell_centers_m(CELLS)
    away_m = np.linalg.norm(cells_m - UAV_M[:2], axis=-1)
    for power in powers:
        expected = power.max() - (away_m / RESTORED_RADIUS_M) ** 2
        is_near = away_m < 2 * RESTORED_RADIUS_M
        assert power[is_near] == pytest.approx(expected[is_near], abs=1.0)
        assert np.argmax(power) == np.argmin(away_m)
        assert not power[away_m > 5 * RESTORED_RADIUS_M].any()
    assert (plain.observe(echo, listener.frame)[:, 0, away_m > 20] > 2).any(), "side lobes"


def test_noise_alone_has_no_path(campus, listen, plain):
    listener = listen(campus)
    shape = listener.site.num_ant, campus.grid.num_subcarriers, campus.grid.num_symbols
    noise = thermal_noise(shape, campus.propagation.noise_power_w, np.random.default_rng(0))
    noise = StaticStage(campus, campus.receivers[0]).clean(noise, listener.frame)
    assert not PathMap(plain).observe(noise, listener.frame).any()
    assert plain.observe(noise, listener.frame).any()


def test_paths_that_are_no_numbers_are_not_shown(campus, listen, plain):
    listener = listen(campus)
    echo, _ = listener.echo([CAR_M, UAV_M], [CAR_MPS, UAV_MPS], 1e-4)
    echo = StaticStage(campus, campus.receivers[0]).clean(echo, listener.frame)
    path_map = PathMap(plain)
    fit = path_map._fit(echo, listener.frame)
    power = fit.power.copy()
    power[fit.power.argmax()] = np.nan
    transmitter = int(fit.state.transmitter[fit.power.argmax()])
    shown = np.zeros((4, CELLS, CELLS), np.float32)
    path_map._restore(transmitter, replace(fit, power=power), shown)
    assert np.isfinite(shown).all() and shown[0].any()

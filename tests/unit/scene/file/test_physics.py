"""Ambiguities of a scene against brute force. The refusals themselves are in test_errors."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.file.physics import (
    largest_excess_path,
    unambiguous_range,
    unambiguous_speed,
)
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, bistatic_geometry


@pytest.mark.parametrize("name", ["campus", "cell_free_table1"])
def test_no_point_of_the_area_has_a_longer_path_than_its_corners(name):
    scene = load_scene(name)
    points = np.random.default_rng(0).uniform(scene.box.low_m, scene.box.high_m, (20000, 3))
    for tx, rx in itertools.product(scene.transmitters, scene.receivers):
        paths = bistatic_geometry(
            tx.position_m, rx.position_m, points, np.zeros((20000, 3)), 0.01
        ).range_m
        excess = paths - np.linalg.norm(tx.position_m - rx.position_m)
        bound = largest_excess_path(scene.box, tx.position_m, rx.position_m)
        assert 0.9 * bound < excess.max() <= bound


def test_two_paths_one_span_apart_look_the_same():
    scene = load_scene("campus")
    span = unambiguous_range(scene)
    offsets = scene.grid.subcarrier_offsets_hz
    turns = offsets * span / SPEED_OF_LIGHT_MPS
    assert np.allclose(turns, np.round(turns))
    assert not np.allclose(turns / 2, np.round(turns / 2))


def test_doppler_at_the_unambiguous_speed_turns_half_a_cycle_a_symbol():
    scene = load_scene("campus")
    doppler = 2 * unambiguous_speed(scene) / scene.grid.wavelength_m
    assert doppler * scene.grid.symbol_period_s == pytest.approx(0.5)


def test_reference_symbols_alone_make_the_comb_coarser():
    scene = load_scene("campus")
    waveform = replace(scene.waveform, reference_subcarrier_stride=2, reference_symbol_stride=4)
    comb = replace(
        scene, waveform=waveform, sensing=replace(scene.sensing, symbols="reference_only")
    )
    assert unambiguous_range(comb) == pytest.approx(unambiguous_range(scene) / 2)
    assert unambiguous_speed(comb) == pytest.approx(unambiguous_speed(scene) / 4)


@pytest.mark.parametrize(
    ("names", "over_subcarriers", "over_symbols"),
    [(["csi_rs"], 4, 2), (["dmrs"], 2, 1), (["prs"], 1, 1), (["csi_rs", "prs"], 1, 1)],
)
def test_reference_signals_alone_are_as_coarse_as_their_combs(
    names, over_subcarriers, over_symbols
):
    scene = load_scene("cell_free_table1")
    waveform = replace(scene.waveform, signals=tuple(names))
    comb = replace(
        scene, waveform=waveform, sensing=replace(scene.sensing, symbols="reference_only")
    )
    assert unambiguous_range(comb) == pytest.approx(unambiguous_range(scene) / over_subcarriers)
    assert unambiguous_speed(comb) == pytest.approx(unambiguous_speed(scene) / over_symbols)


def test_leaving_the_area_late_is_refused_with_the_time(tmp_path):
    # Back and forth for 40 minutes, then a step of 2 s out of the area.
    times = [*range(0, 2400, 5), 2401, 2403, 2405]
    places = [30 + 20 * math.sin(time / 20) for time in times[:-3]] + [30, 300, 30]
    rows = [f"{time} {x} 50 10 0 0 0 1" for time, x in zip(times, places)]
    (tmp_path / "late.tum").write_text("\n".join(rows) + "\n")
    text = scene_path("campus").read_text()
    start = text.index("\ntargets:") + 1
    target = (
        "targets:\n  - name: car\n    motion: {kind: trajectory, file: late.tum, time_unit: s}\n"
    )
    with pytest.raises(SceneError, match=r"is outside the area at 2(39[5-9]|40[0-3])\.\d\d s"):
        parse_scene(text[:start] + target, tmp_path / "x.yaml")

"""Rows and warnings of `isac check` about interferers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.evaluation.interference_report import (
    interference_rows,
    interference_warnings,
)
from cooperative_isac.scene.band import Interferer
from cooperative_isac.scene.file.config import parse_scene, scene_path

PLACE_M = np.array([-20.0, 90.0, 0.0])


def beside(scene, signal="coded", power_w=1.0, mode="noise"):
    interferer = Interferer("other", PLACE_M, power_w, signal)
    return replace(
        scene,
        propagation=replace(scene.propagation, interferers=(interferer,)),
        sensing=replace(scene.sensing, interference=mode),
    )


def test_the_level_over_the_noise_is_that_of_free_space(small):
    (label, text), (_, mode) = interference_rows(beside(small))
    assert label == "interferer other"
    assert mode.startswith("noise: receivers measure its power")
    for site in small.receivers:
        # 1 W on 64 subcarriers, isotropic.
        loss = (small.grid.wavelength_m / (4 * np.pi)) ** 2
        distance_m = np.linalg.norm(site.position_m - PLACE_M)
        power_w = loss / distance_m**2 / 64
        level_db = 10 * np.log10(power_w / small.propagation.noise_power_w)
        assert f"{site.name} {level_db:.1f} dB" in text


def test_an_interferer_behind_a_building_is_blocked():
    text = scene_path("multi_bs").read_text()
    entry = "{name: other, position_m: [20, 130, 20], power_dbm: 30}"
    text = text.replace("\npropagation:", f"\npropagation:\n  interferers: [{entry}]")
    text += "\nworld: {boxes: [{low_m: [-30, 80, 0], high_m: [30, 100, 60]}]}\n"
    (_, levels), _ = interference_rows(parse_scene(text, Path("x.yaml")))
    assert "bs4 blocked" in levels and "bs3 blocked" not in levels


def test_several_schemes_count_with_their_own_noise(small):
    (line,) = interference_warnings(beside(small), ["music", "symbol_level"])
    assert "music and symbol_level count with the receiver's own noise alone" in line


def test_scenes_without_interferers_have_no_row(small):
    assert not interference_rows(small)
    assert not list(interference_warnings(small, ["local_ml"]))
    (row,) = interference_rows(beside(small, "orthogonal"))
    assert row[1].startswith("orthogonal")


@pytest.mark.parametrize(
    ("signal", "power_w", "mode", "scheme", "expected"),
    [
        ("coded", 1.0, "noise", "local_ml", ["set sensing.interference: nulls"]),
        ("coded", 1.0, "nulls", "local_ml", []),
        ("coded", 1e-3, "noise", "local_ml", []),
        ("coded", 1.0, "noise", "music", ["music counts with the receiver's own noise alone"]),
        ("same", 1e-3, "noise", "local_ml", ["sends the symbols of the band's own transmitters"]),
        ("orthogonal", 1.0, "nulls", "local_ml", ["no interferer sends on the scene's resource"]),
    ],
)
def test_likely_mistakes_are_warned_of(small, signal, power_w, mode, scheme, expected):
    lines = list(interference_warnings(beside(small, signal, power_w, mode), [scheme]))
    assert len(lines) == len(expected)
    for line, part in zip(lines, expected):
        assert part in line


@pytest.mark.parametrize(("static_paths", "is_kept"), [("keep", True), ("project", False)])
def test_a_copy_of_the_own_signal_hides_targets_where_static_paths_are_kept(
    small, static_paths, is_kept
):
    scene = beside(small, "same", 1e-3)
    scene = replace(scene, sensing=replace(scene.sensing, static_paths=static_paths))
    (line,) = interference_warnings(scene, ["local_ml"])
    assert "as false targets" in line
    assert ("line of sight stays in the echoes" in line) == is_kept
    assert ("set sensing.static_paths: project" in line) == is_kept

"""Warnings of the cooperation of stations: clocks, zones and common spectrum."""

from dataclasses import replace
from pathlib import Path

import pytest

from cooperative_isac.scene.cooperation_warnings import cooperation_warnings
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path

CLOCKS = scene_path("multi_bs_clocks").read_text()
ZONES = scene_path("bs_ue_zones").read_text()
TWO_BANDS = scene_path("two_bands").read_text()


def warned(text, *changes):
    """Warnings of a scene with replacements (before, after) in its text."""
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return cooperation_warnings(parse_scene(text, Path("scene.yaml")))


@pytest.mark.parametrize("name", ["bs_ue", "macro_micro", "multi_bs", "nr_uav", "campus"])
def test_shipped_scenes_have_no_warning(name):
    assert not cooperation_warnings(load_scene(name))


def test_clocks_that_nothing_corrects_are_a_warning():
    assert not warned(CLOCKS)
    (line,) = warned(CLOCKS, ("synchronization: line_of_sight", "synchronization: none"))
    # bs3 and bs4 are 100 ns apart at first, and drift by 19 ns/s for 60 s.
    assert "bs4 - bs3 on band 'high' differ by up to 1240 ns and 530 Hz within 60 s" in line
    assert "372 m of path (resolution 3.25 m) and 2.1 of the Doppler resolution (250 Hz)" in line
    assert "set sensing.synchronization (line_of_sight with a `world`)" in line


@pytest.mark.parametrize(("offset_ns", "is_warned"), [(1.0, False), (1.2, True)])
def test_clocks_within_a_tenth_of_a_cell_are_none(offset_ns, is_warned):
    # A cell is 3.25 m, or 10.9 ns.
    plain = scene_path("multi_bs").read_text()
    before = "  - name: bs2\n"
    after = f"{before}    clock: {{timing_offset_s: {offset_ns}e-9}}\n"
    assert bool(warned(plain, (before, after))) == is_warned
    # Own echoes have one clock.
    assert not warned(plain, (before, after), ("links: active-passive", "links: active"))


@pytest.mark.parametrize(
    ("kinds", "where"),
    [
        ("A, B, C", None),
        ("A", "beyond 170 m of 'bs'"),
        ("A, B", "beyond 420 m of 'bs'"),
        ("C", "from 0 to 380 m of 'bs'"),
        ("A, C", "from 170 to 380 m of 'bs'"),
        ("B, C", "from 0 to 130 m of 'bs'"),
    ],
)
def test_distances_without_links_are_a_warning(kinds, where):
    lines = warned(ZONES, ("kinds: [A, B, C]", f"kinds: [{kinds}]"))
    if where is None:
        assert not lines
    else:
        (line,) = lines
        assert f"no links are used {where}, where cooperation.kinds ({kinds})" in line
    # Without limits, the kinds are used everywhere.
    everywhere = [("kinds: [A, B, C]", f"kinds: [{kinds}]"), ("zones_m: [150, 400]", "")]
    assert not warned(ZONES, *everywhere)


def test_distances_beyond_the_area_are_no_warning():
    # All targets are within 170 m.
    scene = parse_scene(ZONES.replace("kinds: [A, B, C]", "kinds: [A]"), Path("scene.yaml"))
    near = replace(scene.box, high_m=scene.box.high_m * [0.25, 1, 1])
    assert cooperation_warnings(scene)
    assert not cooperation_warnings(replace(scene, box=near))


@pytest.mark.parametrize(
    ("carrier_hz", "is_warned"),
    [
        # The high band takes every eighth of 512 subcarriers of 120 kHz from 24 GHz on.
        ("24.0e9", True),
        ("24.0288e9", True),
        ("24.00004e9", True),
        # Half a comb away: its subcarriers are between those of the other band.
        ("24.00048e9", False),
        ("24.0625e9", False),
    ],
)
def test_common_spectrum_is_a_warning(carrier_hz, is_warned):
    other = (
        ("carrier_hz: 5.9e9", f"carrier_hz: {carrier_hz}"),
        ("subcarrier_spacing_hz: 30.0e3", "subcarrier_spacing_hz: 120.0e3"),
        ("subcarrier_stride: 16\n", "subcarrier_stride: 8\n"),
        ("cyclic_prefix_s: 2.34e-6", "cyclic_prefix_s: 0.59e-6"),
    )
    lines = warned(TWO_BANDS, *other)
    assert bool(lines) == is_warned
    if lines:
        assert "bands 'high' and 'low' have subcarriers at the same frequencies" in lines[0]
        assert "the simulation keeps all bands orthogonal" in lines[0]


def test_reflectors_that_locate_nothing_are_a_warning():
    text = scene_path("side_street").read_text()
    assert not warned(text)
    (line,) = warned(text, ("target_reflections: twice", "target_reflections: true"))
    assert "set world.target_reflections: twice" in line
    (line,) = warned(text, ("[72, -60, 0]", "[99, -60, 0]"), ("[48, -12, 20]", "[20, -12, 20]"))
    assert "no surface of the world shows a receiver of band 'high' a part of the area" in line
    ignoring = (
        ("reflections: use", "reflections: ignore"),
        ("target_reflections: twice", "target_reflections: true"),
    )
    assert not warned(text, *ignoring)


def test_ambiguous_paths_by_way_of_reflectors_are_a_warning():
    text = scene_path("side_street").read_text()
    wider = ("subcarrier_stride: 6 ", "subcarrier_stride: 7 ")
    (line,) = warned(text, wider)
    assert "to hidden places exceed the direct ones by up to 207.7 m" in line
    assert "is unambiguous over 178.4 m" in line
    assert not warned(text, wider, ("reflections: use", "reflections: ignore"))

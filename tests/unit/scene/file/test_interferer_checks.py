"""Interferers in scene files: what is built, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.file.errors import SceneError

PLANE = scene_path("cell_free_compact").read_text()
BANDS = scene_path("two_bands").read_text()
YARD = scene_path("yard").read_text()
NULLS = ("\nsensing:", "\nsensing:\n  interference: nulls")
OTHER = {"name": "other", "position_m": "[-20, 120]", "power_dbm": "30"}


def entry(**changes):
    """An interferer as text."""
    keys = {**OTHER, **changes}
    return "{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


def text_of(base, entries, *changes):
    """A scene file with interferers, and other replacements (before, after)."""
    listed = f"\npropagation:\n  interferers: [{', '.join(entries)}]"
    for before, after in (("\npropagation:", listed), *changes):
        assert before in base, before
        base = base.replace(before, after, 1)
    return base


def built(base, entries, *changes):
    return parse_scene(text_of(base, entries, *changes), Path("x.yaml"))


def fault(base, entries, *changes):
    """The only fault of such a file."""
    with pytest.raises(SceneError) as error:
        built(base, entries, *changes)
    (line,) = str(error.value).splitlines()
    return line


def test_an_interferer_is_built_in_watts():
    (other,) = built(PLANE, [entry()]).propagation.interferers
    assert np.array_equal(other.position_m, [-20, 120, 0])
    assert (other.name, other.power_w, other.signal) == ("other", pytest.approx(1.0), "coded")


def test_the_keys_at_their_defaults_leave_no_trace():
    plain = load_scene("cell_free_compact")
    same = built(PLANE, [], ("\nsensing:", "\nsensing:\n  interference: noise"))
    assert same.fingerprint == plain.fingerprint
    assert built(PLANE, [entry()]).fingerprint != plain.fingerprint


@pytest.mark.parametrize("count", [1, 3])
def test_networks_take_turns_on_subcarriers(count):
    plain = load_scene("cell_free_compact")
    entries = [entry(name=f"other{i}", signal="orthogonal") for i in range(count)]
    # Four networks need a smaller stride, to leave delays unambiguous.
    finer = ("subcarrier_stride: 4", "subcarrier_stride: 2")
    scene = built(PLANE, entries, *[finer] * (count > 1))
    assert scene.grid.num_subcarriers == 64 // (1 + count)
    assert scene.grid.subcarrier_stride == (1 + count) * (4 if count == 1 else 2)
    before_w = plain.waveform.power_w / plain.grid.num_subcarriers
    assert scene.waveform.power_w / scene.grid.num_subcarriers == pytest.approx(before_w)


def test_others_have_half_of_their_power_on_half_of_the_subcarriers():
    entries = [entry(), entry(name="another", signal="orthogonal")]
    coded, _ = built(PLANE, entries).propagation.interferers
    assert coded.power_w == pytest.approx(0.5)


def test_an_interferer_is_on_its_band_alone():
    place = "[300, 300, 10]"
    names = [band.name for band in load_scene("two_bands").bands]
    entries = [
        entry(name="first", band=names[0], position_m=place),
        entry(name="both", position_m=place),
    ]
    scene = built(BANDS, entries)
    on_band = [[one.name for one in view.propagation.interferers] for view in scene.views]
    assert on_band == [["first", "both"], ["both"]]

    # Faults name the place in the whole list.
    inside = entry(name="both", position_m="[300, 300]")
    line = fault(BANDS, [entries[0], inside])
    assert "propagation.interferers[1].position_m: has 2 numbers" in line
    line = fault(BANDS, [entry(band="middle", position_m=place)])
    assert f"interferers[0].band: is 'middle'; allowed: {', '.join(names)}" in line


@pytest.mark.parametrize(
    ("entries", "changes", "expected"),
    [
        ([entry(name="rx1")], (), "interferers[0].name: 'rx1' is already the name at receivers[0]"),
        ([entry(band="high")], (), "interferers[0].band: is for scenes with `bands`"),
        ([entry(signal="loud")], (), "signal: is 'loud'"),
        (
            [entry(position_m="[1.0e200, 0]")],
            (),
            "is 1e+200 m from receiver 'rx1'; must be at most",
        ),
        (
            [entry(name=f"other{i}") for i in range(65)],
            (),
            "propagation.interferers: lists 65 stations; at most 64",
        ),
        ([entry(position_m="[25, 100.5]")], (), "is 0.5 m from receiver 'rx1'; must be at least"),
        (
            [entry(name="a", signal="orthogonal"), entry(name="b", signal="orthogonal")],
            (),
            "num_subcarriers: is 64, of which 3 networks take turns",
        ),
        (
            [entry(signal="orthogonal")],
            (("subcarrier_stride: 4", "subcarrier_stride: 8"),),
            "reduce the stride or the area, or have fewer orthogonal propagation.interferers",
        ),
        (
            [entry()],
            (NULLS, ("interference: nulls", "interference: nulls\n  static_paths: learn")),
            "static_paths: is 'learn', whose background is that of beams without nulls",
        ),
        (
            [entry(name=f"other{i}") for i in range(8)],
            (NULLS,),
            "sensing.interference: is 'nulls', but receiver 'rx1' has 8 antennas against 8",
        ),
    ],
)
def test_what_cannot_work_is_refused(entries, changes, expected):
    with pytest.raises(SceneError) as error:
        built(PLANE, entries, *changes)
    assert expected in str(error.value)


def test_targets_keep_clear_of_interferers():
    place_m = load_scene("cell_free_compact").targets[1].motion.state(3.0)[0]
    beside_m = (place_m + [0.5, 0, 0])[:2].tolist()
    line = fault(PLANE, [entry(position_m=beside_m)])
    assert "targets[1].motion: comes within 0." in line
    assert "of interferer 'other' at" in line and "must stay 1 m away" in line


def test_clocks_by_targets_do_not_expect_interference():
    clocks = scene_path("multi_bs_clocks").read_text()
    line = fault(
        clocks,
        [entry(position_m="[150, -40, 20]")],
        ("synchronization: line_of_sight", "synchronization: active_observation"),
        ("\nworld: {}", ""),
    )
    assert "is 'active_observation', whose receivers do not expect the interference" in line


def test_an_interferer_stands_above_the_ground_and_outside_buildings():
    box = load_scene("yard").world.boxes[0]
    middle_m = ((box.low_m + box.high_m) / 2).tolist()
    assert "is inside world.boxes[0]" in fault(YARD, [entry(position_m=middle_m)])
    below = fault(YARD, [entry(position_m="[300, 0, -1]")])
    assert "interferers[0].position_m: is -1 m high; must be above the ground" in below

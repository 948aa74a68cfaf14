"""Fragmented spectrum in scene files: what is built, and faults with key and remedy."""

import re
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.learned.construction import WeightsError, make_network
from cooperative_isac.learned.scene_facts import fact_differences, scene_facts
from cooperative_isac.scene.describe import describe
from cooperative_isac.scene.file.config import parse_scene
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.file.physics import unambiguous_range
from cooperative_isac.scene.file.schema import SceneFile
from cooperative_isac.scene.file.sizes import size_problems
from cooperative_isac.scene.file.yaml_text import parse_yaml
from cooperative_isac.schemes.registry import check_scheme

GOOD = Path(__file__).with_name("good_scene.yaml").read_text()


def with_fragments(fragments, *changes):
    """The good scene of 64 subcarriers in groups of 4 with fragments, and other changes."""
    text = GOOD
    for before, after in (("group_size: 4", f"group_size: 4\n  fragments: {fragments}"), *changes):
        assert before in text
        text = text.replace(before, after)
    return text


def problems(text):
    """Faults by key."""
    with pytest.raises(SceneError) as error:
        parse_scene(text, Path("x.yaml"))
    return {problem.key: problem.text for problem in error.value.problems}


def test_a_grid_has_the_subcarriers_of_its_fragments():
    scene = parse_scene(with_fragments("[[0, 23], [52, 63]]"), Path("x.yaml"))
    whole = parse_scene(GOOD, Path("x.yaml"))
    grid = scene.grid
    kept = [*range(24), *range(52, 64)]
    assert grid.num_subcarriers == 36 and grid.places.tolist() == kept
    assert np.array_equal(grid.subcarrier_offsets_hz, whole.grid.subcarrier_offsets_hz[kept])
    # Both ends of the grid are used: its resolution, and its unambiguous range.
    assert grid.range_resolution_m == whole.grid.range_resolution_m
    assert unambiguous_range(scene) == unambiguous_range(whole)
    # The power is that over the used subcarriers.
    assert scene.waveform.power_w == whole.waveform.power_w


def test_resolution_is_that_of_the_span_in_use():
    scene = parse_scene(with_fragments("[[8, 15], [20, 31]]"), Path("x.yaml"))
    whole = parse_scene(GOOD, Path("x.yaml"))
    ratio = scene.grid.range_resolution_m / whole.grid.range_resolution_m
    assert ratio == pytest.approx(64 / 24)


def test_fragments_at_even_distances_are_ambiguous():
    # Single subcarriers, every fourth one.
    fragments = [[place, place] for place in range(0, 64, 4)]
    one = (("group_size: 4", "group_size: 1"),)
    found = problems(with_fragments(fragments, *one))
    # c over four times the step of the comb, and over the step.
    spans = "unambiguous over 78.07 m, those of a grid without gaps over 312.3 m"
    assert list(found) == ["waveform.fragments"]
    assert spans in found["waveform.fragments"]

    # Where the comb is too wide by itself, that is the cause.
    wide = ("subcarrier_stride: 4", "subcarrier_stride: 8")
    found = problems(with_fragments(fragments, *one, wide))
    assert "leaves delays ambiguous" in found["waveform.subcarrier_stride"]
    assert "waveform.fragments" not in found


def test_gaps_between_reference_signals_are_those_of_the_fragments():
    known = ("symbols: payload", "symbols: reference_only")
    prs = ("group_size: 4", "group_size: 1\n  signals: [data, prs]")
    parse_scene(GOOD.replace(*known).replace(*prs), Path("x.yaml"))
    text = with_fragments("[[0, 0], [5, 5]]", known, prs)
    assert list(problems(text)) == ["waveform.fragments"]


@pytest.mark.parametrize(
    ("signals", "fragments", "text"),
    [
        ("[data, ssb]", "[[0, 3], [60, 63]]", "has ssb, of which waveform.fragments leave no"),
        ("[srs_comb4]", "[[60, 63]]", "has srs_comb4, of which waveform.fragments leave no"),
    ],
)
def test_fragments_without_a_reference_signal_are_named(signals, fragments, text):
    changes = [
        ("group_size: 4", f"group_size: 4\n  signals: {signals}"),
        ("subcarrier_stride: 4", "subcarrier_stride: 5"),
        ("symbol_stride: 4", "symbol_stride: 5"),
        ("symbols: payload", "symbols: reference_only"),
        ("max_speed_mps: 30.0", "max_speed_mps: 22.0"),
    ]
    found = problems(with_fragments(fragments, *changes))["waveform.signals"]
    assert text in found

    # The remedy: a fragment between the subcarriers that are named, and no key of its own.
    first, last = map(int, re.search(r"between (\d+) and (\d+)", found).groups())
    low = -(-first // 4) * 4
    inside = f"[[{low}, {low + (last - low + 1) // 4 * 4 - 1}]]"
    scene = parse_scene(with_fragments(inside, *changes), Path("x.yaml"))
    assert scene.grid.fragments


def test_fragments_are_described_with_their_side_lobes():
    rows = dict(describe(parse_scene(with_fragments("[[0, 23], [52, 63]]"), Path("x.yaml"))))
    assert rows["waveform"].startswith("36 subcarriers (fragments 0-23, 52-63) x 64 symbols")
    # Ambiguity function of the mask, in a plain sum over delays of fine steps.
    places = np.array([*range(24), *range(52, 64)])
    delays = np.arange(1, 32, 0.01) / 64
    response = np.abs(np.exp(2j * np.pi * np.outer(delays, places)).sum(axis=1)) / 36
    highest_db = 20 * np.log10(response[delays > 1 / 64].max())
    printed = re.search(r"side lobes up to (.*) dB; the largest alone 13 m", rows["resolution"])
    assert float(printed[1]) == pytest.approx(highest_db, abs=0.1)


def test_a_single_fragment_has_no_side_lobes_of_several():
    rows = dict(describe(parse_scene(with_fragments("[[0, 3]]"), Path("x.yaml"))))
    assert "side lobes" not in rows["resolution"] and "-3" not in rows["resolution"]


def test_side_lobes_of_an_even_comb_are_those_within_its_unambiguous_range():
    # Every second subcarrier: 32 in a row of twice the step, and half of the range.
    fragments = [[place, place] for place in range(0, 64, 2)]
    dense = ("subcarrier_stride: 4", "subcarrier_stride: 2")
    text = with_fragments(fragments, ("group_size: 4", "group_size: 1"), dense)
    scene = parse_scene(text, Path("x.yaml"))
    whole = parse_scene(GOOD.replace(*dense), Path("x.yaml"))
    assert unambiguous_range(scene) == pytest.approx(unambiguous_range(whole) / 2)

    # First side lobe of a Dirichlet kernel of 32 points, in a plain search; eight points a
    # resolution cell find it within 0.25 dB.
    delays = np.arange(1.01, 2, 1e-3) / 32
    kernel = np.sin(np.pi * 32 * delays) / (32 * np.sin(np.pi * delays))
    highest_db = 20 * np.log10(np.abs(kernel).max())
    printed = re.search(r"side lobes up to (.*) dB", dict(describe(scene))["resolution"])
    assert float(printed[1]) == pytest.approx(highest_db, abs=0.25)


@pytest.mark.parametrize(
    ("fragments", "key", "text"),
    [
        ("[[0, 64]]", "[0]", "is [0, 64]; the grid has the subcarriers 0 to 63"),
        ("[[8, 4]]", "[0]", "is [8, 4]; the last subcarrier must not be before the first"),
        ("[[0, 2]]", "[0]", "is [0, 2]; 3 subcarriers must be a multiple of the 4"),
        ("[[0, 7], [4, 11]]", "[1]", "begins at 4, and the range before it ends at 7"),
        ("[[32, 39], [0, 7]]", "[1]", "begins at 0, and the range before it ends at 39"),
        ("[[0, 7], [8, 11]]", "[1]", "begins at 8, and the range before it ends at 7"),
        ("[]", "", "at least 1"),
        ("[[1]]", "[0]", "at least 2"),
        ("[[-4, 3]]", "[0][0]", "must be at least 0"),
        ("[[0.5, 3]]", "[0][0]", "must be a whole number"),
    ],
)
def test_impossible_fragments_are_refused(fragments, key, text):
    found = problems(with_fragments(fragments))
    assert any(text in found[name] for name in found if name == f"waveform.fragments{key}"), found


def size_texts(text):
    """Faults of sizes by key."""
    file = SceneFile.model_validate(parse_yaml(text, "x.yaml").data)
    return {problem.key: problem.text for problem in size_problems(file)}


def test_memory_is_that_of_the_subcarriers_in_use():
    # An echo of 64 antennas with 65536 symbols has 1.07 GB on 32 subcarriers, 2.15 GB on 64.
    long = ("num_symbols: 64", "num_symbols: 65536")
    assert not size_texts(with_fragments("[[0, 31]]", long))
    assert size_texts(with_fragments("[[0, 63]]", long))

    # Texts have the number in use, and the key that decides it.
    found = size_texts(with_fragments("[[0, 31], [36, 63]]", long))
    assert found == {
        "waveform.fragments": "makes an echo of 64 antennas x 60 subcarriers x 65,536 symbols, "
        "2.01 GB; at most 2 GB"
    }


def test_the_search_has_the_bandwidth_of_the_span_in_use():
    # Of the comb of 960 kHz, 8 subcarriers side by side resolve 39 m, and at both ends 4.9 m: of
    # 144 beams over 1000 km, in steps of 1 / 2.5 of that, 0.6 GB and 4.7 GB.
    wide = ("high_m: [100, 100, 45]", "high_m: [1.0e6, 100, 45]")
    assert not size_texts(with_fragments("[[0, 7]]", wide))
    (text,) = size_texts(with_fragments("[[0, 3], [60, 63]]", wide)).values()
    assert "cells of 1.95 m in" in text and "to search on 8 subcarriers" in text


def test_combs_and_orthogonal_networks_are_refused_beside_fragments():
    comb = "[[0, 23]]\n  reference_subcarrier_stride: 2\n  reference_symbol_stride: 2"
    found = problems(with_fragments(comb))
    assert "of which fragments leave ranges" in found["waveform.reference_subcarrier_stride"]
    orthogonal = (
        "propagation:",
        "propagation:\n  interferers: [{name: other, position_m: [300, 300, 10], power_dbm: 20, "
        "signal: orthogonal}]",
    )
    found = problems(with_fragments("[[0, 23]]", orthogonal))
    assert "signal: orthogonal; leave one of both out" in found["waveform.fragments"]


def test_networks_that_transform_whole_grids_are_refused():
    scene = parse_scene(with_fragments("[[0, 23], [52, 63]]"), Path("x.yaml"))
    with pytest.raises(ValueError, match=r"'dvqvae' transforms a whole grid .* local_ml"):
        check_scheme("dvqvae", scene)
    check_scheme("local_ml", scene)
    with pytest.raises(WeightsError, match=r"train for a scene without waveform\.fragments"):
        make_network(scene, "spectra")


def test_facts_of_a_whole_grid_are_those_of_earlier_weights():
    whole = scene_facts(parse_scene(GOOD, Path("x.yaml")))
    assert "fragments" not in whole
    parts = scene_facts(parse_scene(with_fragments("[[0, 23], [52, 63]]"), Path("x.yaml")))
    assert any("fragments" in line for line in fact_differences(whole, parts))

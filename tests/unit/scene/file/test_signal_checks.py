"""Faults of code words beside data in scene files: each names its key and the remedy."""

from pathlib import Path

import pytest

from cooperative_isac.scene.file.config import parse_scene, scene_path
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.schemes.registry import unmeasured_interference

GOOD = Path(__file__).with_name("good_scene.yaml").read_text()
CODE = "signals: [data, code]"


def changed(text, *changes):
    for before, after in changes:
        assert before in text, f"nothing to change: {before}"
        text = text.replace(before, after)
    return text


def with_code(keys=CODE, *changes):
    """The good scene with keys of its waveform, and other changes."""
    return changed(GOOD, ("group_size: 4", f"group_size: 4\n  {keys}"), *changes)


def problems(text):
    """Faults by key."""
    with pytest.raises(SceneError) as error:
        parse_scene(text, Path("x.yaml"))
    return {problem.key: problem.text for problem in error.value.problems}


@pytest.mark.parametrize("symbols", ["payload", "reference_only", "all"])
def test_code_words_beside_data_are_a_scene(symbols):
    text = with_code(f"{CODE}\n  code_power_share: 0.3", ("payload", symbols))
    waveform = parse_scene(text, Path("x.yaml")).waveform
    assert waveform.is_superimposed
    assert waveform.reference_power_w == pytest.approx(0.3 * waveform.power_w)
    assert waveform.data_power_w == pytest.approx(0.7 * waveform.power_w)


def test_code_words_alone_have_all_of_the_power():
    text = with_code("signals: [code]", ("payload", "reference_only"))
    waveform = parse_scene(text, Path("x.yaml")).waveform
    assert not waveform.is_superimposed
    assert waveform.reference_power_w == waveform.power_w


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "1.5", ".nan", "much"])
def test_impossible_shares_are_refused(share):
    found = problems(with_code(f"{CODE}\n  code_power_share: {share}"))
    assert list(found) == ["waveform.code_power_share"]


@pytest.mark.parametrize("names", ["data", "data, prs", "code"])
def test_a_share_without_code_words_beside_data_is_refused(names):
    keys = f"signals: [{names}]\n  code_power_share: 0.3"
    found = problems(with_code(keys, ("payload", "reference_only")))
    text = found["waveform.code_power_share"]
    assert text == (
        f"is 0.3, but signals ({names}) does not have code words beside data; leave it out, or set "
        "signals: [data, code]"
    )


@pytest.mark.parametrize(
    ("keys", "changes", "key", "text"),
    [
        (
            "signals: [data, prs, code]",
            [],
            "waveform.signals",
            "has code, which is on all resource elements, and prs; leave one of both out",
        ),
        (
            f"{CODE}\n  reference_subcarrier_stride: 2\n  reference_symbol_stride: 2",
            [],
            "waveform.signals",
            "set one of both",
        ),
        (
            CODE,
            [("num_symbols: 64", "num_symbols: 63")],
            "waveform.num_symbols",
            "is 63; must be a multiple of the 2 symbols of a code word, which tell the 2",
        ),
        (
            CODE,
            [("symbols: payload", "symbols: reference_only\n  static_paths: learn")],
            "sensing.static_paths",
            "set symbols: all, or static_paths: project",
        ),
        (
            CODE,
            [
                ("num_symbols: 64", "num_symbols: 4"),
                ("symbols: payload", "symbols: all\n  static_paths: project"),
            ],
            "sensing.static_paths",
            "and a code word of each transmitter); needs more symbols than streams",
        ),
    ],
)
def test_contradictions_of_code_words_are_named(keys, changes, key, text):
    assert text in problems(with_code(keys, *changes))[key]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("multi_bs_clocks", "synchronization is by lines of sight"), ("bs_ue", "stations move")],
)
def test_lines_of_sight_are_canceled_with_all_symbols(name, reason):
    text = scene_path(name).read_text()
    text = text.replace("group_size:", f"{CODE}\n    group_size:")
    if name == "bs_ue":
        text = text.replace("symbols: payload", "static_paths: project\n  symbols: payload")
    parse_scene(text.replace("symbols: payload", "symbols: all"), Path(name))
    found = problems(text.replace("symbols: payload", "symbols: reference_only"))
    assert f"where {reason}, static paths are canceled one by one" in found["sensing.symbols"]
    assert "set symbols: all" in found["sensing.symbols"]


def test_schemes_that_take_data_for_thermal_noise_are_named():
    scene = parse_scene(with_code(CODE, ("payload", "reference_only")), Path("x.yaml"))
    assert not list(unmeasured_interference(["local_ml", "raw_ml", "symbol_level"], scene))
    (line,) = unmeasured_interference(["music", "local_ml"], scene)
    assert "receivers use reference_only, and music takes the other symbols for thermal" in line
    assert line.endswith("use scheme local_ml or raw_ml or symbol_level, or symbols: all")
    known = parse_scene(with_code(CODE, ("payload", "all")), Path("x.yaml"))
    assert not list(unmeasured_interference(["music"], known))


IN_TIME = "signals: [data, prs]\n  reference_beams: antennas_in_time"


def test_antennas_that_send_one_after_another_are_a_scene():
    keys = f"{CODE}\n  reference_beams: antennas_in_time"
    fewer = ("num_horizontal: 8, num_vertical: 4", "num_horizontal: 8, num_vertical: 3")
    for text in (with_code(IN_TIME, fewer), with_code(keys, ("payload", "reference_only"))):
        assert parse_scene(text, Path("x.yaml")).waveform.splices_in_time


@pytest.mark.parametrize(
    ("keys", "antennas", "turns"),
    [
        # Symbols 0 and 4 of every slot.
        ("signals: [data, csi_rs]", 40, "symbols with csi_rs for 40"),
        ("signals: [data, code]", 80, "32 code words for 80"),
    ],
)
def test_every_antenna_needs_a_turn(keys, antennas, turns):
    many = ("num_horizontal: 8, num_vertical: 4", f"num_horizontal: {antennas}, num_vertical: 1")
    found = problems(with_code(f"{keys}\n  reference_beams: antennas_in_time", many))
    text = found["waveform.reference_beams"]
    assert turns in text and "add symbols or signals, or take `antennas`" in text


def test_suppression_of_static_paths_counts_the_streams_of_antennas():
    keys = f"{CODE}\n  reference_beams: antennas_in_time"
    project = ("symbols: payload", "symbols: reference_only\n  static_paths: project")
    found = problems(with_code(keys, project))
    assert "(one of each transmit antenna)" in found["sensing.static_paths"]

"""Command line: accepted options, help and error messages."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from networks import NETWORK
from typer.testing import CliRunner

from cooperative_isac import cli
from cooperative_isac.cli.node_commands import DISCOVERY_RANGE
from cooperative_isac.cli.result_commands import repeat_option
from cooperative_isac.output.files import OutputError
from cooperative_isac.scene.file.config import scene_path

TINY = str(Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml")
TINY_TEXT = Path(TINY).read_text(encoding="utf-8")


def isac(*arguments):
    """Exit code, output and errors of a call."""
    result = CliRunner().invoke(cli.app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_valid_scene_is_described():
    code, output, _ = isac("check", TINY)
    assert code == 0 and "tiny (2-D)" in output and "bistatic range" in output


@pytest.mark.parametrize(
    ("scheme", "fault"),
    [("nosuch", "scheme 'nosuch' is not known"), ("dvqvae", "scheme 'dvqvae' has no weights")],
)
def test_a_scheme_that_cannot_be_made_is_an_error(tmp_path, monkeypatch, scheme, fault):
    monkeypatch.delenv("ISAC_WEIGHTS", raising=False)
    path = tmp_path / "other.yaml"
    assert TINY_TEXT.count("scheme: local_ml") == 1
    path.write_text(TINY_TEXT.replace("scheme: local_ml", f"scheme: {scheme}"))
    code, output, errors = isac("check", str(path))
    assert code == 1 and "bistatic range" in output
    assert errors.startswith(f"error: {path}: {fault}")

    # The same message as that of `evaluate`, which shows no progress before.
    code, output, evaluated = isac("evaluate", str(path))
    assert code == 1 and not output
    if scheme != "nosuch":
        assert evaluated == errors.replace(f"{path}: ", "", 1)


def test_a_scheme_that_cannot_be_made_names_its_station(tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(NETWORK.replace("name: east\n", "name: east\n    scheme: raw_ml\n"))
    code, _, errors = isac("check", str(path))
    assert code == 1
    assert f"error: {path}: of station 'east': scheme 'raw_ml' works on one band" in errors


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ("cooperative_isac.nothing:make", "cannot be imported: No module named"),
        ("collections:OrderedDict", "makes no motion filter"),
    ],
)
def test_a_motion_filter_that_cannot_be_made_is_an_error(tmp_path, model, fault):
    path = tmp_path / "other.yaml"
    path.write_text(f"{TINY_TEXT}\ntracking: {{model: '{model}'}}\n")
    code, _, errors = isac("check", str(path))
    assert code == 1
    assert f"error: {path}: tracking model '{model}' {fault}" in errors

    # What tracks refuses it.
    code, _, errors = isac("evaluate", str(path), "--sequence", "2")
    assert code == 1
    assert errors.startswith(f"error: tracking model '{model}' {fault}")


@pytest.mark.parametrize(
    ("scene", "change", "fault"),
    [
        ("two_bands", ("scheme: local_ml ", "scheme: raw_ml "), "works on one band"),
        ("bs_ue", ("scheme: local_ml ", "scheme: symbol_level "), "position_std_m"),
        (
            "campus",
            ("scheme: local_ml ", "scheme: compressed_sensing "),
            "measures angles in a plane",
        ),
        ("bs_ue", ("sensing:\n", "sensing:\n  candidate_bits: 4000\n"), "one band"),
        (
            "bs_ue",
            ("sensing:\n", "sensing:\n  synchronization: both_directions\n"),
            "by 'both_directions'",
        ),
    ],
)
def test_check_and_evaluate_refuse_the_same_scenes_alike(tmp_path, scene, change, fault):
    path = tmp_path / f"{scene}.yaml"
    text = scene_path(scene).read_text()
    assert text.count(change[0]) == 1
    path.write_text(text.replace(*change))
    code, _, errors = isac("check", str(path))
    assert code == 1 and fault in errors.splitlines()[-1]
    code, output, evaluated = isac("evaluate", str(path), "--frames", "1")
    assert code == 1 and not output
    last = evaluated.splitlines()[-1]
    assert last == errors.splitlines()[-1].replace(f"{path}: ", "", 1)
    assert "frames of" not in evaluated


def test_settings_that_the_chosen_schemes_do_not_use_are_warnings(tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(TINY_TEXT.replace("sensing:\n", "sensing:\n  symbol_bits: 4\n"))
    warning = "warning: sensing.symbol_bits is 4, and local_ml does not use it"
    code, _, errors = isac("check", str(path))
    assert code == 0 and warning in errors
    for schemes, is_used in (("local_ml,symbol_level", True), ("local_ml", False)):
        code, _, errors = isac("evaluate", str(path), "--schemes", schemes, "--frames", "1")
        assert code == 0 and (warning not in errors) == is_used


def test_help_loads_no_numerical_library_and_no_ros():
    script = (
        "import sys\n"
        "from cooperative_isac.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        "    print(end.code, *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    for words in (["--help"], ["run", "--help"], ["train", "--help"], ["figures", "cf", "--help"]):
        ended = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
        )
        code, *modules = ended.stdout.splitlines()[-1].split()
        heavy = {"numpy", "scipy", "torch", "matplotlib", "yaml", "rclpy"}
        assert code == "0" and "typer" in modules and not heavy & set(modules)


def test_every_fault_of_a_scene_is_a_line(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        Path(TINY)
        .read_text()
        .replace("modulation: 16", "modulation: 15")
        .replace("seed: 3", "sead: 3")
    )
    code, output, errors = isac("check", str(bad))
    assert code == 1 and not output
    lines = errors.splitlines()
    assert len(lines) >= 2 and all(line.startswith(f"error: {bad}") for line in lines)
    assert any("modulation" in line for line in lines) and any("sead" in line for line in lines)


@pytest.mark.parametrize("command", ["check", "run", "evaluate"])
def test_a_missing_scene_is_an_error(command):
    code, _, errors = isac(command, "/nowhere/scene.yaml")
    assert code == 1 and errors == "error: /nowhere/scene.yaml: no such scene file\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", TINY, "--scheme", "smoke_signals"),
        ("evaluate", TINY, "--schemes", "local_ml,smoke_signals"),
    ],
)
def test_an_unknown_scheme_names_the_known_ones(arguments):
    code, _, errors = isac(*arguments)
    assert code == 1 and "scheme 'smoke_signals' is not known" in errors and "local_ml" in errors


def test_a_recording_is_not_overwritten(tmp_path):
    code, _, errors = isac("run", TINY, "--bag", str(tmp_path))
    assert code == 1 and errors.startswith(f"error: --bag {tmp_path}: exists")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--front-end", "radio", "must be one of simulated, topic"),
        ("--log-level", "loud", "must be one of debug, info, warn, error, fatal"),
        ("--target-class", "car1:boat", "must be name:class"),
        ("--odometry-offset", "robot:nan", "must be name:seconds"),
        ("--params-file", "none.yaml", "no such file"),
        ("--scheme", "dvqvae", "has no weights for scene 'tiny'"),
    ],
)
def test_an_invalid_option_is_a_one_line_error(option, value, reason):
    code, output, errors = isac("run", TINY, option, value)
    assert code == 1 and not output and errors.count("\n") == 1
    assert errors.startswith(f"error: {option} {value}: ") and reason in errors


@pytest.mark.parametrize(
    ("arguments", "given", "found"),
    [
        ((), None, "LOCALHOST"),
        ((), "SUBNET", "SUBNET"),
        (("--network",), None, "SUBNET"),
        (("--network",), "LOCALHOST", "SUBNET"),
    ],
)
def test_discovery_is_local_unless_network_is_given(monkeypatch, arguments, given, found):
    monkeypatch.setenv(DISCOVERY_RANGE, given or "")
    if given is None:
        monkeypatch.delenv(DISCOVERY_RANGE)
    isac("run", TINY, "--scheme", "none", *arguments)
    assert os.environ[DISCOVERY_RANGE] == found


def test_a_folder_without_a_report_is_an_error(tmp_path):
    code, _, errors = isac("report", str(tmp_path))
    assert code == 1 and errors.startswith(f"error: {tmp_path / 'summary.json'}: no such file")


@pytest.mark.parametrize("rate", ["0.01", "300"])
def test_a_rate_beyond_the_nodes_is_refused(tmp_path, rate):
    path = tmp_path / "odd.yaml"
    own = re.search(r"update_rate_hz: *\S+", TINY_TEXT)[0]
    path.write_text(TINY_TEXT.replace(own, f"update_rate_hz: {rate}"))
    code, _, errors = isac("run", str(path), "--out", str(tmp_path / "out"))
    assert code == 1 and f"{path}: update_rate_hz is {rate}; nodes take 0.1 to 100" in errors
    assert not (tmp_path / "out").exists()


def test_a_run_without_targets_warns(tmp_path, monkeypatch):
    monkeypatch.setattr("cooperative_isac_ros.launching.run.run_scene", lambda *arguments: 0)
    monkeypatch.setenv("ISAC_CAR_TRAJECTORY", "")
    warning = "has no targets of its own"
    code, _, errors = isac("run", "street", "--out", str(tmp_path / "street"))
    assert code == 0 and warning in errors
    code, _, errors = isac("run", TINY, "--out", str(tmp_path / "tiny"))
    assert code == 0 and warning not in errors


def test_an_unknown_home_folder_is_taken_literally(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody_here").write_text("")
    code, _, errors = isac("run", TINY, "--out", "~nobody_here/x")
    assert code == 1 and errors.startswith("error: --out ~nobody_here/x: cannot write")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", TINY, "--rate", "0"),
        ("run", TINY, "--duration", "-1"),
        ("evaluate", TINY, "--frames", "0"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments):
    code, _, errors = isac(*arguments)
    assert code == 2 and "or equal to" in " ".join(errors.split())


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (
            "s --power-dbm 20 30 -5 --frames 3",
            "s --power-dbm 20 --power-dbm 30 --power-dbm -5 --frames 3",
        ),
        ("s --power-dbm 20", "s --power-dbm 20"),
        ("--power-dbm 20 --power-dbm 30 40", "--power-dbm 20 --power-dbm 30 --power-dbm 40"),
        ("s --frames 3 4", "s --frames 3 4"),
        ("s --power-dbm --frames 3", "s --power-dbm --frames 3"),
    ],
)
def test_an_option_may_take_several_numbers(given, meant):
    assert repeat_option(given.split(), "--power-dbm") == meant.split()


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", TINY, "--frames", "1", "--schemes", "local_ml"),
        ("dataset", TINY, "--samples", "5", "--out", "{folder}"),
    ],
)
def test_power_dbm_is_a_list_or_a_range_depending_on_the_command(command, tmp_path):
    folder = str(tmp_path / "drawn")
    arguments = [argument.format(folder=folder) for argument in command]
    code, _, errors = isac(*arguments, "--power-dbm", "20", "30")
    assert code == 0, errors


def test_every_power_of_the_list_is_evaluated(tmp_path):
    results = tmp_path / "results.json"
    code, _, errors = isac(
        "evaluate", TINY, "--frames", "1", "--power-dbm", "20", "30", "--json", str(results)
    )
    assert code == 0, errors
    assert list(json.loads(results.read_text())["crlb"]) == ["20", "30"]


@pytest.mark.parametrize("power", ["nan", "inf", "1e5", "-201"])
def test_a_power_out_of_range_is_an_error(power):
    code, _, errors = isac("evaluate", TINY, f"--power-dbm={power}")
    assert code == 1 and errors.startswith("error: --power-dbm is ")
    assert errors.endswith("must be within -200 and 200\n")


def test_a_map_needs_a_writable_png_file(tmp_path):
    code, output, errors = isac("check", TINY, "--coverage", str(tmp_path))
    assert code == 1 and not output
    assert errors == f"error: --coverage is {tmp_path}; must be a file whose name ends in .png\n"
    code, output, errors = isac("check", TINY, "--coverage", str(tmp_path / "no" / "map.png"))
    assert code == 1 and not output
    assert (
        errors == f"error: cannot write {tmp_path / 'no' / 'map.png'}: there is no folder "
        f"{tmp_path / 'no'}\n"
    )


@pytest.mark.parametrize("more", [(), ("--sequence", "1")])
def test_a_folder_is_no_results_file(tmp_path, more):
    code, output, errors = isac("evaluate", TINY, "--json", str(tmp_path), *more)
    assert code == 1 and not output
    assert errors == f"error: cannot write {tmp_path}: it is a folder; name a file in it\n"
    code, output, errors = isac("evaluate", TINY, "--json", "/dev/full", *more)
    assert code == 1 and not output
    assert errors == "error: cannot write /dev/full: No space left on device; name another place\n"


@pytest.mark.parametrize("more", [("--frames", "1"), ("--sequence", "1")])
def test_a_file_of_another_kind_is_not_replaced(tmp_path, more):
    scene = tmp_path / "scene.yaml"
    scene.write_bytes(Path(TINY).read_bytes())
    code, output, errors = isac("evaluate", TINY, "--json", str(scene), *more)
    assert code == 1 and not output
    assert (
        errors
        == f"error: {scene} exists and holds no results of 'isac evaluate'; name another file\n"
    )
    assert scene.read_bytes() == Path(TINY).read_bytes()
    results = tmp_path / "results.json"
    results.write_text('{"scene": "tiny", "schemes": {}}')
    code, output, errors = isac("evaluate", TINY, "--json", str(results), "--sequence", "1")
    assert code == 0 and output and '"local_ml"' in results.read_text()


@pytest.mark.parametrize("more", [("--frames", "1"), ("--sequence", "1")])
def test_results_are_shown_if_they_cannot_be_written(tmp_path, monkeypatch, more):
    def fill_up(path, content):
        raise OutputError(f"cannot write {path}: No space left on device; name another place")

    monkeypatch.setattr("cooperative_isac.evaluation.command.write_file", fill_up)
    code, output, errors = isac("evaluate", TINY, "--json", str(tmp_path / "x.json"), *more)
    assert code == 1 and "local_ml" in output
    assert errors.splitlines()[-1].startswith("error: cannot write ") and "Traceback" not in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", TINY, "--out"),
        ("train", TINY, "--out", "/tmp/not_made", "--cache"),
        ("dataset", TINY, "--out"),
        ("figures", "cf", "--fig", "I", "--out"),
    ],
)
def test_folders_that_cannot_be_made_are_refused_first(tmp_path, arguments):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", Path("/proc/x")):
        code, output, errors = isac(*arguments, str(place / "folder"))
        assert code == 1 and not output
        assert (
            errors.startswith(f"error: cannot write {place / 'folder'}") and errors.count("\n") == 1
        )

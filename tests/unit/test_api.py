"""The Python interface: `import cooperative_isac as isac`."""

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from traced import car_arrays, write_scene

import cooperative_isac as isac
from cooperative_isac import api, pipeline
from cooperative_isac.evaluation.command import evaluate as evaluate_command

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "scenes" / "tiny.yaml"


def python(*arguments, **options):
    """Output of a new interpreter with the sources on its path."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


class Silent(isac.Scheme):
    """A scheme that sends one byte and detects nothing."""

    def at(self, station):
        class Ends(isac.Encoder):
            def encode(self, echoes, frame):
                return b"."

        return Ends()

    def center(self):
        class Ends(isac.Decoder):
            def decode(self, packets, frame):
                return ()

        return Ends()

    def downlink_bits(self, frame):
        return 0


@pytest.fixture(scope="module")
def snapshots(tiny):
    return list(isac.run(tiny, 12))


def test_the_names_are_those_of_the_interface_and_all_documented():
    assert isac.__all__ == api.__all__
    for name in isac.__all__:
        assert getattr(isac, name) is getattr(api, name)
        assert inspect.getdoc(getattr(isac, name))
    assert set(isac.__all__) <= set(dir(isac))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = isac.nothing


def test_type_checkers_see_the_names():
    tree = ast.parse(Path(isac.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    (names,) = (node for node in block.body if isinstance(node, ast.ImportFrom))
    assert names.module == "cooperative_isac.api"
    assert [alias.name for alias in names.names] == isac.__all__


def test_an_import_loads_no_library():
    code = (
        "import sys, cooperative_isac; print({'numpy', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    assert python("-c", code).stdout.strip() == "set()"


def test_a_run_is_that_of_the_pipeline(tiny, snapshots):
    again = list(pipeline.run(tiny, 12))
    assert [one.packets for one in snapshots] == [one.packets for one in again]
    assert all(isinstance(one, isac.Snapshot) for one in snapshots)
    assert any(one.detections for one in snapshots) and snapshots[-1].tracks


@pytest.mark.parametrize("scene", [TINY, str(TINY)])
def test_a_scene_may_be_named(scene, snapshots):
    again = isac.run(scene, len(snapshots))
    assert [one.packets for one in again] == [one.packets for one in snapshots]


def test_seed_and_scheme_may_be_chosen(tiny, snapshots):
    others = isac.run(tiny, len(snapshots), seed=tiny.seed + 1)
    assert [one.packets for one in others] != [one.packets for one in snapshots]
    raw = next(isac.run(tiny, 1, scheme="raw_ml"))
    assert len(raw.packets["rx1"]) > 10 * len(snapshots[0].packets["rx1"])


def test_a_scheme_may_be_a_class(tiny):
    quiet = list(isac.run(tiny, 2, scheme=Silent))
    assert quiet[-1].packets == {"rx1": b".", "rx2": b"."} and quiet[-1].tracks == ()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scene": "campos"}, "did you mean 'campus'"),
        ({"scene": TINY}, "has no end; give the number of frames"),
        ({"scene": TINY, "frames": 0}, "frames is 0; must be 1 or more"),
        ({"scene": TINY, "frames": 2.5}, "frames is 2.5; must be a whole number"),
        ({"scene": None, "frames": 1}, "scene is a NoneType; must be a Scene, a scene file"),
        ({"scene": TINY, "frames": 1, "seed": -1}, "seed is -1; must be 0 or more"),
        ({"scene": TINY, "frames": 1, "scheme": dict}, "scheme 'dict' .* is not derived"),
        ({"scene": TINY, "frames": 1, "scheme": "localml"}, "did you mean 'local_ml'"),
        ({"scene": TINY, "frames": 1, "scheme": "best"}, "scheme 'best' is not known; use one of"),
        ({"scene": TINY, "frames": 1, "scheme": dict}, "scheme 'dict' .* is not derived from"),
        ({"scene": TINY, "frames": 1, "scheme": isac.Scheme}, "has no at, center, downlink_bits"),
    ],
)
def test_a_wrong_run_is_refused_at_once(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        isac.run(**arguments)


def test_an_evaluation_has_the_figures_of_the_command(tmp_path, tiny, monkeypatch):
    path = tmp_path / "figures.json"
    evaluate_command(tiny, ["local_ml"], 2, 3, [30.0, 40.0], path)
    result = isac.evaluate(tiny, "local_ml", frames=2, seed=3, powers_dbm=[30, 40], workers=1)
    ours, theirs = result.to_dict(), json.loads(path.read_text())
    for figures in (ours, theirs):
        for of_power in figures["schemes"]["local_ml"].values():
            del of_power["encode_ms"], of_power["decode_ms"]
    assert ours == theirs

    # In a notebook, too, the text is a text.
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert "tiny: 2 simulated frames, seed 3" in str(result) and "root CRLB" in str(result)
    assert "<pre>tiny: 2" in result._repr_html_()
    assert repr(result) == str(result)
    assert [row["power_dbm"] for row in result.rows()] == [30.0, 40.0]
    assert result.rows()[0]["scheme"] == "local_ml"

    # Rows are flat: the sensing quality is among the other figures.
    of_power = ours["schemes"]["local_ml"]["30"]
    quality = of_power.pop("quality")
    row = result.rows()[0]
    assert of_power.items() <= row.items() and quality.items() <= row.items()
    assert not any(isinstance(value, dict) for value in row.values())


def test_a_script_without_a_main_guard_may_evaluate(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import cooperative_isac as isac\n"
        f"print(isac.evaluate({str(TINY)!r}, frames=2, workers=2, progress=True).num_frames)\n"
    )
    ended = python(script)
    assert ended.stdout.split() == ["2"] and "frames of tiny" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"schemes": ["best"]}, "scheme 'best' is not known; use some of"),
        ({"schemes": ["rawml"]}, "did you mean 'raw_ml'"),
        ({"schemes": []}, "schemes is empty"),
        ({"frames": 0}, "frames is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"powers_dbm": 500}, "powers_dbm has 500; must be within -200 and 200"),
        ({"powers_dbm": []}, "powers_dbm is empty"),
    ],
)
def test_a_wrong_evaluation_is_refused(tiny, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        isac.evaluate(tiny, **arguments)


def test_a_sequence_has_tracks_and_ends_with_its_path_file(tmp_path):
    scene = isac.load_scene(write_scene(tmp_path, car_arrays(14), path_kinds=["targets"]))
    with pytest.raises(ValueError, match="use evaluate_sequence"):
        isac.evaluate(scene)
    result = isac.evaluate_sequence(scene)
    assert result.num_frames == 14 and result.rows()[0]["found"] > 0.8
    assert "14 consecutive simulated frames" in str(result)
    assert result.to_dict()["schemes"]["local_ml"]["40"]["false_tracks"] == 0
    assert len(list(isac.run(scene))) == 14


def test_a_plot_is_shown_by_a_notebook_and_saved(tiny, snapshots, tmp_path):
    figure = isac.plot(tiny, snapshots, save=tmp_path / "run.png")
    assert (
        figure._repr_png_()[:8] == (tmp_path / "run.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    )
    truth = np.array([one.targets[0].position_m for one in snapshots])
    lines = [line.get_xydata() for line in figure.axes[0].lines]
    assert any(line.shape == (12, 2) and np.allclose(line, truth[:, :2]) for line in lines)
    isac.plot(tiny, isac.run(tiny, 1), save=tmp_path / "one.pdf")
    assert (tmp_path / "one.pdf").is_file()


def test_a_plot_leaves_pyplot_alone(tiny, snapshots):
    from matplotlib import pyplot

    isac.plot(tiny, snapshots)
    assert pyplot.get_fignums() == []


def test_a_plot_for_a_missing_folder_is_refused_before_the_run(tiny, tmp_path):
    unused = isac.run(tiny, 1)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        isac.plot(tiny, unused, save=tmp_path / "missing" / "run.png")
    assert len(list(unused)) == 1


def test_a_scene_and_a_snapshot_print_in_one_line(tiny, snapshots):
    assert repr(tiny) == "Scene('tiny', 2-D, 1 bands, 4 stations, 1 targets)"
    assert repr(snapshots[-1]).startswith("Snapshot(frame 11, 1.1 s, 1 targets, 2 packets, ")


def test_a_plot_of_nothing_is_refused(tiny):
    used_up = isac.run(tiny, 1)
    list(used_up)
    with pytest.raises(ValueError, match="can be used only once"):
        isac.plot(tiny, used_up)

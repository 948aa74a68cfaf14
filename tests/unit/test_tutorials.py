"""The tutorials: their code runs, and makes the pictures that they show."""

import re

import numpy as np
import pytest
from tutorials import PICTURES, ROOT, TUTORIALS, blocks, commands, run_tutorial

from cooperative_isac import estimation
from cooperative_isac.calibration import offsets
from cooperative_isac.evaluation.figures_app import DC_FIGURES
from cooperative_isac.waveform import codes, reference_signals

PAGES = sorted(TUTORIALS.glob("*.md"))
# Live runs are of a scene that asks little of a processor.
SMALL = "examples/parking.yaml"
# Fewer frames and samples than a reader takes, for the time of the tests.
CHANGES = {
    "1_first_scene": {
        "isac.run(scene, 100)": "isac.run(scene, 15)",
        'schemes=["local_ml", "raw_ml"], frames=20': "frames=1, workers=1",
    },
    "2_own_scene": {
        "isac.run(scene, 150)": "isac.run(scene, 20)",
        "frames=50, powers_dbm=[34, 40]": "frames=1, powers_dbm=34, workers=1",
    },
    "3_robot": {"run campus --duration 25": f"run {SMALL} --duration 3 --rate 2 --no-markers"},
    "4_record_and_look": {
        "run campus --duration 20": f"run {SMALL} --duration 3 --rate 2 --no-markers",
        "--scene campus": f"--scene {SMALL}",
    },
    "5_own_scheme": {"isac.run(scene, 100": "isac.run(scene, 10"},
    "6_train_codec": {
        "--samples 768 --validation-samples 128 --epochs 12": (
            "--samples 8 --validation-samples 4 --epochs 2 --batch-size 4"
        ),
        "frames=50": "frames=1, workers=1",
    },
    "7_ray_tracer": {"--frames 80": "--frames 8", "frames=50": "frames=4"},
    "8_cooperation": {
        "--frames 8": "--frames 1",
        "range(100)": "range(3)",
        "--runs 20": "--runs 1",
    },
}


def pictures(page):
    """Names of the pictures that a page shows."""
    return set(re.findall(r"!\[[^\]]+\]\(\.\./images/tutorials/([\w.]+)\)", page.read_text()))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_tutorial_runs_and_makes_its_pictures(page, tmp_path, monkeypatch):
    # What the code changes for the process ends with the test.
    monkeypatch.setenv("ISAC_PATHS", "")
    monkeypatch.setenv("ISAC_WEIGHTS", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.syspath_prepend(tmp_path)
    run_tutorial(page, tmp_path, CHANGES[page.stem])
    made = {path.name for path in tmp_path.glob("*.png")}
    assert made == pictures(page) and made


def test_the_lines_of_the_readme_run(tmp_path):
    names = run_tutorial(
        ROOT / "README.md", tmp_path, {"isac.run(scene, 50)": "isac.run(scene, 2)"}
    )
    assert len(names["snapshots"]) == 2 and (tmp_path / "campus.png").is_file()


def test_the_lines_of_the_page_of_deep_cooperation_run(tmp_path):
    names = run_tutorial(ROOT / "docs" / "deep_cooperation_paper.md", tmp_path)
    # Four standard deviations by the theory of the second block.
    found = np.array([names["path"].delay_s - 1e-6, names["path"].path_speed_mps - 12.0])
    assert np.all(found**2 < 16 * names["error"].variances)


def test_the_lines_of_the_page_of_estimators_run(tmp_path):
    names = run_tutorial(ROOT / "docs" / "estimators.md", tmp_path)
    found = 2 * estimation.root_music(names["covariance"], names["num_sources"])
    assert found == pytest.approx(names["sines"], abs=0.01)


def test_every_estimator_is_on_its_page_with_tests_and_figures():
    text = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!subject)(.+) \| (.+) \| (.+) \| ?(.*) ?\|$", text, re.MULTILINE)

    # Every public function and class once, and functions of the neighbors.
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row[1])]
    neighbors = vars(offsets).keys() | vars(codes).keys() | vars(reference_signals).keys()
    assert len(named) == len(set(named))
    assert set(estimation.__all__) <= set(named) <= neighbors.union(estimation.__all__)

    # Links to tests, and figures of the command beside schemes and keys of scenes.
    assert all("](../tests/unit/" in row[2] for row in rows)
    shown = [name for row in rows for name in re.findall(r"`(\w+)`", row[3].split("scheme")[0])]
    assert set(shown) <= {*DC_FIGURES, "coprime", "bands"}


def test_every_picture_is_there_and_shown():
    shown = set().union(*map(pictures, PAGES))
    assert shown == {path.name for path in PICTURES.glob("*")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_short_and_its_links_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    # Five minutes at 200 words a minute.
    assert len(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split()) < 1000
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert link.startswith("https:") or (page.parent / link).is_file(), link


def test_the_scene_of_the_second_page_is_the_example():
    (scene,) = (one for one in blocks(TUTORIALS / "2_own_scene.md") if one.language == "yaml")
    name, _, text = scene.code.partition("\n")
    assert name == "# parking.yaml"
    assert text == (ROOT / "examples" / "parking.yaml").read_text(encoding="utf-8")


def test_what_is_not_on_a_page_cannot_be_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nnumber = 1\n```\n")
    with pytest.raises(ValueError, match=r"page.md has no number = 2"):
        run_tutorial(page, tmp_path, {"number = 2": ""})


def test_blocks_run_in_order_and_errors_name_the_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n```python\nnumber = 1\n```\n\n"
        "```console\n$ echo $((1 + 1)) \\\n    > sum\n2\n```\n\n"
        "```yaml\n# kept.yaml\na: 1\n```\n\n```python\nfrom pathlib import Path\n"
        "number += int(Path('sum').read_text())\n```\n\n```sh\nexit 1\n```\n"
    )
    assert run_tutorial(page, tmp_path)["number"] == 3
    assert (tmp_path / "kept.yaml").read_text() == "# kept.yaml\na: 1\n"
    page.write_text(page.read_text() + "\n```python\n1 / 0\n```\n")
    for name in ("config", "examples"):
        (tmp_path / name).unlink()
    with pytest.raises(ZeroDivisionError) as failure:
        run_tutorial(page, tmp_path)
    lines = page.read_text().splitlines()
    assert lines[failure.traceback[-1].lineno] == "1 / 0"


def test_a_session_has_commands_and_what_they_print():
    session = "$ isac check \\\n    scene.yaml\nscene  campus\n$ ls\nfile\n"
    assert list(commands(session)) == ["isac check \\", "    scene.yaml", "ls"]

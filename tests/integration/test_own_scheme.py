"""The scheme of examples/brightest, installed as described, in an evaluation and in ROS."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "brightest"
TINY = ROOT / "tests" / "scenes" / "tiny.yaml"


@pytest.mark.timeout(300)
def test_the_scheme_of_the_examples_is_installed_and_finds_a_target(tmp_path):
    package, site = tmp_path / "brightest", tmp_path / "site"
    shutil.copytree(EXAMPLE, package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--target",
            str(site),
            str(package),
        ],
        check=True,
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT / "src")])}
    command = [
        sys.executable,
        "-m",
        "cooperative_isac.cli",
        "evaluate",
        str(TINY),
        "--schemes",
        "brightest,local_ml",
        "--frames",
        "12",
        "--json",
        str(tmp_path / "figures.json"),
    ]
    subprocess.run(command, check=True, env=environment, timeout=110, capture_output=True)
    measured = json.loads((tmp_path / "figures.json").read_text())["schemes"]["brightest"]["40"]
    assert measured["detection_rate"] > 0.8 and measured["median_location_m"] < 1.5
    assert measured["median_velocity_mps"] < 4 and measured["fronthaul_bits"] == 208
    live = [
        sys.executable,
        "-m",
        "cooperative_isac.cli",
        "run",
        str(TINY),
        "--scheme",
        "brightest",
        "--duration",
        "6",
        "--rate",
        "2",
        "--no-markers",
        "--out",
        str(tmp_path / "live"),
    ]
    subprocess.run(live, check=True, env=environment, timeout=110, capture_output=True)
    summary = json.loads((tmp_path / "live" / "summary.json").read_text())
    assert (
        summary["scheme"] == "brightest"
        and max(one["continuity"] for one in summary["targets"].values()) > 0
    )

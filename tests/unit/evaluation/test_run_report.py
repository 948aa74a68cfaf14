"""The report of a run, at its end and again."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from cooperative_isac.evaluation.run_record import RunRecorder
from cooperative_isac.evaluation.run_report import (PICTURE_FILE, RECORD_FILE, SUMMARY_FILE, print_summary,
                                                    show_report)
from cooperative_isac.scene.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState

TINY = str(Path(__file__).resolve().parents[2] / "scenes" / "tiny.yaml")


@pytest.fixture
def console():
    return Console(width=120, record=True, file=open("/dev/null", "w"))


def summary(**changes):
    stages = {stage: {"p50": 12.34, "p99": 56.78} for stage in ("encode", "decode", "track", "end_to_end")}
    car = {"continuity": 0.98765, "rmse_m": 0.1234, "identity_switches": 0}
    return {"scene": "tiny", "scene_fingerprint": load_scene(TINY).fingerprint, "scheme": "local_ml",
            "frames": 10, "frames_late": 2, "frames_lost": 1, "false_tracks": 3,
            "targets": {"car1": car}, "fronthaul_bits_per_s": {"rx1": 1500.0},
            "fronthaul_downlink_bits_per_s": 66000.0, "latency_ms": stages, "error_to_bound_location": 1.05,
            "error_to_bound_velocity": None, "error_to_bound_samples": 4, **changes}


def test_the_table_at_the_end_holds_the_report(console):
    print_summary(summary(), console)
    text = console.export_text()
    for part in ("tiny, scheme local_ml", "RMSE (m)", "0.988", "0.123", "10, late 2, lost 1", "up (kbit/s)",
                 "rx1 1.5", "66.0",
                 "median 12.3, 99 % 56.8", "location 1.05, velocity - (4 samples)"):
        assert part in text, part


def test_a_run_without_anything_has_a_table_too(console):
    nothing = {stage: {"p50": None, "p99": None} for stage in ("encode", "decode", "track", "end_to_end")}
    print_summary(summary(targets={}, fronthaul_bits_per_s={"rx1": None}, fronthaul_downlink_bits_per_s=None,
                          latency_ms=nothing), console)
    assert "rx1 -" in console.export_text()


@pytest.fixture
def folder(tmp_path):
    """The files of a run of two frames."""
    (tmp_path / SUMMARY_FILE).write_text(json.dumps(summary()))
    recorder = RunRecorder()
    for number in range(2):
        car = TargetState("car1", TargetClass.VEHICLE, np.array([30.0 + number, 30.0, 0.0]), np.ones(3))
        recorder.add(number, number * 10**9, [car], [], [], simulated=True)
    recorder.record().save(tmp_path / RECORD_FILE)
    return tmp_path


def test_a_run_is_reported_again(folder, console):
    show_report(folder, TINY, console)
    assert "0.988" in console.export_text() and imread(folder / PICTURE_FILE).std() > 0.05


def test_the_scene_of_a_run_is_not_guessed(folder, console):
    with pytest.raises(ValueError, match="tiny: no scene of that name.*name the scene file with --scene"):
        show_report(folder, None, console)
    with pytest.raises(ValueError, match=r"recorded with scene 'tiny' \(.*but 'campus' is .*--scene"):
        show_report(folder, "campus", console)
    assert not (folder / PICTURE_FILE).exists()


@pytest.mark.parametrize("name, content, message", [
    (SUMMARY_FILE, None, "summary.json: no such file; name the folder of a run that has ended"),
    (SUMMARY_FILE, b"{", "summary.json: Expecting.*; it is not the summary of a run"),
    (SUMMARY_FILE, b'{"scene": "tiny"}', "summary.json: lacks scene_fingerprint, scheme"),
    (RECORD_FILE, None, "run.npz: no such file"), (RECORD_FILE, b"text", "run.npz: not an .npz file")])
def test_what_a_folder_lacks_is_named(folder, console, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        show_report(folder, TINY, console)

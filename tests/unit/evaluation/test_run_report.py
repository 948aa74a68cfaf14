"""Report of a run at its end, and shown again later."""

import io
import json
import math
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from rich.console import Console

from cooperative_isac.evaluation.run_record import RunRecorder, load_run_record
from cooperative_isac.evaluation.run_report import (
    PICTURE_FILE,
    RECORD_FILE,
    SUMMARY_FILE,
    print_summary,
    read_summary,
    show_report,
)
from cooperative_isac.evaluation.summary_file import finite_or_none
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.requirements import SensingQuality, quality_report
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus

TINY = str(Path(__file__).resolve().parents[2] / "scenes" / "tiny.yaml")


@pytest.fixture
def console():
    return Console(width=120, record=True, file=io.StringIO())


def summary(**changes):
    stages = {
        stage: {"p50": 12.34, "p99": 56.78} for stage in ("encode", "decode", "track", "end_to_end")
    }
    car = {"continuity": 0.98765, "rmse_m": 0.1234, "identity_switches": 0}
    return {
        "scene": "tiny",
        "scene_fingerprint": load_scene(TINY).fingerprint,
        "scheme": "local_ml",
        "frames": 10,
        "frames_late": 2,
        "frames_lost": 1,
        "false_tracks": 3,
        "targets": {"car1": car},
        "fronthaul_bits_per_s": {"rx1": 1500.0},
        "fronthaul_downlink_bits_per_s": 66000.0,
        "latency_ms": stages,
        "error_to_bound_location": 1.05,
        "error_to_bound_velocity": None,
        "error_to_bound_samples": 4,
        **changes,
    }


def quality(**changes):
    """Sensing quality of a run in a plane, as the evaluator writes it."""
    measured = SensingQuality(90, 0.3, None, 0.2, None, 0.01, 0.0, 80.0, 0.2)
    return finite_or_none(quality_report(replace(measured, **changes)))


def test_the_table_has_the_sensing_quality(console):
    print_summary(summary(quality=quality(missed_share=0.015)), console)
    text = console.export_text()
    for part in (
        "horizontal 0.300 m, 0.200 m/s ",
        "1.5%, 0.0%",
        "category 3 (category 4 needs horizontal velocity error 0.1 m/s, has 0.2; "
        "missed 1 %, has 1.5; refresh 0.1 s, has 0.2)",
        "vertical errors (not estimated: known height), resolution",
    ):
        assert part in " ".join(text.split()), part

    assert " 90 samples " in " ".join(text.split()) and "too few" not in text

    # In space with vertical errors.
    print_summary(summary(quality=quality(vertical_95_m=0.25, vertical_95_mps=0.125)), console)
    text = " ".join(console.export_text().split())
    assert "horizontal 0.300 m, 0.200 m/s; vertical 0.250 m, 0.125 m/s" in text


def test_a_run_of_few_samples_has_a_caveat(console):
    print_summary(summary(quality=quality(num_samples=58)), console)
    text = " ".join(console.export_text().split())
    assert "58 samples, too few: 59 are needed at a confidence of 95%" in text


def test_the_table_of_a_run_that_found_nothing_says_so(console):
    nothing = quality(
        num_samples=0, horizontal_95_m=math.nan, horizontal_95_mps=math.nan, missed_share=1.0
    )
    print_summary(summary(quality=nothing), console)
    text = " ".join(console.export_text().split())
    assert "no category, as nothing was found" in text


def test_a_summary_without_sensing_quality_is_shown(tmp_path, console):
    """Versions before the key wrote such files."""
    assert "quality" not in WHOLE
    (tmp_path / SUMMARY_FILE).write_text(json.dumps(WHOLE))
    print_summary(read_summary(tmp_path), console)
    text = console.export_text()
    assert "0.988" in text and "TS 22.137" not in text


def test_the_table_has_the_summary(console):
    print_summary(summary(), console)
    text = console.export_text()
    for part in (
        "tiny, scheme local_ml",
        "RMSE (m)",
        "0.988",
        "0.123",
        "10, late 2, lost 1",
        "up (kbit/s)",
        "rx1 1.5",
        "66.0",
        "median 12.3, 99 % 56.8",
        "location 1.05, velocity - (4 samples)",
    ):
        assert part in text, part


def test_a_run_with_a_radio_link_names_the_stations_that_fuse(console):
    print_summary(summary(frames_fused_at={"bs": 6, "ue3": 4}, packets_undelivered=5), console)
    text = console.export_text()
    assert "bs 6, ue3 4" in text and "packets out of range" in text


def test_a_scene_named_after_its_file_has_a_report(tmp_path, console):
    (tmp_path / SUMMARY_FILE).write_text(json.dumps(summary(scene="mein ä")))
    print_summary(read_summary(tmp_path), console)
    assert "mein ä, scheme local_ml" in console.export_text()


def test_a_run_without_frames_has_a_table(console):
    nothing = {
        stage: {"p50": None, "p99": None} for stage in ("encode", "decode", "track", "end_to_end")
    }
    print_summary(
        summary(
            targets={},
            fronthaul_bits_per_s={"rx1": None},
            fronthaul_downlink_bits_per_s=None,
            latency_ms=nothing,
        ),
        console,
    )
    assert "rx1 -" in console.export_text()


@pytest.fixture
def folder(tmp_path):
    """The files of a run of two frames."""
    (tmp_path / SUMMARY_FILE).write_text(json.dumps(summary()))
    recorder = RunRecorder()
    for number in range(2):
        car = TargetState(
            "car1", TargetClass.VEHICLE, np.array([30.0 + number, 30.0, 0.0]), np.ones(3)
        )
        detection = Detection(car.position_m + 0.1, np.ones(3), np.eye(6), 20.0, ("rx1",), 2)
        track = Track(
            1,
            TrackStatus.CONFIRMED,
            TargetClass.VEHICLE,
            0.9,
            car.position_m,
            np.ones(3),
            np.eye(6),
            1.0,
            0.0,
            3,
        )
        recorder.add(number, number * 10**9, [car], [detection], [track], simulated=True)
    recorder.record().save(tmp_path / RECORD_FILE)
    return tmp_path


def test_the_report_of_a_run_is_shown_again(folder, console):
    show_report(folder, TINY, console)
    assert "0.988" in console.export_text() and imread(folder / PICTURE_FILE).std() > 0.05


def test_the_path_of_the_picture_is_one_line_in_a_narrow_terminal(folder):
    narrow = Console(width=20, record=True, file=io.StringIO())
    show_report(folder, TINY, narrow)
    assert f"picture: {folder / PICTURE_FILE}" in narrow.export_text().splitlines()


def test_another_scene_than_the_recorded_one_is_refused(folder, console):
    with pytest.raises(
        ValueError, match=r"tiny: no scene of that name.*name the scene file with --scene"
    ):
        show_report(folder, None, console)
    with pytest.raises(
        ValueError, match=r"recorded with scene 'tiny' \(.*but 'campus' is .*--scene"
    ):
        show_report(folder, "campus", console)
    assert not (folder / PICTURE_FILE).exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (SUMMARY_FILE, None, "summary.json: no such file; name the folder of a run that has ended"),
        (SUMMARY_FILE, b"{", "summary.json: Expecting.*; it is not the summary of a run"),
        (SUMMARY_FILE, b'{"scene": "tiny"}', "summary.json: lacks scene_fingerprint, scheme"),
        (RECORD_FILE, None, "run.npz: no such file"),
        (RECORD_FILE, b"text", "run.npz: not an .npz file"),
    ],
)
def test_a_missing_file_of_a_folder_is_named(folder, console, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        show_report(folder, TINY, console)


WHOLE = summary()
WITH_QUALITY = summary(quality=quality())
# Values that a damaged file may hold.
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2**70,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "nan",
        "[/]",
        "\x1b[2J",
        "\ud800",
        "x" * 5000,
        [],
        [1],
        {},
        {"": {}},
        {"[bold]": 3.0},
        {"p50": 1},
        [[[[]]]],
    ]
)
DAMAGED = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(data, path=()):
    """All paths of keys in nested mappings."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield path + (key,)
            yield from places(value, path + (key,))


@st.composite
def odd_summaries(draw):
    """Text of a summary with one to three keys that are changed, renamed or removed."""
    data = deepcopy(draw(st.sampled_from([WHOLE, WITH_QUALITY])))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(sorted(places(data), key=str)))
        inside = data
        for key in parents:
            inside = inside[key]
        value = inside.pop(last)
        change = draw(st.sampled_from(["remove", "rename", "replace"]))
        if change == "rename":
            inside[draw(st.sampled_from(["", "x", "[/]", "\x1b[31m", "y" * 999]))] = value
        if change == "replace":
            inside[last] = deepcopy(draw(ODD))
        if not data:
            break
    return json.dumps(data).encode()


@st.composite
def damaged_bytes(draw, content):
    """Bytes that are cut, overwritten or inserted at random."""
    begin = draw(st.integers(0, len(content)))
    kind = draw(st.sampled_from(["cut", "flip", "write", "insert", "nest"]))
    if kind == "cut":
        return content[:begin]
    if kind == "flip":
        at = min(begin, len(content) - 1)
        return (
            content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]
        )
    if kind == "nest":
        return b"[" * 100_000 + content
    text = draw(st.binary(min_size=1, max_size=64))
    return content[:begin] + text + content[begin + len(text) * (kind == "write") :]


def one_line(path, error):
    """Return whether an error is one printable line with the name of the file."""
    message = str(error)
    return message.startswith(f"{path}: ") and message.isprintable() and len(message) < 700


def summary_is_shown_or_refused(path, content):
    """Read a summary: it becomes a table of printable characters, or a one-line error."""
    path.write_bytes(content)
    try:
        found = read_summary(path.parent)
    except ValueError as error:
        assert one_line(path, error), error
        return
    shown = io.StringIO()
    print_summary(found, Console(file=shown, width=200))
    assert shown.getvalue().replace("\n", "").isprintable()


@DAMAGED
@given(content=odd_summaries())
def test_a_summary_with_odd_values_is_shown_or_refused(tmp_path, content):
    summary_is_shown_or_refused(tmp_path / SUMMARY_FILE, content)


@DAMAGED
@given(content=damaged_bytes(json.dumps(WHOLE, indent=2).encode()))
def test_a_damaged_summary_is_shown_or_refused(tmp_path, content):
    summary_is_shown_or_refused(tmp_path / SUMMARY_FILE, content)


@DAMAGED
@given(data=st.data())
def test_a_damaged_record_is_read_or_refused(folder, data):
    path = folder / RECORD_FILE
    whole = folder / "whole.npz"
    if not whole.exists():
        path.rename(whole)
    path.write_bytes(data.draw(damaged_bytes(whole.read_bytes())))
    try:
        load_run_record(path)
    except ValueError as error:
        assert one_line(path, error), error


@pytest.mark.parametrize(
    ("column", "change", "fault"),
    [
        ("frame_number", lambda values: values[:1], "frame_stamp_ns is 2, must be 1"),
        ("frame_number", lambda values: values[0], "frame_number is a single value"),
        ("frame_stamp_ns", lambda values: values - 10**15, "times that are none"),
        ("frame_simulated", lambda values: values.astype(float), "type float64, must be bool"),
        ("truth_frame", lambda values: values + 7, "truth_frame has frames beside frame_number"),
        (
            "truth_name",
            lambda values: np.array(["$x^$"] * 2),
            "truth_name has texts that are no names",
        ),
        ("truth_class", lambda values: values + 90, "truth_class has numbers beside 0, 1, 2"),
        (
            "truth_state",
            lambda values: values * np.nan,
            "truth_state has numbers beyond 1e.09, or none",
        ),
        (
            "detection_state",
            lambda values: values[:, :3],
            "detection_state is 2 x 3, must be 2 x 6",
        ),
        (
            "detection_snr_db",
            lambda values: values * np.inf,
            "detection_snr_db has numbers that are not",
        ),
        ("track_status", lambda values: values - 99, "track_status has numbers beside"),
        (
            "track_covariance",
            lambda values: values / 0.0,
            "track_covariance has numbers that are not",
        ),
        ("frame_number", lambda values: values[::-1], "frame_number does not rise"),
        ("frame_number", lambda values: values[:1].repeat(2), "frame_number does not rise"),
        ("track_frame", lambda values: values[::-1], "track_frame goes back"),
        (
            "track_covariance",
            lambda values: -values,
            "track_covariance has matrices that are no cov",
        ),
        (
            "track_covariance",
            lambda values: np.triu(values + 1),
            "matrices that are no covariances",
        ),
        ("detection_covariance", lambda values: values * 1e300, "has variances beyond 1e.13"),
        (
            "track_state",
            lambda values: np.array([{}, {}]),
            "not an .npz file of arrays, or damaged",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_wrong_column_is_named_and_the_table_is_shown(folder, console, column, change, fault):
    path = folder / RECORD_FILE
    columns = asdict(load_run_record(path))
    columns[column] = change(columns[column])
    np.savez(path, **columns)
    with pytest.raises(ValueError, match=f"run.npz: .*{fault}.*not the record of a run") as caught:
        show_report(folder, TINY, console)
    assert one_line(path, caught.value)
    assert "0.988" in console.export_text() and not (folder / PICTURE_FILE).exists()


def test_a_picture_that_cannot_be_written_leaves_the_table(folder, console):
    (folder / PICTURE_FILE).mkdir()
    with pytest.raises(ValueError, match=r"scene\.png: it is a folder"):
        show_report(folder, TINY, console)
    assert "0.988" in console.export_text()


def test_an_unknown_scheme_names_the_file(folder, console):
    (folder / SUMMARY_FILE).write_text(json.dumps(summary(scheme="smoke_signals")))
    with pytest.raises(ValueError, match=r"summary\.json: scheme 'smoke_signals' is not known"):
        show_report(folder, TINY, console)

"""Columns of a run, written to a file and read back."""

from dataclasses import fields

import numpy as np
import pytest

from cooperative_isac.evaluation import run_record
from cooperative_isac.evaluation.run_record import RunRecord, RunRecorder, load_run_record
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus

ONES = np.ones(3)


def recorded(num_frames):
    recorder = RunRecorder()
    for number in range(num_frames):
        truth = TargetState("uav1", TargetClass.UAV, number * ONES, ONES)
        detection = Detection(number * ONES + 0.1, ONES, np.eye(6), 20.0, ("rx1",), 2)
        track = Track(
            7,
            TrackStatus.CONFIRMED,
            TargetClass.UAV,
            0.9,
            number * ONES,
            ONES,
            2 * np.eye(6),
            1.0,
            0.0,
            3,
        )
        recorder.add(
            number,
            number * 10,
            [truth],
            [detection, detection],
            [track] if number else [],
            simulated=number != 1,
        )
    return recorder.record()


def test_rows_belong_to_their_frames():
    record = recorded(3)
    assert record.frame_number.tolist() == [0, 1, 2] and record.frame_stamp_ns.tolist() == [
        0,
        10,
        20,
    ]
    assert record.frame_simulated.tolist() == [True, False, True]
    assert record.detection_frame.tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ] and record.track_frame.tolist() == [1, 2]
    assert record.truth_name.tolist() == ["uav1"] * 3 and record.track_id.tolist() == [7, 7]
    assert record.truth_state[2].tolist() == [2, 2, 2, 1, 1, 1]
    assert record.track_covariance.shape == (2, 6, 6) and record.track_class.tolist() == [1, 1]


def test_a_long_run_keeps_its_last_frames(monkeypatch):
    monkeypatch.setattr(run_record, "FRAMES_KEPT", 4)
    record = recorded(10)
    assert record.frame_number.tolist() == record.track_frame.tolist() == [6, 7, 8, 9]
    assert record.detection_frame.tolist() == [6, 6, 7, 7, 8, 8, 9, 9]


@pytest.mark.parametrize("num_frames", [0, 3])
def test_a_saved_record_is_loaded_unchanged(tmp_path, num_frames):
    record = recorded(num_frames)
    record.save(tmp_path / "run.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]
    loaded = load_run_record(tmp_path / "run.npz")
    for column in fields(RunRecord):
        assert np.array_equal(getattr(loaded, column.name), getattr(record, column.name)), (
            column.name
        )
        assert getattr(loaded, column.name).dtype == getattr(record, column.name).dtype, column.name


def test_a_missing_column_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", frame_number=np.zeros(1))
    with pytest.raises(
        ValueError, match=r"other\.npz: lacks frame_stamp_ns, frame_simulated, truth_frame"
    ):
        load_run_record(tmp_path / "other.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", "array", "cut"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "run.npz"
    if content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "cut":
        recorded(3).save(path)
        path.write_bytes(path.read_bytes()[:-40])
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.npz: not an \.npz file of arrays"):
        load_run_record(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"run\.npz: no such file"):
        load_run_record(tmp_path / "run.npz")

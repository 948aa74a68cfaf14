"""Checkpoints of a run, from which its report is recovered."""

import json
from dataclasses import fields

import numpy as np
import pytest

from cooperative_isac.evaluation.checkpoint import (
    CHECKPOINT_FOLDER,
    clear_checkpoint,
    read_checkpoint,
    recover_report,
    write_checkpoint,
)
from cooperative_isac.evaluation.live_bound import BoundLog
from cooperative_isac.evaluation.run_ledger import RunLedger
from cooperative_isac.evaluation.run_record import (
    FRAMES_KEPT,
    RunRecord,
    RunRecorder,
    load_run_record,
    merged_records,
    recorded_frames,
)
from cooperative_isac.fusion.detection import PARTIAL, Detection
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus


def add(recorder, number):
    """Record of frames with one target, one detection and two tracks each, but none in frame 3."""
    place = np.array([number, 2.0, 3.0])
    velocity = np.array([1.0, 0.0, 0.0])
    seen = number != 3
    truths = [TargetState("car1", TargetClass.VEHICLE, place, velocity)][:seen]
    detections = [Detection(place + 1, velocity, np.eye(6), 20.0, ("rx1",), 2)][:seen]
    tracks = [
        Track(
            track_id,
            TrackStatus.CONFIRMED,
            TargetClass.UAV,
            0.9,
            place,
            velocity,
            2 * np.eye(6),
            1.0,
            0.0,
            4,
        )
        for track_id in (4, 9)
    ][: 2 * seen]
    recorder.add(number, 10**12 + number, truths, detections, tracks, True)


def record_of(numbers):
    recorder = RunRecorder()
    for number in numbers:
        add(recorder, number)
    return recorder.record()


def same(one, other):
    return all(
        np.array_equal(getattr(one, item.name), getattr(other, item.name))
        for item in fields(RunRecord)
    )


def test_parts_of_a_record_are_the_record():
    recorder = RunRecorder()
    parts = []
    for number in range(7):
        add(recorder, number)
        if number in (1, 4, 6):
            parts.append(recorder.record({1: 2, 4: 3, 6: 2}[number]))
    assert same(merged_records(parts), recorder.record())
    assert merged_records([]).frame_number.size == 0


def test_a_long_record_keeps_its_last_frames():
    numbers = np.arange(FRAMES_KEPT + 5)
    empty = RunRecorder().record()
    columns = {item.name: getattr(empty, item.name) for item in fields(RunRecord)}
    long = RunRecord(
        **{
            **columns,
            "frame_number": numbers,
            "frame_stamp_ns": numbers,
            "frame_simulated": numbers > 0,
        }
    )
    assert merged_records([record_of([0, 1]), long]).frame_number[0] == 5


def test_recorded_frames_are_read_back():
    record = record_of(range(5))
    again = RunRecorder()
    for frame in recorded_frames(record):
        again.add(
            frame.number,
            frame.stamp_ns,
            frame.truths,
            frame.detections,
            frame.tracks,
            frame.simulated,
        )
    assert same(again.record(), record)


def test_only_complete_detections_are_recorded():
    recorder = RunRecorder()
    place = np.array([1.0, 2.0, 3.0])
    found = Detection(place, place, np.eye(6), 20.0, ("rx1",), 2)
    partial = Detection(place, place, np.eye(6), 20.0, ("rx1",), PARTIAL)
    recorder.add(0, 10**12, (), (found, partial), (), True)
    (frame,) = recorded_frames(recorder.record())
    assert [detection.is_partial for detection in frame.detections] == [False]


def test_a_report_is_recovered_from_its_checkpoints(tmp_path):
    write_checkpoint(tmp_path, 7, {"a": 1}, record_of([0, 1]), {"frames": 2})
    write_checkpoint(tmp_path, 7, {"a": 2}, record_of([3, 4]), {"frames": 5})
    write_checkpoint(tmp_path, 7, {"a": 3}, record_of([]), {"frames": 6})
    checkpoint = read_checkpoint(tmp_path)
    assert (checkpoint.run, checkpoint.counts) == (7, {"a": 3})
    assert same(checkpoint.record, record_of([0, 1, 3, 4]))
    assert recover_report(tmp_path) and same(
        load_run_record(tmp_path / "run.npz"), checkpoint.record
    )
    assert json.loads((tmp_path / "summary.json").read_text()) == {"frames": 6}
    clear_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path) is None and not recover_report(tmp_path)


def test_files_of_the_user_are_kept(tmp_path):
    write_checkpoint(tmp_path, 7, {}, record_of([0]), {})
    own = tmp_path / CHECKPOINT_FOLDER / "model.pt"
    own.write_text("weights")
    clear_checkpoint(tmp_path)
    assert [path.name for path in own.parent.iterdir()] == ["model.pt"]
    own.unlink()
    clear_checkpoint(tmp_path)
    assert not own.parent.exists()


def test_files_of_old_frames_are_removed(tmp_path):
    for first in (0, 10, 20, 20 + FRAMES_KEPT):
        write_checkpoint(tmp_path, 7, {}, record_of([first, first + 1]), {})
    numbers = read_checkpoint(tmp_path).record.frame_number.tolist()
    assert numbers == [20, 21, 20 + FRAMES_KEPT, 21 + FRAMES_KEPT]


@pytest.mark.parametrize("damage", ["", "{}", "[1]", '{"run": 7}'])
def test_a_damaged_checkpoint_is_ignored(tmp_path, damage):
    write_checkpoint(tmp_path, 7, {}, record_of([0]), {})
    (tmp_path / CHECKPOINT_FOLDER / "counts.json").write_text(damage)
    assert read_checkpoint(tmp_path) is None


def test_a_restored_ledger_counts_unseen_frames_apart():
    first = RunLedger(0.1)
    second = RunLedger(0.1)
    for ledger, numbers in ((first, range(10)), (second, range(20, 30))):
        if ledger is second:
            first.announce(10, 10**9, 100)  # decoded while no ledger was there
            second.restore(json.loads(json.dumps(first.state())))
        for number in numbers:
            ledger.announce(number, number * 10**8, 100)
            ledger.add_packet("rx1", 10)
            ledger.lose_packets(1)
            ledger.fuse("bs" if number % 2 else "ue1", 1)
            if number != 5:
                ledger.time_stage(number, "decode", 4.0, 20.0)
    second.skip(3)
    second.announce(34, 34 * 10**8, 100)
    second.time_stage(34, "decode", 4.0, 20.0)
    summary = second.summary(10**11)
    assert (summary["frames"], summary["frames_unseen"], summary["frames_skipped"]) == (35, 10, 3)
    assert summary["packets_undelivered"] == 20
    assert summary["frames_fused_at"] == {"bs": 10, "ue1": 10}
    assert (summary["frames_lost"], summary["frames_late"]) == (
        2,
        2,
    )  # frame 5, and one of 30 to 33
    assert summary["fronthaul_bits_per_s"]["rx1"] == pytest.approx(20 * 80 / 2.5, abs=0.1)
    assert summary["fronthaul_downlink_bits_per_s"] == pytest.approx(22 * 100 / 2.5, abs=0.1)


def test_a_bound_log_continues_from_its_state():
    log = BoundLog(2)
    again = BoundLog(2)
    log._total, log._samples = np.array([[4.0, 9.0], [1.0, 1.0]]), 3
    again.restore(json.loads(json.dumps(log.state())))
    assert again.summary() == log.summary()

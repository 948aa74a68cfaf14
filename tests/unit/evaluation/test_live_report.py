"""Report of a run while it goes on: checkpoints continue it, and faults of odometry are named."""

import numpy as np
import pytest

from cooperative_isac.evaluation.checkpoint import read_checkpoint
from cooperative_isac.evaluation.live_report import LiveReport
from cooperative_isac.evaluation.run_record import RECORD_FILE, load_run_record
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE
from cooperative_isac.scene.draw import scene_targets

PERIOD_NS = 100_000_000


def add_frames(report, scene, numbers):
    """Frames whose targets nobody detects."""
    for number in numbers:
        stamp_ns = number * PERIOD_NS
        truths = scene_targets(scene, stamp_ns * 1e-9)
        report.ledger.announce(number, stamp_ns, 0)
        report.ledger.time_stage(number, "decode", 5.0, 20.0)
        report.record(number, stamp_ns, truths, (), (), True)
        report.compare(stamp_ns, truths, (), ())


def without_guard(function, _):
    return function


def test_a_restored_report_is_that_of_one_process(small, tmp_path):
    whole = LiveReport(small, "local_ml", 0.1)
    add_frames(whole, small, range(4))

    first = LiveReport(small, "raw_ml", 0.1)
    first.scheme = "local_ml"
    add_frames(first, small, range(2))
    first.has_changed = True
    first.save(tmp_path, 7, first.summary(0, (), {}))
    assert not first.has_changed

    second = LiveReport(small, "raw_ml", 0.1)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.run == 7
    assert second.restore(checkpoint, without_guard) == (1, PERIOD_NS)
    add_frames(second, small, range(2, 4))
    assert second.summary(0, (), {}) == whole.summary(0, (), {})
    assert second.compared == {"car", "walker"}


def test_a_checkpoint_of_another_version_is_refused(small, tmp_path):
    report = LiveReport(small, "local_ml", 0.1)
    add_frames(report, small, range(2))
    report.save(tmp_path, 7, report.summary(0, (), {}))
    checkpoint = read_checkpoint(tmp_path)
    del checkpoint.counts["ledger"]
    with pytest.raises(KeyError):
        LiveReport(small, "local_ml", 0.1).restore(checkpoint, without_guard)


def test_targets_that_were_in_no_frame_have_a_reason(small):
    report = LiveReport(small, "local_ml", 0.1)
    add_frames(report, small, range(2))
    names = ("car", "robot", "walker", "drone")
    summary = report.summary(0, names, {"robot": "its clock is 2 s ahead"})
    assert summary["targets_not_compared"] == {
        "robot": "its clock is 2 s ahead",
        "drone": "its odometry fits no frame",
    }


def test_a_complete_report_has_summary_and_record(small, tmp_path):
    report = LiveReport(small, "local_ml", 0.1)
    add_frames(report, small, range(3))
    folder = tmp_path / "new"
    report.complete(folder, report.summary(0, (), {}))
    assert (folder / SUMMARY_FILE).is_file()
    record = load_run_record(folder / RECORD_FILE)
    assert np.array_equal(record.frame_number, [0, 1, 2])

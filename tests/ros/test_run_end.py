"""End of `isac run`: its report, also after crashes."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from cooperative_isac.evaluation.checkpoint import CHECKPOINT_FOLDER, write_checkpoint
from cooperative_isac.evaluation.run_ledger import RunLedger
from cooperative_isac.evaluation.run_record import RunRecorder
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.launching import run
from cooperative_isac_ros.launching.graph import scene_nodes
from cooperative_isac_ros.launching.process_group import Crash
from cooperative_isac_ros.launching.run import _conclude, _draw, _end_nodes, _finish_report
from cooperative_isac_ros.launching.supervision import RespawnPolicy, Supervisor


@pytest.fixture
def report(tmp_path):
    """The folder of a run whose evaluator was killed after a checkpoint."""
    ledger, recorder = RunLedger(0.1), RunRecorder()
    ledger.announce(0, 0, 100)
    recorder.add(0, 0, [], [], [], True)
    summary = {
        "scene": "tiny",
        "scene_fingerprint": "0",
        "scheme": "music",
        "targets": {},
        "false_tracks": 0,
        "error_to_bound_location": None,
        "error_to_bound_velocity": None,
        "error_to_bound_samples": 0,
        **ledger.summary(10**9),
        "frames_skipped": 3,
    }
    write_checkpoint(tmp_path, 7, {}, recorder.record(), summary)
    return tmp_path


def concluded(fault, folder, **given_up):
    """Exit code and text of the end of a run."""
    console = Console(width=400, record=True, file=io.StringIO())
    supervisor = Supervisor(None, [], RespawnPolicy(), lambda text: None)
    supervisor.given_up.update(given_up)
    supervisor.events.append("node /tracker ended with signal 9; started again (1 of 3)")
    run = SimpleNamespace(console=console, stop=SimpleNamespace(requested=False))
    return _conclude(run, supervisor, folder, fault), console.export_text()


def test_the_report_of_a_killed_evaluator_is_completed_from_its_checkpoints(report):
    assert _finish_report(report, None) is None
    assert (report / "run.npz").is_file() and not (report / CHECKPOINT_FOLDER).exists()
    code, text = concluded(None, report)
    assert code == 0 and "1, late 1, lost 1, skipped 3" in text
    assert "node /tracker ended with signal 9; started again (1 of 3)" in text


def test_the_evaluator_outlives_the_nodes_whose_last_counts_it_reports():
    """A fusion center reports packets out of range at its end, too."""
    steps = []
    crash = Crash("/fusion_center", 1, "last words")

    def crashed():
        """The crash of a fusion center, as long as it was not ended."""
        return None if ["/fusion_center"] in steps else crash

    group = SimpleNamespace(stop=lambda names=None: steps.append(names), crashed=crashed)
    specs = scene_nodes(load_scene("bs_ue_zones"))
    assert _end_nodes(group, specs, period_s=0.001) == crash
    assert steps == [["/transmit_controller"], ["/fusion_center"], None]


def test_checkpoints_that_cannot_be_read_cost_the_record_only(report):
    next((report / CHECKPOINT_FOLDER).glob("frames-*")).write_bytes(b"damaged")
    fault = _finish_report(report, None)
    assert "the report is not complete" in fault
    code, text = concluded(fault, report)
    assert code == 1 and "skipped 3" in text and "error: the report is not complete" in text


def test_an_invalid_summary_is_one_line(report):
    (report / "summary.json").write_text("{}")
    code, text = concluded(None, report)
    assert code == 1 and f"error: {report / 'summary.json'}: lacks" in text


def test_a_node_that_was_given_up_is_named_with_its_last_output(report):
    code, text = concluded(None, report, markers=Crash("/scene_markers", 1, "last words"))
    assert code == 1 and "last output of node /scene_markers:" in text and "last words" in text


def test_whatever_a_drawing_library_raises_costs_the_picture_only(report, tiny, monkeypatch):
    def fail(*values):
        raise IndexError("of a figure")

    _finish_report(report, None)
    monkeypatch.setattr(run, "draw_run", fail)
    console = Console(width=400, record=True, file=io.StringIO())
    _draw(tiny, report, console)
    assert "scene.png is not drawn: of a figure" in console.export_text()


def test_a_picture_that_cannot_be_drawn_ends_nothing(report, tiny):
    _finish_report(report, None)
    (report / "scene.png").mkdir()
    console = Console(width=400, record=True, file=io.StringIO())
    _draw(tiny, report, console)
    assert "scene.png is not drawn" in console.export_text()
    assert json.loads((report / "summary.json").read_text())["frames"] == 1

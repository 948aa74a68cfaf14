"""Frames whose truth did not arrive in time: they are not compared, and the report says so."""

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from cooperative_isac.evaluation.run_report import print_summary
from cooperative_isac.evaluation.summary_file import finite_or_none
from cooperative_isac.evaluation.truth_log import TruthLog, late_truth_s, missing_frames
from cooperative_isac.metrics.requirements import SensingQuality, quality_report
from cooperative_isac.metrics.run_score import RunScore
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.odometry import OdometrySample, TargetRegistry
from cooperative_isac.tracking.track import Track, TrackStatus

SECOND = 1_000_000_000
PERIOD_S = 0.25
SPEED_MPS = 8.0


def sample(time_s):
    """A target at SPEED_MPS along x."""
    place_m = np.array([SPEED_MPS * time_s, 0.0, 10.0])
    return OdometrySample(round(time_s * SECOND), place_m, np.array([SPEED_MPS, 0.0, 0.0]))


def track_at(time_s):
    """A track of that target, without any error."""
    truth = sample(time_s)
    return Track(
        1,
        TrackStatus.CONFIRMED,
        TargetClass.UAV,
        1.0,
        truth.position_m,
        truth.velocity_mps,
        np.eye(6),
        1.0,
        0.0,
        5,
    )


def run_with_late_odometry(scene, delay_s, num_frames=40):
    """Summary of a run in which each sample of a target arrives delay_s after its stamp.

    From the tenth frame on; frames are evaluated at their stamps, on a clock that is counted here.
    """
    registry = TargetRegistry()
    score = RunScore(1.0, scene.tracking, 3)
    log = TruthLog()
    name = scene.targets[0].name
    compared = set()
    arrived = 0
    for number in range(num_frames):
        time_s = number * PERIOD_S
        late_s = 0.0 if number < 10 else delay_s
        while arrived * 0.05 <= time_s - late_s:
            registry.add(name, sample(arrived * 0.05))
            arrived += 1

        # As the evaluator does.
        stamp_ns = round(time_s * SECOND)
        missing = late_truth_s(scene, time_s, registry.overdue_s(stamp_ns), compared)
        if missing:
            log.add(number, missing)
            continue
        truths = registry.at(stamp_ns)
        compared.update(truth.name for truth in truths)
        score.add(time_s, truths, [], [track_at(time_s)])
    return log, score.summary()


@pytest.mark.parametrize(
    ("delay_s", "num_compared"),
    # A sample of every 50 ms is overdue after 75 ms.
    [(0.0, 40), (0.04, 40), (0.5, 10), (3.0, 10)],
)
def test_frames_with_late_odometry_are_not_scored(delay_s, num_compared):
    scene = load_scene("multi_bs")
    log, summary = run_with_late_odometry(scene, delay_s)
    assert summary.frames == num_compared
    assert len(log.numbers) == 40 - num_compared
    # The track is right: neither false nor off.
    assert summary.false_tracks == 0 and summary.confirmed_tracks == 1
    (target,) = summary.targets.values()
    assert target.continuity == 1 and target.rmse_m == pytest.approx(0, abs=1e-6)
    if delay_s > 0.1:
        late_s = log.summary()["odometry_late_s"]
        assert late_s == {scene.targets[0].name: pytest.approx(delay_s, abs=0.26)}


def test_targets_that_have_ended_or_never_fitted_a_frame_are_not_waited_for():
    scene = load_scene("multi_bs")
    name = scene.targets[0].name
    overdue_s = {name: 2.0, "robot": 1.5}
    assert late_truth_s(scene, 10.0, overdue_s, ()) == {name: 2.0}
    assert late_truth_s(scene, 10.0, overdue_s, {"robot"}) == overdue_s

    # The motions of this scene last for some seconds.
    short = load_scene("one_pair")
    ends_s = {
        target.name: target.motion.start_s + target.motion.duration_s for target in short.targets
    }
    for target, end_s in ends_s.items():
        if np.isfinite(end_s):
            assert not late_truth_s(short, end_s + 0.1, {target: 0.5}, ())
            assert late_truth_s(short, end_s - 0.1, {target: 0.5}, ())


def test_a_slow_robot_is_overdue_after_one_and_a_half_of_its_periods():
    registry = TargetRegistry()
    registry.add("robot", sample(0.0))
    # One sample has no period: then it is the timeout.
    assert not registry.overdue_s(round(1.4 * SECOND)) and registry.overdue_s(round(1.6 * SECOND))
    for time_s in (0.4, 0.8, 1.2):
        registry.add("robot", sample(time_s))
    assert not registry.overdue_s(round(1.79 * SECOND))
    assert registry.overdue_s(round(1.85 * SECOND)) == {"robot": pytest.approx(0.65)}
    assert not registry.overdue_s(round(1.0 * SECOND))


def test_the_log_continues_from_its_state():
    log = TruthLog()
    log.add(3, {"car": 1.25})
    log.add(4, {"car": 0.5, "uav": 2.0})
    other = TruthLog()
    other.restore(json.loads(json.dumps(log.state())))
    other.add(7, {"car": 3.0})
    assert other.numbers == {3, 4, 7} and log.numbers == {3, 4}
    assert other.summary() == {
        "frames_without_truth": 3,
        "odometry_late_s": {"car": 3.0, "uav": 2.0},
    }


def report(**changes):
    """Summary of a run of 89 frames."""
    return {
        "scene": "multi_bs",
        "scheme": "local_ml",
        "frames": 89,
        "frames_late": 0,
        "frames_lost": 0,
        "frames_compared": 89,
        "frames_without_truth": 0,
        "odometry_late_s": {},
        "targets": {"uav": {"continuity": 1.0, "rmse_m": 0.1, "identity_switches": 0, "frames": 7}},
        "false_tracks": 0,
        "error_to_bound_location": None,
        "error_to_bound_velocity": None,
        "error_to_bound_samples": 0,
        "fronthaul_bits_per_s": {},
        "fronthaul_downlink_bits_per_s": None,
        "latency_ms": {},
        **changes,
    }


def test_a_report_says_which_frames_were_not_compared():
    assert missing_frames(report(frames_compared=81)) is None
    late = {"uav": 3.94}
    summary = report(
        frames_compared=20, frames_without_truth=60, odometry_late_s=late, frames_skipped=9
    )
    text = missing_frames(summary)
    assert text.startswith(
        "69 of 89 frames (60 had no truth in time (odometry late: uav up to 3.94 s); 9 skipped): "
    )
    assert "of the other 20 alone" in text

    # The printed table has it, and the number of frames behind each continuity.
    console = Console(width=160, record=True, file=io.StringIO())
    print_summary(summary, console)
    printed = " ".join(console.export_text().split())
    assert "not compared 69 of 89 frames" in printed and "compared 20" in printed
    assert "frames compared" in printed and "uav │ 7 │ 1.000" in printed


def test_a_run_that_was_never_compared_has_no_figures():
    nothing = SensingQuality(0, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)
    quality = finite_or_none(quality_report(nothing))
    console = Console(width=160, record=True, file=io.StringIO())
    print_summary(report(frames_compared=0, targets={}, quality=quality), console)
    printed = " ".join(console.export_text().split())
    assert "89 of 89 frames: there are no figures of accuracy" in printed
    assert "no category, as nothing was compared" in printed
    assert "horizontal - m, - m/s; vertical - m, - m/s" in printed and "nan" not in printed


def test_reports_of_earlier_versions_lack_no_frames():
    summary = report()
    for key in ("frames_compared", "frames_without_truth", "odometry_late_s"):
        del summary[key]
    assert missing_frames(summary) is None

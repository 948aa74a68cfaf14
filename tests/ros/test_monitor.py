"""The live picture of `isac run` and the table at its end."""

import pytest
from cooperative_isac_msgs.msg import Accuracy, Frame, StageTiming, Track, Tracks
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rich.console import Console

from cooperative_isac_ros.monitor import Monitor
from cooperative_isac_ros.run import print_summary


@pytest.fixture
def console():
    return Console(width=120, record=True, file=open("/dev/null", "w"))


@pytest.fixture
def monitor(bench):
    return bench.added(Monitor(bench.namespace, context=bench.context))


def shown(console, monitor, duration_s=30.0):
    console.print(monitor.view(duration_s))
    return console.export_text()


def test_before_the_first_frame_it_says_who_is_waited_for(bench, monitor, console):
    publisher = bench.publisher(DiagnosticArray, "/diagnostics")
    for name, message, level in (("/a", "waiting for odometry of car1", DiagnosticStatus.OK),
                                 ("/b", "running", DiagnosticStatus.OK),
                                 ("/c", "echoes lost", DiagnosticStatus.WARN)):
        publisher.publish(DiagnosticArray(status=[DiagnosticStatus(name=name, message=message, level=level)]))
    bench.until(lambda: len(monitor._complaints) == 2)
    text = shown(console, monitor)
    assert "starting" in text and "/a: waiting for odometry of car1" in text and "/c: echoes lost" in text
    assert "/b" not in text and monitor.elapsed_s == 0


def test_a_running_scene_is_shown_in_numbers(bench, monitor, console):
    timing, tracks, accuracy, frame = (bench.publisher(kind, topic) for kind, topic in (
        (StageTiming, "timing"), (Tracks, "tracks"), (Accuracy, "accuracy"), (Frame, "frame")))
    message = Tracks(tracks=[Track(id=7, status=Track.CONFIRMED, target_class=Track.UAV),
                             Track(id=8, status=Track.TENTATIVE)])
    message.tracks[0].velocity.x, message.tracks[0].velocity.y = 3.0, 4.0
    frame.publish(Frame())
    timing.publish(StageTiming(stage="decode", latency_ms=84.2))
    tracks.publish(message)
    accuracy.publish(Accuracy(gospa_m=0.25, nees=5.5))
    bench.until(lambda: monitor._accuracy and monitor._tracks and monitor._decoded and monitor.first_frame_s)
    text = shown(console, monitor)
    assert "of 30 s   1 frames, 1 decoded   latency 84 ms   GOSPA 0.25 m   NEES 5.5" in text
    row, = [line for line in text.splitlines() if line.startswith("7")]
    assert row.split() == ["7", "uav", "0.0", "0.0", "0.0", "5.0", "0.0"]
    assert monitor.elapsed_s > 0


def summary(**changes):
    stages = {stage: {"p50": 12.34, "p99": 56.78} for stage in ("encode", "decode", "track", "end_to_end")}
    car = {"continuity": 0.98765, "rmse_m": 0.1234, "identity_switches": 0}
    return {"scene": "tiny", "scheme": "local_ml", "frames": 10, "frames_late": 2, "frames_lost": 1,
            "false_tracks": 3, "targets": {"car1": car}, "fronthaul_bits_per_s": {"rx1": 1500.0},
            "fronthaul_downlink_bits_per_s": 66000.0, "latency_ms": stages, "error_to_bound_location": 1.05,
            "error_to_bound_velocity": None, "error_to_bound_samples": 4, **changes}


def test_the_table_at_the_end_holds_the_report(console):
    print_summary(summary(), console)
    text = console.export_text()
    for part in ("tiny, scheme local_ml", "0.988", "0.123", "10, late 2, lost 1", "rx1 1.5", "66.0",
                 "median 12.3, 99 % 56.8", "location 1.05, velocity - (4 samples)"):
        assert part in text, part


def test_a_run_without_anything_has_a_table_too(console):
    nothing = {stage: {"p50": None, "p99": None} for stage in ("encode", "decode", "track", "end_to_end")}
    print_summary(summary(targets={}, fronthaul_bits_per_s={"rx1": None}, fronthaul_downlink_bits_per_s=None,
                          latency_ms=nothing), console)
    assert "rx1 -" in console.export_text()

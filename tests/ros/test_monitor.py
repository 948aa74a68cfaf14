"""Live view of `isac run`."""

import io

import pytest
from cooperative_isac_msgs.msg import Accuracy, Frame, StageTiming, Track, Tracks
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rich.console import Console

from cooperative_isac_ros.launching.monitor import Monitor


@pytest.fixture
def console():
    return Console(width=120, record=True, file=io.StringIO())


@pytest.fixture
def monitor(bench):
    return bench.added(Monitor(bench.namespace, context=bench.context))


def shown(console, monitor, duration_s=30.0):
    console.print(monitor.view(duration_s))
    return console.export_text()


def test_before_the_first_frame_it_shows_what_nodes_wait_for(bench, monitor, console):
    publisher = bench.publisher(DiagnosticArray, "/diagnostics")
    for name, message, level in (
        ("/a", "waiting for odometry of car1", DiagnosticStatus.OK),
        ("/b", "running", DiagnosticStatus.OK),
        ("/c", "echoes lost", DiagnosticStatus.WARN),
    ):
        publisher.publish(
            DiagnosticArray(status=[DiagnosticStatus(name=name, message=message, level=level)])
        )
    bench.until(lambda: len(monitor._complaints) == 2)
    text = shown(console, monitor)
    assert (
        "starting" in text
        and "/a: waiting for odometry of car1" in text
        and "/c: echoes lost" in text
    )
    assert "/b" not in text and monitor.elapsed_s == 0


def test_nodes_that_are_not_ready_and_warnings_are_kept(bench):
    monitor = bench.added(Monitor(bench.namespace, ["/a", "/b", "/c"], context=bench.context))
    reports = bench.publisher(DiagnosticArray, "/diagnostics")

    def report(name, message, level, ready):
        values = [KeyValue(key="ready", value=str(ready))]
        status = DiagnosticStatus(name=name, message=message, level=level, values=values)
        reports.publish(DiagnosticArray(status=[status]))

    report("/a", "running", DiagnosticStatus.OK, ready=True)
    report("/b", "waiting for pose of ue1 on /car/odom", DiagnosticStatus.OK, ready=False)
    report("/b", "echoes_refused: early", DiagnosticStatus.WARN, ready=False)
    bench.until(lambda: monitor.not_ready().get("/b") == "echoes_refused: early")
    assert monitor.not_ready() == {"/b": "echoes_refused: early", "/c": "no report"}

    # Before frame 0 a warning is part of the start.
    assert monitor.last_warnings() == {}
    bench.publisher(Frame, "frame").publish(Frame())
    bench.until(lambda: monitor.first_frame_s is not None)
    report("/b", "frames_refused: frame 1", DiagnosticStatus.WARN, ready=True)
    report("/b", "running", DiagnosticStatus.OK, ready=True)
    bench.until(lambda: "/b" in monitor.ready and "/b" not in monitor._complaints)
    assert monitor.last_warnings() == {"/b": "frames_refused: frame 1"}
    assert monitor.not_ready() == {"/c": "no report"}


def test_a_running_scene_is_shown_in_numbers(bench, monitor, console):
    timing, tracks, accuracy, frame = (
        bench.publisher(kind, topic)
        for kind, topic in (
            (StageTiming, "timing"),
            (Tracks, "tracks"),
            (Accuracy, "accuracy"),
            (Frame, "frame"),
        )
    )
    message = Tracks(
        tracks=[
            Track(id=7, status=Track.CONFIRMED, target_class=Track.UAV),
            Track(id=8, status=Track.TENTATIVE),
        ]
    )
    message.tracks[0].velocity.x, message.tracks[0].velocity.y = 3.0, 4.0
    frame.publish(Frame())
    timing.publish(StageTiming(stage="decode", latency_ms=84.2))
    tracks.publish(message)
    accuracy.publish(Accuracy(gospa_m=0.25, nees=5.5))
    bench.until(
        lambda: (
            monitor._accuracy and monitor._tracks and monitor._num_decoded and monitor.first_frame_s
        )
    )
    text = shown(console, monitor)
    assert "of 30 s   1 frames, 1 decoded   latency 84 ms   GOSPA 0.25 m   NEES 5.5" in text
    assert "speed (m/s)" in text
    (row,) = [line for line in text.splitlines() if line.startswith("7")]
    assert row.split() == ["7", "uav", "0.0", "0.0", "0.0", "5.0", "0.0"]
    assert monitor.elapsed_s > 0


def test_messages_that_cannot_be_do_not_end_the_picture(monitor, console):
    message = Tracks(tracks=[Track(id=1, status=Track.CONFIRMED)])
    message.tracks[0].velocity.x = 1e200
    message.tracks[0].position.y = float("nan")
    monitor._on_tracks(message)
    monitor._on_timing(StageTiming(stage="decode", latency_ms=float("inf")))
    monitor._on_accuracy(Accuracy(gospa_m=1e300))
    for number in range(200):
        status = DiagnosticStatus(
            name=f"/n{number}", message="\x1b[31mred\nline", level=DiagnosticStatus.WARN
        )
        monitor._on_diagnostics(DiagnosticArray(status=[status]))
    text = shown(console, monitor)
    assert "\x1b" not in text and "/n0: \ufffd[31mred\ufffdline" in text
    assert "/n63:" in text and "/n64:" not in text


def test_an_exception_of_the_monitor_is_a_complaint(monitor, console):
    monitor.guarded(lambda message: 1 / 0, "tracks")(None)
    assert "isac_monitor: callbacks_failed: tracks: ZeroDivisionError" in shown(console, monitor)


def test_nodes_that_are_expected_and_silent_are_named(bench, console, monkeypatch):
    monitor = bench.added(Monitor(bench.namespace, ["/a", "/b"], context=bench.context))
    now_s = [monitor._stepped_s]
    monkeypatch.setattr("cooperative_isac_ros.launching.monitor.time.monotonic", lambda: now_s[0])

    def wait(seconds):
        for _ in range(round(seconds / 0.25)):
            now_s[0] += 0.25
            monitor.step()

    def report(name):
        ready = [KeyValue(key="ready", value="True")]
        monitor._on_diagnostics(DiagnosticArray(status=[DiagnosticStatus(name=name, values=ready)]))

    report("/a")
    report("/stranger")
    wait(4.0)
    assert monitor.silence_s() == {"/a": 4.0} and monitor.ready == {"/a"}
    assert "/a: no report for 4 s" in shown(console, monitor)
    now_s[0] += 3600.0  # the machine slept: nobody was silent
    monitor.step()
    assert monitor.silence_s() == {"/a": 4.5}
    monitor.reset("/a")
    report("/a")  # was still on its way
    assert monitor.silence_s() == {} and monitor.ready == set()
    wait(1.0)
    report("/a")
    assert monitor.silence_s() == {"/a": 0.0}

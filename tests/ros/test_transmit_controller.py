"""Transmit controller: numbers and stamps, waiting for nodes, simulation time, payload."""

import itertools

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Frame, StageTiming, Tracks
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rosgraph_msgs.msg import Clock

from cooperative_isac.fronthaul.downlink import unpack_downlink
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.conversions import to_ns, to_time
from cooperative_isac_ros.messages.records import FrameStamp, Timing, TrackList
from cooperative_isac_ros.nodes.transmit_controller import SETTLED_CHECKS, TransmitController
from cooperative_isac_ros.processes.state_file import read_state

SECOND = 10**9


def test_frames_are_numbered_and_stamped_at_multiples_of_the_period(bench, tiny):
    frames = bench.listen(Frame, "frame")
    node = bench.start(TransmitController, rate_hz=20.0)
    bench.until(lambda: len(frames) >= 5)
    numbers = [frame.number for frame in frames]
    stamps = [to_ns(frame.header.stamp) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(frames)))
    assert all(stamp % (SECOND // 20) == 0 for stamp in stamps) and stamps == sorted(set(stamps))
    assert {frame.run for frame in frames} == {frames[0].run} and frames[0].seed == tiny.seed
    assert (frames[0].scene, frames[0].scene_fingerprint) == ("tiny", tiny.fingerprint)
    assert frames[0].downlink_bits == 800 and not len(frames[0].payload)
    assert float(node.health.figures["sum_rate_bit_per_s_per_hz"]) > 0


def test_every_start_is_another_run(bench):
    frames = bench.listen(Frame, "frame")
    for _ in range(2):
        bench.start(TransmitController, rate_hz=20.0)
    bench.until(lambda: len({frame.run for frame in frames}) == 2)


def test_the_payload_can_be_announced(bench, tiny):
    frames = bench.listen(Frame, "frame")
    bench.start(TransmitController, rate_hz=20.0, announce_payload=True)
    bench.until(lambda: frames)
    signal = unpack_downlink(tiny, bytes(frames[0].payload))
    assert (signal.indices == transmit(tiny, frames[0].number).indices).all()


def ended(bench, node):
    """End a node as its process would."""
    bench.executor.remove_node(node)
    bench.nodes.remove(node)
    node.destroy_node()


def test_a_restarted_controller_resumes_its_run(bench, tmp_path):
    frames = bench.listen(Frame, "frame")
    settings = {
        "rate_hz": 20.0,
        "run": 7,
        "state_file": str(tmp_path / "state" / "controller.json"),
    }
    node = bench.start(TransmitController, **settings)
    bench.until(lambda: frames)
    ended(bench, node)
    bench.start(TransmitController, wait_for_nodes=["/never"], **settings)
    before = len(frames)
    bench.until(lambda: len(frames) >= before + 3)
    first, last = frames[0], frames[-1]
    elapsed_ns = to_ns(last.header.stamp) - to_ns(first.header.stamp)
    assert {frame.run for frame in frames} == {7}
    assert (last.number - first.number) * SECOND == 20 * elapsed_ns


def test_a_clock_that_is_set_is_in_the_state(bench, tmp_path):
    path = tmp_path / "controller.json"
    node = bench.start(TransmitController, rate_hz=20.0, run=7, state_file=str(path))
    node._announce(1000 * SECOND)
    assert read_state(path)["start_ns"] == 1000 * SECOND
    node._announce(5000 * SECOND)
    assert read_state(path)["start_ns"] == 5000 * SECOND - SECOND // 20


def test_a_state_of_another_run_is_not_gone_on_with(bench, tmp_path):
    path = tmp_path / "controller.json"
    path.write_text('{"run": 6, "start_ns": 1}')
    frames = bench.listen(Frame, "frame")
    bench.start(TransmitController, rate_hz=20.0, run=7, state_file=str(path))
    bench.until(lambda: frames)
    assert frames[0].run == 7 and frames[0].number < 20


def test_frames_that_the_network_cannot_follow_are_skipped_for_all(bench, announce):
    frames = bench.listen(Frame, "frame")
    node = bench.start(TransmitController, rate_hz=20.0)
    timing = bench.publisher(StageTiming, "timing")
    bench.until(lambda: frames)
    frame = FrameStamp(frames[0].run, 0, 10**12)
    timing.publish(conversions.timing_message(Timing(frame, 0, "decode", "/slow", 90.0, 90.0)))
    bench.until(lambda: node.health.counts["frames_skipped"] >= 3)
    assert "/slow cannot follow at 20 frames/s" in node.health.status().message
    bench.until(lambda: frames[-1].number > node.health.counts["frames_skipped"])
    gap = max(after.number - before.number for before, after in itertools.pairwise(frames))
    assert gap > 3


def diagnostics(name, ready):
    status = DiagnosticStatus(name=name, values=[KeyValue(key="ready", value=str(ready))])
    return DiagnosticArray(status=[status])


def test_frame_0_waits_until_all_nodes_are_ready(bench):
    frames = bench.listen(Frame, "frame")
    node = bench.start(TransmitController, rate_hz=20.0, wait_for_nodes=["/a", "/b"])
    publisher = bench.publisher(DiagnosticArray, "/diagnostics")
    for name, ready in (("/a", True), ("/b", False), ("/c", True)):
        publisher.publish(diagnostics(name, ready))
    bench.until(lambda: node.waiting_for() == "/b")
    bench.spin(0.3)
    assert not frames
    publisher.publish(diagnostics("/b", True))
    bench.until(lambda: frames)
    assert frames[0].number == 0 and node.waiting_for() == ""


def test_frame_0_waits_until_no_new_subscription_appears(bench):
    node = bench.start(TransmitController, rate_hz=20.0, wait_for_nodes=["/a"])
    node._check_timer.cancel()
    node._awaited.clear()
    for _ in range(SETTLED_CHECKS - 1):
        node._begin_if_ready()
    bench.listen(Frame, "frame")
    bench.until(lambda: node._publisher.get_subscription_count() == 1)
    for _ in range(SETTLED_CHECKS):
        node._begin_if_ready()
        assert node._timer is None
    node._begin_if_ready()
    assert node._timer is not None


def test_relative_names_are_below_the_controllers_namespace(bench):
    node = bench.start(TransmitController, wait_for_nodes=["rx1/access_point", "/other/tracker"])
    assert node.waiting_for() == ", ".join(
        sorted([f"{bench.namespace}/rx1/access_point", "/other/tracker"])
    )


def test_frame_0_does_not_wait_for_ever(bench):
    frames = bench.listen(Frame, "frame")
    bench.start(TransmitController, rate_hz=20.0, wait_for_nodes=["/a"], wait_at_most_s=0.2)
    bench.until(lambda: frames)


@pytest.fixture
def clock(bench):
    """Sets the simulation clock."""
    publisher = bench.helper.create_publisher(Clock, "/clock", 10)
    return lambda time_s: publisher.publish(Clock(clock=to_time(round(time_s * SECOND))))


def test_frames_follow_the_simulation_clock(bench, clock):
    frames = bench.listen(Frame, "frame")
    bench.start(TransmitController, rate_hz=2.0, use_sim_time=True)

    def set_clock(time_s):
        clock(time_s)
        bench.spin(0.1)

    set_clock(100.2)
    bench.spin(1.0)
    assert len(frames) <= 1  # the time stands still; starting, it jumped from 0
    frames.clear()
    for step in range(30):
        set_clock(100.2 + 0.1 * step)
    stamps = [to_ns(frame.header.stamp) / SECOND for frame in frames]
    assert stamps[-5:] == [101.0, 101.5, 102.0, 102.5, 103.0]


def track_at(distance_m):
    """A tentative track at rest in a distance from the base station."""
    return Track(
        track_id=1,
        status=TrackStatus.TENTATIVE,
        target_class=TargetClass.UNKNOWN,
        class_probability=0.0,
        position_m=np.array([distance_m, 0.0, 25.0]),
        velocity_mps=np.zeros(3),
        covariance=np.eye(6),
        age_s=0.0,
        since_update_s=0.0,
        num_detections=1,
    )


def test_bands_follow_the_tracks_in_a_scene_with_zones(bench):
    frames = bench.listen(Frame, "frame")
    scene = load_scene("bs_ue_zones")
    node = bench.start(TransmitController, scene="bs_ue_zones", rate_hz=20.0)
    bench.until(lambda: frames)
    assert list(frames[0].bands) == [band.name for band in scene.bands]

    def announced_with_a_track_at(distance_m):
        """Bands of the first announcement between searches after a track."""
        track = track_at(distance_m)
        stamp = FrameStamp(frames[-1].run, frames[-1].number, to_ns(frames[-1].header.stamp))
        tracks.publish(conversions.tracks_message(TrackList(stamp, True, (track,))))
        bench.until(lambda: node._tracks is not None and node._tracks.frame == stamp)
        after = len(frames) + 1
        is_search = scene.cooperation.is_search
        bench.until(lambda: any(not is_search(frame.number) for frame in frames[after:]))
        return next(list(one.bands) for one in frames[after:] if not is_search(one.number))

    tracks = bench.publisher(Tracks, "tracks")
    assert announced_with_a_track_at(300.0) == ["far_down"]
    assert announced_with_a_track_at(500.0) == ["side1", "side2", "side3"]


def test_without_a_tracker_the_bands_of_all_zones_are_on_the_air(bench):
    node = bench.start(TransmitController, scene="bs_ue_zones")
    every_band = tuple(band.name for band in node.scene.bands)
    limit_ns = round(node.scene.tracking.max_coast_s * SECOND)
    node._tracks = TrackList(FrameStamp(1, 5, 0), True, (track_at(300.0),))
    assert node._scheduled_bands(FrameStamp(1, 6, limit_ns)) == ("far_down",)
    assert node._scheduled_bands(FrameStamp(1, 7, limit_ns + 1)) == every_band

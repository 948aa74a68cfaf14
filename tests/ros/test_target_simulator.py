"""Target simulator: positions in every frame of every run."""

from fractions import Fraction

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Frame
from nav_msgs.msg import Odometry
from std_msgs.msg import String

from cooperative_isac.scene.draw import scene_targets
from cooperative_isac_ros import qos
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.nodes.target_simulator import TargetSimulator
from cooperative_isac_ros.processes.state_file import write_state


def test_targets_stand_until_frame_0_and_then_follow_their_motion(bench, announce, tiny):
    samples = bench.listen(Odometry, "targets/car1/odom", qos.ODOMETRY_OF_ANYONE)
    node = bench.start(TargetSimulator, odometry_rate_hz=50.0)
    frame = bench.publisher(Frame, "frame")
    bench.until(lambda: len(samples) >= 3)
    start = scene_targets(tiny, 0.0)[0]
    assert all(
        np.allclose(conversions.odometry_sample(m).position_m, start.position_m) for m in samples
    )
    begin_ns = node.now_ns // 20_000_000 * 20_000_000
    frame.publish(announce(0, stamp_ns=begin_ns))
    bench.until(
        lambda: (
            node.health.figures["targets"]
            and conversions.to_ns(samples[-1].header.stamp) > begin_ns + 10**8
        )
    )
    moved = conversions.odometry_sample(samples[-1])
    expected = scene_targets(tiny, (moved.stamp_ns - begin_ns) * 1e-9)[0]
    assert moved.stamp_ns % 20_000_000 == 0
    assert np.allclose(moved.position_m, expected.position_m, atol=1e-9)
    assert np.allclose(moved.velocity_mps, expected.velocity_mps, atol=1e-9)
    assert samples[-1].child_frame_id == "car1"


def test_a_late_simulator_joins_where_the_targets_must_be(bench, announce, tiny):
    samples = bench.listen(Odometry, "targets/car1/odom", qos.ODOMETRY_OF_ANYONE)
    node = bench.start(TargetSimulator, odometry_rate_hz=50.0)
    frame = bench.publisher(Frame, "frame")
    bench.until(lambda: samples)
    now_ns = node.now_ns
    frame.publish(announce(30, stamp_ns=now_ns))  # at 10 frames/s, 3 s after frame 0
    bench.until(lambda: conversions.to_ns(samples[-1].header.stamp) > now_ns + 5 * 10**7)
    sample = conversions.odometry_sample(samples[-1])
    expected = scene_targets(tiny, 3.0 + (sample.stamp_ns - now_ns) * 1e-9)[0]
    assert np.allclose(sample.position_m, expected.position_m, atol=1e-9)


@pytest.mark.parametrize(("run", "moving"), [(7, True), (6, False), (0, False)])
def test_a_simulator_that_is_started_again_shows_no_target_at_its_start(
    bench, tiny, tmp_path, run, moving
):
    path = tmp_path / "transmit_controller.json"
    start_ns = bench.helper.get_clock().now().nanoseconds - 3 * 10**9
    write_state(path, {"run": 7, "start_ns": start_ns})
    samples = bench.listen(Odometry, "targets/car1/odom", qos.ODOMETRY_OF_ANYONE)
    bench.start(TargetSimulator, odometry_rate_hz=50.0, run=run, state_file=str(path))
    bench.until(lambda: samples)
    sample = conversions.odometry_sample(samples[0])
    expected = scene_targets(tiny, (sample.stamp_ns - start_ns) * 1e-9 if moving else 0.0)[0]
    assert np.allclose(sample.position_m, expected.position_m, atol=1e-9)


def test_another_run_sends_the_targets_back_to_their_start(bench, announce, tiny):
    samples = bench.listen(Odometry, "targets/car1/odom", qos.ODOMETRY_OF_ANYONE)
    node = bench.start(TargetSimulator, odometry_rate_hz=50.0)
    frame = bench.publisher(Frame, "frame")
    bench.until(lambda: samples)
    for run, age_ns in ((1, 4 * 10**9), (2, 0)):
        now_ns = node.now_ns
        frame.publish(announce(0, run=run, stamp_ns=now_ns - age_ns))
        bench.until(lambda: conversions.to_ns(samples[-1].header.stamp) > now_ns + 5 * 10**7)
    elapsed_s = (conversions.to_ns(samples[-1].header.stamp) - now_ns) * 1e-9
    expected = scene_targets(tiny, elapsed_s)[0]
    assert np.allclose(
        conversions.odometry_sample(samples[-1]).position_m, expected.position_m, atol=1e-9
    )


@pytest.mark.parametrize(
    ("changes", "event"),
    [({}, "frames_stale"), ({"run": 2, "scene_fingerprint": "0" * 16}, "frames_refused")],
)
def test_one_stale_or_foreign_frame_moves_no_target(bench, announce, tiny, changes, event):
    samples = bench.listen(Odometry, "targets/car1/odom", qos.ODOMETRY_OF_ANYONE)
    node = bench.start(TargetSimulator, odometry_rate_hz=50.0)
    frame = bench.publisher(Frame, "frame")
    begin_ns = node.now_ns - 3 * 10**9
    frame.publish(announce(30, stamp_ns=begin_ns + 3 * 10**9))
    bench.until(lambda: node._start_ns is not None)
    frame.publish(announce(7, stamp_ns=begin_ns + 2 * 10**9, **changes))
    bench.until(lambda: node.health.counts[event] == 1)
    heard = len(samples)
    bench.until(lambda: len(samples) > heard + 2)
    sample = conversions.odometry_sample(samples[-1])
    expected = scene_targets(tiny, (sample.stamp_ns - begin_ns) * 1e-9)[0]
    assert np.allclose(sample.position_m, expected.position_m, atol=1e-9)


def test_a_recording_that_plays_again_sends_the_targets_back(bench, announce):
    node = bench.start(TargetSimulator)
    frame = bench.publisher(Frame, "frame")
    for number in (5, 6, 0, 1):
        frame.publish(announce(number, stamp_ns=10**12 + number * 10**8 + (0 if number > 1 else 7)))
    bench.until(lambda: node._start_ns == 10**12 + 7)


def test_a_late_subscription_receives_the_class(bench):
    bench.start(TargetSimulator)
    bench.spin(0.1)
    words = bench.listen(String, "targets/car1/class", qos.LATCHED)
    bench.until(lambda: words)
    assert words[0].data == "vehicle"


@pytest.mark.parametrize(("frame_rate_hz", "rate"), [(2.0, 10), (4.0, 12), (20.0, 20)])
def test_a_sample_falls_on_the_stamp_of_every_frame(bench, frame_rate_hz, rate):
    samples = bench.listen(Odometry, "targets/car1/odom", qos.ODOMETRY_OF_ANYONE)
    bench.start(TargetSimulator, rate_hz=frame_rate_hz)
    bench.until(lambda: len(samples) >= 4)
    stamps = [conversions.to_ns(sample.header.stamp) for sample in samples]
    indices = [round(Fraction(stamp * rate, 10**9)) for stamp in stamps]
    assert stamps == [round(Fraction(index * 10**9, rate)) for index in indices]
    assert min(np.diff(indices)) == 1

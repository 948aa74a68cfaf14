"""Nodes of a scene with a path file: echoes, end of the recording, rate."""

import struct

import numpy as np
import pytest
from cooperative_isac_msgs.msg import FeaturePacket, Frame
from traced import car_arrays, write_scene

from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.launching.graph import GraphOptions, scene_nodes
from cooperative_isac_ros.launching.run import LAST_TRACKS_WITHIN_S, recording_is_over
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.nodes.access_point import AccessPoint
from cooperative_isac_ros.nodes.target_simulator import TargetSimulator
from cooperative_isac_ros.nodes.transmit_controller import TransmitController
from cooperative_isac_ros.parameters import ParameterError


@pytest.fixture
def traced(tmp_path):
    """A scene of eight frames."""
    return load_scene(write_scene(tmp_path, car_arrays(8)))


def test_the_controller_ends_with_the_file(bench, traced):
    frames = bench.listen(Frame, "frame")
    node = bench.start(TransmitController, scene=traced.source)
    bench.until(lambda: node.health.figures.get("recording") == "ended")
    bench.spin(0.5)
    assert node.health.counts["frames"] == 8 and frames[-1].number == 7
    assert {frame.scene_fingerprint for frame in frames} == {traced.fingerprint}


def test_another_rate_than_the_files_is_refused(bench, traced):
    with pytest.raises(
        ParameterError,
        match=r"parameter 'rate_hz' is 5; must be 10, since the frames of .*car\.npz are 0\.1 s",
    ):
        bench.start(TransmitController, scene=traced.source, rate_hz=5.0)
    with pytest.raises(ValueError, match="the rate is 5; must be 10"):
        scene_nodes(traced, GraphOptions(rate_hz=5.0))
    names = [spec.executable for spec in scene_nodes(traced, GraphOptions(rate_hz=10.0))]
    assert "target_simulator" in names


def test_the_echo_is_that_of_the_announced_frame(bench, traced, announce):
    """Independent of odometry, and of lost frames."""
    bench.start(AccessPoint, below="/rx1", scene=traced.source, wait_for_targets=False)
    packets = bench.listen(FeaturePacket, "rx1/features")
    frame = bench.publisher(Frame, "frame")
    for count, number in enumerate((2, 6)):
        frame.publish(announce(number, scene=traced.name, scene_fingerprint=traced.fingerprint))
        bench.until(lambda: len(packets) > count)
        echo = receive_echo(traced, transmit(traced, number), "rx1", ())
        said, value = struct.unpack("<If", conversions.packet(packets[count]).data)
        assert said == number and value == pytest.approx(float(np.abs(echo).max()), rel=1e-5)


def test_a_frame_after_the_end_has_no_echo(bench, traced, announce):
    node = bench.start(AccessPoint, below="/rx1", scene=traced.source, wait_for_targets=False)
    bench.listen(FeaturePacket, "rx1/features")
    frame = bench.publisher(Frame, "frame")
    frame.publish(announce(8, scene=traced.name, scene_fingerprint=traced.fingerprint))
    bench.until(lambda: node.health.counts["echoes_refused"])
    assert "car.npz has frames 0 to 7; there is no frame 8" in node.health.status().message


def test_odometry_is_that_of_the_file(bench, traced, announce):
    from nav_msgs.msg import Odometry

    heard = bench.listen(Odometry, "targets/car1/odom")
    bench.start(TargetSimulator, scene=traced.source)
    bench.until(lambda: heard)
    place = heard[0].pose.pose.position
    assert [place.x, place.y, place.z] == pytest.approx([28.0, 26.0, 0.0])


@pytest.mark.parametrize(
    ("tracked", "elapsed_s", "over"),
    [
        (-1, 0.0, False),
        (6, 0.7, False),
        (7, 0.7, True),
        (3, 0.7 + LAST_TRACKS_WITHIN_S + 0.01, True),
    ],
)
def test_a_run_is_over_with_the_tracks_of_the_last_frame_or_without_them(
    traced, tiny, tracked, elapsed_s, over
):
    assert recording_is_over(traced, tracked, elapsed_s) is over
    assert not recording_is_over(tiny, tracked, elapsed_s)

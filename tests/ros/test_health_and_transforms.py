"""Diagnostics of a node, and frames for /tf."""

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from scipy.spatial.transform import Rotation

from cooperative_isac.scene.model import TargetClass
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros import transforms
from cooperative_isac_ros.nodes.fusion_center import FusionCenter


def values(status):
    return {item.key: item.value for item in status.values}


def test_a_node_says_what_it_waits_for_and_what_went_wrong_once(bench):
    heard = bench.listen(DiagnosticArray, "/diagnostics")
    node = bench.start(FusionCenter)
    name = node.get_fully_qualified_name()

    def last():
        mine = [status for array in heard for status in array.status if status.name == name]
        return mine[-1] if mine else DiagnosticStatus()

    bench.until(lambda: last().message == "waiting for a tracker")
    assert values(last())["ready"] == "False" and last().level == DiagnosticStatus.OK
    node.health.fault("packets_damaged", "of rx1")
    node.health.fault("packets_damaged", "of rx2")
    bench.until(lambda: last().level == DiagnosticStatus.WARN)
    assert last().message == "packets_damaged: of rx2" and values(last())["packets_damaged"] == "2"
    bench.until(lambda: last().level == DiagnosticStatus.OK)
    assert values(last())["packets_damaged"] == "2"


def test_rates_are_those_of_the_last_period(bench):
    node = bench.start(FusionCenter)
    node.health.report()
    bench.spin(0.2)
    node.health.count("frames", 2)
    assert 1.0 < float(values(node.health.status())["frames_per_s"]) <= 10.0


def test_frames_of_sites_have_the_arrays_axes(tiny):
    frames = transforms.site_transforms(tiny.receivers, 5)
    assert [frame.child_frame_id for frame in frames] == ["rx1", "rx2"]
    turn = frames[0].transform.rotation
    assert np.allclose(
        Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix(), tiny.receivers[0].rotation)
    assert frames[0].transform.translation.y == 62.0 and frames[0].header.frame_id == "map"


def test_frames_of_tracks_look_along_their_course():
    track = Track(12, TrackStatus.CONFIRMED, TargetClass.UAV, 1.0, np.array([1.0, 2, 3]),
                  np.array([0.0, 5, 0]), np.eye(6), 1.0, 0.0, 3)
    frame, = transforms.track_transforms([track], 7)
    assert frame.child_frame_id == "track_12" and frame.header.stamp.nanosec == 7
    turn = frame.transform.rotation
    assert np.allclose(Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).apply([1, 0, 0]), [0, 1, 0])

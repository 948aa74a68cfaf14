"""Diagnostics of a node, and transforms for /tf."""

from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation

from cooperative_isac.scene.model import TargetClass
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros import health
from cooperative_isac_ros.messages import transforms
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.tracker import TrackerNode


def values(status):
    return {item.key: item.value for item in status.values}


def test_a_node_reports_what_it_waits_for_and_each_fault_once(bench):
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


def test_each_new_subscription_gets_two_reports_of_a_ready_node(bench, monkeypatch):
    node = bench.start(SceneMarkers, wait_for_targets=False)
    report = node.health
    reported = []
    monkeypatch.setattr(report, "publish", lambda: reported.append(subscriptions))
    monkeypatch.setattr(
        report, "_publisher", SimpleNamespace(get_subscription_count=lambda: subscriptions)
    )
    report._num_checks = 0
    report._num_subscriptions = 0
    monkeypatch.setattr(report, "_waiting_for", lambda: "somebody")
    subscriptions = 1
    report._check_ready()
    assert not reported and report._num_checks == 0
    monkeypatch.setattr(report, "_waiting_for", lambda: "")
    for subscriptions in (0, 2, 2, 2, 1, 1, 3, 3, 3):  # noqa: B007
        report._check_ready()
    assert reported == [2, 2, 3, 3]
    assert not report._check_timer.is_canceled()
    for _ in range(health.NUM_READY_CHECKS):
        report._check_ready()
    assert report._check_timer.is_canceled()


def test_frames_of_sites_have_the_arrays_axes(tiny):
    frames = transforms.site_transforms(tiny.receivers, 5)
    assert [frame.child_frame_id for frame in frames] == ["rx1", "rx2"]
    turn = frames[0].transform.rotation
    assert np.allclose(
        Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix(), tiny.receivers[0].rotation
    )
    assert frames[0].transform.translation.y == 62.0 and frames[0].header.frame_id == "map"


def test_frames_of_tracks_look_along_their_course():
    track = Track(
        12,
        TrackStatus.CONFIRMED,
        TargetClass.UAV,
        1.0,
        np.array([1.0, 2, 3]),
        np.array([0.0, 5, 0]),
        np.eye(6),
        1.0,
        0.0,
        3,
    )
    (frame,) = transforms.track_transforms([track], 7)
    assert frame.child_frame_id == "track_12" and frame.header.stamp.nanosec == 7
    turn = frame.transform.rotation
    assert np.allclose(
        Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).apply([1, 0, 0]), [0, 1, 0]
    )


@pytest.mark.parametrize(("namespace", "prefix"), [("/", ""), ("/a", "a/"), ("/a/b", "a/b/")])
def test_frames_of_a_namespace_have_its_prefix(tiny, namespace, prefix):
    track = Track(
        1,
        TrackStatus.CONFIRMED,
        TargetClass.UAV,
        1.0,
        np.zeros(3),
        np.ones(3),
        np.eye(6),
        1.0,
        0.0,
        3,
    )
    found = transforms.frame_prefix(namespace)
    frames = [
        *transforms.site_transforms(tiny.receivers, 5, found),
        *transforms.track_transforms([track], 5, found),
    ]
    assert [frame.child_frame_id for frame in frames] == [
        f"{prefix}{name}" for name in ("rx1", "rx2", "track_1")
    ]
    assert {frame.header.frame_id for frame in frames} == {"map"}


@pytest.mark.parametrize(
    ("node_class", "topic", "absent"),
    [(SceneMarkers, "/tf_static", "/tf"), (TrackerNode, "/tf", "/tf_static")],
)
def test_only_who_moves_frames_publishes_tf(bench, monkeypatch, node_class, topic, absent):
    monkeypatch.setattr(transforms, "TFMessage", DiagnosticArray)
    monkeypatch.setattr(transforms.TransformPublisher, "publish", lambda *_: None)
    node = bench.start(node_class)
    offered = dict(
        node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace())
    )
    assert topic in offered and absent not in offered


def test_a_node_without_a_clock_reports_and_logs_it(bench, monkeypatch):
    node = bench.start(TrackerNode, use_sim_time=True)
    missing = "waiting for /clock: use_sim_time is set, but it has no publisher"
    assert node.health.status().message == missing

    lines = []
    monkeypatch.setattr(health, "LOG_EVERY_NS", 0)
    monkeypatch.setattr(node, "get_logger", lambda: SimpleNamespace(info=lines.append))
    node.health.report()
    assert lines == [missing]

    publisher = bench.helper.create_publisher(Clock, "/clock", 10)
    bench.until(lambda: node.health.status().message == "waiting for the first time on /clock")
    publisher.publish(Clock(clock=Time(sec=5)))
    bench.until(lambda: node.health.status().message == "running")
    node.health.report()
    assert lines == [missing]


def test_log_levels_can_be_set_by_service(bench):
    node = bench.start(TrackerNode)
    services = dict(node.get_service_names_and_types_by_node(node.get_name(), node.get_namespace()))
    assert f"{bench.namespace}/tracker/set_logger_levels" in services

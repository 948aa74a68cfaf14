"""Scene markers: every kind of marker, trails, and no work where they are disabled."""

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Accuracy, Detections, FeaturePacket, Tracks
from nav_msgs.msg import Odometry, Path
from rclpy.parameter import Parameter
from scipy.spatial.transform import Rotation
from visualization_msgs.msg import Marker, MarkerArray

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.display import markers
from cooperative_isac_ros.display.markers.shapes import marker_id
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import (
    AccuracyRecord,
    DetectionList,
    FrameStamp,
    TrackList,
)
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers


def stamp(number, run=1, period_ns=10**8):
    return FrameStamp(run, number, 10**12 + number * period_ns)


def track(number, status=TrackStatus.CONFIRMED):
    return Track(
        3,
        status,
        TargetClass.UAV,
        0.9,
        np.array([number, 2.0, 5.0]),
        np.array([10.0, 0, 0]),
        np.eye(6),
        1.0,
        0.0,
        4,
    )


class Rig:
    """The node with publishers of its inputs and subscriptions to its outputs."""

    def __init__(self, bench):
        self.bench = bench
        self.node = bench.start(SceneMarkers)
        self.drawn = bench.listen(MarkerArray, "markers")
        self.publishers = {
            topic: bench.publisher(kind, topic)
            for kind, topic in (
                (Tracks, "tracks"),
                (Detections, "detections"),
                (Accuracy, "accuracy"),
                (FeaturePacket, "rx1/features"),
            )
        }
        bench.until(lambda: self.node.count_subscribers(f"{bench.namespace}/markers"))

    def say(self, number, run=1, status=TrackStatus.CONFIRMED, simulated=True, period_ns=10**8):
        before = len(self.drawn)
        record = TrackList(stamp(number, run, period_ns), simulated, (track(number, status),))
        self.publishers["tracks"].publish(conversions.tracks_message(record))
        self.bench.until(
            lambda: (
                len(self.drawn) > before and self.drawn[-1].markers[0].action != Marker.DELETEALL
            )
        )

    def last(self, namespace):
        return [
            marker
            for marker in self.drawn[-1].markers
            if marker.ns == namespace and marker.action == Marker.ADD
        ]


@pytest.fixture
def rig(bench):
    return Rig(bench)


def test_truth_detections_and_tracks_are_drawn(bench, rig, features):
    odometry = bench.helper.create_publisher(Odometry, "targets/car1/odom", 10)
    bench.until(odometry.get_subscription_count)
    bench.spin(0.2)
    odometry.publish(
        conversions.odometry_message("car1", 10**12, np.array([1.0, 2, 0]), np.zeros(3))
    )
    rig.publishers["rx1/features"].publish(features(0, "rx1"))
    found = Detection(np.ones(3), np.zeros(3), np.diag([1.0, 4, 9, 1, 1, 1]), 20.0, ("rx1",), 2)
    rig.publishers["detections"].publish(
        conversions.detections_message(DetectionList(stamp(0), True, (found,)))
    )
    rig.publishers["accuracy"].publish(
        conversions.accuracy_message(AccuracyRecord(stamp(0), True, 1.25))
    )
    bench.spin(0.3)
    rig.say(0)
    seen = {marker.ns for marker in rig.drawn[-1].markers}
    assert seen >= {
        "transmitters",
        "receivers",
        "receiver directions",
        "receiver names",
        "truth",
        "truth names",
        "detections",
        "detection uncertainty",
        "tracks",
        "track velocities",
        "track names",
        "figures",
    }
    assert all(marker.header.frame_id == "map" for marker in rig.drawn[-1].markers)
    assert "GOSPA 1.25 m" in rig.last("figures")[0].text
    assert rig.last("track names")[0].text.strip() == "3 uav 10.0 m/s\nz 5.0 m +-3.00 m"
    tip = rig.last("track velocities")[0].points[1]
    assert (tip.x, tip.y, tip.z) == (10.0, 2.0, 5.0)  # one second ahead


def test_trails_and_paths_grow_with_the_track_and_end_with_it(bench, rig):
    paths = bench.listen(Path, "tracks/track_3/path")
    rig.say(0)
    bench.until(lambda: bench.helper.count_publishers(f"{bench.namespace}/tracks/track_3/path"))
    bench.spin(0.2)
    for number in range(1, 4):
        rig.say(number)
    assert [point.x for point in rig.last("trails")[0].points] == [0.0, 1.0, 2.0, 3.0]
    bench.until(lambda: paths and len(paths[-1].poses) == 4)
    rig.say(4, status=TrackStatus.DELETED)
    assert not rig.last("trails") and not rig.last("tracks")
    bench.until(lambda: not bench.helper.count_publishers(f"{bench.namespace}/tracks/track_3/path"))


def test_tracks_of_a_stamp_again_take_the_place_of_the_former_ones(rig):
    for number in (0, 1, 1, 2, 2):
        rig.say(number)
    assert [point.x for point in rig.last("trails")[0].points] == [0.0, 1.0, 2.0]
    assert rig.node._rate_hz() == pytest.approx(10.0)


def test_another_run_is_a_clean_picture(rig):
    for number in range(3):
        rig.say(number)
    rig.say(0, run=2)
    assert any(m.markers[0].action == Marker.DELETEALL for m in rig.drawn) and not rig.last(
        "trails"
    )
    assert rig.last("transmitters")


def test_simulated_echoes_are_labeled(rig):
    rig.say(0)
    assert "simulated echoes" in rig.last("figures")[0].text
    rig.say(1, simulated=False)
    assert (
        "measured echoes" in rig.last("figures")[0].text
        and "simulated" not in rig.last("figures")[0].text
    )


@pytest.mark.parametrize(("period_s", "life_s"), [(0.1, 2.0), (2.5, 12.5)])
def test_markers_live_until_after_the_next_frame(rig, period_s, life_s):
    for number in range(3):
        rig.say(number, period_ns=round(period_s * 1e9))
    lifetime = rig.last("tracks")[0].lifetime
    assert lifetime.sec + lifetime.nanosec * 1e-9 == pytest.approx(life_s)


def test_one_slow_frame_lengthens_all_lifetimes(rig):
    for number in (0, 1, 20, 21):  # 1.9 s between two of them
        rig.say(number)
    lifetime = rig.last("tracks")[0].lifetime
    assert lifetime.sec + lifetime.nanosec * 1e-9 == pytest.approx(5 * 1.9)


def test_ended_tracks_are_removed_at_once(rig):
    rig.say(0)
    ended = {
        (marker.ns, marker.id) for marker in rig.drawn[-1].markers if marker.ns.startswith("track")
    }
    rig.say(1, status=TrackStatus.DELETED)
    taken = {(m.ns, m.id) for m in rig.drawn[-1].markers if m.action == Marker.DELETE}
    assert ended and taken == ended
    rig.say(2, status=TrackStatus.DELETED)
    assert not any(marker.action == Marker.DELETE for marker in rig.drawn[-1].markers)


def test_drawing_can_be_switched_off(bench, rig):
    rig.say(0)
    rig.node.set_parameters([Parameter("enabled", value=False)])
    before = len(rig.drawn)
    rig.publishers["tracks"].publish(
        conversions.tracks_message(TrackList(stamp(1), True, (track(1),)))
    )
    bench.spin(0.3)
    assert len(rig.drawn) == before


def test_the_ellipsoid_is_that_of_the_covariance():
    rotation = Rotation.from_euler("xyz", [0.4, -0.3, 1.0]).as_matrix()
    covariance = np.eye(6)
    covariance[:3, :3] = rotation @ np.diag([4.0, 1.0, 0.25]) @ rotation.T
    _, shape = markers.detection_markers(
        [Detection(np.zeros(3), np.zeros(3), covariance, 0.0, (), 1)], 1.0, 0, 1.0
    )
    assert markers.ELLIPSOID_SIGMAS == 3
    orientation = shape.pose.orientation
    axes = Rotation.from_quat(
        [orientation.x, orientation.y, orientation.z, orientation.w]
    ).as_matrix()
    radii = np.array([shape.scale.x, shape.scale.y, shape.scale.z]) / 2
    assert np.allclose(
        axes @ np.diag((radii / markers.ELLIPSOID_SIGMAS) ** 2) @ axes.T, covariance[:3, :3]
    )


def test_sites_look_along_their_boresight(tiny):
    arrows = [m for m in markers.static_markers(tiny, 0) if m.ns == "transmitter directions"]
    assert len(arrows) == 2
    tail, tip = arrows[0].points
    assert (tail.x, tail.y) == (15.0, -2.0) and abs(tip.x - 15.0) < 1e-9 and tip.y > -2.0


@pytest.mark.parametrize(
    ("number", "expected"), [(0, 0), (7, 7), (2**31 - 1, 2**31 - 1), (2**32 - 1, -1)]
)
def test_every_identity_has_a_marker_of_its_own(number, expected):
    assert marker_id(number) == expected

"""Stations that follow odometry or /tf: their poses at a stamp, and missing poses."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from scipy.spatial.transform import Rotation

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.station import Pose
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.inputs import pose_watch
from cooperative_isac_ros.inputs.pose_watch import POSE_PARAMETERS, PoseError, PoseWatch, carried
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, Packet
from cooperative_isac_ros.nodes.access_point import AccessPoint
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.parameters import ODOMETRY_WAIT

SECOND = 10**9
TWO = Path(__file__).resolve().parents[1] / "scenes" / "two_tiny.yaml"
MOTION = "    motion: {kind: constant_velocity, position_m: [10, 62, 0], velocity_mps: [3, 0, 0]}\n"


def scene_file(folder, source):
    """The scene of two bands with a car that follows odometry."""
    text = TWO.read_text()
    assert MOTION in text
    path = folder / "followed.yaml"
    path.write_text(text.replace(MOTION, f"    position_m: [10, 62, 0]\n    {source}\n"))
    return path


@pytest.fixture
def followed(tmp_path):
    """Scene file whose car follows the odometry of a robot."""
    return scene_file(tmp_path, "odometry: robot/odom")


def heading(degrees):
    return Rotation.from_euler("z", degrees, degrees=True).as_matrix()


def report(time_s, x=20.0, y=61.0, speed=2.0, turn_deg=30.0):
    """Odometry of the robot at a time after 1000 s."""
    rotation = heading(turn_deg)
    pose = Pose(np.array([x, y, 0.0]), rotation, speed * rotation[:, 0])
    return conversions.pose_message("robot", round((1000 + time_s) * SECOND), pose)


class Follower(SceneNode):
    """A node with a pose watch only."""

    def __init__(self, **options):
        super().__init__("follower", (ODOMETRY_WAIT, *POSE_PARAMETERS), **options)
        self.watch = PoseWatch(self)

    def at(self, time_s):
        return self.watch.poses(round((1000 + time_s) * SECOND))["car"]


def followed_by(bench, scene, node_class=Follower, **options):
    node = bench.start(node_class, scene=str(scene), **options)
    robot = bench.publisher(Odometry, "robot/odom")
    bench.spin(0.2)
    return node, robot


def test_a_station_is_where_its_robot_is_turned_by_its_mounting(bench, followed):
    node, robot = followed_by(bench, followed)
    assert node.watch.waiting_for() == f"pose of car on {bench.namespace}/robot/odom"
    robot.publish(report(0.0))
    robot.publish(report(0.2, x=20.4, y=61.2, turn_deg=50.0))
    bench.until(lambda: node.watch.is_complete(round(1000.2 * SECOND)))
    assert node.watch.waiting_for() == ""
    pose = node.at(0.1)
    ends = [report(0.0), report(0.2, x=20.4, y=61.2, turn_deg=50.0)]
    between = (ends[0].pose.pose.position.x + ends[1].pose.pose.position.x) / 2
    assert pose.position_m[0] == pytest.approx(between, abs=0.02)
    assert np.allclose(pose.rotation, heading(40) @ heading(-90), atol=1e-6)
    first = node.at(0.0)
    assert np.allclose(first.velocity_mps, 2 * heading(30)[:, 0])


def test_without_odometry_there_is_no_pose(bench, followed):
    node, robot = followed_by(bench, followed, pose_timeout_s=0.5)
    with pytest.raises(PoseError, match="no pose of station 'car': no message on /bench"):
        node.at(0.0)
    assert (
        bench.start(Follower, scene=str(followed), wait_for_poses=False).watch.waiting_for() == ""
    )
    robot.publish(report(0.0))
    bench.until(lambda: node.watch.is_complete(1000 * SECOND))
    assert np.allclose(node.at(0.4).position_m[:2], [20, 61] + 0.8 * heading(30)[:2, 0])
    assert "is 0.40 s old" in node.health.status().message
    assert node.health.figures["pose_age_s car"] == "0.40"
    assert node.health.counts["poses_old"] == 1
    with pytest.raises(PoseError, match=r"the latest on .*/robot/odom is 0\.60 s older"):
        node.at(0.6)
    with pytest.raises(PoseError, match="begins after the frame"):
        node.at(-1.0)
    assert node.watch.known_poses(round(1000.6 * SECOND)) == {}


def test_reports_that_cannot_be_are_refused(bench, followed):
    node, robot = followed_by(bench, followed)
    wrong = report(0.0)
    wrong.header.frame_id = "odom"
    robot.publish(wrong)
    bench.until(lambda: node.health.counts["poses_refused"])
    assert "publish it in 'map'" in node.health.status().message
    robot.publish(report(0.1))
    robot.publish(report(0.05))
    bench.until(lambda: node.health.counts["poses_out_of_order"])
    assert node.health.counts["poses_off"]  # year 1970 by the stamps


def test_a_topic_with_a_slash_is_outside_of_the_scene(bench, tmp_path):
    scene = scene_file(tmp_path, "odometry: /elsewhere/odom")
    node = bench.start(Follower, scene=str(scene))
    assert node.watch.waiting_for() == "pose of car on /elsewhere/odom"


def test_a_scene_in_a_plane_takes_place_and_heading_alone(followed):
    scene = load_scene(followed)
    station = scene.station("car")
    tilted = Rotation.from_euler("ZYX", [30, 20, 10], degrees=True).as_matrix()
    pose = carried(scene, station, Pose(np.array([1.0, 2.0, 9.0]), tilted, np.array([1.0, 0, 3])))
    assert np.allclose(pose.position_m, [1, 2, 0])
    assert np.allclose(pose.rotation, heading(30) @ station.mounting)
    assert np.allclose(pose.velocity_mps, [1, 0, 0])


def transform(parent, child, time_s, place, rotation):
    message = TransformStamped(child_frame_id=child)
    message.header = conversions.map_header(round((1000 + time_s) * SECOND))
    message.header.frame_id = parent
    message.transform.translation = conversions.to_vector3(np.array(place, float))
    message.transform.rotation = conversions.rotation_quaternion(rotation)
    return message


def test_a_station_follows_a_frame_through_the_tree(bench, tmp_path, monkeypatch):
    scene = scene_file(tmp_path, "tf_frame: antenna")
    monkeypatch.setattr(pose_watch, "TFMessage", None)
    with pytest.raises(ValueError, match="tf2_msgs is not installed"):
        bench.start(Follower, scene=str(scene))

    monkeypatch.setattr(PoseWatch, "_subscribe_frames", lambda self: None)
    node = bench.start(Follower, scene=str(scene))
    assert node.watch.waiting_for() == (
        "pose of car on /tf, frame 'antenna' ('antenna' has no parent)"
    )
    mount = transform("base", "antenna", 0, [0, 1, 0], heading(90))
    node.watch.on_transforms(SimpleNamespace(transforms=[mount]), is_fixed=True)
    assert "'base' has no parent" in node.watch.waiting_for()
    for time_s in (0.0, 0.1, 0.2):
        moved = transform("map", "base", time_s, [5 + 4 * time_s, 50, 0], heading(0))
        node.watch.on_transforms(SimpleNamespace(transforms=[moved]))
    assert node.watch.waiting_for() == ""
    pose = node.at(0.1)
    assert np.allclose(pose.position_m, [5.4, 51, 0])
    assert np.allclose(pose.velocity_mps, [4, 0, 0], atol=1e-6)
    assert np.allclose(pose.rotation, heading(90) @ heading(-90), atol=1e-9)
    broken = transform("map", "base", 0.3, [np.nan, 0, 0], heading(0))
    node.watch.on_transforms(SimpleNamespace(transforms=[broken]))
    assert node.health.counts["poses_refused"] == 1


def announce(scene, number):
    frame = FrameStamp(1, number, 1000 * SECOND + round(number * SECOND / 10))
    record = Announcement(frame, scene.name, scene.fingerprint, True, scene.seed)
    return conversions.frame_message(record)


def test_an_access_point_waits_for_the_pose_of_its_car(bench, followed):
    scene = load_scene(followed)
    node, robot = followed_by(
        bench, followed, AccessPoint, below="/car", wait_for_targets=False, odometry_wait_s=0.6
    )
    packets = bench.listen(FeaturePacket, "car/features")
    frame = bench.publisher(Frame, "frame")
    assert "pose of car" in node.waiting_for()
    robot.publish(report(0.0))
    bench.until(lambda: node.waiting_for() == "")
    frame.publish(announce(scene, 1))
    bench.spin(0.2)
    assert not packets
    robot.publish(report(0.1))
    bench.until(lambda: packets)
    assert list(packets[0].bands) == ["high"] and packets[0].site == "car"

    # a second later the pose is too old
    frame.publish(announce(scene, 14))
    bench.until(lambda: node.health.counts["frames_refused"])
    assert "frame 14: no pose of station 'car'" in node.health.status().message
    assert len(packets) == 1


def test_the_center_waits_for_poses_and_refuses_a_frame_without(bench, followed):
    scene = load_scene(followed)
    node, robot = followed_by(bench, followed, FusionCenter, odometry_wait_s=0.6, deadline_s=5.0)
    detections = bench.listen(Detections, "detections")
    frame = bench.publisher(Frame, "frame")
    features = {
        site: bench.publisher(FeaturePacket, f"{site}/features") for site in ("west", "car")
    }
    robot.publish(report(0.0))
    bench.until(lambda: node.waiting_for() == "")

    def play(number):
        message = announce(scene, number)
        stamp = conversions.frame_stamp(message)
        frame.publish(message)
        for site, publisher in features.items():
            data = np.array([number], "<u4").tobytes() + np.array([1.0], "<f4").tobytes()
            record = Packet(stamp, number, site, "counting", True, data)
            publisher.publish(conversions.packet_message(record))

    # In frame 1 the band of east is not on the air.
    play(1)
    bench.spin(0.2)
    assert not detections
    robot.publish(report(0.1))
    bench.until(lambda: detections)
    assert list(detections[0].sites_missing) == []
    play(15)
    bench.until(lambda: node.health.counts["frames_refused"])
    assert "frame 15: no pose of station 'car'" in node.health.status().message
    assert len(detections) == 1


def test_markers_describe_what_they_wait_for(bench, followed):
    node = bench.start(SceneMarkers, scene=str(followed))
    assert [station.name for station in node._mobile] == ["car"]

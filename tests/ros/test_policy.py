"""The SROS 2 policy of a scene allows every topic and service that its nodes use."""

from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Detections

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.launching import policy
from cooperative_isac_ros.launching.graph import GraphOptions, scene_nodes
from cooperative_isac_ros.launching.monitor import MONITOR_NAME, Monitor
from cooperative_isac_ros.messages import conversions, transforms
from cooperative_isac_ros.messages.records import DetectionList, FrameStamp
from cooperative_isac_ros.nodes.access_point import AccessPoint
from cooperative_isac_ros.nodes.bag_recorder import BagRecorder
from cooperative_isac_ros.nodes.evaluator import Evaluator
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.target_simulator import TargetSimulator
from cooperative_isac_ros.nodes.tracker import TrackerNode
from cooperative_isac_ros.nodes.transmit_controller import TransmitController

TWO = Path(__file__).resolve().parents[1] / "scenes" / "two_tiny.yaml"
NODES = {
    "access_point": AccessPoint,
    "bag_recorder": BagRecorder,
    "evaluator": Evaluator,
    "fusion_center": FusionCenter,
    "scene_markers": SceneMarkers,
    "target_simulator": TargetSimulator,
    "tracker": TrackerNode,
    "transmit_controller": TransmitController,
}


def allowed(scene, options):
    """Allowed topics and services, by enclave."""
    root = ElementTree.fromstring(policy.scene_policy(scene, options).encode())
    found = {}
    for enclave in root.iter("enclave"):
        (profile,) = enclave.iter("profile")
        assert f"{profile.get('ns').rstrip('/')}/{profile.get('node')}" == enclave.get("path")
        rules = {}
        for group in profile:
            ((verb, word),) = group.attrib.items()
            assert word == "ALLOW"
            rules[verb] = [item.text.replace("~", enclave.get("path")) for item in group]
        found[enclave.get("path")] = rules
    return found


def used(node):
    """Topics and services of a running node."""
    name, namespace = node.get_name(), node.get_namespace()
    calls = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
    }
    return {verb: [topic for topic, _ in call(name, namespace)] for verb, call in calls.items()}


def refused(node, rules):
    """Topics and services that a node uses without permission."""
    return [
        (verb, name)
        for verb, names in used(node).items()
        for name in names
        if not any(fnmatchcase(name, pattern) for pattern in rules[verb])
    ]


@pytest.mark.parametrize("front_end", ["simulated", "topic"])
def test_every_node_may_use_what_it_uses(bench, tiny, tmp_path, monkeypatch, front_end):
    monkeypatch.setattr(transforms, "TFMessage", Detections)
    monkeypatch.setattr(transforms.TransformPublisher, "publish", lambda *_: None)
    options = GraphOptions(
        namespace=bench.namespace, bag=str(tmp_path / "bag"), front_end=front_end
    )
    rules = allowed(tiny, options)
    for spec in scene_nodes(tiny, options):
        below = spec.namespace.removeprefix(bench.namespace)
        given = {
            name: value
            for name, value in spec.parameters.items()
            if name not in ("scene", "use_sim_time")
        }
        bench.start(NODES[spec.executable], below=below, **given)
    monitor = bench.added(Monitor(bench.namespace, context=bench.context))
    assert set(rules) == {node.get_fully_qualified_name() for node in bench.nodes} - {
        bench.helper.get_fully_qualified_name()
    }
    assert rules[monitor.get_fully_qualified_name()] and MONITOR_NAME in policy.PUBLISHED

    # A track has topics of its own, and so have targets.
    publisher = bench.publisher(Detections, "detections")
    tracker = next(node for node in bench.nodes if node.get_name() == "tracker")
    number = iter(range(1000))

    def tracked():
        found = Detection(
            np.array([30.0, 30, 0]), np.zeros(3), 0.01 * np.eye(6), 30.0, ("rx1", "rx2"), 4
        )
        record = DetectionList(FrameStamp(1, k := next(number), 10**12 + k * 10**8), True, (found,))
        publisher.publish(conversions.detections_message(record))
        bench.spin(0.05)
        return any(name.endswith("track_1/odom") for name in used(tracker)["publish"])

    bench.until(tracked)
    for node in bench.nodes[1:]:
        assert not refused(node, rules[node.get_fully_qualified_name()]), node.get_name()


def test_a_policy_allows_no_more_than_the_front_end_needs(tiny):
    for front_end, publishes in (("simulated", True), ("topic", False)):
        rules = allowed(tiny, GraphOptions(front_end=front_end))["/rx1/access_point"]
        assert ("/rx1/echo" in rules["publish"]) is publishes
        assert ("/rx1/echo" in rules["subscribe"]) is not publishes
        assert "/rx2/features" not in rules["publish"]


def test_every_node_of_the_package_has_its_topics():
    assert set(policy.PUBLISHED) == set(policy.SUBSCRIBED) == {*NODES, MONITOR_NAME}


def start_all(bench, scene, options, **changes):
    """All nodes of a scene."""
    for spec in scene_nodes(scene, options):
        given = {name: value for name, value in spec.parameters.items() if name != "use_sim_time"}
        below = spec.namespace.removeprefix(bench.namespace)
        bench.start(NODES[spec.executable], below=below, **{**given, **changes})


@pytest.mark.parametrize("source", ["", "odometry: robot/odom", "odometry: /robot/odom"])
def test_nodes_of_bands_and_moving_stations_may_use_what_they_use(
    bench, tmp_path, monkeypatch, source
):
    monkeypatch.setattr(transforms, "TFMessage", Detections)
    monkeypatch.setattr(transforms.TransformPublisher, "publish", lambda *_: None)
    text = TWO.read_text()
    if source:
        (motion,) = [line for line in text.splitlines() if "constant_velocity" in line]
        text = text.replace(motion, f"    position_m: [10, 62, 0]\n    {source}")
    path = tmp_path / "scene.yaml"
    path.write_text(text)
    scene = load_scene(path)
    options = GraphOptions(namespace=bench.namespace)
    rules = allowed(scene, options)
    start_all(bench, scene, options)
    for node in bench.nodes[1:]:
        assert not refused(node, rules[node.get_fully_qualified_name()]), node.get_name()
    if source:
        topic = f"{bench.namespace}/robot/odom" if "/robot" not in source else "/robot/odom"
        followers = [
            name.rpartition("/")[2] for name, rule in rules.items() if topic in rule["subscribe"]
        ]
        assert set(followers) == set(policy.POSED)


def test_a_frame_of_tf_is_read_by_those_that_place_stations(tmp_path):
    text = TWO.read_text()
    (motion,) = [line for line in text.splitlines() if "constant_velocity" in line]
    path = tmp_path / "scene.yaml"
    path.write_text(text.replace(motion, "    position_m: [10, 62, 0]\n    tf_frame: base"))
    rules = allowed(load_scene(path), GraphOptions())
    for name, rule in rules.items():
        reads = {"/tf", "/tf_static"} <= set(rule["subscribe"])
        assert reads is (name.rpartition("/")[2] in policy.POSED), name

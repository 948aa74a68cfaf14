"""SROS 2 policy of a scene: the topics and services that each node may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from cooperative_isac.scene.model import Scene
from cooperative_isac_ros.launching.graph import GraphOptions, NodeSpec, scene_nodes
from cooperative_isac_ros.launching.monitor import MONITOR_NAME

# Schema of sros2, in every release since Foxy.
POLICY_VERSION = "0.2.0"
# Services that rclpy offers for every node, below its name.
NODE_SERVICES = (
    "describe_parameters",
    "get_parameter_types",
    "get_parameters",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
    "get_logger_levels",
    "set_logger_levels",
    "get_type_description",
)
# Topics of the targets and of the stations that move.
TARGETS = ("targets/*/odom", "targets/*/class")
STATIONS = "stations/*/odom"
# Executables that subscribe to the poses of stations.
POSED = ("access_point", "fusion_center", "evaluator", "scene_markers")
# Topics by executable: absolute ones, and those below the scene's namespace. {site}: a station's
# name.
PUBLISHED = {
    "access_point": ("{site}/features",),
    "fusion_center": ("detections", "detections/late", "detections/points"),
    "tracker": ("tracks", "tracks/*/odom", "/tf"),
    "evaluator": ("accuracy",),
    "scene_markers": ("markers", "tracks/*/path", "/tf", "/tf_static"),
    "target_simulator": (*TARGETS, STATIONS),
    "transmit_controller": ("frame",),
    "bag_recorder": (),
    MONITOR_NAME: (),
}
SUBSCRIBED = {
    "access_point": ("frame", *TARGETS),
    "fusion_center": ("frame", "*/features"),
    "tracker": ("detections", "detections/late"),
    "evaluator": (
        "frame",
        "detections",
        "tracks",
        "timing",
        "*/features",
        "/diagnostics",
        *TARGETS,
    ),
    "scene_markers": ("frame", "detections", "tracks", "accuracy", "*/features", *TARGETS),
    "target_simulator": ("frame",),
    "transmit_controller": ("timing", "/diagnostics"),
    "bag_recorder": ("/*",),
    MONITOR_NAME: ("frame", "timing", "tracks", "accuracy", "/diagnostics"),
}
# Topics of all nodes.
EVERYONE_PUBLISHES = ("/rosout", "/parameter_events", "/diagnostics", "timing")
EVERYONE_SUBSCRIBES = ("/clock", "/parameter_events")


@dataclass(frozen=True)
class Access:
    """Absolute names of the topics that a node may use; * matches any text."""

    publishes: tuple[str, ...]
    subscribes: tuple[str, ...]


def pose_topics(scene: Scene) -> tuple[str, ...]:
    """Topics with the poses of stations: odometry, and /tf."""
    followed = [station.odometry for station in scene.stations if station.odometry]
    has_frames = any(station.tf_frame for station in scene.stations)
    return (*followed, *(("/tf", "/tf_static") if has_frames else ()))


def node_access(spec: NodeSpec, root: str, poses: Sequence[str] = ()) -> Access:
    """Topics that one node of a scene may use.

    spec: executable and parameters of the node
    root: namespace of the scene
    poses: topics with the poses of its stations
    """
    # topics of all nodes, and of its executable
    published = [*EVERYONE_PUBLISHES, *PUBLISHED[spec.executable]]
    subscribed = [*EVERYONE_SUBSCRIBES, *SUBSCRIBED[spec.executable]]
    if spec.executable in POSED:
        subscribed += poses

    # an access point subscribes to the echoes of a radio, or simulates and publishes them itself
    if spec.executable == "access_point":
        if spec.parameters["front_end"] == "topic":
            subscribed.append("{site}/echo")
        else:
            published.append("{site}/echo")

    # absolute names, with the name of the node's own station
    site = spec.parameters.get("site", "")

    def names(topics: list[str]) -> tuple[str, ...]:
        base = f"/{root.strip('/')}".rstrip("/")
        full = (topic if topic.startswith("/") else f"{base}/{topic}" for topic in topics)
        return tuple(sorted(name.format(site=site) for name in full))

    return Access(names(published), names(subscribed))


def scene_policy(scene: Scene, options: GraphOptions = GraphOptions()) -> str:
    """Text of a policy file with one enclave per node of a scene, named as the node."""
    policy = ElementTree.Element("policy", version=POLICY_VERSION)
    enclaves = ElementTree.SubElement(policy, "enclaves")
    monitor = NodeSpec(MONITOR_NAME, MONITOR_NAME, options.namespace)
    for spec in (*scene_nodes(scene, options), monitor):
        # enclave with one profile
        enclave = ElementTree.SubElement(enclaves, "enclave", path=spec.full_name)
        profiles = ElementTree.SubElement(enclave, "profiles")
        namespace = spec.full_name.rpartition("/")[0] or "/"
        profile = ElementTree.SubElement(profiles, "profile", ns=namespace, node=spec.name)

        # topics and services
        access = node_access(spec, options.namespace, pose_topics(scene))
        _expressions(profile, "topics", "topic", "publish", access.publishes)
        _expressions(profile, "topics", "topic", "subscribe", access.subscribes)
        _expressions(
            profile, "services", "service", "reply", [f"~/{name}" for name in NODE_SERVICES]
        )
    ElementTree.indent(policy)
    return ElementTree.tostring(policy, encoding="unicode", xml_declaration=True) + "\n"


def _expressions(profile: ElementTree.Element, group: str, word: str, verb: str, names) -> None:
    """Add a group of names that a profile allows."""
    allowed = ElementTree.SubElement(profile, group, {verb: "ALLOW"})
    for name in names:
        ElementTree.SubElement(allowed, word).text = name

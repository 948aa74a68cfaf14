"""config/foxglove/isac.json is a layout of panels whose topics and fields the nodes publish."""

import json
import re
from importlib import import_module

import pytest
from cooperative_isac_msgs.msg import Detections

from cooperative_isac_ros.launching.graph import shared_file
from cooperative_isac_ros.nodes.evaluator import Evaluator
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.tracker import TrackerNode

# What Foxglove's 3D panel draws of what is used here.
DRAWN = {"visualization_msgs/msg/MarkerArray", "sensor_msgs/msg/PointCloud2"}
POINT_FIELDS = {"x", "y", "z", "vx", "vy", "vz", "snr_db"}
# A message path: topic, then fields with slices and filters.
STEP = re.compile(r"\.(\w+)|\[[^\]]*\]|\{(\w+)==[^}]+\}")


@pytest.fixture(scope="module")
def layout():
    return json.loads(shared_file("foxglove/isac.json").read_text(encoding="utf-8"))


def panels(tree):
    """Identities of all panels of a layout's tree."""
    if isinstance(tree, str):
        return [tree]
    assert tree["direction"] in ("row", "column") and 0 < tree["splitPercentage"] < 100
    return [*panels(tree["first"]), *panels(tree["second"])]


def paths(layout):
    """All message paths of plots and raw messages."""
    for name, config in layout["configById"].items():
        if name.startswith("Plot!"):
            yield from (path["value"] for path in config["paths"])
        elif name.startswith("RawMessages!"):
            yield config["topicPath"]


def topics(layout):
    """All topics of the layout."""
    found = {re.match(r"/[\w/]+", path)[0] for path in paths(layout)}
    found |= set(layout["configById"]["3D!scene"]["topics"])
    return found | {layout["configById"]["DiagnosticSummary!nodes"]["topicToRender"]}


def message_type(name):
    """The class of a type's full name."""
    package, _, kind = name.split("/")
    return getattr(import_module(f"{package}.msg"), kind)


@pytest.fixture
def published(bench, layout):
    """Type of every topic of the layout, by its name in the layout."""
    for node in (SceneMarkers, FusionCenter, TrackerNode, Evaluator):
        bench.start(node)
    bench.publisher(Detections, "detections", readers=3)
    found = {}

    def complete():
        for name, kinds in bench.helper.get_topic_names_and_types():
            found[name.removeprefix(bench.namespace)] = kinds[0]
        return topics(layout) <= found.keys()

    bench.until(complete)
    return found


def test_the_tree_holds_every_panel_once(layout):
    assert sorted(panels(layout["layout"])) == sorted(layout["configById"])
    kinds = {name.partition("!")[0] for name in layout["configById"]}
    assert kinds == {"3D", "Plot", "DiagnosticSummary", "RawMessages"}
    assert {"globalVariables", "userNodes", "playbackConfig"} <= layout.keys()


def test_panels_show_topics_and_fields_of_the_nodes(layout, published):
    for topic in layout["configById"]["3D!scene"]["topics"]:
        assert published[topic] in DRAWN, topic
    points = layout["configById"]["3D!scene"]["topics"]["/detections/points"]
    assert points["colorField"] in POINT_FIELDS
    assert published["/diagnostics"] == "diagnostic_msgs/msg/DiagnosticArray"

    # A message path goes down the fields of the topic's type.
    for path in paths(layout):
        topic = re.match(r"/[\w/]+", path)[0]
        kind = published[topic]
        for field, filtered in STEP.findall(path.removeprefix(topic)):
            if field or filtered:
                fields = message_type(kind).get_fields_and_field_types()
                assert (field or filtered) in fields, path
            if field:
                kind = re.sub(r"^sequence<|>$|\[\d+\]$", "", fields[field])
                kind = kind.replace("/", "/msg/") if "/" in kind else kind
        plotted = kind in ("double", "float", "uint32", "uint64")
        assert plotted or path == "/tracks", path


def test_the_camera_sees_the_area_of_campus(layout):
    camera = layout["configById"]["3D!scene"]["cameraState"]
    assert camera["targetOffset"][0] == 50 and 100 < camera["distance"] < camera["far"]
    assert layout["configById"]["3D!scene"]["followTf"] == "map"

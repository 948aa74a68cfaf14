"""Views of RViz contain the whole scene, and its displays subscribe to topics of the nodes."""

import numpy as np
import pytest
import yaml
from cooperative_isac_msgs.msg import Detections
from rviz_camera import HEIGHT, WIDTH, Picture, inside

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.display.rviz import scene_view
from cooperative_isac_ros.display.scene_layout import scene_layout
from cooperative_isac_ros.launching.graph import shared_file
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import DetectionList, FrameStamp
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.tracker import TrackerNode

TYPES = {
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "Path": "nav_msgs/msg/Path",
    "Odometry": "nav_msgs/msg/Odometry",
}

SCENES = [
    "campus",
    "yard",
    "cell_free_table1",
    "cell_free_compact",
    "street",
    "one_pair",
    "indoor_uav",
]


def saved_views(scene):
    """The views from the side and from above."""
    return yaml.safe_load(scene_view(scene))["Visualization Manager"]["Views"]["Saved"]


def displays(scene, namespace="/"):
    """Displays of the view, those of groups too."""
    shown = yaml.safe_load(scene_view(scene, namespace))["Visualization Manager"]["Displays"]
    return [inner for outer in shown for inner in (outer, *outer.get("Displays", ()))]


def test_every_display_subscribes_to_a_topic_of_its_type(bench, tiny):
    for node in (SceneMarkers, FusionCenter, TrackerNode):
        bench.start(node)
    publisher = bench.publisher(Detections, "detections", readers=2)
    wanted = {
        (display["Topic"]["Value"], TYPES[display["Class"].partition("/")[2]])
        for display in displays(tiny, bench.namespace)
        if "Topic" in display
    }
    assert len(wanted) == 14
    number = iter(range(1000))

    def published():
        record = DetectionList(
            FrameStamp(1, k := next(number), 10**12 + k * 10**8),
            True,
            tuple(
                Detection(
                    np.array([8.0 * place, 30, 0]),
                    np.zeros(3),
                    0.01 * np.eye(6),
                    30.0,
                    ("rx1", "rx2"),
                    4,
                )
                for place in range(1, 7)
            ),
        )
        publisher.publish(conversions.detections_message(record))
        bench.spin(0.1)
        return {
            (name, kind)
            for name, kinds in bench.helper.get_topic_names_and_types()
            for kind in kinds
        }

    bench.until(lambda: wanted <= published())


@pytest.mark.parametrize("name", SCENES)
def test_the_grid_is_on_the_ground_of_the_area(name):
    scene = load_scene(name)
    grid = displays(scene)[0]
    reach_m = grid["Cell Size"] * grid["Plane Cell Count"] / 2
    for axis, low, high in zip("XY", scene.box.low_m, scene.box.high_m):
        assert grid["Offset"][axis] - reach_m <= low and high <= grid["Offset"][axis] + reach_m
    assert grid["Offset"]["Z"] == scene_layout(scene).ground_m
    assert 5 <= grid["Plane Cell Count"] <= 60


@pytest.mark.parametrize("name", SCENES)
def test_the_views_hold_the_area_and_are_not_much_larger(name):
    scene = load_scene(name)
    layout = scene_layout(scene)
    ends_m = np.stack([layout.low_m, layout.high_m])
    corners_m = [[ends_m[i, 0], ends_m[j, 1], ends_m[k, 2]] for i, j, k in np.ndindex(2, 2, 2)]
    for view in saved_views(scene):
        pixels, _ = Picture(view).project(corners_m)
        assert inside(pixels)
        assert np.max(np.ptp(pixels, axis=0) / [WIDTH, HEIGHT]) > 0.6
        if "Focal Point" in view:
            assert view["Focal Point"]["Z"] == layout.ground_m


def test_the_shipped_file_is_the_view_of_campus():
    shipped = yaml.safe_load(shared_file("rviz/scene.rviz").read_text(encoding="utf-8"))
    made = yaml.safe_load(scene_view(load_scene("campus")))
    for ours, theirs in zip(numbers(shipped), numbers(made), strict=True):
        assert ours == pytest.approx(theirs, rel=0.01, abs=0.01)
    assert shipped["Visualization Manager"]["Global Options"]["Fixed Frame"] == "map"


def numbers(tree):
    """All numbers of a tree of lists and mappings, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        return [number for item in tree for number in numbers(item)]
    return [tree] if isinstance(tree, (int, float)) else []

"""RViz looks at the scene, whatever its size, and hears what the nodes say."""

import numpy as np
import pytest
import yaml
from cooperative_isac_msgs.msg import Detections

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.config import load_scene
from cooperative_isac_ros import conversions
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.tracker import TrackerNode
from cooperative_isac_ros.records import DetectionList, FrameStamp
from cooperative_isac_ros.rviz import scene_view

TYPES = {"MarkerArray": "visualization_msgs/msg/MarkerArray", "PointCloud2": "sensor_msgs/msg/PointCloud2",
         "Path": "nav_msgs/msg/Path", "Odometry": "nav_msgs/msg/Odometry"}


def displays(scene, namespace="/"):
    """Displays of the view, those of groups too."""
    shown = yaml.safe_load(scene_view(scene, namespace))["Visualization Manager"]["Displays"]
    return [inner for outer in shown for inner in (outer, *outer.get("Displays", ()))]


def test_every_display_hears_a_topic_of_its_type(bench, tiny):
    for node in (SceneMarkers, FusionCenter, TrackerNode):
        bench.start(node)
    publisher = bench.publisher(Detections, "detections", readers=2)
    wanted = {(display["Topic"]["Value"], TYPES[display["Class"].partition("/")[2]])
              for display in displays(tiny, bench.namespace) if "Topic" in display}
    assert len(wanted) == 14
    number = iter(range(1000))

    def published():
        record = DetectionList(FrameStamp(1, k := next(number), 10 ** 12 + k * 10 ** 8), True, tuple(
            Detection(np.array([8.0 * place, 30, 0]), np.zeros(3), 0.01 * np.eye(6), 30.0, ("rx1", "rx2"), 4)
            for place in range(1, 7)))
        publisher.publish(conversions.detections_message(record))
        bench.spin(0.1)
        return {(name, kind) for name, kinds in bench.helper.get_topic_names_and_types() for kind in kinds}

    bench.until(lambda: wanted <= published())


@pytest.mark.parametrize("name", ["campus", "cell_free_table1", "street", "indoor_uav"])
def test_the_view_is_centred_on_the_area_and_as_wide(name):
    scene = load_scene(name)
    low_m, high_m = scene.area.low_m, scene.area.high_m
    views = yaml.safe_load(scene_view(scene))["Visualization Manager"]["Views"]
    for view in (views["Current"], views["Saved"][0]):
        assert np.allclose([view["Focal Point"][axis] for axis in "XYZ"], (low_m + high_m) / 2)
        assert 1 < view["Distance"] / max((high_m - low_m)[:2]) < 3
    above = views["Saved"][1]
    assert 0.5 < above["Scale"] * max((high_m - low_m)[:2]) / 800 < 1
    grid = displays(scene)[0]
    reach_m = grid["Cell Size"] * grid["Plane Cell Count"] / 2
    for axis, low, high in zip("XY", low_m, high_m):
        assert grid["Offset"][axis] - reach_m <= low and high <= grid["Offset"][axis] + reach_m
    assert 5 <= grid["Plane Cell Count"] <= 60

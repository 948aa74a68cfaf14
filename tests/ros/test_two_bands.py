"""Live scene with two bands of different rates, active stations and a moving receiver."""

from pathlib import Path

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Accuracy, Detections, FeaturePacket, Frame, Tracks
from nav_msgs.msg import Odometry
from visualization_msgs.msg import MarkerArray

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.launching.graph import GraphOptions, scene_nodes
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.nodes.access_point import AccessPoint
from cooperative_isac_ros.nodes.evaluator import Evaluator
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.target_simulator import TargetSimulator
from cooperative_isac_ros.nodes.tracker import TrackerNode
from cooperative_isac_ros.nodes.transmit_controller import TransmitController

TWO = Path(__file__).resolve().parents[1] / "scenes" / "two_tiny.yaml"
STATIONS = ("west", "east", "car")
# Frames per second: those of a machine that is shared by many tests.
RATE_HZ = 2.0


class Live:
    """All nodes of the scene in one process, and their messages."""

    def __init__(self, bench):
        common = {"scene": str(TWO)}
        rate = {"rate_hz": RATE_HZ}
        self.scene = load_scene(TWO)
        self.frames = bench.listen(Frame, "frame")
        self.packets = {name: bench.listen(FeaturePacket, f"{name}/features") for name in STATIONS}
        self.detections = bench.listen(Detections, "detections")
        self.tracks = bench.listen(Tracks, "tracks")
        self.accuracy = bench.listen(Accuracy, "accuracy")
        self.markers = bench.listen(MarkerArray, "markers")
        self.odometry = bench.listen(Odometry, "stations/car/odom")
        self.access_points = [
            bench.start(AccessPoint, below=f"/{name}", **common) for name in STATIONS
        ]
        self.center = bench.start(FusionCenter, deadline_s=5.0, **common, **rate)
        self.evaluator = bench.start(Evaluator, bound_every=2, **common, **rate)
        self.others = [
            bench.start(TrackerNode, **common),
            bench.start(SceneMarkers, **common),
            bench.start(TargetSimulator, **common, **rate),
        ]
        bench.spin(1.5)
        self.controller = bench.start(TransmitController, max_frames_ahead=0, **common, **rate)
        self.bench = bench

    @property
    def nodes(self):
        return [*self.access_points, self.center, self.evaluator, *self.others, self.controller]


@pytest.fixture(scope="module")
def live(real_bench):
    """Twelve frames of the scene, of which six have both bands."""
    live = Live(real_bench)
    real_bench.until(lambda: len(live.accuracy) >= 12, timeout_s=90)
    return live


def test_frames_name_the_bands_on_the_air_and_their_time(live):
    for message in live.frames:
        both = message.number % 2 == 0
        assert list(message.bands) == (["high", "low"] if both else ["high"])
        assert message.time_s == pytest.approx(message.number / RATE_HZ)


def test_a_station_sends_one_packet_for_all_its_bands_on_the_air(live):
    assert {tuple(packet.bands) for packet in live.packets["west"]} == {("high", "low"), ("high",)}
    for name, bands in (("east", ("low",)), ("car", ("high",))):
        assert {tuple(packet.bands) for packet in live.packets[name]} == {bands}
    assert all(packet.number % 2 == 0 for packet in live.packets["east"])
    numbers = [packet.number for packet in live.packets["west"]]
    assert numbers == sorted(set(numbers))


def test_a_station_without_a_band_in_a_frame_is_not_missing(live):
    assert all(list(message.sites_missing) == [] for message in live.detections)
    for node in live.nodes:
        counts = node.health.counts
        for event in ("callbacks_failed", "frames_refused", "packets_late", "bounds_failed"):
            assert counts[event] == 0, (node.get_name(), event)


def test_the_target_is_found_in_frames_of_one_band_and_of_both(live):
    found = {0: 0, 1: 0}
    for message in live.detections:
        record = conversions.detection_list(message)
        found[message.number % 2] += any(not item.is_partial for item in record.detections)
    assert min(found.values()) >= 3
    assert live.accuracy[-1].gospa_m < 2.0
    assert any(track.num_detections >= 6 for track in live.tracks[-1].tracks)


def test_errors_are_compared_with_the_bound_of_all_bands(live):
    ratios = [message.error_to_bound_location for message in live.accuracy]
    judged = [ratio for ratio in ratios if ratio > 0]
    assert judged and max(judged) < 10


def test_the_car_is_shown_where_it_is(live):
    places = {
        round(message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec, 3): message
        for message in live.odometry
    }
    assert len(places) > 10
    boxes = [
        marker
        for array in live.markers
        for marker in array.markers
        if marker.ns == "receivers" and marker.id == 0
    ]
    x = [box.pose.position.x for box in boxes]
    assert len(x) >= 5 and np.all(np.diff(x) > 0)
    for box in boxes:
        stamp_s = box.header.stamp.sec + 1e-9 * box.header.stamp.nanosec
        report = places.get(round(stamp_s, 3))
        if report is not None:
            assert box.pose.position.x == pytest.approx(report.pose.pose.position.x, abs=1e-6)
    names = [
        marker.text
        for array in live.markers
        for marker in array.markers
        if marker.ns.endswith(" names") and marker.ns.startswith("trans")
    ]
    assert set(names) == {"west", "east"}


def test_the_list_of_nodes_has_one_access_point_a_receiving_station():
    scene = load_scene(TWO)
    nodes = scene_nodes(scene, GraphOptions())
    points = [node.full_name for node in nodes if node.executable == "access_point"]
    assert points == [f"/{name}/access_point" for name in STATIONS]
    assert nodes[-1].executable == "transmit_controller"
    assert "target_simulator" in [node.executable for node in nodes]

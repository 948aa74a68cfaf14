"""Fusion center: complete, missing, late, damaged and foreign packets, and restarts."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.nodes.fusion_center import FusionCenter

TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"


class Center:
    """A fusion center with publishers of its inputs and subscriptions to its outputs."""

    def __init__(self, bench, **parameters):
        self.bench = bench
        self.node = bench.start(FusionCenter, **parameters)
        self.detections = bench.listen(Detections, "detections")
        self.frame = bench.publisher(Frame, "frame")
        self.features = {
            site: bench.publisher(FeaturePacket, f"{site}/features") for site in ("rx1", "rx2")
        }
        bench.until(lambda: self.node.waiting_for() == "")

    def counts(self, name):
        return self.node.health.counts[name]


@pytest.fixture
def center(bench):
    return Center(bench, deadline_s=0.3)


def test_a_complete_frame_is_decoded_before_its_deadline(bench, announce, features):
    center = Center(bench, deadline_s=60.0)
    clouds = bench.listen(PointCloud2, "detections/points")
    center.frame.publish(announce(7))
    for site in ("rx1", "rx2"):
        center.features[site].publish(features(7, site))
    bench.until(lambda: center.detections and clouds)
    (message,) = center.detections
    assert (message.run, message.number, message.sequence, message.simulated) == (1, 7, 7, True)
    assert message.header.stamp.sec == 1007 and message.header.frame_id == "map"
    assert list(message.sites_missing) == [] and list(message.detections[0].sites) == ["rx1", "rx2"]
    assert clouds[0].width == 1 and clouds[0].header == message.header


def test_packets_may_come_before_the_announcement(center, announce, features):
    for site in ("rx1", "rx2"):
        center.features[site].publish(features(0, site))
    center.bench.until(lambda: center.node.collector.num_early == 2)
    center.frame.publish(announce(0))
    center.bench.until(lambda: center.detections)
    assert list(center.detections[0].sites_missing) == []


def test_a_missing_access_point_is_named_at_the_deadline(center, announce, features):
    center.frame.publish(announce(0))
    center.features["rx1"].publish(features(0, "rx1"))
    center.bench.until(lambda: center.detections)
    assert list(center.detections[0].sites_missing) == ["rx2"]
    assert list(center.detections[0].detections[0].sites) == ["rx1"]


def test_a_missing_access_point_is_reported_before_the_next_frame(bench, announce, features):
    reports = bench.listen(DiagnosticArray, "/diagnostics")
    center = Center(bench, deadline_s=0.05)
    bench.until(lambda: reports)
    own = center.node.get_fully_qualified_name()
    bench.spin(0.1)
    reports.clear()
    center.frame.publish(announce(0))
    center.features["rx1"].publish(features(0, "rx1"))
    bench.until(
        lambda: any(
            status.name == own and "frame 0 without rx2" in status.message
            for report in reports
            for status in report.status
        )
    )


def test_a_frame_without_any_packet_names_all_stations(center, announce):
    center.frame.publish(announce(0))
    center.bench.until(lambda: center.detections)
    assert (
        list(center.detections[0].sites_missing) == ["rx1", "rx2"]
        and not center.detections[0].detections
    )


def decoded_without_rx2(bench, announce, features, last=0, **parameters):
    """A center that has decoded frames without rx2, and its late detections."""
    parameters = {"deadline_s": 0.3, "rate_hz": 0.01, "patience_frames": 1, **parameters}
    center = Center(bench, **parameters)
    late = bench.listen(Detections, "detections/late")
    bench.until(lambda: center.node._late.get_subscription_count())
    for number in range(last + 1):
        center.frame.publish(announce(number))
        center.features["rx1"].publish(features(number, "rx1"))
        bench.until(lambda: len(center.detections) == number + 1)
    return center, late


def test_a_late_packet_revises_its_frame(bench, announce, features):
    center, late = decoded_without_rx2(bench, announce, features, last=1)
    (first, _) = center.detections
    center.features["rx2"].publish(features(0, "rx2"))
    bench.until(lambda: late)
    (message,) = late
    assert (message.run, message.number, message.header) == (1, 0, first.header)
    assert list(message.sites_missing) == [] and list(first.sites_missing) == ["rx2"]
    assert list(message.detections[0].sites) == ["rx1", "rx2"]
    assert center.counts("packets_late") == center.counts("frames_revised") == 1
    assert len(center.detections) == 2 and center.counts("frames") == 2

    # the same packet again
    center.features["rx2"].publish(features(0, "rx2"))
    bench.until(lambda: center.counts("packets_late") == 2)
    bench.spin(0.1)
    assert len(late) == 1 and center.counts("frames_revised") == 1


@pytest.mark.parametrize("reason", ["age", "decoding", "damaged", "offsets"])
def test_late_packets_without_use_are_counted_only(bench, announce, features, tmp_path, reason):
    parameters = {}
    if reason == "offsets":
        text = TINY.read_text(encoding="utf-8")
        sensing = "sensing:\n  synchronization: active_observation\n"
        scene = tmp_path / "tiny.yaml"
        scene.write_text(text.replace("sensing:\n", sensing), encoding="utf-8")
        fingerprint = load_scene(scene).fingerprint
        announce = partial(announce, scene_fingerprint=fingerprint)
        parameters = {"scene": str(scene)}
    last = 2 if reason == "age" else 0
    center, late = decoded_without_rx2(bench, announce, features, last, **parameters)
    data = b"\x01" if reason == "damaged" else None
    if reason == "decoding":
        center.node._decoding_s = 30.0
    center.features["rx2"].publish(features(0, "rx2", data=data))
    bench.until(lambda: center.counts("packets_late") == 1)
    bench.spin(0.1)
    assert not late and center.counts("frames_revised") == 0
    assert center.counts("packets_damaged") == (reason == "damaged")


def test_an_absent_access_point_is_not_waited_for_until_it_speaks(bench, announce, features):
    center = Center(bench, deadline_s=0.3, patience_frames=2)
    for number in range(2):
        center.frame.publish(announce(number))
        center.features["rx1"].publish(features(number, "rx1"))
        bench.until(lambda: len(center.detections) == number + 1)
    assert center.node.collector.absent == ("rx2",)
    center.node._deadline._nominal_s = 60.0
    center.frame.publish(announce(2))
    center.features["rx1"].publish(features(2, "rx1"))
    bench.until(lambda: len(center.detections) == 3)
    assert list(center.detections[2].sites_missing) == ["rx2"]
    center.features["rx2"].publish(features(3, "rx2"))
    bench.until(lambda: center.node.collector.absent == ())


@pytest.mark.parametrize(
    "data", [b"\x01", b"\x00" * 8, b"\xff" * 9], ids=["truncated", "other frame", "too long"]
)
def test_a_damaged_packet_is_dropped_and_its_sender_named(center, announce, features, data):
    center.frame.publish(announce(5))
    center.features["rx1"].publish(features(5, "rx1"))
    center.features["rx2"].publish(features(5, "rx2", data=data))
    center.bench.until(lambda: center.detections)
    assert list(center.detections[0].sites_missing) == ["rx2"]
    assert list(center.detections[0].detections[0].sites) == ["rx1"]
    assert center.counts("packets_damaged") == 1
    assert "rx2" in center.node.health.status().message


@pytest.mark.parametrize(
    ("changes", "counter"),
    [
        ({"data": b""}, "packets_damaged"),
        ({"scheme": "morse"}, "packets_of_other_scheme"),
        ({"site": "rx9"}, "packets_of_unknown_site"),
    ],
)
def test_unusable_packets_are_counted(center, features, changes, counter):
    message = features(0, **{"site": "rx1", **changes})
    center.features["rx1"].publish(message)
    center.bench.until(lambda: center.counts(counter) == 1)


def test_a_packet_of_an_earlier_run_is_stale(center, announce, features):
    for run in (1, 2):
        center.frame.publish(announce(0, run=run))
        center.bench.until(lambda: center.node.collector.run == run)
    center.features["rx1"].publish(features(0, "rx1", run=1))
    center.bench.until(lambda: center.counts("packets_stale") == 1)


def test_a_frame_of_another_scene_is_refused_before_it_changes_anything(center, announce, features):
    center.frame.publish(announce(3))
    center.features["rx1"].publish(features(3, "rx1"))
    center.bench.until(lambda: center.node.collector.run == 1)
    center.frame.publish(announce(4, run=2, scene="elsewhere", scene_fingerprint="0" * 16))
    center.bench.until(lambda: center.counts("frames_refused") == 1)
    assert "start all nodes with one scene file" in center.node.health.status().message
    assert center.node.collector.run == 1 and center.counts("restarts") == 0
    center.bench.until(lambda: center.detections)
    assert [message.number for message in center.detections] == [3]


def test_one_stale_frame_changes_nothing(bench, announce, features):
    center = Center(bench, deadline_s=60.0)
    for number in (5, 6, 2):
        center.frame.publish(announce(number))
    center.bench.until(lambda: center.counts("frames_stale") == 1)
    for site in ("rx1", "rx2"):
        center.features[site].publish(features(6, site))
    center.bench.until(lambda: len(center.detections) == 2)
    assert [message.number for message in center.detections] == [5, 6] and center.counts(
        "restarts"
    ) == 0


def test_a_rewound_recording_leads_to_the_same_bytes_again(center, announce, features):
    for decoded in (
        (1, 2, 3),
        (3, 5, 6),
    ):  # when a recording plays again, its first frame waits for the second
        for number, expected in enumerate(decoded):
            center.frame.publish(announce(number))
            center.bench.until(lambda: number or decoded[0] == 1 or center.counts("frames_stale"))
            for site in ("rx1", "rx2"):
                center.features[site].publish(features(number, site))
            center.bench.until(lambda: len(center.detections) == expected)
    first, second = center.detections[:3], center.detections[3:]
    assert [serialize_message(m) for m in first] == [serialize_message(m) for m in second]
    assert center.counts("restarts") == 1


def test_frames_are_late_after_one_period_of_the_announced_rate(bench, announce, features):
    center = Center(bench, deadline_s=60.0, rate_hz=0.05)
    for number, age_ns in enumerate((0, 30 * 10**9)):
        center.frame.publish(announce(number, stamp_ns=center.node.now_ns - age_ns, run=number))
        bench.until(lambda: center.node.collector.run == number)
        for site in ("rx1", "rx2"):
            center.features[site].publish(features(number, site, run=number))
        bench.until(lambda: len(center.detections) == number + 1)
        assert center.counts("frames_late") == number
    assert "after its stamp; a period is 20 s" in center.node.health.status().message


@pytest.mark.parametrize("announced", [True, False])
def test_a_frame_without_packets_is_as_simulated_as_its_announcement(center, announce, announced):
    center.frame.publish(announce(0, simulated=announced))
    center.bench.until(lambda: center.detections)
    assert center.detections[0].simulated is announced


def test_the_decoder_has_the_times_of_frames_where_targets_give_the_clock_offsets(
    center, announce, features
):
    times_s = []
    center.node._decoder.decode = lambda packets, frame: times_s.append(frame.time_s) or ()

    def decode(number):
        center.frame.publish(announce(number, time_s=0.2 * number))
        for site in ("rx1", "rx2"):
            center.features[site].publish(features(number, site))
        center.bench.until(lambda: len(center.detections) == number + 1)

    decode(0)
    scene = center.node.scene
    for number, mode in enumerate(("active_observation", "both_directions"), start=1):
        sensing = replace(scene.sensing, synchronization=mode)
        center.node.scene = replace(scene, sensing=sensing)
        decode(number)
    assert times_s == [None, 0.2, 0.4]


@pytest.mark.parametrize(("follows", "time_s"), [(False, None), (True, 0.4)])
def test_a_decoder_that_follows_targets_has_the_times_of_frames(
    center, announce, features, follows, time_s
):
    times_s = []
    center.node._decoder.follows = follows
    center.node._decoder.decode = lambda packets, frame: times_s.append(frame.time_s) or ()
    center.frame.publish(announce(0, time_s=0.4))
    for site in ("rx1", "rx2"):
        center.features[site].publish(features(0, site))
    center.bench.until(lambda: center.detections)
    assert times_s == [time_s]

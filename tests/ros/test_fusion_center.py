"""The centre: complete, missing, late, damaged and foreign packets; runs that begin anew."""

import pytest
from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2

from cooperative_isac_ros.nodes.fusion_center import FusionCenter


class Centre:
    """A fusion centre with everything that talks to it."""

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
def centre(bench):
    return Centre(bench, deadline_s=0.3)


def test_a_complete_frame_is_decoded_before_its_deadline(bench, announce, features):
    centre = Centre(bench, deadline_s=60.0)
    clouds = bench.listen(PointCloud2, "detections/points")
    centre.frame.publish(announce(7))
    for site in ("rx1", "rx2"):
        centre.features[site].publish(features(7, site))
    bench.until(lambda: centre.detections and clouds)
    (message,) = centre.detections
    assert (message.run, message.number, message.sequence, message.simulated) == (1, 7, 7, True)
    assert message.header.stamp.sec == 1007 and message.header.frame_id == "map"
    assert list(message.sites_missing) == [] and list(message.detections[0].sites) == ["rx1", "rx2"]
    assert clouds[0].width == 1 and clouds[0].header == message.header


def test_packets_may_come_before_the_announcement(centre, announce, features):
    for site in ("rx1", "rx2"):
        centre.features[site].publish(features(0, site))
    centre.bench.until(lambda: centre.node.collector.num_early == 2)
    centre.frame.publish(announce(0))
    centre.bench.until(lambda: centre.detections)
    assert list(centre.detections[0].sites_missing) == []


def test_a_missing_access_point_is_named_at_the_deadline(centre, announce, features):
    centre.frame.publish(announce(0))
    centre.features["rx1"].publish(features(0, "rx1"))
    centre.bench.until(lambda: centre.detections)
    assert list(centre.detections[0].sites_missing) == ["rx2"]
    assert list(centre.detections[0].detections[0].sites) == ["rx1"]


def test_a_missing_access_point_is_reported_before_the_next_frame(bench, announce, features):
    reports = bench.listen(DiagnosticArray, "/diagnostics")
    centre = Centre(bench, deadline_s=0.05)
    bench.until(lambda: reports)
    own = centre.node.get_fully_qualified_name()
    bench.spin(0.1)
    reports.clear()
    centre.frame.publish(announce(0))
    centre.features["rx1"].publish(features(0, "rx1"))
    bench.until(
        lambda: any(
            status.name == own and "frame 0 without rx2" in status.message
            for report in reports
            for status in report.status
        )
    )


def test_a_frame_without_any_packet_says_so(centre, announce):
    centre.frame.publish(announce(0))
    centre.bench.until(lambda: centre.detections)
    assert (
        list(centre.detections[0].sites_missing) == ["rx1", "rx2"]
        and not centre.detections[0].detections
    )


def test_a_late_packet_is_counted_and_changes_nothing(centre, announce, features):
    centre.frame.publish(announce(0))
    centre.features["rx1"].publish(features(0, "rx1"))
    centre.bench.until(lambda: centre.detections)
    centre.features["rx2"].publish(features(0, "rx2"))
    centre.bench.until(lambda: centre.counts("packets_late") == 1)
    centre.bench.spin(0.1)
    assert len(centre.detections) == 1


def test_an_absent_access_point_is_not_waited_for_until_it_speaks(bench, announce, features):
    centre = Centre(bench, deadline_s=0.3, patience_frames=2)
    for number in range(2):
        centre.frame.publish(announce(number))
        centre.features["rx1"].publish(features(number, "rx1"))
        bench.until(lambda: len(centre.detections) == number + 1)
    assert centre.node.collector.absent == ("rx2",)
    centre.node._deadline._nominal_s = 60.0
    centre.frame.publish(announce(2))
    centre.features["rx1"].publish(features(2, "rx1"))
    bench.until(lambda: len(centre.detections) == 3)
    assert list(centre.detections[2].sites_missing) == ["rx2"]
    centre.features["rx2"].publish(features(3, "rx2"))
    bench.until(lambda: centre.node.collector.absent == ())


@pytest.mark.parametrize(
    "data", [b"\x01", b"\x00" * 8, b"\xff" * 9], ids=["truncated", "other frame", "too long"]
)
def test_a_damaged_packet_is_dropped_and_its_sender_named(centre, announce, features, data):
    centre.frame.publish(announce(5))
    centre.features["rx1"].publish(features(5, "rx1"))
    centre.features["rx2"].publish(features(5, "rx2", data=data))
    centre.bench.until(lambda: centre.detections)
    assert list(centre.detections[0].sites_missing) == ["rx2"]
    assert list(centre.detections[0].detections[0].sites) == ["rx1"]
    assert centre.counts("packets_damaged") == 1
    assert "rx2" in centre.node.health.status().message


@pytest.mark.parametrize(
    ("changes", "counter"),
    [
        ({"data": b""}, "packets_damaged"),
        ({"scheme": "morse"}, "packets_of_other_scheme"),
        ({"site": "rx9"}, "packets_of_unknown_site"),
    ],
)
def test_packets_that_mean_nothing_here_are_counted(centre, features, changes, counter):
    message = features(0, **{"site": "rx1", **changes})
    centre.features["rx1"].publish(message)
    centre.bench.until(lambda: centre.counts(counter) == 1)


def test_a_packet_of_an_earlier_run_is_stale(centre, announce, features):
    for run in (1, 2):
        centre.frame.publish(announce(0, run=run))
        centre.bench.until(lambda: centre.node.collector.run == run)
    centre.features["rx1"].publish(features(0, "rx1", run=1))
    centre.bench.until(lambda: centre.counts("packets_stale") == 1)


def test_a_frame_of_another_scene_is_refused_before_it_changes_anything(centre, announce, features):
    centre.frame.publish(announce(3))
    centre.features["rx1"].publish(features(3, "rx1"))
    centre.bench.until(lambda: centre.node.collector.run == 1)
    centre.frame.publish(announce(4, run=2, scene="elsewhere", scene_fingerprint="0" * 16))
    centre.bench.until(lambda: centre.counts("frames_refused") == 1)
    assert "start all nodes with one scene file" in centre.node.health.status().message
    assert centre.node.collector.run == 1 and centre.counts("restarts") == 0
    centre.bench.until(lambda: centre.detections)
    assert [message.number for message in centre.detections] == [3]


def test_one_stale_frame_changes_nothing(bench, announce, features):
    centre = Centre(bench, deadline_s=60.0)
    for number in (5, 6, 2):
        centre.frame.publish(announce(number))
    centre.bench.until(lambda: centre.counts("frames_stale") == 1)
    for site in ("rx1", "rx2"):
        centre.features[site].publish(features(6, site))
    centre.bench.until(lambda: len(centre.detections) == 2)
    assert [message.number for message in centre.detections] == [5, 6] and centre.counts(
        "restarts"
    ) == 0


def test_a_rewound_recording_gives_the_same_bytes_again(centre, announce, features):
    for decoded in (
        (1, 2, 3),
        (3, 5, 6),
    ):  # when a recording plays again, its first frame waits for the second
        for number, expected in enumerate(decoded):
            centre.frame.publish(announce(number))
            centre.bench.until(lambda: number or decoded[0] == 1 or centre.counts("frames_stale"))
            for site in ("rx1", "rx2"):
                centre.features[site].publish(features(number, site))
            centre.bench.until(lambda: len(centre.detections) == expected)
    first, second = centre.detections[:3], centre.detections[3:]
    assert [serialize_message(m) for m in first] == [serialize_message(m) for m in second]
    assert centre.counts("restarts") == 1


def test_frames_are_late_after_one_period_of_the_announced_rate(bench, announce, features):
    centre = Centre(bench, deadline_s=60.0, rate_hz=0.05)
    for number, age_ns in enumerate((0, 30 * 10**9)):
        centre.frame.publish(announce(number, stamp_ns=centre.node.now_ns - age_ns, run=number))
        bench.until(lambda: centre.node.collector.run == number)
        for site in ("rx1", "rx2"):
            centre.features[site].publish(features(number, site, run=number))
        bench.until(lambda: len(centre.detections) == number + 1)
        assert centre.counts("frames_late") == number
    assert "after its stamp; a period is 20 s" in centre.node.health.status().message


@pytest.mark.parametrize("announced", [True, False])
def test_a_frame_without_packets_is_as_simulated_as_its_announcement(centre, announce, announced):
    centre.frame.publish(announce(0, simulated=announced))
    centre.bench.until(lambda: centre.detections)
    assert centre.detections[0].simulated is announced

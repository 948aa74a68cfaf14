"""Evaluator: live accuracy, and the report."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from cooperative_isac_msgs.msg import (
    Accuracy,
    Detections,
    FeaturePacket,
    Frame,
    StageTiming,
    Tracks,
)
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry

from cooperative_isac.evaluation.run_record import load_run_record
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.run_score import RunScore
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.inputs.remote_counter import RemoteCounter
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import DetectionList, FrameStamp, Timing, TrackList
from cooperative_isac_ros.nodes.evaluator import Evaluator

PERIOD_NS = 10**8
MIXED = Path(__file__).resolve().parents[1] / "scenes/mixed.yaml"
# The last ones are of stations with schemes of their own.
SCHEMES = {"rx1": "local_ml", "rx2": "music_fine", "rx3": "raw_ml"}
OFFSET = np.array([0.3, 0.4, 0.0])  # 0.5 m


def load_summary(folder):
    return json.loads((folder / "summary.json").read_text())


class Rig:
    """An evaluator with all inputs of one target on a straight line."""

    def __init__(self, bench, **parameters):
        self.bench = bench
        self.node = bench.start(Evaluator, **parameters)
        self.accuracy = bench.listen(Accuracy, "accuracy")
        topics = (
            (Frame, "frame"),
            (Detections, "detections"),
            (Tracks, "tracks"),
            (StageTiming, "timing"),
            (FeaturePacket, "rx1/features"),
        )
        self.publishers = {topic: bench.publisher(kind, topic) for kind, topic in topics}
        self.odometry = bench.helper.create_publisher(Odometry, "targets/car1/odom", 10)
        bench.until(self.odometry.get_subscription_count)
        bench.spin(0.2)

    def place(self, number):
        return np.array([10.0 + 0.5 * number, 20.0, 0.0])

    def say(self, topic, message):
        self.publishers[topic].publish(message)

    def say_truth(self, number):
        self.odometry.publish(
            conversions.odometry_message(
                "car1", 10**12 + number * PERIOD_NS, self.place(number), np.array([5.0, 0, 0])
            )
        )

    def say_result(self, number, run=1, detections=True, variance=1.0):
        frame = FrameStamp(run, number, 10**12 + number * PERIOD_NS)
        place, velocity, covariance = self.place(number) + OFFSET, np.array([5.0, 0, 0]), np.eye(6)
        if detections:
            found = Detection(place, velocity, variance * covariance, 20.0, ("rx1",), 2)
            self.say(
                "detections", conversions.detections_message(DetectionList(frame, True, (found,)))
            )
        track = Track(
            4,
            TrackStatus.CONFIRMED,
            TargetClass.UNKNOWN,
            0.0,
            place,
            velocity,
            covariance,
            1.0,
            0.0,
            5,
        )
        self.say("tracks", conversions.tracks_message(TrackList(frame, True, (track,))))

    def say_frame(self, number, announce, run=1):
        counts = self.node.health.counts
        before = counts["frames"] + counts["frames_stale"]
        self.say_truth(number)
        self.say(
            "frame",
            announce(number, run=run, stamp_ns=10**12 + number * PERIOD_NS, downlink_bits=100),
        )
        self.bench.until(lambda: counts["frames"] + counts["frames_stale"] > before)

    def say_rest(self, number, features, run=1, latency_ms=20.0):
        frame, before = FrameStamp(run, number, 10**12 + number * PERIOD_NS), len(self.accuracy)
        self.say("rx1/features", features(number, "rx1", run=run))
        for stage in ("encode", "decode", "track"):
            self.say(
                "timing", conversions.timing_message(Timing(frame, 0, stage, "/n", 4.0, latency_ms))
            )
        self.say_result(number, run=run)
        self.bench.until(lambda: len(self.accuracy) > before)

    def play(self, numbers, announce, features, **options):
        for number in numbers:
            self.say_frame(number, announce, run=options.get("run", 1))
            self.say_rest(number, features, **options)


def test_every_frame_is_evaluated_with_the_truth_at_its_stamp(bench, announce, features):
    rig = Rig(bench)
    rig.play(range(3), announce, features)
    last = rig.accuracy[-1]
    assert (last.number, last.sequence, last.run, last.simulated) == (2, 2, 1, True)
    assert last.gospa_m == pytest.approx(0.5) and last.gospa_localization_m == pytest.approx(0.5)
    assert (last.gospa_missed_m, last.gospa_false_m, last.nees_samples) == (0.0, 0.0, 1)
    assert last.nees == pytest.approx(0.25)  # 0.3^2 + 0.4^2 over variances of 1


def test_the_bound_is_computed_at_its_interval(bench, announce, features):
    rig = Rig(bench, bound_every=2)
    rig.play(range(3), announce, features)
    ratios = [message.error_to_bound_location for message in rig.accuracy]
    assert ratios[0] > 1 and ratios[1] == 0 and ratios[2] > 1
    summary = rig.node.summary()
    assert summary["error_to_bound_samples"] == 2 and summary["error_to_bound_location"] > 1


def test_tracks_wait_for_their_detections_and_for_the_truth(bench, announce):
    rig = Rig(bench, odometry_wait_s=1.0)
    rig.say("frame", announce(1, stamp_ns=10**12 + PERIOD_NS))
    rig.say_truth(0)
    rig.say_result(1, detections=False)
    bench.spin(0.2)
    assert not rig.accuracy
    rig.say_result(1)
    bench.spin(0.2)
    assert not rig.accuracy
    rig.say_truth(1)
    bench.until(lambda: rig.accuracy)


def test_frames_without_the_truth_in_time_are_not_scored(
    bench, announce, features, tmp_path, monkeypatch
):
    # However slow this machine is, the target does not count as gone.
    monkeypatch.setattr("cooperative_isac_ros.inputs.target_watch.SILENT_AFTER_S", 1e6)
    rig = Rig(bench, out=str(tmp_path))
    rig.play(range(8), announce, features)
    counts = rig.node.health.counts

    # Four frames whose odometry comes after them, when the truth has moved on.
    for number in range(10, 14):
        rig.say("frame", announce(number, stamp_ns=10**12 + number * PERIOD_NS))
        bench.until(lambda: counts["frames"] == number - 1)
        rig.say_result(number)
        bench.until(lambda: counts["frames_not_compared"] == number - 9)
    assert "the odometry is late: car1 0.60 s" in rig.node.health.status().message
    for number in range(8, 14):
        rig.say_truth(number)
        bench.spin(0.05)
    rig.play(range(14, 18), announce, features)
    bench.spin(0.2)
    rig.node._save_checkpoint()
    before = rig.node.summary()
    assert (before["frames_compared"], before["frames_without_truth"]) == (12, 4)
    assert before["odometry_late_s"] == {"car1": 0.6}
    assert before["false_tracks"] == 0 and before["targets"]["car1"]["continuity"] == 1
    assert before["nees"] == pytest.approx(0.25)

    # An evaluator that takes over compares the same frames.
    rig = begun_again(rig, tmp_path)
    after = rig.node.summary()
    for key in ("frames_compared", "frames_without_truth", "nees", "targets", "false_tracks"):
        assert after[key] == before[key]


def test_tracks_without_detections_are_counted_but_not_evaluated(bench, announce):
    rig = Rig(bench)
    rig.say("frame", announce(0, stamp_ns=10**12))
    bench.until(lambda: rig.node.health.counts["frames"])
    rig.say_result(0, detections=False)
    bench.until(lambda: rig.node.health.counts["detections_unheard"] == 1)
    assert not rig.accuracy


def test_the_scheme_is_that_of_the_run_beside_stations_with_their_own(bench, announce, features):
    mixed = load_scene(MIXED)
    node = bench.start(Evaluator, scene=str(MIXED), wait_for_targets=False)
    frame = bench.publisher(Frame, "frame")
    publishers = {name: bench.publisher(FeaturePacket, f"{name}/features") for name in SCHEMES}
    changes = {"scene": mixed.name, "scene_fingerprint": mixed.fingerprint}
    frame.publish(announce(0, **changes))
    bench.until(lambda: node.health.counts["frames"])
    for name, scheme in SCHEMES.items():
        publishers[name].publish(features(0, name, data=b"packet", scheme=scheme))
    bench.until(lambda: len(node.summary()["fronthaul_bits_per_s"]) == len(SCHEMES))
    assert node.summary()["scheme"] == "local_ml"


def test_the_report_holds_what_happened(bench, announce, features, tmp_path):
    rig = Rig(bench, out=str(tmp_path / "new" / "folder"))
    rig.play(range(8), announce, features)
    rig.play([9], announce, features, latency_ms=150.0)  # frame 8 is lost, frame 9 is late
    bench.spin(0.2)
    rig.node.close()
    summary = json.loads((tmp_path / "new" / "folder" / "summary.json").read_text())
    assert (summary["frames"], summary["frames_late"], summary["frames_lost"]) == (10, 2, 1)
    assert (
        summary["scene"] == "tiny"
        and summary["scheme"] == "counting"
        and summary["false_tracks"] == 0
    )
    car = summary["targets"]["car1"]
    assert (
        car["continuity"] == 1.0
        and car["rmse_m"] == pytest.approx(0.5)
        and car["identity_switches"] == 0
    )
    quality = summary["quality"]
    assert quality["horizontal_95_m"] == pytest.approx(0.5) and quality["vertical_95_m"] is None
    assert (quality["missed_share"], quality["false_share"]) == (0, 0)
    assert quality["latency_99_ms"] == pytest.approx(139.6)
    assert quality["refresh_s"] == pytest.approx(1 / 9)
    assert quality["sensing_category"] == 3 and quality["exceeded"] == ["refresh_s"]
    assert summary["fronthaul_bits_per_s"] == {"rx1": 9 * 64.0}
    assert summary["fronthaul_downlink_bits_per_s"] == 900.0
    assert summary["latency_ms"]["end_to_end"] == {"p50": 20.0, "p99": pytest.approx(139.6)}
    assert summary["latency_ms"]["encode"]["p50"] == 4.0
    record = load_run_record(tmp_path / "new" / "folder" / "run.npz")
    assert record.frame_number.tolist() == [*range(8), 9]
    assert np.allclose(record.track_state[:, :3] - record.truth_state[:, :3], OFFSET)


def test_another_run_is_another_report(bench, announce, features):
    rig = Rig(bench)
    rig.play(range(3), announce, features)
    rig.play(range(3, 5), announce, features, run=2)
    bench.spin(0.2)
    assert rig.node.summary()["frames"] == 2 and rig.node.health.counts["restarts"] == 1


def test_a_recording_that_begins_again_is_another_report(bench, announce, features):
    rig = Rig(bench)
    rig.play(range(12), announce, features)
    for number in range(2):
        rig.say_frame(number, announce)
    for number in range(2):
        rig.say_rest(number, features)
    rig.play([2], announce, features)
    bench.until(lambda: rig.node.summary()["frames_lost"] == 0)
    assert rig.node.summary()["frames"] == 3 and rig.node.health.counts["restarts"] == 1
    assert rig.node.report.recorder.record().frame_number.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("run", "fingerprint", "event"), [(1, None, "frames_stale"), (7, "0" * 16, "frames_refused")]
)
def test_one_stale_or_foreign_frame_is_no_restart(
    bench, announce, features, run, fingerprint, event
):
    rig = Rig(bench)
    rig.play(range(4), announce, features)
    changes = {"scene_fingerprint": fingerprint} if fingerprint else {}
    rig.say("frame", announce(1, run=run, stamp_ns=10**12 + PERIOD_NS, **changes))
    bench.until(lambda: rig.node.health.counts[event] == 1)
    rig.play([4], announce, features)
    assert rig.node.summary()["frames"] == 5 and rig.node.health.counts["restarts"] == 0


def test_what_is_published_is_finite_even_if_a_covariance_is_absurd(bench, announce):
    rig = Rig(bench)
    rig.say_frame(0, announce)
    rig.say_result(0, variance=1e-310)
    bench.until(lambda: rig.accuracy)
    assert (rig.accuracy[0].nees, rig.accuracy[0].nees_samples) == (0.0, 0)
    assert rig.node.health.counts["detections_refused"] == 1


@pytest.mark.parametrize(
    "error",
    [np.linalg.LinAlgError("singular"), ValueError("no direction"), FloatingPointError("overflow")],
)
def test_a_bound_that_cannot_be_computed_is_counted(bench, announce, features, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("cooperative_isac_ros.nodes.evaluator.network_bound", fail)
    rig = Rig(bench, bound_every=1)
    rig.play(range(2), announce, features)
    assert rig.node.health.counts["bounds_failed"] == 2
    assert f"frame 1: {error}" in rig.node.health.status().message
    assert rig.node.summary()["error_to_bound_samples"] == 0


def test_targets_in_one_place_have_no_bound_and_end_nothing(bench, announce, features):
    rig = Rig(bench, bound_every=1)
    twin = bench.publisher(Odometry, "targets/twin/odom")
    bench.spin(0.2)
    for number in range(2):
        stamp_ns = 10**12 + number * PERIOD_NS
        twin.publish(
            conversions.odometry_message("twin", stamp_ns, rig.place(number), np.array([5.0, 0, 0]))
        )
        rig.play([number], announce, features)
    assert rig.accuracy[-1].number == 1 and rig.node.summary()["error_to_bound_samples"] == 0


def test_invalid_messages_are_refused(bench, announce):
    rig = Rig(bench)
    rig.say_frame(0, announce)
    frame, far = FrameStamp(1, 0, 10**12), FrameStamp(1, 10**15, 10**12)
    found = Detection(np.array([math.inf, 0, 0]), np.zeros(3), np.eye(6), 20.0, (), 1)
    rig.say("detections", conversions.detections_message(DetectionList(frame, True, (found,))))
    bench.until(lambda: rig.node.health.counts["detections_refused"] == 1)
    for topic, message in (
        ("timing", conversions.timing_message(Timing(frame, 0, "decode", "/n", math.nan, 1.0))),
        ("timing", conversions.timing_message(Timing(far, 0, "decode", "/n", 1.0, 1.0))),
        ("tracks", conversions.tracks_message(TrackList(far, True, ()))),
    ):
        before = rig.node.health.counts["messages_refused"]
        rig.say(topic, message)
        bench.until(lambda: rig.node.health.counts["messages_refused"] == before + 1)
    assert f"frame {10**15}: the last that was announced is 0" in rig.node.health.status().message


def test_a_target_whose_clock_is_off_is_named_in_the_report(bench):
    node = bench.start(Evaluator)
    bench.helper.create_publisher(Odometry, "targets/robot/odom", 10)
    bench.until(lambda: "robot" in node._watch._targets)
    for _ in range(5):
        node._watch._on_odometry(
            "robot", Odometry(header=conversions.map_header(node.now_ns - 2 * 10**9))
        )
    reason = node.summary()["targets_not_compared"]["robot"]
    assert reason.startswith("stamps are 2.00 s behind the clock")


def begun_again(rig, folder):
    """Another evaluator in place of one that was killed."""
    rig.bench.spin(0.2)
    rig.node._save_checkpoint()
    rig.bench.executor.remove_node(rig.node)
    rig.bench.nodes.remove(rig.node)
    rig.node.destroy_node()
    return Rig(rig.bench, out=str(folder))


def test_a_restarted_evaluator_resumes_the_report(bench, announce, features, tmp_path):
    rig = Rig(bench, out=str(tmp_path), bound_every=2)
    rig.play(range(4), announce, features)
    rig = begun_again(rig, tmp_path)
    before, taken_up = load_summary(tmp_path), rig.node.summary()
    assert before["targets"]["car1"]["frames"] == taken_up["targets"]["car1"]["frames"]
    assert before["nees"] is not None and taken_up["nees"] == before["nees"]
    rig.play(range(9, 12), announce, features)
    bench.spin(0.2)
    rig.node.close()
    summary = load_summary(tmp_path)
    assert (summary["frames"], summary["frames_lost"], summary["frames_unseen"]) == (12, 0, 5)
    assert summary["error_to_bound_samples"] >= 2 and rig.node.health.counts["restarts"] == 0
    assert load_run_record(tmp_path / "run.npz").frame_number.tolist() == [0, 1, 2, 3, 9, 10, 11]
    assert not (tmp_path / "checkpoint").exists()


def test_a_frame_that_cannot_be_scored_costs_only_itself_in_another_evaluator(
    bench, announce, features, tmp_path, monkeypatch
):
    rig = Rig(bench, out=str(tmp_path))
    rig.play(range(3), announce, features)
    add = RunScore.add

    def add_or_fail(self, time_s, *values):
        if time_s == 1000.1:
            raise IndexError("of frame 1")
        return add(self, time_s, *values)

    monkeypatch.setattr(RunScore, "add", add_or_fail)
    rig = begun_again(rig, tmp_path)
    assert rig.node.health.counts["callbacks_failed"] == 1
    assert rig.node.report.score.summary().frames == 2


def test_a_report_of_another_scene_is_not_gone_on_with(bench, announce, features, tmp_path):
    rig = Rig(bench, out=str(tmp_path))
    rig.play(range(3), announce, features)
    bench.spin(0.2)
    rig.node._save_checkpoint()
    counts_file = tmp_path / "checkpoint" / "counts.json"
    content = json.loads(counts_file.read_text())
    content["counts"]["scene_fingerprint"] = "0" * 16
    counts_file.write_text(json.dumps(content))
    assert bench.start(Evaluator, out=str(tmp_path)).summary()["frames"] == 0


@pytest.mark.parametrize(("number", "run"), [(0, 1), (9, 2)], ids=["plays again", "another run"])
def test_a_report_of_another_pass_is_not_gone_on_with(
    bench, announce, features, tmp_path, number, run
):
    rig = Rig(bench, out=str(tmp_path))
    rig.play(range(4), announce, features)
    rig = begun_again(rig, tmp_path)
    rig.play([number], announce, features, run=run)
    rig.node.close()
    assert load_run_record(tmp_path / "run.npz").frame_number.tolist() == [number]


def report_of(name, key, count):
    """Diagnostics of a node with one counter."""
    value = KeyValue(key=key, value=str(count))
    return DiagnosticArray(status=[DiagnosticStatus(name=name, values=[value])])


def test_a_counter_of_another_node_counts_from_its_first_report():
    counter = RemoteCounter("/center", "packets")

    def increment(count, name="/center", key="packets"):
        (status,) = report_of(name, key, count).status
        return counter.increment(status)

    # The reference, two more, another node, a restart, and a report without the counter.
    assert [increment(5), increment(7), increment(9, "/other"), increment(3)] == [0, 2, 0, 3]
    assert increment(8, key="frames") == 0 and increment(1) == 1
    assert [increment(text) for text in ("9" * 5000, "-1", "many")] == [0, 0, 0]
    assert increment(2) == 1


def test_frames_that_the_controller_skipped_are_not_lost(bench, announce, features):
    rig = Rig(bench)
    diagnostics = bench.publisher(DiagnosticArray, "/diagnostics")

    def skipped(count):
        name = f"{bench.namespace}/transmit_controller"
        diagnostics.publish(report_of(name, "frames_skipped", count))

    skipped(0)
    bench.spin(0.2)
    skipped(2)
    bench.until(lambda: rig.node.summary()["frames_skipped"] == 2)
    rig.play(range(2), announce, features)
    rig.play(range(5, 7), announce, features)
    for count, seen in ((4, 4), (1, 5)):  # one more of a controller that was started again
        skipped(count)
        bench.until(lambda: rig.node.summary()["frames_skipped"] == seen)
    assert rig.node.summary()["frames_lost"] == 0 and rig.node.summary()["frames"] == 7


def test_packets_out_of_range_and_places_of_fusion_are_in_the_report(bench):
    node = bench.start(Evaluator, scene="bs_ue_zones")
    diagnostics = bench.publisher(DiagnosticArray, "/diagnostics")
    name = f"{bench.namespace}/fusion_center"
    for key, counts in (("packets_undelivered", (2, 5)), ("fused_at_ue3", (0, 7))):
        for count in counts:
            diagnostics.publish(report_of(name, key, count))
            bench.spin(0.2)
    bench.until(lambda: node.summary()["frames_fused_at"] == {"ue3": 7})
    assert node.summary()["packets_undelivered"] == 3


def test_a_report_that_cannot_be_written_ends_nothing(bench, announce, features, tmp_path):
    (tmp_path / "file").write_text("")
    rig = Rig(bench, out=str(tmp_path / "file"))
    rig.play(range(2), announce, features)
    rig.node._save_checkpoint()
    assert rig.node.health.counts["reports_unwritten"] == 1
    rig.play([2], announce, features)
    rig.node.close()


def test_without_a_folder_nothing_is_written(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench.start(Evaluator).close()
    assert not list(tmp_path.iterdir())

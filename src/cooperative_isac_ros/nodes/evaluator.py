"""Compares detections and tracks with the targets' odometry, live and in a report at the end."""

from __future__ import annotations

import json
import math
import sys
from collections import OrderedDict, deque
from dataclasses import asdict
from functools import partial
from pathlib import Path

from cooperative_isac_msgs.msg import Accuracy, Detections, FeaturePacket, Frame, StageTiming, Tracks
from rclpy.clock import Clock, ClockType

from cooperative_isac.evaluation.live_bound import BoundLog, frame_bound
from cooperative_isac.evaluation.run_ledger import RunLedger
from cooperative_isac.evaluation.run_record import RunRecorder
from cooperative_isac.metrics.run_score import LiveFigures, RunScore
from cooperative_isac_ros import conversions, qos
from cooperative_isac_ros.base import ONLOOKER_NICE, run_node, SceneNode
from cooperative_isac_ros.announcements import announcement_or_fault, signal_or_fault
from cooperative_isac_ros.parameters import Parameter, rate_parameter
from cooperative_isac_ros.records import AccuracyRecord, Announcement, DetectionList, FrameStamp, TrackList
from cooperative_isac_ros.target_watch import WATCH_PARAMETERS, TargetWatch

FRAMES_KEPT = 32
SUMMARY_FILE, RECORD_FILE = "summary.json", "run.npz"
PARAMETERS = (
    rate_parameter("rate at which frames are announced"),
    Parameter("out", "", f"folder for {SUMMARY_FILE} and {RECORD_FILE} at the end; empty: none"),
    Parameter("bound_every", 25,
              "frames from one Cramer-Rao bound to the next, of simulated echoes; 0: never", 0, 100000),
    Parameter("odometry_wait_s", 0.06, "how long tracks wait for odometry at or after their stamp [s]", 0.001,
              1.0),
    *WATCH_PARAMETERS,
)


class Evaluator(SceneNode):
    """Judges one run; another run, or a clock that goes back, begins a new report."""

    def __init__(self, **options):
        super().__init__("evaluator", PARAMETERS, **options)
        self._run, self._number = None, -1
        self._scheme = self.scene.sensing.scheme
        self._begin()
        self._watch = TargetWatch(self, on_sample=self._judge_complete)
        self._patience = self.create_timer(self.settings["odometry_wait_s"], self._judge_oldest,
                                           clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._patience.cancel()
        self._accuracy = self.create_publisher(Accuracy, self.shared("accuracy"), qos.STREAM)
        for message_type, topic, callback in (
                (Frame, "frame", self._hear_frame), (Detections, "detections", self._hear_detections),
                (Tracks, "tracks", self._hear_tracks), (StageTiming, "timing", self._hear_timing)):
            self.create_subscription(message_type, self.shared(topic), callback, qos.STREAM)
        for site in self.scene.receivers:
            self.create_subscription(FeaturePacket, self.shared(f"{site.name}/features"),
                                     partial(self._hear_packet, site.name), qos.STREAM)

    def waiting_for(self) -> str:
        """The scene's targets that were not heard yet."""
        return self._watch.waiting_for()

    def _begin(self) -> None:
        rate_hz = self.settings["rate_hz"] or self.scene.update_rate_hz
        self._ledger, self._recorder = RunLedger(1 / rate_hz), RunRecorder()
        self._score = RunScore(self.scene.continuity_threshold_m, self.scene.tracking, self.scene.dimension)
        self._bounds = BoundLog(self.scene.dimension)
        self._bounded: dict[int, Announcement] = {}
        self._detections: OrderedDict[int, DetectionList] = OrderedDict()
        self._due: deque[TrackList] = deque()

    def _hear_frame(self, message: Frame) -> None:
        if self._run is not None and (message.run != self._run or message.number < self._number):
            self.get_logger().warning(f"the report begins anew: frame {message.number} of run {message.run}")
            self.health.count("restarts")
            self._begin()
        self._run, self._number = message.run, message.number
        every = self.settings["bound_every"]
        if every and message.simulated and message.number % every == 0:
            self._bounded = {message.number: conversions.announcement(message)}
        self._ledger.announce(message.number, conversions.to_ns(message.header.stamp), message.downlink_bits)
        self.health.count("frames")

    def _hear_packet(self, site: str, message: FeaturePacket) -> None:
        if message.run == self._run:
            self._scheme = message.scheme
            self._ledger.hear_packet(site, len(message.data))

    def _hear_timing(self, message: StageTiming) -> None:
        if message.run == self._run:
            self._ledger.time_stage(message.number, message.stage, message.duration_ms, message.latency_ms)

    def _hear_detections(self, message: Detections) -> None:
        record = self._converted(conversions.detection_list, message)
        if record is not None:
            self._detections[record.frame.number] = record
            if len(self._detections) > FRAMES_KEPT:
                self._detections.popitem(last=False)
            self._judge_complete()

    def _hear_tracks(self, message: Tracks) -> None:
        record = self._converted(conversions.track_list, message)
        if record is not None:
            self._due.append(record)
            self._patience.reset()
            self._judge_complete()

    def _converted(self, convert, message):
        try:
            return convert(message) if message.run == self._run else None
        except conversions.ConversionError as error:
            self.health.fault("messages_refused", f"frame {message.number}: {error}")
            return None

    def _judge_complete(self) -> None:
        while self._due and self._due[0].frame.number in self._detections and \
                self._watch.registry.is_complete(self._due[0].frame.stamp_ns):
            self._judge(self._due.popleft())

    def _judge_oldest(self) -> None:
        self._patience.cancel()
        while self._due:
            self._judge(self._due.popleft())

    def _judge(self, tracks: TrackList) -> None:
        frame = tracks.frame
        detections = self._detections.pop(frame.number, None)
        if detections is None:
            self.health.fault("detections_unheard", f"tracks of frame {frame.number} came without detections")
            return
        truths = self._watch.registry.at(frame.stamp_ns)
        self._recorder.add(frame.number, frame.stamp_ns, truths, detections.detections, tracks.tracks)
        live = self._score.add(frame.stamp_ns * 1e-9, truths, detections.detections, tracks.tracks)
        ratios = self._compare_to_bound(frame.number, truths, detections)
        if self.context.ok():
            self._accuracy.publish(
                conversions.accuracy_message(_accuracy(frame, tracks.simulated, live, ratios)))
        self.health.figures["gospa_m"] = f"{live.gospa.distance_m:.2f}"

    def _compare_to_bound(self, number: int, truths, detections: DetectionList) -> tuple[float, float]:
        announcement = self._bounded.pop(number, None)
        signal = signal_or_fault(self, announcement) if announcement is not None and truths else None
        if signal is None:
            return 0.0, 0.0
        bound = frame_bound(self.scene_of(announcement), signal, truths)
        return self._bounds.add(bound, truths, detections.detections)

    def summary(self) -> dict:
        """The report so far, as summary.json holds it."""
        score = asdict(self._score.summary())
        del score["frames"], score["error_to_bound"]
        return {"scene": self.scene.name, "scene_fingerprint": self.scene.fingerprint, "scheme": self._scheme,
                **self._ledger.summary(self.now_ns), **score, **self._bounds.summary()}

    def close(self) -> None:
        """Write the report."""
        self._judge_oldest()
        if not self.settings["out"]:
            return
        folder = Path(self.settings["out"]).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        self._recorder.record().save(folder / RECORD_FILE)
        (folder / SUMMARY_FILE).write_text(json.dumps(self.summary(), indent=2) + "\n", encoding="utf-8")


def _accuracy(frame: FrameStamp, simulated: bool, live: LiveFigures,
              ratios: tuple[float, float]) -> AccuracyRecord:
    parts_m = (math.sqrt(part) for part in (live.gospa.localisation, live.gospa.missed, live.gospa.false))
    return AccuracyRecord(frame, simulated, live.gospa.distance_m, *parts_m, live.nees or 0.0,
                          live.num_detected, *ratios)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(Evaluator, args, ONLOOKER_NICE)


if __name__ == "__main__":
    sys.exit(main())

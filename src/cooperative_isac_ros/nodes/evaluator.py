"""Compares detections and tracks with the targets' odometry, live and in a report at the end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection
from dataclasses import asdict
from functools import partial

import numpy as np
from cooperative_isac_msgs.msg import (
    Accuracy,
    Detections,
    FeaturePacket,
    Frame,
    StageTiming,
    Tracks,
)
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType

from cooperative_isac.evaluation.checkpoint import (
    clear_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from cooperative_isac.evaluation.live_bound import BoundLog, network_bound
from cooperative_isac.evaluation.run_ledger import RunLedger
from cooperative_isac.evaluation.run_record import RECORD_FILE, RunRecorder, recorded_frames
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE, write_summary
from cooperative_isac.metrics.run_score import LiveFigures, RunScore
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import OBSERVER_NICE, SceneNode, run_node
from cooperative_isac_ros.inputs.announcements import announcement_or_fault, frame_or_fault
from cooperative_isac_ros.inputs.pose_watch import POSE_PARAMETERS, PoseWatch
from cooperative_isac_ros.inputs.target_watch import WATCH_PARAMETERS, TargetWatch
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import (
    AccuracyRecord,
    Announcement,
    DetectionList,
    FrameStamp,
    TrackList,
)
from cooperative_isac_ros.parameters import ODOMETRY_WAIT, SCHEME, Parameter, rate_parameter
from cooperative_isac_ros.timing.frame_order import FrameOrder
from cooperative_isac_ros.timing.result_pairs import ResultPairs

FRAMES_AHEAD = 32  # that a result may be about while their announcements are still on their way
COUNT_DIGITS = 12  # of frames skipped: more than there are in any run
# [s] What a dead evaluator costs at most; a checkpoint that takes long comes less often.
CHECKPOINT_S, CHECKPOINT_SHARE = 5.0, 0.02
PARAMETERS = (
    SCHEME,
    rate_parameter("rate at which frames are announced"),
    Parameter("out", "", f"folder for {SUMMARY_FILE} and {RECORD_FILE}; empty: none"),
    Parameter(
        "bound_every",
        25,
        "frames from one Cramer-Rao bound to the next, of simulated echoes; 0: never",
        0,
        100000,
    ),
    ODOMETRY_WAIT,
    *WATCH_PARAMETERS,
    *POSE_PARAMETERS,
)


class Evaluator(SceneNode):
    """Judges one run; another run, or a recording that plays again, begins a new report.

    The report is written every few seconds; an evaluator that is started again in the same run
    goes on with it.
    """

    def __init__(self, **options):
        super().__init__("evaluator", PARAMETERS, **options)
        self._order: FrameOrder[Announcement] = FrameOrder("frames", self.health.fault)
        self._scheme = self.scheme_name
        self._folder = self.settings.path("out")
        self._begin()
        self._taken_up = self._take_up()
        self._watch = TargetWatch(self, on_sample=self._judge_complete)
        self._poses = PoseWatch(self, on_sample=self._judge_complete)
        self._patience = self.create_timer(
            self.settings["odometry_wait_s"],
            self._judge_rest,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._patience.cancel()
        self._accuracy = self.create_publisher(Accuracy, self.shared("accuracy"), qos.STREAM)
        for message_type, topic, callback in (
            (Frame, "frame", self._hear_frame),
            (Detections, "detections", self._hear_detections),
            (Tracks, "tracks", self._hear_tracks),
            (StageTiming, "timing", self._hear_timing),
        ):
            self.create_subscription(message_type, self.shared(topic), callback, qos.COUNTED)
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._hear_diagnostics, qos.STREAM
        )
        self.create_timer(
            CHECKPOINT_S, self._checkpoint, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        for station in self.scene.receiving_stations:
            self.create_subscription(
                FeaturePacket,
                self.shared(f"{station.name}/features"),
                partial(self._hear_packet, station.name),
                qos.STREAM,
            )

    def waiting_for(self) -> str:
        """The scene's targets and the poses of stations that were not heard yet."""
        return ", ".join(filter(None, (self._watch.waiting_for(), self._poses.waiting_for())))

    def _begin(self) -> None:
        rate_hz = self.settings["rate_hz"] or self.scene.update_rate_hz
        self._ledger, self._recorder = RunLedger(1 / rate_hz), RunRecorder()
        self._score = RunScore(
            self.scene.continuity_threshold_m,
            self.scene.tracking,
            self.scene.dimension,
            self.scene.class_thresholds_m,
        )
        self._bounds = BoundLog(self.scene.dimension)
        self._bounded: dict[int, Announcement] = {}
        self._pairs = ResultPairs(self.health.fault)
        self._unsaved = 0
        self._changed = False
        self._next_checkpoint_s = 0.0
        self._skipped_seen: int | None = None

    def _take_up(self) -> FrameStamp | None:
        """Go on with a report that another process did not complete; its last frame, if any."""
        checkpoint = read_checkpoint(self._folder) if self._folder is not None else None
        if checkpoint is None or not checkpoint.record.frame_number.size:
            return None
        if checkpoint.counts.get("scene_fingerprint") != self.scene.fingerprint:
            return None
        try:
            self._ledger.restore(checkpoint.counts["ledger"])
            self._bounds.restore(checkpoint.counts["bounds"])
            self._scheme = str(checkpoint.counts["scheme"])
        except (KeyError, TypeError, ValueError) as error:
            self.health.fault("states_refused", f"{self._folder}: {error!r}")
            self._begin()
            return None

        # The score is a function of the frames, but for those that could not be scored before.
        for frame in recorded_frames(checkpoint.record):
            self._recorder.add(
                frame.number,
                frame.stamp_ns,
                frame.truths,
                frame.detections,
                frame.tracks,
                frame.simulated,
            )
            score = self.guarded(self._score.add, f"judging frame {frame.number}")
            score(frame.stamp_ns * 1e-9, frame.truths, frame.detections, frame.tracks)
        return FrameStamp(checkpoint.run, frame.number, frame.stamp_ns)

    def _continue_or_begin(self, frame: FrameStamp) -> None:
        """At the first frame: whether it goes on from the report that was taken up."""
        last, self._taken_up = self._taken_up, None
        if last is not None and frame.run == last.run and frame.number > last.number:
            self.get_logger().info(f"the report goes on: frame {frame.number} of run {frame.run}")
            return
        if last is not None:
            self._begin()
        if self._folder is not None:
            clear_checkpoint(self._folder)

    @property
    def _run(self) -> int | None:
        return self._order.last.run if self._order.last is not None else None

    def _hear_frame(self, message: Frame) -> None:
        announcement, run = announcement_or_fault(self, message), self._run
        if announcement is None:
            return
        for turn in self._order.take(announcement.frame, announcement):
            if turn.begins and run is None:
                self._continue_or_begin(turn.frame)
            if turn.begins and run is not None:
                self.get_logger().warning(
                    f"the report begins anew: frame {turn.frame.number} of run {turn.frame.run}"
                )
                self.health.count("restarts")
                self._begin()
                if self._folder is not None:
                    clear_checkpoint(self._folder)
            self._announce(turn.item)

    def _announce(self, announcement: Announcement) -> None:
        frame, every = announcement.frame, self.settings["bound_every"]
        # The bound has one path for each target and pair of sites: a path file has many.
        one_path = self.scene.propagation.paths is None
        if every and one_path and announcement.simulated and frame.number % every == 0:
            self._bounded = {frame.number: announcement}
        self._ledger.announce(frame.number, frame.stamp_ns, announcement.downlink_bits)
        self._changed = True
        self.health.count("frames")

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        """How many frames the controller skipped."""
        for status in message.status:
            if status.name == self.shared("transmit_controller"):
                texts = {value.key: value.value for value in status.values}
                self._note_skipped(texts.get("frames_skipped", "0"))

    def _note_skipped(self, text: str) -> None:
        if not text.isdecimal() or len(text) > COUNT_DIGITS:
            return
        count, seen = int(text), self._skipped_seen
        self._skipped_seen = count
        if seen is not None:  # a controller that was started again counts from 0
            self._ledger.skip(count - seen if count >= seen else count)

    def _hear_packet(self, site: str, message: FeaturePacket) -> None:
        record = self._converted(conversions.packet, message)
        if record is not None:
            # A station with a scheme of its own says nothing of that of the run.
            if not self.scene.station(site).scheme:
                self._scheme = record.scheme
            self._ledger.hear_packet(site, len(record.data))

    def _hear_timing(self, message: StageTiming) -> None:
        record = self._converted(conversions.timing, message)
        if record is not None:
            self._ledger.time_stage(
                record.frame.number, record.stage, record.duration_ms, record.latency_ms
            )

    def _hear_detections(self, message: Detections) -> None:
        record = self._converted(
            partial(conversions.detection_list, on_fault=self.health.fault), message
        )
        if record is not None:
            self._pairs.add_detections(record)
            self._judge_complete()

    def _hear_tracks(self, message: Tracks) -> None:
        record = self._converted(
            partial(conversions.track_list, on_fault=self.health.fault), message
        )
        if record is not None:
            self._pairs.add_tracks(record)
            self._patience.reset()
            self._judge_complete()

    def _converted(self, convert, message):
        """The record of a message of this run; None, and counted, when it means nothing."""
        last = self._order.last
        if last is None or message.run != last.run:
            return None
        try:
            if message.number > last.number + FRAMES_AHEAD:
                raise conversions.ConversionError(f"the last that was announced is {last.number}")
            return convert(message)
        except conversions.ConversionError as error:
            self.health.fault("messages_refused", f"frame {message.number}: {error}")
            return None

    def _judge_complete(self) -> None:
        for pair in self._pairs.complete(self._is_known):
            self._evaluate_guarded(*pair)

    def _is_known(self, stamp_ns: int) -> bool:
        """Whether the truth at a stamp is there."""
        return self._watch.registry.is_complete(stamp_ns) and self._poses.is_complete(stamp_ns)

    def _judge_rest(self) -> None:
        self._patience.cancel()
        for pair in self._pairs.rest():
            self._evaluate_guarded(*pair)

    def _evaluate_guarded(self, detections: DetectionList, tracks: TrackList) -> None:
        """Judge one frame; one that fails costs neither the others nor the report."""
        self.guarded(self._judge, f"judging frame {tracks.frame.number}")(detections, tracks)

    def _judge(self, detections: DetectionList, tracks: TrackList) -> None:
        frame = tracks.frame
        truths = self._watch.registry.at(frame.stamp_ns)
        self._recorder.add(
            frame.number,
            frame.stamp_ns,
            truths,
            detections.detections,
            tracks.tracks,
            tracks.simulated,
        )
        self._unsaved += 1
        live = self._score.add(frame.stamp_ns * 1e-9, truths, detections.detections, tracks.tracks)
        ratios = self._compare_to_bound(frame.number, truths, detections)
        if self.context.ok():
            self._accuracy.publish(
                conversions.accuracy_message(_accuracy(frame, tracks.simulated, live, ratios))
            )
        self.health.figures["gospa_m"] = f"{live.gospa.distance_m:.2f}"

    def _compare_to_bound(
        self, number: int, truths, detections: DetectionList
    ) -> tuple[float, float]:
        announcement = self._bounded.pop(number, None)
        if announcement is None or not truths:
            return 0.0, 0.0
        frame = frame_or_fault(self, announcement, self._poses.poses)
        if frame is None:
            return 0.0, 0.0
        try:
            bound = network_bound(self.scene_of(announcement), frame, truths)
            return self._bounds.add(bound, truths, detections.detections)
        except (np.linalg.LinAlgError, FloatingPointError, ValueError) as error:
            self.health.fault("bounds_failed", f"frame {number}: {error}")
            return 0.0, 0.0

    def summary(self) -> dict:
        """The report so far, as summary.json holds it."""
        score = asdict(self._score.summary())
        del score["frames"], score["error_to_bound"]
        return {
            "scene": self.scene.name,
            "scene_fingerprint": self.scene.fingerprint,
            "scheme": self._scheme,
            **self._ledger.summary(self.now_ns),
            **score,
            **self._bounds.summary(),
            "targets_not_compared": self._not_compared(score["targets"]),
        }

    def _not_compared(self, compared: Collection[str]) -> dict[str, str]:
        """Targets whose odometry never fitted a frame, with the reason."""
        faults = self._watch.faults()
        names = [name for name in self._watch.registry.names if name not in compared]
        return {name: faults.get(name, "its odometry fits no frame") for name in names}

    def _checkpoint(self) -> None:
        """Write the report so far, if anything has changed."""
        began_s = time.monotonic()
        run = self._run
        if self._folder is None or run is None:
            return
        if not self._changed or began_s < self._next_checkpoint_s:
            return
        counts = {
            "ledger": self._ledger.state(),
            "bounds": self._bounds.state(),
            "scheme": self._scheme,
            "scene_fingerprint": self.scene.fingerprint,
        }
        try:
            write_checkpoint(
                self._folder,
                run,
                counts,
                self._recorder.record(self._unsaved),
                self.summary(),
            )
        except OSError as error:
            self.health.fault("reports_unwritten", f"{self._folder}: {error.strerror}")
            return
        self._unsaved = 0
        self._changed = False
        ended_s = time.monotonic()
        self._next_checkpoint_s = ended_s + (ended_s - began_s) / CHECKPOINT_SHARE

    def close(self) -> None:
        """Write the report."""
        self._judge_rest()
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_summary(self._folder / SUMMARY_FILE, self.summary())
            self._recorder.record().save(self._folder / RECORD_FILE)
        except OSError as error:
            # What the checkpoints hold is left for whoever started the node.
            self.get_logger().error(f"the report is not complete: {self._folder}: {error.strerror}")
            return
        clear_checkpoint(self._folder)


def _accuracy(
    frame: FrameStamp, simulated: bool, live: LiveFigures, ratios: tuple[float, float]
) -> AccuracyRecord:
    nees = live.nees if live.nees is not None and math.isfinite(live.nees) else 0.0
    return AccuracyRecord(
        frame,
        simulated,
        live.gospa.distance_m,
        math.sqrt(live.gospa.localization),
        math.sqrt(live.gospa.missed),
        math.sqrt(live.gospa.false),
        nees,
        live.num_detected,
        *ratios,
    )


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(Evaluator, args, OBSERVER_NICE)


if __name__ == "__main__":
    sys.exit(main())

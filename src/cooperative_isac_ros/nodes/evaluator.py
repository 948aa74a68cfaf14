"""Evaluator: compares detections and tracks with the targets' odometry, live and in a report."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
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
)
from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.evaluation.live_report import LiveReport
from cooperative_isac.evaluation.run_record import RECORD_FILE
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE
from cooperative_isac.evaluation.truth_log import late_truth_s
from cooperative_isac.metrics.run_score import LiveFigures
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import OBSERVER_NICE, SceneNode, run_node
from cooperative_isac_ros.inputs.announcements import announcement_or_fault, frame_or_fault
from cooperative_isac_ros.inputs.pose_watch import POSE_PARAMETERS, PoseWatch
from cooperative_isac_ros.inputs.remote_counter import FUSED_AT, RemoteCounter
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

# Largest number of frames by which a result may be ahead of the latest announcement.
FRAMES_AHEAD = 32
# Period of the checkpoints, s: a killed evaluator loses no more.
CHECKPOINT_S = 5.0
# Largest share of the time that writing checkpoints may take; slow ones are written less often.
CHECKPOINT_SHARE = 0.02
PARAMETERS = (
    SCHEME,
    rate_parameter("frame rate"),
    Parameter(
        "out",
        "",
        f"folder for {SUMMARY_FILE} and {RECORD_FILE}, updated during the run; empty: none",
    ),
    Parameter(
        "bound_every",
        25,
        "interval of the Cramer-Rao bound in frames, for simulated echoes without a path file; "
        "0: never",
        0,
        100000,
    ),
    ODOMETRY_WAIT,
    *WATCH_PARAMETERS,
    *POSE_PARAMETERS,
)


class Evaluator(SceneNode):
    """Evaluates one run; another run, or a recording that plays again, begins a new report.

    The report is saved every few seconds; an evaluator that is restarted in the same run resumes
    it.
    """

    def __init__(self, **options):
        super().__init__("evaluator", PARAMETERS, **options)

        # report
        self._order: FrameOrder[Announcement] = FrameOrder("frames", self.health.fault)
        self._folder = self.settings.path("out")
        self._begin(self.scheme_name)
        self._resumed = self._load_checkpoint()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(CHECKPOINT_S, self._save_checkpoint, clock=steady)

        # truth; a frame is not compared where odometry does not arrive in time
        self._watch = TargetWatch(self, on_sample=self._evaluate_complete)
        self._poses = PoseWatch(self, on_sample=self._evaluate_complete)
        self._timeout = self.create_timer(
            self.settings["odometry_wait_s"], self._evaluate_rest, clock=steady
        )
        self._timeout.cancel()

        # topics
        self._accuracy = self.create_publisher(Accuracy, self.shared("accuracy"), qos.STREAM)
        subscriptions = (
            (Frame, "frame", self._on_frame),
            (Detections, "detections", self._on_detections),
            (Tracks, "tracks", self._on_tracks),
            (StageTiming, "timing", self._on_timing),
        )
        for message_type, topic, callback in subscriptions:
            self.create_subscription(message_type, self.shared(topic), callback, qos.COUNTED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.STREAM)
        for station in self.scene.receiving_stations:
            self.create_subscription(
                FeaturePacket,
                self.shared(f"{station.name}/features"),
                partial(self._on_packet, station.name),
                qos.STREAM,
            )

    def waiting_for(self) -> str:
        """Description of missing odometry of targets, and of missing poses of stations."""
        return ", ".join(filter(None, (self._watch.waiting_for(), self._poses.waiting_for())))

    def _begin(self, scheme: str) -> None:
        """Begin a new report.

        scheme: by which stations encode, as far as it is known
        """
        self._rate_hz = self.settings["rate_hz"] or self.scene.update_rate_hz
        self.report = LiveReport(self.scene, scheme, 1 / self._rate_hz)
        self._start_ns = 0  # stamp of frame 0
        self._bound_requests: dict[int, Announcement] = {}
        self._pairs = ResultPairs(self.health.fault)
        self._next_checkpoint_s = 0.0

        # counters of other nodes
        self._skipped = RemoteCounter(self.shared("transmit_controller"), "frames_skipped")
        center = self.shared("fusion_center")
        self._undelivered = RemoteCounter(center, "packets_undelivered")
        stations = self.scene.stations if self.scene.has_radio_link else ()
        self._fused_at = {
            station.name: RemoteCounter(center, FUSED_AT + station.name) for station in stations
        }

    def _load_checkpoint(self) -> FrameStamp | None:
        """Load the report that an earlier process did not complete. Returns its last frame."""
        checkpoint = read_checkpoint(self._folder) if self._folder is not None else None
        if checkpoint is None or not checkpoint.record.frame_number.size:
            return None
        if checkpoint.counts.get("scene_fingerprint") != self.scene.fingerprint:
            return None

        # A report of another version is left.
        try:
            last = self.report.restore(checkpoint, self.guarded)
        except (KeyError, TypeError, ValueError) as error:
            self.health.fault("states_refused", f"{self._folder}: {error!r}")
            self._begin(self.report.scheme)
            return None
        return None if last is None else FrameStamp(checkpoint.run, *last)

    def _continue_or_begin(self, frame: FrameStamp) -> None:
        """Continue the loaded report where the first frame follows it; else begin a new one."""
        last = self._resumed
        self._resumed = None
        if last is not None and frame.run == last.run and frame.number > last.number:
            self.get_logger().info(f"the report goes on: frame {frame.number} of run {frame.run}")
            return
        if last is not None:
            self._begin(self.report.scheme)
        if self._folder is not None:
            clear_checkpoint(self._folder)

    @property
    def _run(self) -> int | None:
        """Run that is evaluated; None before its first frame."""
        return self._order.last.run if self._order.last is not None else None

    def _on_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return

        # the first frame, another pass, or the next frame
        run = self._run
        for turn in self._order.take(announcement.frame, announcement):
            if turn.begins and run is None:
                self._continue_or_begin(turn.frame)
            elif turn.begins:
                self.get_logger().warning(
                    f"the report begins anew: frame {turn.frame.number} of run {turn.frame.run}"
                )
                self.health.count("restarts")
                self._begin(self.report.scheme)
                if self._folder is not None:
                    clear_checkpoint(self._folder)
            self._announce(turn.item)

    def _announce(self, announcement: Announcement) -> None:
        """Count an announced frame, and request its bound where it is due."""
        frame = announcement.frame
        self._start_ns = frame.stamp_ns - round(frame.number * 1e9 / self._rate_hz)
        self.report.ledger.announce(frame.number, frame.stamp_ns, announcement.downlink_bits)
        self.report.has_changed = True

        # The bound assumes one path per target and pair of sites, but a path file has many. The
        # latest request is kept until the results of its frame arrive.
        every = self.settings["bound_every"]
        has_one_path = self.scene.propagation.paths is None
        if every and has_one_path and announcement.simulated and frame.number % every == 0:
            self._bound_requests = {frame.number: announcement}
        self.health.count("frames")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Count what controller and fusion center have done since their last reports."""
        for status in message.status:
            self.report.ledger.skip(self._skipped.increment(status))
            self.report.ledger.lose_packets(self._undelivered.increment(status))
            for station, counter in self._fused_at.items():
                self.report.ledger.fuse(station, counter.increment(status))

    def _on_packet(self, site: str, message: FeaturePacket) -> None:
        record = self._converted(conversions.packet, message)
        if record is not None:
            # a station may have a scheme of its own, which is not that of the run
            if not self.scene.station(site).scheme:
                self.report.scheme = record.scheme
            self.report.ledger.add_packet(site, len(record.data))

    def _on_timing(self, message: StageTiming) -> None:
        record = self._converted(conversions.timing, message)
        if record is not None:
            self.report.ledger.time_stage(
                record.frame.number, record.stage, record.duration_ms, record.latency_ms
            )

    def _on_detections(self, message: Detections) -> None:
        convert = partial(conversions.detection_list, on_fault=self.health.fault)
        record = self._converted(convert, message)
        if record is not None:
            self._pairs.add_detections(record)
            self._evaluate_complete()

    def _on_tracks(self, message: Tracks) -> None:
        convert = partial(conversions.track_list, on_fault=self.health.fault)
        record = self._converted(convert, message)
        if record is not None:
            self._pairs.add_tracks(record)
            self._timeout.reset()
            self._evaluate_complete()

    def _converted(self, convert: Callable, message):
        """Record of a message; None where it is of another run, or (counted) invalid."""
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

    def _evaluate_complete(self) -> None:
        """Evaluate the frames whose results and truth have arrived."""
        for pair in self._pairs.complete(self._has_truth):
            self._evaluate_guarded(*pair)

    def _has_truth(self, stamp_ns: int) -> bool:
        """Return whether odometry and poses at or after a stamp have arrived."""
        if self._late_s(stamp_ns):
            return False
        return self._watch.registry.is_complete(stamp_ns) and self._poses.is_complete(stamp_ns)

    def _late_s(self, stamp_ns: int) -> dict[str, float]:
        """Ages of the latest odometry at a stamp, by target, where the truth is missing, s."""
        elapsed_s = (stamp_ns - self._start_ns) * 1e-9
        overdue_s = self._watch.overdue_s(stamp_ns)
        return late_truth_s(self.scene, elapsed_s, overdue_s, self.report.compared)

    def _evaluate_rest(self) -> None:
        """Evaluate all frames whose results have arrived."""
        self._timeout.cancel()
        for pair in self._pairs.rest():
            self._evaluate_guarded(*pair)

    def _evaluate_guarded(self, detections: DetectionList, tracks: TrackList) -> None:
        """Evaluate a frame; an exception affects neither other frames nor the report."""
        evaluate = self.guarded(self._evaluate, f"evaluating frame {tracks.frame.number}")
        evaluate(detections, tracks)

    def _evaluate(self, detections: DetectionList, tracks: TrackList) -> None:
        """Compare the results of a frame with the truth, and publish the errors."""
        # record
        frame = tracks.frame
        truths = self._watch.registry.at(frame.stamp_ns)
        found = (truths, detections.detections, tracks.tracks)
        self.report.record(frame.number, frame.stamp_ns, *found, tracks.simulated)

        # without the truth there is nothing to compare with
        late_s = self._late_s(frame.stamp_ns)
        if late_s:
            self.report.truth_log.add(frame.number, late_s)
            ages = ", ".join(f"{name} {age_s:.2f} s" for name, age_s in late_s.items())
            self.health.fault(
                "frames_not_compared", f"frame {frame.number}: the odometry is late: {ages}"
            )
            return

        # errors against truth and bound
        live = self.report.compare(frame.stamp_ns, *found)
        ratios = self._compare_to_bound(frame.number, truths, detections)

        # publish
        if self.context.ok():
            record = _accuracy(frame, tracks.simulated, live, ratios)
            self._accuracy.publish(conversions.accuracy_message(record))
        self.health.figures["gospa_m"] = f"{live.gospa.distance_m:.2f}"

    def _compare_to_bound(
        self, number: int, truths, detections: DetectionList
    ) -> tuple[float, float]:
        """Ratio of the errors of a frame to the Cramer-Rao bound, where the frame was chosen.

        Returns the ratios of location and velocity; 0 where there is nothing to compare.
        """
        announcement = self._bound_requests.pop(number, None)
        if announcement is None or not truths:
            return 0.0, 0.0
        frame = frame_or_fault(self, announcement, self._poses.poses)
        if frame is None:
            return 0.0, 0.0

        try:
            bound = network_bound(self.scene_of(announcement), frame, truths)
            return self.report.bounds.add(bound, truths, detections.detections)
        except (np.linalg.LinAlgError, FloatingPointError, ValueError) as error:
            self.health.fault("bounds_failed", f"frame {number}: {error}")
            return 0.0, 0.0

    def summary(self) -> dict:
        """Report so far, as in summary.json."""
        return self.report.summary(self.now_ns, self._watch.registry.names, self._watch.faults())

    def _save_checkpoint(self) -> None:
        """Save the report so far, where it has changed."""
        began_s = time.monotonic()
        run = self._run
        if self._folder is None or run is None:
            return
        if not self.report.has_changed or began_s < self._next_checkpoint_s:
            return
        try:
            self.report.save(self._folder, run, self.summary())
        except OSError as error:
            self.health.fault("reports_unwritten", f"{self._folder}: {error.strerror}")
            return

        # the next one, not too soon
        ended_s = time.monotonic()
        self._next_checkpoint_s = ended_s + (ended_s - began_s) / CHECKPOINT_SHARE

    def close(self) -> None:
        """Write the report."""
        self._evaluate_rest()
        if self._folder is None:
            return
        try:
            self.report.complete(self._folder, self.summary())
        except OSError as error:
            # the checkpoints stay: `isac run` completes the report from them
            self.get_logger().error(f"the report is not complete: {self._folder}: {error.strerror}")
            return
        clear_checkpoint(self._folder)


def _accuracy(
    frame: FrameStamp, simulated: bool, live: LiveFigures, ratios: tuple[float, float]
) -> AccuracyRecord:
    """Record of the errors of a frame.

    ratios: of the errors to the bound, in location and velocity
    """
    nees = live.nees if live.nees is not None and math.isfinite(live.nees) else 0.0
    error_to_bound_location, error_to_bound_velocity = ratios
    return AccuracyRecord(
        frame=frame,
        simulated=simulated,
        gospa_m=live.gospa.distance_m,
        gospa_localization_m=math.sqrt(live.gospa.localization),
        gospa_missed_m=math.sqrt(live.gospa.missed),
        gospa_false_m=math.sqrt(live.gospa.false),
        nees=nees,
        nees_samples=live.num_detected,
        error_to_bound_location=error_to_bound_location,
        error_to_bound_velocity=error_to_bound_velocity,
    )


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(Evaluator, args, OBSERVER_NICE)


if __name__ == "__main__":
    sys.exit(main())

"""Fusion center: decodes the packets of all access points and publishes detections."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from dataclasses import replace
from functools import partial

from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame
from rclpy.clock import Clock, ClockType
from rclpy.timer import Timer
from sensor_msgs.msg import PointCloud2

from cooperative_isac.fronthaul.delivery import Delivery, deliver, result_sender
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.model import OBSERVED_MODES
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.history import HISTORY_S
from cooperative_isac.waveform.frame import Frame as AirFrame
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.inputs.announcements import announcement_or_fault, frame_or_fault
from cooperative_isac_ros.inputs.pose_watch import POSE_PARAMETERS, PoseGate
from cooperative_isac_ros.inputs.remote_counter import FUSED_AT
from cooperative_isac_ros.launching.graph import LONGEST_DEADLINE_S
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import receiving_stations
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.records import Announcement, DetectionList, FrameStamp
from cooperative_isac_ros.parameters import ODOMETRY_WAIT, SCHEME, Parameter, rate_parameter
from cooperative_isac_ros.timing.collector import (
    NEVER_S,
    CollectedFrame,
    PacketCollector,
    decode_trusted,
)
from cooperative_isac_ros.timing.deadline import PacketDeadline

# Share of a period that decoding frames again with late packets may take: the next frame must not
# wait for it.
REVISION_SHARE = 0.25

PARAMETERS = (
    SCHEME,
    Parameter(
        "deadline_s",
        0.0,
        "longest wait for packets after a frame's announcement [s]; 0: the scene's",
        0.0,
        LONGEST_DEADLINE_S,
    ),
    Parameter(
        "patience_frames",
        3,
        "consecutive frames without a packet after which the fusion center no longer waits for an "
        "access point, until its next packet arrives",
        1,
        1000,
    ),
    rate_parameter(
        "frame rate; a frame that is decoded later than one period after its stamp is late"
    ),
    ODOMETRY_WAIT,
    *POSE_PARAMETERS,
)


class FusionCenter(SceneNode):
    """Decodes each frame when its packets have arrived, or at its deadline; in order.

    Packets that come later, within the history of the tracker, are decoded together with those of
    their frame that came in time; the tracker replaces the detections of the frame by these.

    A frame also waits for the poses of stations that follow odometry or /tf at its stamp. Simulated
    packets of UEs that are out of range of the station that fuses the frame are left out.
    """

    def __init__(self, **options):
        super().__init__("fusion_center", PARAMETERS, **options)

        # decoder, and the scheme of each station
        scheme = make_scheme(self.scheme_name, self.scene)
        self._decoder = scheme.center()
        schemes = {
            station.name: scheme.name_of(station.name) for station in self.scene.receiving_stations
        }

        # packets that wait for the others of their frame, and frames that wait for poses
        self.collector = PacketCollector(
            schemes,
            patience=self.settings["patience_frames"],
            on_fault=self.health.fault,
            sites_of=partial(receiving_stations, self.scene),
            revised_s=HISTORY_S if self._is_revisable() else NEVER_S,
        )
        self._gate: PoseGate[CollectedFrame] = PoseGate(self, self._decode_guarded)
        self._deadline = PacketDeadline(
            self.settings["deadline_s"] or self.scene.sensing.deadline_s
        )
        self._period_s = 1 / (self.settings["rate_hz"] or self.scene.update_rate_hz)
        self._missing: tuple[str, ...] = ()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

        # results; the first call of the decoder computes its tables
        self._detections = self.create_publisher(Detections, self.shared("detections"), qos.HISTORY)
        self._late = self.create_publisher(Detections, self.shared("detections/late"), qos.STREAM)
        self._decoding_s = 0.0
        self._revising_s = 0.0
        self._cloud = self.create_publisher(
            PointCloud2, self.shared("detections/points"), qos.STREAM
        )
        self._decoder.prepare()
        self._decoder.decode({}, make_frame(self.scene, 0))

        self.create_subscription(Frame, self.shared("frame"), self._on_frame, qos.STREAM)
        for site in schemes:
            self.create_subscription(
                FeaturePacket, self.shared(f"{site}/features"), self._on_packet, qos.STREAM
            )

    def _is_revisable(self) -> bool:
        """Return whether a frame can be decoded again after later ones.

        Clock offsets by targets are predicted from the frames before: the decoder would begin anew
        with an earlier frame, and lose them.
        """
        return self.scene.sensing.synchronization not in OBSERVED_MODES

    def waiting_for(self) -> str:
        """Description of a missing subscription to detections, and of missing poses."""
        subscription = "" if self._detections.get_subscription_count() else "a tracker"
        return ", ".join(filter(None, (subscription, self._gate.watch.waiting_for())))

    def _on_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return

        # open the frame with a deadline of its own: its callback, which is set after the timer is
        # created, destroys the timer
        for opened in self.collector.announce(announcement):
            wait_s = self._deadline.announce(opened.frame, time.monotonic())
            deadline = self.create_timer(wait_s, lambda: None, clock=self._steady)
            deadline.callback = self.guarded(partial(self._expire, opened, deadline), "deadline")
        self._forward(self.collector.complete())

    def _on_packet(self, message: FeaturePacket) -> None:
        try:
            packet = conversions.packet(message)
        except conversions.ConversionError as error:
            self.health.fault("packets_damaged", str(error))
            return
        self._deadline.receive(packet.frame, time.monotonic())
        self.collector.add(packet)
        self._forward(self.collector.complete())
        self._forward(self.collector.take_revised())

    def _expire(self, announcement: Announcement, deadline: Timer) -> None:
        """Close a frame whose deadline has passed."""
        self.destroy_timer(deadline)
        self._forward(self.collector.expire(announcement))

    def _forward(self, frames: list[CollectedFrame]) -> None:
        """Decode frames as soon as the poses at their stamps have arrived."""
        for collected in frames:
            self._gate.put(collected.announcement.frame.stamp_ns, collected)
        self.health.figures["sites_absent"] = ", ".join(self.collector.absent) or "none"

    def _decode_guarded(self, collected: CollectedFrame) -> None:
        """Decode a frame; an exception does not affect the other frames."""
        number = collected.announcement.frame.number
        decode = self._revise if collected.sites_late else self._decode
        self.guarded(decode, f"frame {number}")(collected)

    def _decode(self, collected: CollectedFrame) -> None:
        """Decode a frame and publish its detections."""
        on_air = self._on_air(collected)
        if on_air is None:
            return

        # packets within range, and decode them
        began_s = time.perf_counter()
        frame = collected.announcement.frame
        delivery = self._deliver(collected, on_air)
        self._report_delivery(delivery)
        try:
            detections, refused = decode_trusted(self._decoder, delivery.packets, on_air)
        except Exception as error:  # of the scheme: with an empty frame the tracks coast
            self.callback_failed(f"decoding frame {frame.number}", error)
            detections = ()
            refused = {}
        for error in refused.values():
            self.health.fault("packets_damaged", str(error))

        missing = tuple(sorted({*collected.sites_missing, *refused}))
        self._report_missing(frame, missing)

        # publish; simulated where one of the used packets is, or the announcement of a frame
        # without any
        record = _record(collected, delivery, detections, refused.keys())
        self._detections.publish(serialized(conversions.detections_message(record)))
        if self._cloud.get_subscription_count():
            self._cloud.publish(conversions.detections_cloud(record))

        # diagnostics
        if delivery.fused_at:
            sender = result_sender(self.scene, on_air, delivery.fused_at, len(detections))
            self.health.figures["result_sender"] = sender or "none"
            self.health.count("results_kept", int(not sender))
        self.health.count("frames")
        self._decoding_s = time.perf_counter() - began_s
        self._revising_s = 0.0
        self.publish_timing(frame, "decode", began_s)
        self._count_late(frame)

    def _revise(self, collected: CollectedFrame) -> None:
        """Decode a frame again, with its late packets, and publish its detections as late ones."""
        # in the time until the next frame, of which all of them together have a share
        self._revising_s += self._decoding_s
        if self._revising_s > REVISION_SHARE * self._period_s:
            return
        on_air = self._on_air(collected)
        if on_air is None:
            return

        # all packets within range
        delivery = self._deliver(collected, on_air)
        detections, refused = decode_trusted(self._decoder, delivery.packets, on_air)
        for site in refused.keys() & set(collected.sites_late):
            self.health.fault("packets_damaged", str(refused[site]))
        used = delivery.packets.keys() - refused.keys()
        if not used & set(collected.sites_late):
            return

        # publish
        record = _record(collected, delivery, detections, refused.keys())
        self._late.publish(serialized(conversions.detections_message(record)))
        self.health.count("frames_revised")

    def _on_air(self, collected: CollectedFrame) -> AirFrame | None:
        """Transmitted signals of a frame; None where it is refused."""
        on_air = frame_or_fault(self, collected.announcement, self._gate.watch.poses)

        # Without its time a frame is decoded by itself, so that a replay agrees wherever it begins.
        # Clock offsets by targets need the frames before, as a single one does not confirm them,
        # and so do decoders that follow targets.
        if on_air is None or self._decoder.follows or not self._is_revisable():
            return on_air
        return replace(on_air, time_s=None)

    def _deliver(self, collected: CollectedFrame, on_air: AirFrame) -> Delivery:
        """Packets of a frame without the simulated ones that are out of range."""
        # those of radios have arrived
        packets = collected.packets
        simulated = {site: packet.data for site, packet in packets.items() if packet.simulated}
        delivery = deliver(self.scene, on_air, simulated)
        left_out = delivery.undelivered
        arrived = {site: one.data for site, one in packets.items() if site not in left_out}
        return replace(delivery, packets=arrived)

    def _report_delivery(self, delivery: Delivery) -> None:
        """Count the packets of a frame that are out of range."""
        undelivered = delivery.undelivered
        if undelivered:
            self.health.count("packets_undelivered", len(undelivered))
        if delivery.fused_at:
            self.health.count(FUSED_AT + delivery.fused_at)
            self.health.figures["fusing_station"] = delivery.fused_at
            self.health.figures["sites_out_of_range"] = ", ".join(undelivered) or "none"

    def _report_missing(self, frame: FrameStamp, missing: tuple[str, ...]) -> None:
        """Count an incomplete frame; a station that is newly missing is reported at once."""
        if missing:
            self.health.fault(
                "frames_incomplete", f"frame {frame.number} without {', '.join(missing)}"
            )
        if set(missing) - set(self._missing):
            self.health.publish()
        self._missing = missing

    def _count_late(self, frame: FrameStamp) -> None:
        """Count a frame that was decoded more than a period after its stamp."""
        age_s = (self.now_ns - frame.stamp_ns) * 1e-9
        if age_s > self._period_s:
            self.health.fault(
                "frames_late",
                f"frame {frame.number} was decoded {age_s:.3g} s after its stamp; a "
                f"period is {self._period_s:.3g} s",
            )

    def close(self) -> None:
        """Report a last time, for the evaluator's number of packets out of range."""
        if self.context.ok():
            self.health.publish()


def _record(
    collected: CollectedFrame,
    delivery: Delivery,
    detections: tuple[Detection, ...],
    refused: Collection[str],
) -> DetectionList:
    """Detections of a frame.

    They are simulated where one of the used packets is, or the announcement of a frame without any.

    refused: stations whose packets the decoder refused
    """
    used = delivery.packets.keys() - set(refused)
    sources = [collected.packets[site] for site in used] or [collected.announcement]
    simulated = any(source.simulated for source in sources)
    missing = tuple(sorted({*collected.sites_missing, *refused, *delivery.undelivered}))
    return DetectionList(collected.announcement.frame, simulated, detections, missing)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(FusionCenter, args)


if __name__ == "__main__":
    sys.exit(main())

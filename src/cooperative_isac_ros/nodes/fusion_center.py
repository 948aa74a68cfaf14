"""The center: gathers the packets of all access points and publishes detections."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial

from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import PointCloud2

from cooperative_isac.pipeline import make_frame
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.inputs.announcements import announcement_or_fault, frame_or_fault
from cooperative_isac_ros.inputs.pose_watch import POSE_PARAMETERS, PoseGate
from cooperative_isac_ros.launching.graph import LONGEST_DEADLINE_S
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import receiving_stations
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.records import Announcement, DetectionList, FrameStamp
from cooperative_isac_ros.parameters import ODOMETRY_WAIT, SCHEME, Parameter, rate_parameter
from cooperative_isac_ros.timing.collector import CollectedFrame, PacketCollector, decode_trusted
from cooperative_isac_ros.timing.deadline import PacketDeadline

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
        "an access point that missed so many frames in a row is not waited for "
        "until it is heard again",
        1,
        1000,
    ),
    rate_parameter("rate at which frames are announced: they are late after one period"),
    ODOMETRY_WAIT,
    *POSE_PARAMETERS,
)


class FusionCenter(SceneNode):
    """Decodes a frame when all awaited packets are in, or at its deadline; frames leave in order.

    One with stations that follow odometry or /tf also waits for their poses at its stamp.
    """

    def __init__(self, **options):
        super().__init__("fusion_center", PARAMETERS, **options)
        scheme = make_scheme(self.scheme_name, self.scene)
        self._decoder = scheme.center()
        schemes = {
            station.name: scheme.name_of(station.name) for station in self.scene.receiving_stations
        }
        self.collector = PacketCollector(
            schemes,
            self.settings["patience_frames"],
            self.health.fault,
            partial(receiving_stations, self.scene),
        )
        self._gate: PoseGate[CollectedFrame] = PoseGate(self, self._decode_guarded)
        self._deadline = PacketDeadline(
            self.settings["deadline_s"] or self.scene.sensing.deadline_s
        )
        self._period_s = 1 / (self.settings["rate_hz"] or self.scene.update_rate_hz)
        self._missing: tuple[str, ...] = ()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._detections = self.create_publisher(Detections, self.shared("detections"), qos.HISTORY)
        self._cloud = self.create_publisher(
            PointCloud2, self.shared("detections/points"), qos.STREAM
        )
        self._decoder.decode({}, make_frame(self.scene, 0))
        self.create_subscription(Frame, self.shared("frame"), self._hear_frame, qos.STREAM)
        for site in schemes:
            self.create_subscription(
                FeaturePacket, self.shared(f"{site}/features"), self._hear_packet, qos.STREAM
            )

    def waiting_for(self) -> str:
        """A listener to its detections, and poses of stations."""
        listener = "" if self._detections.get_subscription_count() else "a tracker"
        return ", ".join(filter(None, (listener, self._gate.watch.waiting_for())))

    def _hear_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return
        for opened in self.collector.announce(announcement):
            wait_s = self._deadline.announce(opened.frame, time.monotonic())
            deadline = self.create_timer(wait_s, lambda: None, clock=self._steady)
            deadline.callback = self.guarded(partial(self._expire, opened, deadline), "deadline")
        self._publish(self.collector.complete())

    def _hear_packet(self, message: FeaturePacket) -> None:
        try:
            packet = conversions.packet(message)
        except conversions.ConversionError as error:
            self.health.fault("packets_damaged", str(error))
            return
        self._deadline.receive(packet.frame, time.monotonic())
        self.collector.add(packet)
        self._publish(self.collector.complete())

    def _expire(self, announcement: Announcement, deadline) -> None:
        self.destroy_timer(deadline)
        self._publish(self.collector.expire(announcement))

    def _publish(self, frames: list[CollectedFrame]) -> None:
        for collected in frames:
            self._gate.put(collected.announcement.frame.stamp_ns, collected)
        self.health.figures["sites_absent"] = ", ".join(self.collector.absent) or "none"

    def _decode_guarded(self, collected: CollectedFrame) -> None:
        number = collected.announcement.frame.number
        self.guarded(self._decode, f"frame {number}")(collected)

    def _decode(self, collected: CollectedFrame) -> None:
        on_air = frame_or_fault(self, collected.announcement, self._gate.watch.poses)
        if on_air is None:
            return
        began_s = time.perf_counter()
        frame = collected.announcement.frame
        data = {site: packet.data for site, packet in collected.packets.items()}
        try:
            detections, refused = decode_trusted(
                # By itself, so that a replay agrees wherever it begins.
                self._decoder,
                data,
                replace(on_air, time_s=None),
            )
        except Exception as error:  # of the scheme: an empty frame lets the tracks coast
            self.callback_failed(f"decoding frame {frame.number}", error)
            detections, refused = (), {}
        for error in refused.values():
            self.health.fault("packets_damaged", str(error))
        missing = tuple(sorted({*collected.sites_missing, *refused}))
        if missing:
            self.health.fault(
                "frames_incomplete", f"frame {frame.number} without {', '.join(missing)}"
            )
        if set(missing) - set(self._missing):
            self.health.publish()  # at once: a second is several frames
        self._missing = missing
        packets = collected.packets.values() or [collected.announcement]
        simulated = any(item.simulated for item in packets)
        record = DetectionList(frame, simulated, detections, missing)
        self._detections.publish(serialized(conversions.detections_message(record)))
        self._cloud.publish(conversions.detections_cloud(record))
        self.health.count("frames")
        self.publish_timing(frame, "decode", began_s)
        self._count_late(frame)

    def _count_late(self, frame: FrameStamp) -> None:
        age_s = (self.now_ns - frame.stamp_ns) * 1e-9
        if age_s > self._period_s:
            self.health.fault(
                "frames_late",
                f"frame {frame.number} was decoded {age_s:.3g} s after its stamp; a "
                f"period is {self._period_s:.3g} s",
            )


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(FusionCenter, args)


if __name__ == "__main__":
    sys.exit(main())

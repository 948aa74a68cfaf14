"""Announces the sensing frames at the update rate."""

from __future__ import annotations

import secrets
import sys

from cooperative_isac_msgs.msg import Frame
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType

from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import sum_rate, transmit
from cooperative_isac.scene.physics import rate_fault
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac_ros import conversions, qos
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.clock import AlignedTimer
from cooperative_isac_ros.parameters import SCHEME, Parameter, ParameterError, rate_parameter
from cooperative_isac_ros.records import Announcement, FrameStamp

SUM_RATE_EVERY = 10
CHECK_S, SETTLED_CHECKS = 0.1, 10  # nodes that are ready still meet each other for a while
PARAMETERS = (
    rate_parameter("frames per second"),
    SCHEME,
    Parameter("announce_payload", False, "put the packed symbols and precoders into the announcement, as a "
              "real network would, instead of their seed"),
    Parameter("wait_for_nodes", [""], "nodes that must report to be running before frame 0; relative names are "
              "below the controller's namespace"),
    Parameter("wait_at_most_s", 20.0, "frame 0 comes after this time even if a node is missing [s]", 0.0,
              600.0),
)


class TransmitController(SceneNode):
    """Frame k leaves at a whole multiple of the period; its signal is a function of (seed, k).

    Where the scene's paths come from a file, the last frame is that of the file; the node lives on.
    """

    def __init__(self, **options):
        super().__init__("transmit_controller", PARAMETERS, **options)
        self._rate_hz = self.settings["rate_hz"] or self.scene.update_rate_hz
        fault = rate_fault(self.scene, self._rate_hz)
        if fault is not None:
            raise ParameterError(f"parameter 'rate_hz' {fault}")
        self._run, self._number = secrets.randbits(63), 0
        self._scheme = make_scheme(self.scheme_name, self.scene)
        self._publisher = self.create_publisher(Frame, self.shared("frame"), qos.STREAM)
        self._timer: AlignedTimer | None = None
        names = filter(None, self.settings["wait_for_nodes"])
        self._awaited = {name if name.startswith("/") else self.shared(name) for name in names}
        self._listener = self.create_subscription(DiagnosticArray, "/diagnostics", self._hear, qos.STREAM)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._patience = self.create_timer(self.settings["wait_at_most_s"], self._begin, clock=steady)
        self._settled = 0
        self._check = self.create_timer(CHECK_S, self._begin_if_ready, clock=steady)

    def waiting_for(self) -> str:
        """The nodes that did not report yet."""
        return ", ".join(sorted(self._awaited)) if self._timer is None else ""

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if any(value.key == "ready" and value.value == "True" for value in status.values):
                self._awaited.discard(status.name)

    def _begin_if_ready(self) -> None:
        self._settled += not self._awaited
        if self._settled >= SETTLED_CHECKS or not any(self.settings["wait_for_nodes"]):
            self._begin()

    def _begin(self) -> None:
        for timer in (self._patience, self._check):
            timer.cancel()
        self.destroy_subscription(self._listener)
        if self._awaited:
            self.get_logger().warning(f"frame 0 comes without {self.waiting_for()}: not heard within "
                                      f"{self.settings['wait_at_most_s']:g} s")
        self._timer = AlignedTimer(self, self._rate_hz, self._announce)
        self.get_logger().info(f"run {self._run}: scene '{self.scene.name}' at "
                               f"{self._rate_hz:g} frames/s")

    def _announce(self, stamp_ns: int) -> None:
        frame = FrameStamp(self._run, self._number, stamp_ns)
        signal = transmit(self.scene, frame.number)
        payload = pack_downlink(signal) if self.settings["announce_payload"] else b""
        self._publisher.publish(conversions.frame_message(Announcement(
            frame, self.scene.name, self.scene.fingerprint, True, self.scene.seed, payload,
            self._scheme.downlink_bits(signal))))
        self.health.count("frames")
        if self._number % SUM_RATE_EVERY == 0:
            self.health.figures["sum_rate_bit_per_s_per_hz"] = f"{sum_rate(self.scene, signal):.2f}"
        self._number += 1
        if self._number == self.scene.num_frames:
            self._timer.cancel()
            source = self.scene.propagation.paths.source
            self.get_logger().info(f"the recording {source} has ended: frame {frame.number} was "
                                   f"the last of run {self._run}")
            self.health.figures["recording"] = "ended"


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(TransmitController, args)


if __name__ == "__main__":
    sys.exit(main())

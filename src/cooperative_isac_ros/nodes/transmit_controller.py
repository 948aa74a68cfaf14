"""Announces the sensing frames at the update rate."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Sequence

from cooperative_isac_msgs.msg import Frame, StageTiming
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType

from cooperative_isac.fronthaul.downlink import pack_frame
from cooperative_isac.pipeline import make_frame, mean_sum_rate
from cooperative_isac.scene.file.physics import rate_fault
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.launching.state_file import read_state, write_state
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import Announcement, FrameStamp
from cooperative_isac_ros.parameters import SCHEME, Parameter, ParameterError, rate_parameter
from cooperative_isac_ros.timing.back_pressure import BackPressure
from cooperative_isac_ros.timing.clock import AlignedTimer
from cooperative_isac_ros.timing.frame_numbers import FrameNumbers

SUM_RATE_EVERY = 10
# Nodes that are ready still meet each other for a while: until then frame 0 has new listeners. So
# many checks in a row must find the same ones, and the last of them nobody to wait for.
CHECK_S = 0.1
SETTLED_CHECKS = 5
READY_CHECKS = 3
# A run that goes on has its nodes: only their subscriptions to this process are waited for.
RESUMED_CHECKS, RESUME_WITHIN_S = 3, 2.0
# A node is not waited for any more when it finished no frame for so long: restarts take seconds.
SILENT_S, SILENT_PERIODS = 1.0, 5
FINISHING_STAGES = ("encode", "decode")
PARAMETERS = (
    rate_parameter("frame rate"),
    SCHEME,
    Parameter(
        "announce_payload",
        False,
        "put the packed symbols and precoders into the announcement, as a real network would, "
        "instead of their seed",
    ),
    Parameter(
        "wait_for_nodes",
        [""],
        "nodes that must be ready before frame 0; relative names are below the controller's "
        "namespace",
    ),
    Parameter(
        "wait_at_most_s",
        20.0,
        "longest wait for `wait_for_nodes`; frame 0 follows even if one is missing [s]",
        0.0,
        600.0,
    ),
    Parameter(
        "run",
        0,
        "number of the run, set by what starts the nodes; 0: drawn at the start",
        0,
        2**63 - 1,
    ),
    Parameter(
        "state_file",
        "",
        "file from which a restarted controller continues the same `run`; empty: none",
    ),
    Parameter(
        "max_frames_ahead",
        2,
        "frames are skipped for all while an access point or the fusion center has so many "
        "unfinished ones; 0: never; the launchers set 8 with `front_end` `topic`",
        0,
        1000,
    ),
)


class TransmitController(SceneNode):
    """Frame k leaves at a whole multiple of the period; its signals are a function of (seed, k).

    Frames of all bands are counted together; each names the bands that are on the air.
    Where the scene's paths come from a file, the last frame is that of the file; the node lives on.
    """

    def __init__(self, **options):
        super().__init__("transmit_controller", PARAMETERS, **options)
        self._rate_hz = self.settings["rate_hz"] or self.scene.update_rate_hz
        fault = rate_fault(self.scene, self._rate_hz)
        if fault is not None:
            raise ParameterError(f"parameter 'rate_hz' {fault}")
        self._scheme = make_scheme(self.scheme_name, self.scene)
        self._resume_or_draw()
        silent_s = max(SILENT_S, SILENT_PERIODS / self._rate_hz)
        self._pressure = BackPressure(self.settings["max_frames_ahead"], silent_s)
        self._publisher = self.create_publisher(Frame, self.shared("frame"), qos.STREAM)
        self._timer: AlignedTimer | None = None
        self._announced = 0
        self._kept_ns: int | None = None
        names = () if self._resumed else filter(None, self.settings["wait_for_nodes"])
        self._awaited = {name if name.startswith("/") else self.shared(name) for name in names}
        self._listener = self.create_subscription(
            DiagnosticArray, "/diagnostics", self._hear, qos.STREAM
        )
        self.create_subscription(StageTiming, self.shared("timing"), self._hear_timing, qos.STREAM)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        wait_s = self.settings["wait_at_most_s"]
        if self._resumed:
            wait_s = min(wait_s, RESUME_WITHIN_S)
        self._patience = self.create_timer(wait_s, self._begin, clock=steady)
        self._settled = self._ready = self._listeners = 0
        self._check = self.create_timer(CHECK_S, self._begin_if_ready, clock=steady)

    def _resume_or_draw(self) -> None:
        """Go on with the run of an earlier process of this node, or begin one."""
        self._state_file = self.settings.path("state_file")
        state = read_state(self._state_file) if self._state_file is not None else None
        start_ns = state.get("start_ns") if state is not None else None
        run = self.settings["run"]
        is_same_run = state is not None and run != 0 and state.get("run") == run
        self._resumed = is_same_run and isinstance(start_ns, int)
        self._run = run or secrets.randbits(63)
        self._numbers = FrameNumbers(self._rate_hz, start_ns if self._resumed else None)

    def waiting_for(self) -> str:
        """The nodes that did not report yet."""
        return ", ".join(sorted(self._awaited)) if self._timer is None else ""

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if any(value.key == "ready" and value.value == "True" for value in status.values):
                self._awaited.discard(status.name)

    def _begin_if_ready(self) -> None:
        listeners = self._publisher.get_subscription_count()
        found = listeners == self._listeners and (listeners > 0 or not self._resumed)
        self._listeners = listeners
        self._settled = self._settled + 1 if found else 0
        self._ready = self._ready + 1 if not self._awaited else 0
        needed = RESUMED_CHECKS if self._resumed else SETTLED_CHECKS
        is_settled = self._settled >= needed and self._ready >= READY_CHECKS
        if is_settled or not any(self.settings["wait_for_nodes"]):
            self._begin()

    def _begin(self) -> None:
        if self._resumed and self.now_ns == 0:
            return  # the simulation clock was not received yet: the numbers would begin anew
        for timer in (self._patience, self._check):
            timer.cancel()
        self.destroy_subscription(self._listener)
        if self._awaited:
            self.get_logger().warning(
                f"frame 0 comes without {self.waiting_for()}: not heard within "
                f"{self.settings['wait_at_most_s']:g} s"
            )
        self._timer = AlignedTimer(self, self._rate_hz, self._announce)
        self.get_logger().info(
            f"run {self._run}{' goes on' if self._resumed else ''}: scene "
            f"'{self.scene.name}' at {self._rate_hz:g} frames/s"
        )

    def _hear_timing(self, message: StageTiming) -> None:
        if message.run == self._run and message.stage in FINISHING_STAGES:
            self._pressure.finish(message.node, message.number, time.monotonic())

    def _announce(self, stamp_ns: int) -> None:
        frame = FrameStamp(self._run, self._numbers.at(stamp_ns), stamp_ns)
        if self.scene.num_frames is not None and frame.number >= self.scene.num_frames:
            self._end_recording(frame)
            return

        # Nobody works on a frame that the network cannot follow.
        late = self._pressure.behind(time.monotonic())
        if late:
            self.health.fault(
                "frames_skipped",
                f"frame {frame.number}: {', '.join(late)} cannot follow at "
                f"{self._rate_hz:g} frames/s; lower the rate, or raise max_frames_ahead "
                "where frames take long but keep their pace",
            )
            return

        on_air = make_frame(self.scene, frame.number, frame.number / self._rate_hz)
        payload = pack_frame(on_air) if self.settings["announce_payload"] else b""
        self._publisher.publish(
            conversions.frame_message(
                Announcement(
                    frame,
                    self.scene.name,
                    self.scene.fingerprint,
                    True,
                    self.scene.seed,
                    payload,
                    self._scheme.downlink_bits(on_air),
                    on_air.bands,
                    on_air.time_s,
                )
            )
        )
        self._pressure.announce(frame.number, time.monotonic(), self._idle(on_air.bands))
        self.health.count("frames")

        # What a process that is started again needs, and figures
        if self._numbers.start_ns != self._kept_ns:
            self._keep()
        if self._announced % SUM_RATE_EVERY == 0:
            rate = mean_sum_rate(self.scene, on_air)
            self.health.figures["sum_rate_bit_per_s_per_hz"] = f"{rate:.2f}"
        self._announced += 1
        if frame.number + 1 == self.scene.num_frames:
            self._end_recording(frame)

    def _idle(self, bands: Sequence[str]) -> frozenset[str]:
        """Full names of the access points that have nothing to do on these bands."""
        heard = {site.name for band in bands for site in self.scene.on(band).receivers}
        return frozenset(
            self.shared(f"{station.name}/access_point")
            for station in self.scene.receiving_stations
            if station.name not in heard
        )

    def _keep(self) -> None:
        """Write the state for a process that may have to go on with the run."""
        self._kept_ns = self._numbers.start_ns
        if self._state_file is None:
            return
        try:
            write_state(self._state_file, {"run": self._run, "start_ns": self._kept_ns})
        except OSError as error:
            self.health.fault("states_unwritten", f"{self._state_file}: {error.strerror}")

    def _end_recording(self, frame: FrameStamp) -> None:
        """The path file has no further frame; the node lives on."""
        paths = self.scene.propagation.paths
        assert paths is not None and self._timer is not None  # it is their last frame
        self._timer.cancel()
        last = min(frame.number, paths.num_frames - 1)
        self.get_logger().info(
            f"the recording {paths.source} has ended: frame {last} was the last of run {self._run}"
        )
        self.health.figures["recording"] = "ended"

    def close(self) -> None:
        """Report a last time: the evaluator takes the number of skipped frames from there."""
        if self.context.ok():
            self.health.publish()


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(TransmitController, args)


if __name__ == "__main__":
    sys.exit(main())

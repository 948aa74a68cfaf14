"""Transmit controller: announces the sensing frames at the update rate."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Sequence

from cooperative_isac_msgs.msg import Frame, StageTiming, Tracks
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType

from cooperative_isac.fronthaul.downlink import pack_frame
from cooperative_isac.pipeline import make_frame, mean_sum_rate
from cooperative_isac.scene.file.physics import rate_fault
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.schedule import scheduled_bands
from cooperative_isac.tracking.track import Track
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, TrackList
from cooperative_isac_ros.parameters import (
    RUN_BITS,
    SCHEME,
    Parameter,
    ParameterError,
    rate_parameter,
)
from cooperative_isac_ros.processes.state_file import read_state, write_state
from cooperative_isac_ros.timing.back_pressure import BackPressure
from cooperative_isac_ros.timing.clock import AlignedTimer
from cooperative_isac_ros.timing.frame_numbers import FrameNumbers

# Frames from one computation of the sum rate to the next.
SUM_RATE_EVERY = 10
# Interval of the checks before frame 0, s: discovery between ready nodes takes a while, ...
CHECK_S = 0.1
# ... so this many checks in a row must find the same number of subscriptions.
SETTLED_CHECKS = 5
# ... and the last so many no node to wait for.
READY_CHECKS = 3
# The same in a resumed run, whose nodes have found each other already.
RESUMED_CHECKS = 3
# Longest wait of a resumed run for their subscriptions, s.
RESUME_WITHIN_S = 2.0
# Time without a finished frame after which a node is not waited for, s: a restart takes seconds.
SILENT_S = 1.0
# Where frames are rarer, the time in frame periods.
SILENT_PERIODS = 5
# Stages whose timing shows that a node has finished a frame.
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
        "number of the run, set by the launcher; 0: drawn at the start",
        0,
        2**RUN_BITS - 1,
    ),
    Parameter(
        "state_file",
        "",
        "file from which a restarted controller continues the same `run`; empty: none",
    ),
    Parameter(
        "max_frames_ahead",
        2,
        "most frames that an access point or the fusion center may have unfinished; while one of "
        "them has as many, frames are skipped for all nodes; 0: no limit; the launchers set 8 with "
        "`front_end` `topic`",
        0,
        1000,
    ),
)


class TransmitController(SceneNode):
    """Announces frame k at a multiple of the period; its signals are a function of (seed, k).

    The frames of all bands share one count; an announcement names the bands that are on the air. In
    a scene with cooperation by zones they follow from the last tracks that have arrived.
    Where the paths of the scene come from a file, the last frame is that of the file; the node
    keeps running.
    """

    def __init__(self, **options):
        super().__init__("transmit_controller", PARAMETERS, **options)

        # rate and scheme
        self._rate_hz = self.settings["rate_hz"] or self.scene.update_rate_hz
        fault = rate_fault(self.scene, self._rate_hz)
        if fault is not None:
            raise ParameterError(f"parameter 'rate_hz' {fault}")
        self._scheme = make_scheme(self.scheme_name, self.scene)

        # run, and the frames that nodes have not finished
        self._resume_or_draw()
        silent_s = max(SILENT_S, SILENT_PERIODS / self._rate_hz)
        self._pressure = BackPressure(self.settings["max_frames_ahead"], silent_s)

        # announcements
        self._publisher = self.create_publisher(Frame, self.shared("frame"), qos.STREAM)
        self._timer: AlignedTimer | None = None
        self._num_announced = 0
        self._saved_ns: int | None = None

        # diagnostics of the nodes that must be ready, and timings
        names = () if self._resumed else filter(None, self.settings["wait_for_nodes"])
        self._awaited = {name if name.startswith("/") else self.shared(name) for name in names}
        self._diagnostics = self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.STREAM
        )
        self.create_subscription(StageTiming, self.shared("timing"), self._on_timing, qos.STREAM)

        # tracks, by which the bands of zones are scheduled
        self._tracks: TrackList | None = None
        if self.scene.cooperation is not None:
            self.create_subscription(Tracks, self.shared("tracks"), self._on_tracks, qos.STREAM)

        # start of the frames: when all nodes are ready, or after a time
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        wait_s = self.settings["wait_at_most_s"]
        if self._resumed:
            wait_s = min(wait_s, RESUME_WITHIN_S)
        self._timeout = self.create_timer(wait_s, self._begin, clock=steady)
        self._num_settled = 0
        self._num_ready = 0
        self._num_subscriptions = 0
        self._check_timer = self.create_timer(CHECK_S, self._begin_if_ready, clock=steady)

    def _resume_or_draw(self) -> None:
        """Resume the run of an earlier process of this node, or begin one."""
        self._state_file = self.settings.path("state_file")
        state = read_state(self._state_file) if self._state_file is not None else None
        start_ns = state.get("start_ns") if state is not None else None
        run = self.settings["run"]
        is_same_run = state is not None and run != 0 and state.get("run") == run
        self._resumed = is_same_run and isinstance(start_ns, int)
        self._run = run or secrets.randbits(RUN_BITS)
        self._numbers = FrameNumbers(self._rate_hz, start_ns if self._resumed else None)

    def waiting_for(self) -> str:
        """Names of the nodes that have not reported to be ready."""
        return ", ".join(sorted(self._awaited)) if self._timer is None else ""

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if any(value.key == "ready" and value.value == "True" for value in status.values):
                self._awaited.discard(status.name)

    def _begin_if_ready(self) -> None:
        """Begin when all nodes are ready and no new subscription appears."""
        # a resumed run has subscriptions, which this process only has to discover again; a new one
        # may have none
        num_subscriptions = self._publisher.get_subscription_count()
        is_same = num_subscriptions == self._num_subscriptions
        is_found = is_same and (num_subscriptions > 0 or not self._resumed)
        self._num_subscriptions = num_subscriptions

        # so many checks in a row
        self._num_settled = self._num_settled + 1 if is_found else 0
        self._num_ready = self._num_ready + 1 if not self._awaited else 0
        num_needed = RESUMED_CHECKS if self._resumed else SETTLED_CHECKS
        is_settled = self._num_settled >= num_needed and self._num_ready >= READY_CHECKS
        if is_settled or not any(self.settings["wait_for_nodes"]):
            self._begin()

    def _begin(self) -> None:
        """Announce the first frame, with or without the awaited nodes."""
        if self._resumed and self.now_ns == 0:
            return  # without the simulation clock the numbers would restart at 0
        self._timeout.cancel()
        self._check_timer.cancel()
        self.destroy_subscription(self._diagnostics)
        if self._awaited:
            self.get_logger().warning(
                f"frame 0 comes without {self.waiting_for()}: not ready within "
                f"{self.settings['wait_at_most_s']:g} s"
            )
        self._timer = AlignedTimer(self, self._rate_hz, self._announce)
        self.get_logger().info(
            f"run {self._run}{' goes on' if self._resumed else ''}: scene "
            f"'{self.scene.name}' at {self._rate_hz:g} frames/s"
        )

    def _on_timing(self, message: StageTiming) -> None:
        if message.run == self._run and message.stage in FINISHING_STAGES:
            self._pressure.finish(message.node, message.number, time.monotonic())

    def _on_tracks(self, message: Tracks) -> None:
        try:
            tracks = conversions.track_list(message, on_fault=self.health.fault)
        except conversions.ConversionError as error:
            self.health.fault("tracks_refused", str(error))
            return
        if tracks.frame.run == self._run:
            self._tracks = tracks

    def _scheduled_bands(self, frame: FrameStamp) -> tuple[str, ...]:
        """Names of the bands on the air in a frame."""
        tracks: tuple[Track, ...] = ()
        elapsed_s = 0.0
        if self._tracks is not None:
            # No track lasts that long without a detection: the tracker has stopped.
            elapsed_s = max(frame.stamp_ns - self._tracks.frame.stamp_ns, 0) * 1e-9
            is_recent = elapsed_s <= self.scene.tracking.max_coast_s
            tracks = self._tracks.tracks if is_recent else ()
        return scheduled_bands(self.scene, frame.number, tracks, elapsed_s)

    def _announce(self, stamp_ns: int) -> None:
        """Announce the frame of a stamp in ns, unless it is skipped."""
        frame = FrameStamp(self._run, self._numbers.at(stamp_ns), stamp_ns)
        if self.scene.num_frames is not None and frame.number >= self.scene.num_frames:
            self._end_recording(frame)
            return

        # skip it for all nodes where some cannot keep up
        late = self._pressure.behind(time.monotonic())
        if late:
            self.health.fault(
                "frames_skipped",
                f"frame {frame.number}: {', '.join(late)} cannot follow at "
                f"{self._rate_hz:g} frames/s; lower the rate, or raise max_frames_ahead "
                "where frames take long but keep their pace",
            )
            return

        # publish it; simulated: generated here, and not the traffic of a network (docs/nodes.md)
        bands = self._scheduled_bands(frame)
        on_air = make_frame(self.scene, frame.number, frame.number / self._rate_hz, bands=bands)
        announcement = Announcement(
            frame=frame,
            scene=self.scene.name,
            scene_fingerprint=self.scene.fingerprint,
            simulated=True,
            seed=self.scene.seed,
            payload=pack_frame(on_air) if self.settings["announce_payload"] else b"",
            downlink_bits=self._scheme.downlink_bits(on_air),
            bands=on_air.bands,
            time_s=on_air.time_s,
        )
        self._publisher.publish(conversions.frame_message(announcement))
        self._pressure.announce(frame.number, time.monotonic(), self._idle(on_air.bands))
        self.health.count("frames")

        # state file and figures
        if self._numbers.start_ns != self._saved_ns:
            self._save()
        if self._num_announced % SUM_RATE_EVERY == 0:
            rate = mean_sum_rate(self.scene, on_air)
            self.health.figures["sum_rate_bit_per_s_per_hz"] = f"{rate:.2f}"
        self._num_announced += 1
        if frame.number + 1 == self.scene.num_frames:
            self._end_recording(frame)

    def _idle(self, bands: Sequence[str]) -> frozenset[str]:
        """Full names of the access points that receive on none of these bands."""
        receiving = {site.name for band in bands for site in self.scene.on(band).receivers}
        return frozenset(
            self.shared(f"{station.name}/access_point")
            for station in self.scene.receiving_stations
            if station.name not in receiving
        )

    def _save(self) -> None:
        """Write the state file, from which a restarted process resumes the run."""
        self._saved_ns = self._numbers.start_ns
        if self._state_file is None:
            return
        try:
            write_state(self._state_file, {"run": self._run, "start_ns": self._saved_ns})
        except OSError as error:
            self.health.fault("states_unwritten", f"{self._state_file}: {error.strerror}")

    def _end_recording(self, frame: FrameStamp) -> None:
        """Stop announcing: the path file has no further frame. The node keeps running."""
        paths = self.scene.propagation.paths
        assert paths is not None and self._timer is not None  # it is their last frame
        self._timer.cancel()
        last = min(frame.number, paths.num_frames - 1)
        self.get_logger().info(
            f"the recording {paths.source} has ended: frame {last} was the last of run {self._run}"
        )
        self.health.figures["recording"] = "ended"

    def close(self) -> None:
        """Report a last time, for the evaluator's number of skipped frames."""
        if self.context.ok():
            self.health.publish()


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(TransmitController, args)


if __name__ == "__main__":
    sys.exit(main())

"""Base of all nodes: scene, parameters, diagnostics, clock, and the life of the process."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import rclpy
from cooperative_isac_msgs.msg import StageTiming
from rclpy.clock import ROSClock
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Pose
from cooperative_isac.schemes.registry import scheme_scene
from cooperative_isac.waveform.frame import Frame
from cooperative_isac_ros import qos
from cooperative_isac_ros.guard import GuardedNode, code_place, described
from cooperative_isac_ros.health import Health
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import announced_bands, announced_frame
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, Timing
from cooperative_isac_ros.parameters import SCENE, SCHEME, Parameter, Settings
from cooperative_isac_ros.processes.held_scenes import node_scene
from cooperative_isac_ros.processes.interrupts import StopRequest, stop_request
from cooperative_isac_ros.processes.kernel import interrupt_no_other
from cooperative_isac_ros.processes.startup import prepare_loggers, start_ros
from cooperative_isac_ros.start import USAGE_ERROR

# Niceness of the processes that encode: the fusion center and the tracker, for which all frames
# wait, have 0.
WORKER_NICE = 3
# Niceness of the processes that only observe: evaluator, markers, the live line of `isac run`.
OBSERVER_NICE = 10
# Time after SIGINT or SIGTERM in which a process must end by itself, s: while its node is
# constructed, when there is nothing to save yet, ...
START_S = 1.5
# ... and after its node was closed, when everything is saved.
LEAVE_S = 2.0


class SceneNode(GuardedNode):
    """Node of one scene.

    An exception of a callback is counted as `callbacks_failed`, and the node keeps running.

    name: of the node
    parameters: those of the node, beside the scene; with SCHEME among them, the scene is reduced to
        the sites that the scheme uses
    namespace_depth: levels of the node's namespace below that of the scene's topics: 1 for
        /campus/west, whose topics are in /campus
    options: as of rclpy's Node
    """

    def __init__(
        self, name: str, parameters: Sequence[Parameter] = (), namespace_depth: int = 0, **options
    ):
        super().__init__(name, enable_logger_service=True, **options)
        prepare_loggers()
        # Places in the code whose traceback has been logged.
        self._traced: set[str] = set()

        # parameters, scene and scheme
        self.settings = Settings(self, (SCENE, *parameters))
        self.scene: Scene = node_scene(self.settings["scene"])
        self.scheme_name = self.scene.sensing.scheme
        if SCHEME in parameters:
            self.scheme_name = self.settings["scheme"] or self.scheme_name
            self.scene = scheme_scene(self.scheme_name, self.scene)

        # diagnostics
        self.health = Health(self, lambda: self._missing_clock() or self.waiting_for())

        # namespace of the scene's topics: empty, or with a slash before every part
        parts = self.get_namespace().strip("/").split("/")
        self._root = "/".join(["", *filter(None, parts[: len(parts) - namespace_depth])])

        # The frame that is expected next, by the seed of its scene.
        self._prepared: dict[int, Frame] = {}

        # durations of the node's stages
        self._num_timings = 0
        self._timing_publisher = self.create_publisher(
            StageTiming, self.shared("timing"), qos.COUNTED
        )

    def shared(self, topic: str) -> str:
        """Full name of a topic of the scene."""
        return f"{self._root}/{topic}"

    def waiting_for(self) -> str:
        """Description of what the node still waits for; empty when it is ready."""
        return ""

    def callback_failed(self, place: str, error: Exception) -> None:
        """Count an exception of a callback or stage.

        The traceback is logged at debug level, once per place in the code.
        """
        self.health.fault("callbacks_failed", f"{place}: {described(error)}")
        where = code_place(error)
        if where not in self._traced:
            self._traced.add(where)
            self.get_logger().debug("".join(traceback.format_exception(error)))

    def _missing_clock(self) -> str:
        """Description of the missing simulation time; empty where it runs, or is not used."""
        clock = self.get_clock()
        uses_sim_time = isinstance(clock, ROSClock) and clock.ros_time_is_active
        if not uses_sim_time or self.now_ns:
            return ""
        if self.count_publishers("/clock"):
            return "the first time on /clock"
        return "/clock: use_sim_time is set, but it has no publisher"

    def close(self) -> None:
        """Save results; called once, before the node is destroyed."""

    @property
    def now_ns(self) -> int:
        """ROS time, ns."""
        return self.get_clock().now().nanoseconds

    def scene_of(self, announcement: Announcement) -> Scene:
        """Scene with the seed of an announced frame.

        Raises ValueError where the frame is of another scene.
        """
        if announcement.scene_fingerprint != self.scene.fingerprint:
            raise ValueError(
                f"frame {announcement.frame.number} is of scene '{announcement.scene}' "
                f"({announcement.scene_fingerprint}), this node has '{self.scene.name}' "
                f"({self.scene.fingerprint}); start all nodes with one scene file"
            )
        if announcement.seed == self.scene.seed:
            return self.scene
        return replace(self.scene, seed=announcement.seed)

    def frame_of(self, announcement: Announcement, reported: Mapping[str, Pose]) -> Frame:
        """Signals of an announced frame, and the poses of moving stations.

        reported: poses of the stations that follow odometry or /tf, by station

        Raises ValueError where the announcement contradicts the scene or itself.
        """
        scene = self.scene_of(announcement)
        prepared = self._prepared.get(announcement.seed)
        return announced_frame(scene, announcement, reported, prepared)

    def prepare_first_frame(self) -> Frame:
        """Draw the signals of frame 0 with the seed of the scene, which frame_of then uses."""
        return self._drawn(self.scene, 0, None)

    def prepare_frame(self, announcement: Announcement) -> Frame | None:
        """Draw the signals of the frame after an announced one, which frame_of then uses.

        Returns the frame, or None where its signals come with its announcement or the path file of
        the scene has no further frame.
        """
        scene = self.scene_of(announcement)
        number = announcement.frame.number + 1
        is_beyond_file = scene.num_frames is not None and number >= scene.num_frames
        if announcement.payload or is_beyond_file:
            return None

        # A schedule by tracks changes rarely: the next frame has the bands of this one.
        bands = announced_bands(scene, announcement) if scene.cooperation is not None else None
        return self._drawn(scene, number, bands)

    def _drawn(self, scene: Scene, number: int, bands: Sequence[str] | None) -> Frame:
        """Frame with its signals drawn, kept for frame_of.

        bands: names of those on the air; None: all of the frame
        """
        # A frame draws the signal of a band when it is used for the first time.
        frame = make_frame(scene, number, number / scene.update_rate_hz, bands=bands)
        for band in frame.bands:
            frame.on(band)
        self._prepared = {scene.seed: frame}
        return frame

    def publish_timing(self, frame: FrameStamp, stage: str, began_s: float) -> None:
        """Publish the duration of a stage and the age of its frame.

        began_s: time.perf_counter() at the start of the stage, s
        """
        duration_ms = (time.perf_counter() - began_s) * 1e3
        latency_ms = max((self.now_ns - frame.stamp_ns) * 1e-6, 0.0)
        record = Timing(
            frame=frame,
            sequence=self._num_timings,
            stage=stage,
            node=self.get_fully_qualified_name(),
            duration_ms=duration_ms,
            latency_ms=latency_ms,
        )
        self._timing_publisher.publish(conversions.timing_message(record))
        self._num_timings += 1
        self.health.figures[f"{stage}_ms"] = f"{duration_ms:.1f}"
        self.health.figures["latency_ms"] = f"{latency_ms:.1f}"


def run_node(make: Callable[[], SceneNode], args: list[str] | None = None, nice: int = 0) -> int:
    """Spin a node until SIGINT or SIGTERM.

    An invalid argument, scene or parameter is reported in one line.

    make: constructs the node
    args: command line; None: that of the process
    nice: niceness of the process

    Returns the exit code.
    """
    os.nice(nice)
    if nice >= OBSERVER_NICE:
        interrupt_no_other()
    with stop_request() as stop:
        stop.allow(START_S)
        try:
            start_ros(args, SignalHandlerOptions.NO)
        except Exception as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return USAGE_ERROR
        return _spin_until_stopped(make, stop)


def one_line(error: Exception) -> str:
    """Text of an error of rcl, without the lines that repeat its place in the C code."""
    return str(error).partition(", at ")[0].partition("\n")[0]


def _spin_until_stopped(make: Callable[[], SceneNode], stop: StopRequest) -> int:
    """Construct and spin a node, and close it in any case. Returns the exit code."""
    executor = SingleThreadedExecutor()
    node = None
    try:
        node = make()
        executor.add_node(node)

        # From here on there are results to save, which take their time.
        stop.allow(None)

        # A task ends spin_once; a mere wake-up would not, since it brings no work.
        stop.on_request(lambda: executor.create_task(lambda: None))
        while rclpy.ok() and not stop.requested:
            executor.spin_once()
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except Exception as error:
        if not rclpy.ok():
            return 0  # shut down in the middle of a callback, which could not publish any more
        if node is not None or not isinstance(error, ValueError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    finally:
        stop.on_request(None)
        if node is not None:
            node.close()

        # Everything is saved: the rest must not keep the process alive.
        stop.allow(LEAVE_S)
        if node is not None:
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
    return 0

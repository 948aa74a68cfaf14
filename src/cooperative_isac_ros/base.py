"""What all nodes share: the scene, parameters, health, clock, and how they start and end."""

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
from cooperative_isac_ros.launching.startup import start_ros
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import announced_frame
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, Timing
from cooperative_isac_ros.parameters import SCENE, SCHEME, Parameter, Settings
from cooperative_isac_ros.processes.held_scenes import node_scene
from cooperative_isac_ros.processes.interrupts import StopRequest, stop_request
from cooperative_isac_ros.processes.kernel import interrupt_no_other
from cooperative_isac_ros.start import USAGE_ERROR

WORKER_NICE, ONLOOKER_NICE = 3, 10
# After a signal, s: a node that is still being made has nothing to save, one that is closed
# neither.
START_S = 1.5
LEAVE_S = 2.0


class SceneNode(GuardedNode):
    """A node of one scene; the scene's topics lie above the `namespace_depth` namespaces of its
    own.

    One that takes the parameter SCHEME has the sites that the scheme works with. An exception of a
    callback is counted as `callbacks_failed`; the node goes on.
    """

    def __init__(
        self, name: str, parameters: Sequence[Parameter] = (), namespace_depth: int = 0, **options
    ):
        super().__init__(name, enable_logger_service=True, **options)
        self._traced: set[str] = set()
        self.settings = Settings(self, (SCENE, *parameters))
        self.scene: Scene = node_scene(self.settings["scene"])
        self.scheme_name = self.scene.sensing.scheme
        if SCHEME in parameters:
            self.scheme_name = self.settings["scheme"] or self.scheme_name
            self.scene = scheme_scene(self.scheme_name, self.scene)
        self.health = Health(self, lambda: self._clock_missing() or self.waiting_for())
        parts = self.get_namespace().strip("/").split("/")
        self._root = "/".join(["", *filter(None, parts[: len(parts) - namespace_depth])])
        self._timings = 0
        # The frame that is expected next, by its seed.
        self._prepared: dict[int, Frame] = {}
        self._timing_publisher = self.create_publisher(
            StageTiming, self.shared("timing"), qos.COUNTED
        )

    def shared(self, topic: str) -> str:
        """Name of a topic of the whole scene."""
        return f"{self._root}/{topic}"

    def waiting_for(self) -> str:
        """What the node still needs before it can do its work; empty when it is ready."""
        return ""

    def callback_failed(self, place: str, error: Exception) -> None:
        """Count an exception of a callback or a stage; its traceback goes to the debug log once for
        each place.
        """
        self.health.fault("callbacks_failed", f"{place}: {described(error)}")
        where = code_place(error)
        if where not in self._traced:
            self._traced.add(where)
            self.get_logger().debug("".join(traceback.format_exception(error)))

    def _clock_missing(self) -> str:
        """That simulation time has not begun; empty when it has, or is not asked for."""
        clock = self.get_clock()
        if not isinstance(clock, ROSClock) or not clock.ros_time_is_active or self.now_ns:
            return ""
        offered = self.count_publishers("/clock")
        return (
            "the first time on /clock"
            if offered
            else "/clock: use_sim_time is set and nobody publishes it"
        )

    def close(self) -> None:
        """Called once at the end, before the node is destroyed."""

    @property
    def now_ns(self) -> int:
        """ROS time [ns]."""
        return self.get_clock().now().nanoseconds

    def scene_of(self, announcement: Announcement) -> Scene:
        """The scene with the frame's seed; ValueError when the frame is of another scene."""
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
        """What is transmitted in a frame, and where moving stations are.

        reported: poses of the stations that follow odometry or /tf
        ValueError: the announcement does not fit the scene or itself
        """
        scene = self.scene_of(announcement)
        prepared = self._prepared.get(announcement.seed)
        return announced_frame(scene, announcement, reported, prepared)

    def prepare_frame(self, announcement: Announcement) -> Frame | None:
        """The frame after an announced one, its signals drawn; frame_of then uses them.

        None: its signals come with its announcement, or the scene's path file has no further frame
        """
        scene = self.scene_of(announcement)
        number = announcement.frame.number + 1
        if announcement.payload or (scene.num_frames is not None and number >= scene.num_frames):
            return None
        frame = make_frame(scene, number, number / scene.update_rate_hz)
        for band in frame.bands:
            frame.on(band)
        self._prepared = {announcement.seed: frame}
        return frame

    def say_timing(self, frame: FrameStamp, stage: str, began_s: float) -> None:
        """Publish what a stage took since time.perf_counter() was began_s, and how old the frame
        is.
        """
        duration_ms = (time.perf_counter() - began_s) * 1e3
        latency_ms = max((self.now_ns - frame.stamp_ns) * 1e-6, 0.0)
        record = Timing(
            frame, self._timings, stage, self.get_fully_qualified_name(), duration_ms, latency_ms
        )
        self._timing_publisher.publish(conversions.timing_message(record))
        self._timings += 1
        self.health.figures[f"{stage}_ms"] = f"{duration_ms:.1f}"
        self.health.figures["latency_ms"] = f"{latency_ms:.1f}"


def run_node(make: Callable[[], SceneNode], args: list[str] | None = None, nice: int = 0) -> int:
    """Spin a node until SIGINT or SIGTERM asks it to end; the exit code.

    A wrong argument, scene or parameter is one line.
    nice: how far the process stands back: who waits for others goes first, who only looks on goes
    last.
    """
    os.nice(nice)
    if nice >= ONLOOKER_NICE:
        interrupt_no_other()
    with stop_request() as stop:
        stop.allow(START_S)
        try:
            start_ros(args, SignalHandlerOptions.NO)
        except Exception as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return USAGE_ERROR
        return _spin_to_the_end(make, stop)


def one_line(error: Exception) -> str:
    """Text of an error without the lines in which rcl repeats where it came from."""
    return str(error).partition(", at ")[0].partition("\n")[0]


def _spin_to_the_end(make: Callable[[], SceneNode], stop: StopRequest) -> int:
    executor = SingleThreadedExecutor()
    node = None
    try:
        node = make()
        executor.add_node(node)

        # From here on there is work to save.
        stop.allow(None)
        # A task, since spin_once waits on after a wake-up that brings no work.
        stop.wakes(lambda: executor.create_task(lambda: None))
        while rclpy.ok() and not stop.requested:
            executor.spin_once()
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except Exception as error:
        if not rclpy.ok():
            return 0  # told to end in the middle of a callback, which could not publish any more
        if node is not None or not isinstance(error, ValueError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    finally:
        stop.wakes(None)
        if node is not None:
            node.close()

        # All is saved: what remains must not hold the process.
        stop.allow(LEAVE_S)
        if node is not None:
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
    return 0

"""Gives recorded features to a new fusion center and tracker, and compares the results."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path

from cooperative_isac_msgs.msg import Frame
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import scheme_scene, station_schemes
from cooperative_isac_ros import qos
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.player import Player
from cooperative_isac_ros.bag.recording import (
    RESULTS,
    FrameKey,
    RecordedFrame,
    Recording,
    frame_key,
)
from cooperative_isac_ros.bag.upgrade import Fields, agree
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.launching.graph import (
    LONGEST_DEADLINE_S,
    GraphOptions,
    NodeSpec,
    scene_nodes,
)
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import receiving_stations
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.conversions import to_ns
from cooperative_isac_ros.messages.records import Announcement, Packet
from cooperative_isac_ros.processes.group import ProcessGroup

ATTEMPTS = 3
READY_WITHIN_S, ANSWER_WITHIN_S = 120.0, 30.0
LONGEST_STEP_S = 0.1  # what takes longer is a machine that stood still, and so did the nodes
NUMBERS = itertools.count()
NOTHING = b"\x00"
REPLAYED = ("fusion_center", "tracker")


@dataclass(frozen=True)
class Comparison:
    """How many messages of a topic were recorded, and the numbers of the frames that came
    otherwise.

    is_older: they were recorded with an older definition, and are compared to rounding
    """

    topic: str
    recorded: int
    frames_different: tuple[int, ...]
    is_older: bool = False


class Replay:
    """A fusion center and a tracker in a namespace of their own, fed by this process.

    check: called again and again; it raises what is to end the work
    """

    def __init__(
        self,
        recording: Recording,
        scene: Scene,
        node: Node,
        executor: SingleThreadedExecutor,
        check: Callable[[], None] = lambda: None,
    ):
        self._check = check
        self._recording, self._scene, self._node, self._executor = recording, scene, node, executor
        self._space = f"/replay_{os.getpid()}_{next(NUMBERS)}/"
        self.heard: dict[str, dict[FrameKey, bytes]] = {name: {} for name in RESULTS}
        self._scheme = _scene_scheme(recording, scene)
        self._arranged = scheme_scene(self._scheme, scene)
        self._schemes = station_schemes(self._scheme, self._arranged)
        self._feature_topics = {site: self._feature_topic(site) for site in self._schemes}
        self._num_posed = dict.fromkeys(recording.poses, 0)
        self._player = Player(
            node,
            (recording.frame_topic, *self._feature_topics.values(), *recording.pose_topics),
            self._renamed,
        )

    def run(self, folder: Path, on_frame: Callable[[], None] = lambda: None) -> bool:
        """Start the nodes, with files in a folder, and give them every frame; False when an answer
        was lost.

        So it may be on a machine that stood still: after 20 s nodes forget each other.
        """
        with ProcessGroup(folder) as group:
            for spec in self._specs():
                group.start(spec)
            self._wait_until_ready(group)
            for frame in self._recording.frames:
                answered = self._feed(frame)
                _stop_if_crashed(group)
                if not answered:  # the tracker may lack this frame, too
                    return False
                on_frame()
        return True

    def comparisons(self) -> list[Comparison]:
        """Every recorded topic beside what came now."""
        return [
            _compare(name, recorded, self.heard[name], self._recording.added.get(name))
            for name, recorded in self._recording.results.items()
        ]

    def save(self, folder: Path) -> None:
        """Write what came to a new bag, at the stamps of its frames."""
        writer = BagWriter(folder)
        for name, topic in self._recording.result_topics.items():
            # The hash is that of the definition with which they are written.
            type_hash = "" if name in self._recording.added else topic.type_hash
            writer.add_topic(changed(topic, type_hash=type_hash))
            for data in self.heard[name].values():
                stamp_ns = to_ns(deserialize_message(data, RESULTS[name]).header.stamp)
                writer.write(topic.name, stamp_ns, stamp_ns, data)
        writer.close()

    def _renamed(self, name: str) -> str:
        """Where a topic of the bag is published: those below the scene's root are below a new one,
        but for poses that stations take from a place of their own.
        """
        absolute = {station.odometry for station in self._scene.stations}
        if name in ("/tf", "/tf_static") or name in absolute:
            return name
        return self._space + name.removeprefix(self._recording.root)

    def _feature_topic(self, site: str) -> Topic:
        """Where a site's packets were recorded; of a site that said nothing, where they would have
        been.
        """
        known = {topic.name: topic for topic in self._recording.feature_topics}
        name = f"{self._recording.root}{site}/features"
        return known.get(name, changed(self._recording.feature_topics[0], name=name))

    def _specs(self) -> list[NodeSpec]:
        options = GraphOptions(scheme=self._scheme, namespace=self._space, markers=False)
        # No deadline is to pass: each frame is answered in full.
        patient = {
            "patience_frames": 1000,
            "deadline_s": LONGEST_DEADLINE_S,
            "odometry_wait_s": 1.0,
            "wait_for_poses": False,
        }
        return [
            changed(
                spec,
                parameters={**spec.parameters, **(patient if spec.name == "fusion_center" else {})},
            )
            for spec in scene_nodes(self._scene, options)
            if spec.executable in REPLAYED
        ]

    def _feed(self, frame: RecordedFrame) -> bool:
        """Publish a frame after a packet of every site; whether its results came."""
        announcement = conversions.announcement(deserialize_message(frame.data, Frame))
        self._feed_poses(announcement.frame.stamp_ns)
        receiving = receiving_stations(self._arranged, announcement)
        for site, topic in self._feature_topics.items():
            if site not in receiving:
                continue
            used = {packet.topic: packet.data for packet in frame.packets if packet.used}
            data = used.get(topic.name)
            self._player.publish(
                topic.name, self._silence(announcement, site, not used) if data is None else data
            )
        self._player.publish(self._recording.frame_topic.name, frame.data)
        # The tracks too: a burst of detections would overrun the tracker's queue.
        recorded = {name for name, known in self._recording.results.items() if frame.key in known}
        expected = recorded | {"detections"}
        came = self._until(
            lambda: all(frame.key in self.heard[name] for name in expected), ANSWER_WITHIN_S
        )
        return came or not recorded

    def _feed_poses(self, stamp_ns: int) -> None:
        """Publish what was reported of stations up to the first report at or after a stamp."""
        for topic, messages in self._recording.poses.items():
            while self._num_posed[topic] < len(messages):
                message_ns, data = messages[self._num_posed[topic]]
                self._player.publish(topic, data)
                self._num_posed[topic] += 1
                if message_ns >= stamp_ns:
                    break

    def _silence(self, announcement: Announcement, site: str, simulated: bool) -> bytes:
        """For a site without a packet: one that every scheme refuses, so that nothing hangs on a
        deadline.
        """
        packet = Packet(
            announcement.frame,
            0,
            site,
            self._schemes[site],
            simulated and announcement.simulated,
            NOTHING,
        )
        return serialized(conversions.packet_message(packet))

    def _wait_until_ready(self, group: ProcessGroup) -> None:
        center, tracker = (f"{self._space}{name}" for name in REPLAYED)
        reports = self._reports()
        self._wait(
            group,
            lambda: reports.get(center, False) and tracker in reports and self._player.all_heard,
        )
        # Not before: the center is ready when somebody hears its detections, and that must be the
        # tracker.
        for name, kind in RESULTS.items():
            self._node.create_subscription(
                kind, self._space + name, self._collector(name, kind), qos.STREAM, raw=True
            )
        # Discovery keeps its order: who reports to a listener knows the listeners that came before
        # it.
        reports_after = self._reports()
        self._wait(group, lambda: center in reports_after and tracker in reports_after)

    def _reports(self) -> dict[str, bool]:
        """Whether nodes are ready, by their names: those that this listener has heard of."""
        reports: dict[str, bool] = {}

        def hear(message: DiagnosticArray) -> None:
            for status in message.status:
                reports[status.name] = any(
                    item.key == "ready" and item.value == "True" for item in status.values
                )

        self._node.create_subscription(DiagnosticArray, "/diagnostics", hear, qos.STREAM)
        return reports

    def _wait(self, group: ProcessGroup, condition: Callable[[], bool]) -> None:
        def checked() -> bool:
            _stop_if_crashed(group)
            return condition()

        if not self._until(checked, READY_WITHIN_S):
            raise BagError(
                f"the fusion center and the tracker were not ready within {READY_WITHIN_S:g} s"
            )

    def _until(self, condition: Callable[[], bool], at_most_s: float) -> bool:
        """Spin until a condition holds or the time is up; while the machine stood still is no
        time.
        """
        left_s = at_most_s
        while not condition():
            if left_s <= 0:
                return False
            self._check()
            began_s = time.monotonic()
            self._executor.spin_once(timeout_sec=0.02)
            left_s -= min(time.monotonic() - began_s, LONGEST_STEP_S)
        return True

    def _collector(self, name: str, kind):
        def collect(data: bytes) -> None:
            self.heard[name][frame_key(data, kind)] = data

        return collect


def _scene_scheme(recording: Recording, scene: Scene) -> str:
    """Scheme with which the scene was run: of the stations that have none of their own."""
    for station in scene.receiving_stations:
        if not station.scheme and station.name in recording.schemes:
            return recording.schemes[station.name]
    named = [station.scheme for station in scene.receiving_stations]
    return scene.sensing.scheme if any(named) else recording.scheme


def _stop_if_crashed(group: ProcessGroup) -> None:
    crash = group.crashed()
    if crash is not None:
        raise BagError(
            f"node {crash.name} ended by itself with exit code {crash.exit_code}; it said\n"
            f"{crash.last_output or 'nothing'}"
        )


def _compare(
    topic: str,
    recorded: dict[FrameKey, bytes],
    replayed: dict[FrameKey, bytes],
    added: Fields | None = None,
) -> Comparison:
    """Byte by byte; by their values where the recorded ones lacked fields.

    added: those fields; None: the definition is that of today
    """

    def is_same(key: FrameKey) -> bool:
        if added is None:
            return replayed.get(key) == recorded[key]
        return key in replayed and agree(recorded[key], replayed[key], RESULTS[topic], added)

    different = tuple(key[1] for key in recorded if not is_same(key))
    return Comparison(topic, len(recorded), different, added is not None)

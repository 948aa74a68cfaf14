"""Gives recorded features to a new fusion centre and tracker, and compares the results."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace as changed
from pathlib import Path
from typing import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from cooperative_isac.scene.model import Scene
from cooperative_isac_ros import qos
from cooperative_isac_ros.bag.metadata import BagError
from cooperative_isac_ros.bag.player import Player
from cooperative_isac_ros.bag.recording import RESULTS, FrameKey, RecordedFrame, Recording, frame_key
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.conversions import to_ns
from cooperative_isac_ros.graph import GraphOptions, NodeSpec, scene_nodes
from cooperative_isac_ros.processes import ProcessGroup

READY_WITHIN_S = 60.0
ANSWER_WITHIN_S = 10.0
SETTLE_S = 0.5
DEADLINE_S = 0.5
REPLAYED = ("fusion_center", "tracker")


@dataclass(frozen=True)
class Comparison:
    """How many messages of a topic were recorded, and the numbers of the frames that came otherwise."""

    topic: str
    recorded: int
    frames_different: tuple[int, ...]


class Replay:
    """A fusion centre and a tracker in a namespace of their own, fed by this process."""

    def __init__(self, recording: Recording, node: Node, executor: SingleThreadedExecutor):
        self._recording, self._node, self._executor = recording, node, executor
        self._space = f"/replay_{os.getpid()}/"
        self.heard: dict[str, dict[FrameKey, bytes]] = {name: {} for name in RESULTS}
        self._center_ready = False
        node.create_subscription(DiagnosticArray, "/diagnostics", self._hear_health, qos.STREAM)
        self._player = Player(node, (recording.frame_topic, *recording.feature_topics),
                              lambda name: self._space + name.removeprefix(recording.root))

    def run(self, scene: Scene, folder: Path, on_frame: Callable[[], None] = lambda: None) -> None:
        """Start the nodes, with files in a folder, and give them every frame."""
        with ProcessGroup(folder) as group:
            for spec in self._specs(scene):
                group.start(spec)
            self._wait_until_ready(group)
            for frame in self._recording.frames:
                self._feed(frame)
                _stop_if_crashed(group)
                on_frame()

    def comparisons(self) -> list[Comparison]:
        """Every recorded topic beside what came now."""
        return [
            _compare(name, recorded, self.heard[name]) for name, recorded in self._recording.results.items()
        ]

    def save(self, folder: Path) -> None:
        """Write what came to a new bag, at the stamps of its frames."""
        writer = BagWriter(folder)
        for name, topic in self._recording.result_topics.items():
            writer.add_topic(topic)
            for data in self.heard[name].values():
                stamp_ns = to_ns(deserialize_message(data, RESULTS[name]).header.stamp)
                writer.write(topic.name, stamp_ns, stamp_ns, data)
        writer.close()

    def _specs(self, scene: Scene) -> list[NodeSpec]:
        options = GraphOptions(scheme=self._recording.scheme, namespace=self._space, markers=False)
        # The centre must wait for each packet that it is going to get, however long a site was silent before.
        patient = {"patience_frames": 1000, "deadline_s": max(DEADLINE_S, scene.sensing.deadline_s)}
        return [
            changed(spec, parameters={**spec.parameters, **(patient if spec.name == "fusion_center" else {})})
            for spec in scene_nodes(scene, options) if spec.executable in REPLAYED
        ]

    def _feed(self, frame: RecordedFrame) -> None:
        """Publish a frame with the packets that were used, await its results, then publish what was late."""
        self._player.publish(self._recording.frame_topic.name, frame.data)
        for packet in frame.packets:
            if packet.used:
                self._player.publish(packet.topic, packet.data)
        # The tracks too: a burst of detections would overrun the tracker's queue.
        expected = {
            "detections", *(name for name, known in self._recording.results.items() if frame.key in known)
        }
        self._until(lambda: all(frame.key in self.heard[name] for name in expected), ANSWER_WITHIN_S)
        for packet in frame.packets:
            if not packet.used:
                self._player.publish(packet.topic, packet.data)

    def _wait_until_ready(self, group: ProcessGroup) -> None:
        def ready() -> bool:
            _stop_if_crashed(group)
            return (self._center_ready and all(self._player.matched.values())
                    and all(self._node.count_publishers(self._space + name) for name in RESULTS))

        if not self._until(ready, READY_WITHIN_S):
            raise BagError(f"the fusion centre and the tracker were not ready within {READY_WITHIN_S:g} s")
        # Not before: the centre is ready when somebody hears its detections, and that must be the tracker.
        for name, kind in RESULTS.items():
            self._node.create_subscription(kind, self._space + name, self._collector(name, kind), qos.STREAM,
                                           raw=True)
        self._until(lambda: False, SETTLE_S)

    def _hear_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f"{self._space}fusion_center"):
                self._center_ready = any(item.key == "ready" and item.value == "True"
                                         for item in status.values)

    def _until(self, condition: Callable[[], bool], at_most_s: float) -> bool:
        deadline = time.monotonic() + at_most_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def _collector(self, name: str, kind):
        def collect(data: bytes) -> None:
            self.heard[name][frame_key(data, kind)] = data
        return collect


def _stop_if_crashed(group: ProcessGroup) -> None:
    crash = group.crashed()
    if crash is not None:
        raise BagError(f"node {crash.name} ended by itself with exit code {crash.exit_code}; it said\n"
                       f"{crash.last_output or 'nothing'}")


def _compare(topic: str, recorded: dict[FrameKey, bytes], replayed: dict[FrameKey, bytes]) -> Comparison:
    different = tuple(key[1] for key, data in recorded.items() if replayed.get(key) != data)
    return Comparison(topic, len(recorded), different)

"""Gives recorded features to a new fusion centre and tracker, and compares what they say with the recording."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame, Tracks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from cooperative_isac.scene.model import Scene
from cooperative_isac_ros import qos
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.player import Player
from cooperative_isac_ros.bag.reader import BagReader, BagSummary
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.graph import GraphOptions, scene_nodes
from cooperative_isac_ros.processes import ProcessGroup

FRAME_TYPE, FEATURES_TYPE = "cooperative_isac_msgs/msg/Frame", "cooperative_isac_msgs/msg/FeaturePacket"
RESULTS = {"detections": Detections, "tracks": Tracks}
READY_WITHIN_S = 60.0
ANSWER_WITHIN_S = 10.0
SETTLE_S = 0.5
REPLAYED = ("fusion_center", "tracker")


@dataclass(frozen=True)
class Comparison:
    """How many recorded messages of a topic came again with the same bytes; frames: numbers of those that did not."""

    topic: str
    recorded: int
    identical: int
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Recording:
    """What is replayed: the scene's root namespace, its name, fingerprint and scheme, and the topics."""

    root: str
    scene: str
    fingerprint: str
    scheme: str
    inputs: tuple[Topic, ...]
    results: tuple[Topic, ...]


@dataclass
class _Heard:
    """Results by (run, number), as bytes."""

    messages: dict[str, dict[tuple[int, int], bytes]] = field(
        default_factory=lambda: {name: {} for name in RESULTS})


def recording_of(reader: BagReader, summary: BagSummary) -> Recording:
    """Find out what a bag recorded; BagError names what it lacks for a replay."""
    frames = [topic for topic in summary.topics if topic.type_name == FRAME_TYPE and topic.num_messages]
    if len(frames) != 1:
        raise BagError(f"{reader.folder} has {len(frames)} topics with frames; a replay needs exactly 1")
    root = frames[0].name.removesuffix("frame")
    features = [topic for topic in summary.topics if topic.type_name == FEATURES_TYPE and topic.num_messages
                and topic.name.startswith(root)]
    results = [topic for topic in summary.topics if topic.name.removeprefix(root) in RESULTS and topic.num_messages]
    if not features or f"{root}detections" not in [topic.name for topic in results]:
        raise BagError(f"{reader.folder} needs {root}<ap>/features and {root}detections for a replay")
    frame = deserialize_message(next(iter(reader.messages([frames[0].name]))).data, Frame)
    packet = deserialize_message(next(iter(reader.messages([features[0].name]))).data, FeaturePacket)
    return Recording(root, frame.scene, frame.scene_fingerprint, packet.scheme, (frames[0], *features),
                     tuple(results))


def replay(reader: BagReader, recording: Recording, scene: Scene, node: Node, executor: SingleThreadedExecutor,
           folder: Path, out: Path | None, on_frame: Callable[[], None] = lambda: None) -> list[Comparison]:
    """Start a centre and a tracker in a namespace of their own, feed them the recording, and compare."""
    space = f"/replay_{os.getpid()}/"
    heard = _Heard()
    for name, kind in RESULTS.items():
        node.create_subscription(kind, space + name, _collector(heard.messages[name], kind), qos.STREAM, raw=True)
    player = Player(node, recording.inputs, lambda name: space + name.removeprefix(recording.root))
    specs = scene_nodes(scene, GraphOptions(scheme=recording.scheme, namespace=space, markers=False))
    with ProcessGroup(folder) as group:
        for spec in specs:
            if spec.executable in REPLAYED:
                group.start(spec)
        _wait_until_ready(node, executor, player, space, group)
        recorded = _feed(reader, recording, player, heard, executor, group, on_frame)
        _spin_until(executor, lambda: len(heard.messages["tracks"]) >= len(heard.messages["detections"]), 2.0)
    if out is not None:
        _save(out, recording, heard)
    return [_compare(name, recorded[name], heard.messages[name]) for name in RESULTS if recorded[name]]


def _feed(reader: BagReader, recording: Recording, player: Player, heard: _Heard, executor, group,
          on_frame: Callable[[], None]) -> dict[str, dict[tuple[int, int], bytes]]:
    """Publish in the recorded order; where detections were recorded, wait for the new ones of that frame.

    So a packet that was late stays late, whatever the machine is doing.
    """
    recorded: dict[str, dict] = {name: {} for name in RESULTS}
    names = [topic.name for topic in (*recording.inputs, *recording.results)]
    for message in reader.messages(names):
        name = message.topic.removeprefix(recording.root)
        if name not in RESULTS:
            player.publish(message.topic, message.data)
            continue
        frame = _frame_of(message.data, RESULTS[name])
        recorded[name][frame] = message.data
        if name == "detections":
            _spin_until(executor, lambda: frame in heard.messages[name], ANSWER_WITHIN_S)
            _stop_if_crashed(group)
            on_frame()
    return recorded


def _wait_until_ready(node: Node, executor, player: Player, space: str, group: ProcessGroup) -> None:
    def ready() -> bool:
        _stop_if_crashed(group)
        return (all(player.matched.values()) and node.count_subscribers(f"{space}detections") >= 2
                and all(node.count_publishers(space + name) for name in RESULTS))

    if not _spin_until(executor, ready, READY_WITHIN_S):
        raise BagError(f"the fusion centre and the tracker were not ready within {READY_WITHIN_S:g} s")
    _spin_until(executor, lambda: False, SETTLE_S)


def _stop_if_crashed(group: ProcessGroup) -> None:
    crash = group.crashed()
    if crash is not None:
        raise BagError(f"node {crash.name} ended by itself with exit code {crash.exit_code}; it said\n"
                       f"{crash.last_output or 'nothing'}")


def _spin_until(executor, condition: Callable[[], bool], at_most_s: float) -> bool:
    deadline = time.monotonic() + at_most_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        executor.spin_once(timeout_sec=0.02)
    return True


def _collector(messages: dict[tuple[int, int], bytes], kind):
    def collect(data: bytes) -> None:
        messages[_frame_of(data, kind)] = data
    return collect


def _frame_of(data: bytes, kind) -> tuple[int, int]:
    message = deserialize_message(data, kind)
    return message.run, message.number


def _compare(topic: str, recorded: dict, replayed: dict) -> Comparison:
    different = sorted(number for (run, number), data in recorded.items() if replayed.get((run, number)) != data)
    return Comparison(topic, len(recorded), len(recorded) - len(different), tuple(different))


def _save(out: Path, recording: Recording, heard: _Heard) -> None:
    writer = BagWriter(out)
    for topic in recording.results:
        writer.add_topic(topic)
        for data in heard.messages[topic.name.removeprefix(recording.root)].values():
            stamp = deserialize_message(data, RESULTS[topic.name.removeprefix(recording.root)]).header.stamp
            stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
            writer.write(topic.name, stamp_ns, stamp_ns, data)
    writer.close()

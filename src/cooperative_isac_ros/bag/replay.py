"""Replay: a new fusion center and tracker process recorded features; results are compared."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
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
    LATE,
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
from cooperative_isac_ros.launching.process_group import ProcessGroup
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import receiving_stations
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.conversions import to_ns
from cooperative_isac_ros.messages.records import Announcement, Packet

# Replays that are tried where an answer is lost.
ATTEMPTS = 3
# Longest wait for the nodes at their start, and for the results of a frame, s.
READY_WITHIN_S = 120.0
RESULTS_WITHIN_S = 30.0
# Longest step of that time, s: in a longer one the machine slept, and so did the nodes.
LONGEST_WAIT_STEP_S = 0.1
# Longest wait for a message before conditions are checked, s.
MESSAGE_WAIT_S = 0.02
# Frames without a packet before the center stops to wait for a station: the largest value of the
# parameter, as a replay publishes a packet of every station anyway.
PATIENCE_FRAMES = 1000
# Longest wait of the center for poses, s: the largest value of the parameter.
ODOMETRY_WAIT_S = 1.0
# Numbers of the replays of this process, for their namespaces.
NUMBERS = itertools.count()
# Packet that every scheme refuses.
INVALID = b"\x00"
# Executables that are started.
REPLAYED = ("fusion_center", "tracker")


@dataclass(frozen=True)
class Comparison:
    """Comparison of the recorded and the replayed messages of a topic.

    recorded: number of recorded messages
    frames_different: numbers of the frames whose messages differ or are missing
    is_older: they were recorded with an older definition, and are compared up to rounding
    """

    topic: str
    recorded: int
    frames_different: tuple[int, ...]
    is_older: bool = False


class Replay:
    """Fusion center and tracker in a namespace of their own, and the publishers of their inputs.

    scene: of the recording
    node, executor: of this process
    check: called repeatedly; an exception of it ends the replay
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
        self._recording = recording
        self._scene = scene
        self._node = node
        self._executor = executor
        self._namespace = f"/replay_{os.getpid()}_{next(NUMBERS)}/"
        self.received: dict[str, dict[FrameKey, bytes]] = {name: {} for name in RESULTS}
        self._num_received: Counter[tuple[str, FrameKey]] = Counter()

        # scene and schemes with which it was recorded
        self._scheme = _scene_scheme(recording, scene)
        self._arranged = scheme_scene(self._scheme, scene)
        self._schemes = station_schemes(self._scheme, self._arranged)

        # publishers of the recorded inputs
        self._feature_topics = {site: self._feature_topic(site) for site in self._schemes}
        self._num_posed = dict.fromkeys(recording.poses, 0)
        self._player = Player(
            node,
            (
                recording.frame_topic,
                *self._feature_topics.values(),
                *recording.pose_topics,
                *([recording.late_topic] if recording.late_topic is not None else []),
            ),
            self._renamed,
        )

    def run(self, folder: Path, on_frame: Callable[[], None] = lambda: None) -> bool:
        """Start the nodes, and replay all frames.

        folder: of parameter files and logs
        on_frame: called after each frame

        Returns False where an answer was lost, as on a machine that slept: after 20 s nodes lose
        their connections.
        """
        with ProcessGroup(folder) as group:
            for spec in self._specs():
                group.start(spec)
            self._wait_until_ready(group)
            for frame in self._recording.frames:
                is_answered = self._replay(frame)
                _check_nodes(group)
                if not is_answered:  # the tracker may have missed the frame as well
                    return False
                on_frame()
        return True

    def comparisons(self) -> list[Comparison]:
        """Comparisons of all recorded topics with the replayed ones."""
        return [
            _compare(name, recorded, self.received[name], self._recording.added.get(name))
            for name, recorded in self._recording.results.items()
        ]

    def save(self, folder: Path) -> None:
        """Write the replayed messages to a new bag, at the stamps of their frames."""
        writer = BagWriter(folder)
        for name, topic in self._recording.result_topics.items():
            # the recorded hash is of the definition with which they were recorded
            type_hash = "" if name in self._recording.added else topic.type_hash
            writer.add_topic(changed(topic, type_hash=type_hash))
            for data in self.received[name].values():
                stamp_ns = to_ns(deserialize_message(data, RESULTS[name]).header.stamp)
                writer.write(topic.name, stamp_ns, stamp_ns, data)
        writer.close()

    def _renamed(self, name: str) -> str:
        """Name under which a topic of the bag is published: below the namespace of the replay.

        Topics of poses with absolute names keep them.
        """
        absolute = {station.odometry for station in self._scene.stations}
        if name in ("/tf", "/tf_static") or name in absolute:
            return name
        return self._namespace + name.removeprefix(self._recording.root)

    def _feature_topic(self, site: str) -> Topic:
        """Topic of a site's packets, also where none was recorded."""
        known = {topic.name: topic for topic in self._recording.feature_topics}
        name = f"{self._recording.root}{site}/features"
        return known.get(name, changed(self._recording.feature_topics[0], name=name))

    def _specs(self) -> list[NodeSpec]:
        """Specifications of the nodes, without effective deadlines: no packet may be late."""
        options = GraphOptions(scheme=self._scheme, namespace=self._namespace, markers=False)
        patient = {
            "patience_frames": PATIENCE_FRAMES,
            "deadline_s": LONGEST_DEADLINE_S,
            "odometry_wait_s": ODOMETRY_WAIT_S,
            "wait_for_poses": False,
        }
        specs = []
        for spec in scene_nodes(self._scene, options):
            if spec.executable in REPLAYED:
                extra = patient if spec.executable == "fusion_center" else {}
                specs.append(changed(spec, parameters={**spec.parameters, **extra}))
        return specs

    def _replay(self, frame: RecordedFrame) -> bool:
        """Publish the packets of a frame, then its announcement, and wait for its results.

        Returns False where they do not arrive.
        """
        # poses, and a packet of every site that receives
        announcement = conversions.announcement(deserialize_message(frame.data, Frame))
        self._publish_poses(announcement.frame.stamp_ns)
        used = {packet.topic: packet.data for packet in frame.packets if packet.used}
        receiving = receiving_stations(self._arranged, announcement)
        for site, topic in self._feature_topics.items():
            if site not in receiving:
                continue
            data = used.get(topic.name)
            if data is None:
                # Detections count as simulated where one of their packets is, and where there are
                # none as the announcement is. Beside used packets this one must not count.
                data = self._invalid_packet(announcement, site, simulated=not used)
            self._player.publish(topic.name, data)

        # the announcement, after which the center need not wait for any packet
        self._player.publish(self._recording.frame_topic.name, frame.data)

        # results, with the tracks: a burst of detections would exceed the tracker's queue
        recorded = {name for name, known in self._recording.results.items() if frame.key in known}
        expected = recorded | {"detections"}
        is_answered = self._spin_until(
            lambda: all(frame.key in self.received[name] for name in expected), RESULTS_WITHIN_S
        )

        # a frame without recorded results is not compared, so its answer may be missing
        if not is_answered:
            return not recorded
        return self._insert_late(frame)

    def _insert_late(self, frame: RecordedFrame) -> bool:
        """Publish the late detections that the tracker inserted after a frame, one by one.

        Returns False where its tracks do not come again.
        """
        name = f"{self._recording.root}{LATE}"
        tracks = ("tracks", frame.key)
        for data in frame.late:
            before = self._num_received[tracks]
            self._player.publish(name, data)
            is_revised = self._spin_until(
                lambda before=before: self._num_received[tracks] > before, RESULTS_WITHIN_S
            )
            if not is_revised:
                return False
        return True

    def _publish_poses(self, stamp_ns: int) -> None:
        """Publish the poses of stations up to the first sample at or after a stamp in ns."""
        for topic, messages in self._recording.poses.items():
            while self._num_posed[topic] < len(messages):
                message_ns, data = messages[self._num_posed[topic]]
                self._player.publish(topic, data)
                self._num_posed[topic] += 1
                if message_ns >= stamp_ns:
                    break

    def _invalid_packet(self, announcement: Announcement, site: str, simulated: bool) -> bytes:
        """Packet of a site without a recorded one: the center refuses it without a deadline."""
        packet = Packet(
            frame=announcement.frame,
            sequence=0,
            site=site,
            scheme=self._schemes[site],
            simulated=simulated and announcement.simulated,
            data=INVALID,
        )
        return serialized(conversions.packet_message(packet))

    def _wait_until_ready(self, group: ProcessGroup) -> None:
        """Wait until the nodes are ready and all subscriptions are discovered."""
        center, tracker = (f"{self._namespace}{name}" for name in REPLAYED)
        reports = self._reports()

        def is_ready() -> bool:
            return reports.get(center, False) and tracker in reports and self._player.is_subscribed

        self._wait(group, is_ready)

        # Not earlier: the center is ready when its detections have a subscription, and this must be
        # the one of the tracker.
        for name, kind in RESULTS.items():
            self._node.create_subscription(
                kind, self._namespace + name, self._collector(name, kind), qos.STREAM, raw=True
            )

        # Discovery keeps its order: a node whose report arrives at a new subscription has found
        # the subscriptions before it.
        reports_after = self._reports()
        self._wait(group, lambda: center in reports_after and tracker in reports_after)

    def _reports(self) -> dict[str, bool]:
        """Subscribe to diagnostics. Returns whether nodes are ready, by name, as reports arrive."""
        reports: dict[str, bool] = {}

        def on_diagnostics(message: DiagnosticArray) -> None:
            for status in message.status:
                reports[status.name] = any(
                    item.key == "ready" and item.value == "True" for item in status.values
                )

        self._node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, qos.STREAM)
        return reports

    def _wait(self, group: ProcessGroup, condition: Callable[[], bool]) -> None:
        """Spin until a condition holds. Raises BagError after READY_WITHIN_S, or a crash."""

        def checked() -> bool:
            _check_nodes(group)
            return condition()

        if not self._spin_until(checked, READY_WITHIN_S):
            raise BagError(
                f"the fusion center and the tracker were not ready within {READY_WITHIN_S:g} s"
            )

    def _spin_until(self, condition: Callable[[], bool], at_most_s: float) -> bool:
        """Spin until a condition holds. Returns False after at_most_s, without pauses of sleep."""
        left_s = at_most_s
        while not condition():
            if left_s <= 0:
                return False
            self._check()
            began_s = time.monotonic()
            self._executor.spin_once(timeout_sec=MESSAGE_WAIT_S)
            left_s -= min(time.monotonic() - began_s, LONGEST_WAIT_STEP_S)
        return True

    def _collector(self, name: str, kind: type) -> Callable[[bytes], None]:
        """Callback that keeps the messages of a result."""

        def collect(data: bytes) -> None:
            key = frame_key(data, kind)
            self.received[name][key] = data
            self._num_received[name, key] += 1

        return collect


def _scene_scheme(recording: Recording, scene: Scene) -> str:
    """Scheme with which the scene was run: that of the stations without one of their own."""
    for station in scene.receiving_stations:
        if not station.scheme and station.name in recording.schemes:
            return recording.schemes[station.name]

    # No packet of such a station. The first packet has the scheme of the run, unless it may be of a
    # station with a scheme of its own.
    has_own_schemes = any(station.scheme for station in scene.receiving_stations)
    return scene.sensing.scheme if has_own_schemes else recording.scheme


def _check_nodes(group: ProcessGroup) -> None:
    """Raise BagError where a node has ended."""
    crash = group.crashed()
    if crash is not None:
        raise BagError(
            f"node {crash.name} ended by itself with exit code {crash.exit_code}; "
            f"its last output:\n{crash.last_output or 'none'}"
        )


def _compare(
    topic: str,
    recorded: dict[FrameKey, bytes],
    replayed: dict[FrameKey, bytes],
    added: Fields | None = None,
) -> Comparison:
    """Compare serialized messages by frame.

    added: fields that the recorded ones lack, which are compared by their values; None: the
        definition is the installed one, and messages are compared by their bytes
    """

    def is_same(key: FrameKey) -> bool:
        if added is None:
            return replayed.get(key) == recorded[key]
        return key in replayed and agree(recorded[key], replayed[key], RESULTS[topic], added)

    different = tuple(key[1] for key in recorded if not is_same(key))
    return Comparison(topic, len(recorded), different, added is not None)

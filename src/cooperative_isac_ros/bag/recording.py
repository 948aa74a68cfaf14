"""A recorded run by frames: announcements and packets, and the results that they led to."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame, Tracks
from rclpy.serialization import deserialize_message

from cooperative_isac.scene.model import Scene
from cooperative_isac.tracking.history import HISTORY_S
from cooperative_isac_ros.bag.definitions import message_class
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.upgrade import Fields
from cooperative_isac_ros.messages.conversions import to_ns

FRAME_TYPE = "cooperative_isac_msgs/msg/Frame"
FEATURES_TYPE = "cooperative_isac_msgs/msg/FeaturePacket"
# Message classes of the results, by topic below the scene's namespace.
RESULTS = {"detections": Detections, "tracks": Tracks}
# Topic of late detections below the scene's namespace.
LATE = "detections/late"

# Run and number of a frame.
FrameKey = tuple[int, int]
# Serialized announcements with their frames.
Inputs = list[tuple[FrameKey, bytes]]
# Topics and serialized packets, by frame.
Packets = dict[FrameKey, list[tuple[str, bytes]]]
# Serialized results, by name and frame.
Results = dict[str, dict[FrameKey, bytes]]
# Serialized late detections, by the frame after which the tracker inserted them.
LateLists = dict[FrameKey, list[bytes]]


@dataclass(frozen=True)
class RecordedPacket:
    """A serialized packet.

    used: it arrived before the center decoded the frame
    """

    topic: str
    data: bytes
    used: bool


@dataclass(frozen=True)
class RecordedFrame:
    """A serialized announcement, and the packets of its frame.

    late: detections of earlier times that the tracker inserted after this frame
    """

    key: FrameKey
    data: bytes
    packets: tuple[RecordedPacket, ...]
    late: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Recording:
    """A recorded run.

    root: namespace of the scene, with a slash at its end
    scene, fingerprint: name and fingerprint of the scene
    scheme: of the first packet, for scenes whose stations are those of a scheme
    result_topics: by name below the root
    frames: in their order
    results: serialized messages by name and frame
    added: fields that recorded results of an older definition lack, by name
    schemes: of the packets, by station
    pose_topics: topics with poses of stations
    poses: their messages with stamps in ns, by topic
    late_topic: of late detections, where there are any
    """

    root: str
    scene: str
    fingerprint: str
    scheme: str
    frame_topic: Topic
    feature_topics: tuple[Topic, ...]
    result_topics: dict[str, Topic]
    frames: tuple[RecordedFrame, ...]
    results: Results
    added: dict[str, Fields] = field(default_factory=dict)
    schemes: dict[str, str] = field(default_factory=dict)
    pose_topics: tuple[Topic, ...] = ()
    poses: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    late_topic: Topic | None = None


def read_recording(reader: BagReader) -> Recording:
    """Read a recorded run from a bag.

    reader: of messages of the installed definitions

    Raises BagError where the bag lacks something that a replay needs.
    """
    # topics
    topics = [topic for topic in reader.summary().topics if topic.num_messages]
    frame_topics = [topic for topic in topics if topic.type_name == FRAME_TYPE]
    if len(frame_topics) != 1:
        raise BagError(
            f"{reader.folder} has {len(frame_topics)} topics with frames; a replay needs exactly 1"
        )
    root = frame_topics[0].name.rpartition("/")[0] + "/"
    features = tuple(
        topic
        for topic in topics
        if topic.type_name == FEATURES_TYPE and topic.name.startswith(root)
    )
    found = {topic.name.removeprefix(root): topic for topic in topics}
    result_topics = {name: found[name] for name in RESULTS if name in found}
    if not features or "detections" not in result_topics:
        raise BagError(
            f"{reader.folder} lacks {root}<ap>/features or {root}detections; a replay needs both"
        )

    # messages by frame
    inputs, packets, results = _sorted_messages(reader, frame_topics[0], features, result_topics)
    late_topic = found.get(LATE)
    late = _late_lists(reader, late_topic, result_topics.get("tracks"))

    # packets of a missing site came too late for its frame
    missing = {
        key: set(deserialize_message(data, Detections).sites_missing)
        for key, data in results["detections"].items()
    }
    frames = []
    for key, data in inputs:
        recorded = tuple(
            RecordedPacket(topic, packet, _site(packet) not in missing.get(key, ()))
            for topic, packet in packets[key]
        )
        frames.append(RecordedFrame(key, data, recorded, tuple(late.get(key, ()))))

    first = deserialize_message(inputs[0][1], Frame)
    schemes = _schemes(packets)
    return Recording(
        root=root,
        scene=first.scene,
        fingerprint=first.scene_fingerprint,
        scheme=next(iter(schemes.values())),
        frame_topic=frame_topics[0],
        feature_topics=features,
        result_topics=result_topics,
        frames=tuple(frames),
        results=results,
        added=_added(reader, result_topics),
        schemes=schemes,
        late_topic=late_topic,
    )


def with_poses(recording: Recording, reader: BagReader, scene: Scene) -> Recording:
    """Recording with the poses of the stations that follow odometry or /tf.

    recording: without poses
    reader: of the same bag
    scene: of the recording
    """
    # Odometry topics, absolute or below the root of the recorded topics.
    names = {
        station.odometry if station.odometry.startswith("/") else recording.root + station.odometry
        for station in scene.stations
        if station.odometry
    }
    if any(station.tf_frame for station in scene.stations):
        names |= {"/tf", "/tf_static"}

    # Messages of those that are in the bag.
    topics = tuple(topic for topic in reader.summary().topics if topic.name in names)
    return replace(recording, pose_topics=topics, poses=_stamped(reader, topics))


def _stamped(reader: BagReader, topics: Sequence[Topic]) -> dict[str, list[tuple[int, bytes]]]:
    """Messages with their stamps in ns, by topic, in the order of the bag."""
    kinds = {topic.name: message_class(topic.type_name) for topic in topics}
    found: dict[str, list[tuple[int, bytes]]] = {name: [] for name in kinds}
    for message in reader.messages(kinds):
        content = deserialize_message(message.data, kinds[message.topic])
        parts = getattr(content, "transforms", [content])
        stamps_ns = [to_ns(part.header.stamp) for part in parts]
        found[message.topic].append((max(stamps_ns, default=0), message.data))
    return found


def frame_key(data: bytes, kind) -> FrameKey:
    """Run and number of a serialized message of this project.

    kind: its class

    Raises BagError where it cannot be deserialized.
    """
    try:
        message = deserialize_message(data, kind)
    except Exception as error:  # any error of the middleware
        raise BagError(f"a {kind.__name__} message cannot be decoded: {error}") from None
    return message.run, message.number


def _added(reader: BagReader, result_topics: dict[str, Topic]) -> dict[str, Fields]:
    """Fields that recorded results lack, by name; empty where all definitions are installed."""
    upgrades = reader.upgrades
    if not upgrades:
        return {}
    types = {name: topic.type_name for name, topic in result_topics.items()}
    return {
        name: upgrades[type_name].added if type_name in upgrades else frozenset()
        for name, type_name in types.items()
    }


def _sorted_messages(
    reader: BagReader,
    frame_topic: Topic,
    features: Sequence[Topic],
    result_topics: dict[str, Topic],
) -> tuple[Inputs, Packets, Results]:
    """Read announcements, packets and results, and sort them by frames."""
    inputs: Inputs = []
    packets: Packets = defaultdict(list)
    results: Results = {name: {} for name in result_topics}

    # by topic
    feature_names = {topic.name for topic in features}
    result_names = {topic.name: name for name, topic in result_topics.items()}
    for message in reader.messages([frame_topic.name, *feature_names, *result_names]):
        if message.topic == frame_topic.name:
            inputs.append((frame_key(message.data, Frame), message.data))
        elif message.topic in feature_names:
            packets[frame_key(message.data, FeaturePacket)].append((message.topic, message.data))
        else:
            name = result_names[message.topic]
            results[name][frame_key(message.data, RESULTS[name])] = message.data
    return inputs, packets, results


def _late_lists(reader: BagReader, late: Topic | None, tracks: Topic | None) -> LateLists:
    """Late detections that the tracker used: the tracks of the newest frame came again after each.

    late, tracks: topics, where they are recorded
    """
    if late is None or tracks is None:
        return {}
    waiting: deque[tuple[int, int, bytes]] = deque()
    revised: list[tuple[FrameKey, int]] = []
    seen: set[FrameKey] = set()
    for message in reader.messages([late.name, tracks.name]):
        # late detections with run and stamp
        if message.topic == late.name:
            content = deserialize_message(message.data, Detections)
            waiting.append((content.run, to_ns(content.header.stamp), message.data))
            continue

        # tracks that came again
        content = deserialize_message(message.data, Tracks)
        key = (content.run, content.number)
        if key in seen:
            revised.append((key, to_ns(content.header.stamp)))
        seen.add(key)

    # in their order, without those that are of another run or too late
    found: LateLists = defaultdict(list)
    for key, newest_ns in revised:
        while waiting:
            run, stamp_ns, data = waiting.popleft()
            if run == key[0] and 0 <= newest_ns - stamp_ns <= HISTORY_S * 1e9:
                found[key].append(data)
                break
    return found


def _schemes(packets: Packets) -> dict[str, str]:
    """Schemes of the packets, by station in the order of their first packets."""
    schemes: dict[str, str] = {}
    for items in packets.values():
        for _, data in items:
            message = deserialize_message(data, FeaturePacket)
            schemes.setdefault(message.site, message.scheme)
    return schemes


def _site(data: bytes) -> str:
    """Station of a serialized packet."""
    return deserialize_message(data, FeaturePacket).site

"""A recorded run, frame by frame: what the fusion center was given and what it made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame, Tracks
from rclpy.serialization import deserialize_message

from cooperative_isac.scene.model import Scene
from cooperative_isac_ros.bag.definitions import message_class
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.upgrade import Fields
from cooperative_isac_ros.messages.conversions import to_ns

FRAME_TYPE, FEATURES_TYPE = (
    "cooperative_isac_msgs/msg/Frame",
    "cooperative_isac_msgs/msg/FeaturePacket",
)
RESULTS = {"detections": Detections, "tracks": Tracks}

FrameKey = tuple[int, int]  # run, number


@dataclass(frozen=True)
class RecordedPacket:
    """A packet as bytes; used: the center took it in before it decoded the frame."""

    topic: str
    data: bytes
    used: bool


@dataclass(frozen=True)
class RecordedFrame:
    """An announcement as bytes, and the packets of its access points."""

    key: FrameKey
    data: bytes
    packets: tuple[RecordedPacket, ...]


@dataclass(frozen=True)
class Recording:
    """A run: scene, scheme, input topics, frames in their order, results as bytes by topic and
    frame.

    scheme: of the first packet, for scenes whose stations are those of a scheme
    schemes: of the packets, by station
    pose_topics, poses: from which poses of stations come, and their messages with stamps, ns
    root: namespace of the scene with a slash at its end; result_topics: those of the results, by
    their names
    added: by name, where the bag has older definitions, the fields that its results lack
    """

    root: str
    scene: str
    fingerprint: str
    scheme: str
    frame_topic: Topic
    feature_topics: tuple[Topic, ...]
    result_topics: dict[str, Topic]
    frames: tuple[RecordedFrame, ...]
    results: dict[str, dict[FrameKey, bytes]]
    added: dict[str, Fields] = field(default_factory=dict)
    schemes: dict[str, str] = field(default_factory=dict)
    pose_topics: tuple[Topic, ...] = ()
    poses: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)


def read_recording(reader: BagReader) -> Recording:
    """Read a bag; BagError names what it lacks for a replay.

    reader: gives messages as they are installed
    """
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
    inputs, packets, results = _sorted_messages(reader, frame_topics[0], features, result_topics)
    first = deserialize_message(inputs[0][1], Frame)
    schemes = _schemes(packets)
    missing = {
        key: set(deserialize_message(data, Detections).sites_missing)
        for key, data in results["detections"].items()
    }
    frames = tuple(
        RecordedFrame(
            key,
            data,
            tuple(
                RecordedPacket(topic, packet, _site(packet) not in missing.get(key, ()))
                for topic, packet in packets[key]
            ),
        )
        for key, data in inputs
    )
    return Recording(
        root,
        first.scene,
        first.scene_fingerprint,
        next(iter(schemes.values())),
        frame_topics[0],
        features,
        result_topics,
        frames,
        results,
        _added(reader, result_topics),
        schemes,
    )


def with_poses(recording: Recording, reader: BagReader, scene: Scene) -> Recording:
    """The recording with what was reported of the stations that follow odometry or /tf."""
    names = {
        station.odometry if station.odometry.startswith("/") else recording.root + station.odometry
        for station in scene.stations
        if station.odometry
    }
    if any(station.tf_frame for station in scene.stations):
        names |= {"/tf", "/tf_static"}
    topics = tuple(topic for topic in reader.summary().topics if topic.name in names)
    return replace(recording, pose_topics=topics, poses=_stamped(reader, topics))


def _stamped(reader: BagReader, topics: Sequence[Topic]) -> dict[str, list[tuple[int, bytes]]]:
    """Messages by topic with their stamps in ns, in the order in which they came."""
    kinds = {topic.name: message_class(topic.type_name) for topic in topics}
    found: dict[str, list[tuple[int, bytes]]] = {name: [] for name in kinds}
    for message in reader.messages(kinds):
        content = deserialize_message(message.data, kinds[message.topic])
        stamps_ns = [to_ns(part.header.stamp) for part in getattr(content, "transforms", [content])]
        found[message.topic].append((max(stamps_ns, default=0), message.data))
    return found


def frame_key(data: bytes, kind) -> FrameKey:
    """Run and number of a serialized message of ours; BagError when it is of another kind."""
    try:
        message = deserialize_message(data, kind)
    except Exception as error:  # rclpy raises whatever the middleware says
        raise BagError(f"a {kind.__name__} message cannot be decoded: {error}") from None
    return message.run, message.number


def _added(reader: BagReader, result_topics: dict[str, Topic]) -> dict[str, Fields]:
    """Fields that results lack; nothing where all definitions of the bag are those of today."""
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
):
    """Announcements with their keys, packets by key, results by name and key."""
    inputs: list[tuple[FrameKey, bytes]] = []
    packets: dict[FrameKey, list[tuple[str, bytes]]] = defaultdict(list)
    results: dict[str, dict[FrameKey, bytes]] = {name: {} for name in result_topics}
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


def _schemes(packets: dict[FrameKey, list[tuple[str, bytes]]]) -> dict[str, str]:
    """Schemes of the packets by station, in the order in which stations appear."""
    schemes: dict[str, str] = {}
    for items in packets.values():
        for _, data in items:
            message = deserialize_message(data, FeaturePacket)
            schemes.setdefault(message.site, message.scheme)
    return schemes


def _site(data: bytes) -> str:
    return deserialize_message(data, FeaturePacket).site

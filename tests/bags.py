"""Bags for tests, written with the MCAP library as by other recorders."""

from dataclasses import dataclass

from mcap.writer import CompressionType, Writer
from rclpy.serialization import serialize_message
from std_msgs.msg import String

START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000


@dataclass(frozen=True)
class Channel:
    """Channel of a bag of another recorder; schema "": none."""

    topic: str = "/chat"
    schema: str = "std_msgs/msg/String"
    encoding: str = "cdr"
    profiles: str = ""


def text(number, length=0):
    """Serialized String message with a number, and additional bytes."""
    return serialize_message(String(data=f"m{number}" + "x" * length))


def words(number, start_ns=START_NS, step_ns=STEP_NS, first=0, length=0):
    """Pairs of log time and serialized message, one step apart."""
    return [(start_ns + index * step_ns, text(first + index, length)) for index in range(number)]


def write_mcap(
    path,
    messages,
    channels=(Channel(),),
    compression=CompressionType.NONE,
    chunk_size=400,
    **options,
):
    """Write a file with all messages on each of the channels. Returns its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=chunk_size, compression=compression, **options)
        writer.start("ros2", "test")
        numbers = []
        for channel in channels:
            schema = 0
            if channel.schema:
                schema = writer.register_schema(channel.schema, "ros2msg", b"string data\n")
            metadata = {"offered_qos_profiles": channel.profiles} if channel.profiles else {}
            numbers.append(
                writer.register_channel(channel.topic, channel.encoding, schema, metadata)
            )
        for log_ns, data in messages:
            for number in numbers:
                writer.add_message(number, log_ns, data, log_ns)
        writer.finish()
    return path.parent


def metadata_text(names, /, **changes):
    """Content of a minimal metadata.yaml of version 9, with changed values."""
    fields = {
        "version": 9,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": 1},
        "starting_time": {"nanoseconds_since_epoch": START_NS},
        "message_count": 10,
        "topics_with_message_count": [],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": list(names),
        "files": [],
    }
    return {"rosbag2_bagfile_information": {**fields, **changes}}

"""Repair of a bag: its readable messages are written to a new one, with an index."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from mcap.records import Schema

from cooperative_isac_ros.bag.metadata import BagError
from cooperative_isac_ros.bag.passes import is_unset
from cooperative_isac_ros.bag.profiles import complete_profile
from cooperative_isac_ros.bag.reader import BagReader, BagSummary, Recorded
from cooperative_isac_ros.bag.writer import BagWriter

# Encodings of definitions that rosbag2 and the rosbags library write.
ENCODINGS = ("ros2msg", "ros2idl", "omgidl")


def repair_bag(reader: BagReader, folder: Path) -> BagSummary:
    """Write a new bag with every readable message.

    Messages from before the first /clock get the time of the first one after it. Where the clock
    jumps, messages keep their times and their order.

    reader: of the damaged bag
    folder: of the new bag; it must not exist

    Returns the summary of the damaged bag.
    Raises BagError or OSError where the new one cannot be written; then nothing of it is left.
    """
    summary = reader.summary()
    if not summary.num_messages:
        raise BagError(f"{reader.folder} has no message that can be read")
    definitions = {name: _definition(schema) for name, schema in reader.schemas.items()}
    writer = BagWriter(folder)
    try:
        # topics
        for topic in summary.topics:
            offered = tuple(complete_profile(fields) for fields in topic.offered)
            writer.add_topic(replace(topic, offered=offered), definitions[topic.type_name])

        # messages
        first_ns = _first_set_ns(summary)
        for message in reader.messages():
            log_ns = _log_ns(message, summary, first_ns)
            writer.write(message.topic, log_ns, message.publish_ns, message.data)
        writer.close()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return summary


def _definition(schema: Schema) -> tuple[str, bytes]:
    """Encoding and text of a type; empty where other readers would refuse it."""
    try:
        schema.data.decode()
    except UnicodeDecodeError:
        return "", b""
    if schema.encoding not in ENCODINGS:
        return "", b""
    return schema.encoding, schema.data


def _first_set_ns(summary: BagSummary) -> dict[int, int]:
    """Time at which the clock is set, ns, by the number of a pass in which it was not."""
    times_ns = {}
    following_ns = None
    for number in reversed(range(len(summary.passes))):
        if not is_unset(summary.passes, number):
            following_ns = summary.passes[number].start_ns
        elif following_ns is not None:
            times_ns[number] = following_ns
    return times_ns


def _log_ns(message: Recorded, summary: BagSummary, first_ns: dict[int, int]) -> int:
    """Log time of a message in the new bag, ns; without a clock the time of publication."""
    if not is_unset(summary.passes, message.clock_pass):
        return message.log_ns
    return first_ns.get(message.clock_pass, message.publish_ns)

"""metadata.yaml of a rosbag2 directory, in the form of ROS 2 Jazzy (version 9)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import yaml

METADATA_FILE = "metadata.yaml"
VERSION = 9
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Writes equal parts in full instead of as references."""

    def ignore_aliases(self, data) -> bool:
        return True


class BagError(ValueError):
    """A bag that cannot be written or read."""


@dataclass(frozen=True)
class Topic:
    """A recorded topic; offered: its publishers' profiles in the words of rosbag2; type_hash: RIHS01_..."""

    name: str
    type_name: str
    offered: tuple[dict, ...] = ()
    type_hash: str = ""
    num_messages: int = 0


@dataclass(frozen=True)
class Metadata:
    """What metadata.yaml says; times are [ns] since the epoch."""

    file_name: str
    start_ns: int
    end_ns: int
    topics: tuple[Topic, ...]

    @property
    def num_messages(self) -> int:
        """Messages of all topics."""
        return sum(topic.num_messages for topic in self.topics)


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Write metadata.yaml, or replace it in one step."""
    text = yaml.dump({"rosbag2_bagfile_information": _fields(metadata)}, Dumper=_Dumper, sort_keys=False)
    new = folder / f".{METADATA_FILE}"
    new.write_text(text, encoding="utf-8")
    os.replace(new, folder / METADATA_FILE)


def profiles_yaml(offered: Sequence[dict]) -> str:
    """Profiles as the metadata of an MCAP channel carries them."""
    return yaml.dump(list(offered), Dumper=_Dumper, sort_keys=False)


def profiles_of(text: str) -> tuple[dict, ...]:
    """Profiles from the metadata of an MCAP channel; none when they cannot be read."""
    try:
        profiles = yaml.load(text, Loader=LOADER)
    except yaml.YAMLError:
        return ()
    return tuple(item for item in profiles if isinstance(item, dict)) if isinstance(profiles, list) else ()


def bag_files(folder: Path) -> list[Path]:
    """The MCAP files of a bag: those that metadata.yaml lists, or without it all that are there."""
    listed = folder / METADATA_FILE
    if not listed.is_file():
        return sorted(folder.glob("*.mcap"))
    try:
        information = yaml.load(listed.read_text(encoding="utf-8"),
                                Loader=LOADER)["rosbag2_bagfile_information"]
        storage, names = information["storage_identifier"], information["relative_file_paths"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise BagError(f"{listed} is not the metadata of a bag ({error}); without it the .mcap files are read"
                       ) from None
    if storage != "mcap":
        raise BagError(
            f"{folder} is stored as {storage}; only mcap is read here: 'ros2 bag convert' makes it")
    return [folder / name for name in names]


def _fields(metadata: Metadata) -> dict:
    span = {"duration": {"nanoseconds": metadata.end_ns - metadata.start_ns},
            "starting_time": {"nanoseconds_since_epoch": metadata.start_ns},
            "message_count": metadata.num_messages}
    topics = [{"topic_metadata": {"name": topic.name, "type": topic.type_name, "serialization_format": "cdr",
                                  "offered_qos_profiles": list(topic.offered),
                                  "type_description_hash": topic.type_hash},
               "message_count": topic.num_messages} for topic in metadata.topics]
    return {"version": VERSION, "storage_identifier": "mcap", **span, "topics_with_message_count": topics,
            "compression_format": "", "compression_mode": "", "relative_file_paths": [metadata.file_name],
            "files": [{"path": metadata.file_name, **span}], "custom_data": None,
            "ros_distro": os.environ.get("ROS_DISTRO", "unknown")}

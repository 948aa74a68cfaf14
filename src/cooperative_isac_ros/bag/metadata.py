"""metadata.yaml of a rosbag2 folder, in the version of ROS 2 Jazzy."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath

import yaml

from cooperative_isac.output.files import replace_file

METADATA_FILE = "metadata.yaml"
# Key of everything in metadata.yaml.
INFORMATION = "rosbag2_bagfile_information"
# Version of the format.
VERSION = 9
# Names of the files; one that is compressed as a whole (mode FILE) has a second ending.
PATTERNS = ("*.mcap", "*.mcap.zstd")
# Distribution by the major version of rclpy, where ROS_DISTRO is not set, as with wheels.
DISTRO_OF_RCLPY = {"7": "jazzy", "9": "kilted"}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """YAML dumper that writes equal parts in full instead of as references."""

    def ignore_aliases(self, data) -> bool:
        return True


class BagError(ValueError):
    """A bag that cannot be written or read."""


@dataclass(frozen=True)
class Topic:
    """A recorded topic.

    offered: quality of service of its publishers, as rosbag2 writes it
    type_hash: RIHS01_...
    """

    name: str
    type_name: str
    offered: tuple[dict, ...] = ()
    type_hash: str = ""
    num_messages: int = 0


@dataclass(frozen=True)
class Metadata:
    """Content of metadata.yaml; times in ns since the epoch."""

    file_name: str
    start_ns: int
    end_ns: int
    topics: tuple[Topic, ...]

    @property
    def num_messages(self) -> int:
        """Number of messages of all topics."""
        return sum(topic.num_messages for topic in self.topics)


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Write metadata.yaml, or replace it atomically."""
    text = yaml.dump({INFORMATION: _fields(metadata)}, Dumper=_Dumper, sort_keys=False)
    replace_file(folder / METADATA_FILE, text.encode())


def profiles_yaml(offered: Sequence[dict]) -> str:
    """Text of the profiles in the metadata of an MCAP channel."""
    return yaml.dump(list(offered), Dumper=_Dumper, sort_keys=False)


def profiles_of(text: str) -> tuple[dict, ...]:
    """Profiles in the metadata of an MCAP channel; empty where they cannot be read."""
    try:
        profiles = _loaded(text)
    except BagError:
        return ()
    if not isinstance(profiles, list):
        return ()
    return tuple(item for item in profiles if isinstance(item, dict))


def bag_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Paths of the MCAP files of a bag.

    They are those that metadata.yaml lists; all in the folder where it is missing or invalid.

    Returns the paths, and a line for each fault of metadata.yaml.
    Raises BagError where there is no file, or storage or compression are not supported.
    """
    listed = folder / METADATA_FILE
    if not listed.is_file():
        return _files_in(folder), []
    try:
        information = _information(listed)
        _refuse_other_storage(folder, information)
        names = _file_names(information)
    except _OddMetadataError as error:
        files = _files_in(folder)
        return files, [f"{listed} is not used: {error}; the .mcap files beside it are read"]
    return _listed_files(folder, names)


class _OddMetadataError(ValueError):
    """Fault of a metadata.yaml."""


def _loaded(text: str):
    """Load a YAML document. Raises BagError where it is invalid."""
    try:
        return yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise BagError(f"{getattr(error, 'problem', None) or 'no YAML'}{place}") from None
    # constructors of numbers and dates raise many errors; nests may be deeper than Python's stack
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError):
        raise BagError("a value that is none in YAML") from None


def _information(path: Path) -> dict:
    """Read metadata.yaml down to its main key."""
    # text
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _OddMetadataError("it is not a text in UTF-8") from None
    except OSError as error:
        raise _OddMetadataError(error.strerror) from None

    # document
    try:
        document = _loaded(text)
    except BagError as error:
        raise _OddMetadataError(str(error)) from None
    information = document.get(INFORMATION) if isinstance(document, dict) else None
    if not isinstance(information, dict):
        raise _OddMetadataError(f"it has no key '{INFORMATION}' with keys below it")
    return information


def _refuse_other_storage(folder: Path, information: dict) -> None:
    """Raise BagError where storage or compression are not supported.

    An invalid value is no reason to refuse good files.
    """
    storage = information.get("storage_identifier")
    if isinstance(storage, str) and storage not in ("", "mcap"):
        raise BagError(
            f"{folder} is stored as {storage}; only mcap is read here: 'ros2 bag convert' makes it"
        )
    compression = information.get("compression_format")
    if isinstance(compression, str) and compression not in ("", "none", "zstd"):
        raise BagError(
            f"{folder} is compressed as {compression}; only zstd is read here: 'ros2 bag convert' "
            "writes it without compression"
        )

    # empty or of another type: the files themselves show what they are
    if storage != "mcap":
        raise _OddMetadataError("its key 'storage_identifier' is not a word")


def _file_names(information: dict) -> list[str]:
    """Names of the files that metadata.yaml lists."""
    names = information.get("relative_file_paths")
    if not isinstance(names, list) or not names:
        raise _OddMetadataError("its key 'relative_file_paths' is not a list of names")
    if not all(isinstance(name, str) and PurePath(name).name for name in names):
        raise _OddMetadataError("its key 'relative_file_paths' has an entry that is not a name")
    return names


def _listed_files(folder: Path, names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Paths of the listed files that exist, and a line about the missing ones."""
    # before version 4 names began with the folder, which may have been renamed
    files = list(dict.fromkeys(folder / PurePath(name).name for name in names))
    present = [path for path in files if os.path.isfile(path)]
    missing = [path for path in files if path not in present]
    if not missing:
        return files, []
    if not present:
        raise BagError(f"{missing[0]} is listed in metadata.yaml but is not there")
    return present, [
        f"{missing[0]} is listed in metadata.yaml but is not there; its messages are missing"
        + (f", and those of {len(missing) - 1} more" if len(missing) > 1 else "")
    ]


def _files_in(folder: Path) -> list[Path]:
    """Paths of the MCAP files of a folder, by their numbers: bag_2 comes before bag_10."""
    files = [path for pattern in PATTERNS for path in folder.glob(pattern)]
    if not files:
        raise BagError(f"{folder} holds no .mcap file")
    return sorted(files, key=_numeric_order)


def _numeric_order(path: Path) -> list[tuple[int, str]]:
    """Sort key of a name whose numbers are compared by their values."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _ros_distro() -> str:
    """Name of the ROS 2 distribution of this process."""
    if "ROS_DISTRO" in os.environ:
        return os.environ["ROS_DISTRO"]
    try:
        major = version("rclpy").partition(".")[0]
    except PackageNotFoundError:
        return "unknown"
    return DISTRO_OF_RCLPY.get(major, "unknown")


def _fields(metadata: Metadata) -> dict:
    """Fields of metadata.yaml."""
    span = {
        "duration": {"nanoseconds": metadata.end_ns - metadata.start_ns},
        "starting_time": {"nanoseconds_since_epoch": metadata.start_ns},
        "message_count": metadata.num_messages,
    }
    topics = [
        {
            "topic_metadata": {
                "name": topic.name,
                "type": topic.type_name,
                "serialization_format": "cdr",
                "offered_qos_profiles": list(topic.offered),
                "type_description_hash": topic.type_hash,
            },
            "message_count": topic.num_messages,
        }
        for topic in metadata.topics
    ]
    return {
        "version": VERSION,
        "storage_identifier": "mcap",
        **span,
        "topics_with_message_count": topics,
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [metadata.file_name],
        "files": [{"path": metadata.file_name, **span}],
        "custom_data": None,
        "ros_distro": _ros_distro(),
    }

"""Quality of service between rclpy and the words of rosbag2."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from rclpy.duration import Duration, Infinite
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

INFINITE = {"sec": 9223372036, "nsec": 854775807}
SECOND = 1_000_000_000
DEFAULT_DEPTH = 10  # of a publisher whose bag has none that can be used
LARGEST_DEPTH = 10_000  # messages; "keep all" is written as the largest number there is
HEARD_DEPTH = 1000  # a recorder that waits for the disk must not lose what comes meanwhile


def profile_fields(profile: QoSProfile, depth: int = 10) -> dict:
    """What a bag says about a publisher's profile; discovery does not tell its depth."""
    known = profile.history != HistoryPolicy.UNKNOWN
    return {
        "history": profile.history.short_key if known else "keep_last",
        "depth": profile.depth or depth,
        "reliability": profile.reliability.short_key,
        "durability": profile.durability.short_key,
        "deadline": _time(profile.deadline),
        "lifespan": _time(profile.lifespan),
        "liveliness": profile.liveliness.short_key,
        "liveliness_lease_duration": _time(profile.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": bool(profile.avoid_ros_namespace_conventions),
    }


def complete_profile(fields: dict) -> dict:
    """A profile of any bag with all fields in the words of rosbag2, which other readers ask for."""
    words = {
        "history": _word(fields, "history", HistoryPolicy, HistoryPolicy.KEEP_LAST),
        "reliability": _word(fields, "reliability", ReliabilityPolicy, ReliabilityPolicy.RELIABLE),
        "durability": _word(fields, "durability", DurabilityPolicy, DurabilityPolicy.VOLATILE),
        "liveliness": _word(fields, "liveliness", LivelinessPolicy, LivelinessPolicy.AUTOMATIC),
    }
    times = ("deadline", "lifespan", "liveliness_lease_duration")
    return {
        **{name: policy.short_key for name, policy in words.items()},
        "depth": _depth(fields),
        **{name: _complete_time(fields.get(name)) for name in times},
        "avoid_ros_namespace_conventions": fields.get("avoid_ros_namespace_conventions") is True,
    }


def heard_profile(offered: Sequence[QoSProfile]) -> QoSProfile:
    """A subscription that matches every publisher, and asks for the most that all of them offer."""
    reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=HEARD_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE
        if reliable and offered
        else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL
        if latched and offered
        else DurabilityPolicy.VOLATILE,
    )


def played_profile(offered: Sequence[dict]) -> QoSProfile:
    """A publisher's profile as recorded; reliable where the bag does not say."""
    fields = offered[0] if offered else {}
    keep_all = (
        _word(fields, "history", HistoryPolicy, HistoryPolicy.KEEP_LAST) == HistoryPolicy.KEEP_ALL
    )
    return QoSProfile(
        history=HistoryPolicy.KEEP_ALL if keep_all else HistoryPolicy.KEEP_LAST,
        depth=_depth(fields),
        reliability=_word(fields, "reliability", ReliabilityPolicy, ReliabilityPolicy.RELIABLE),
        durability=_word(fields, "durability", DurabilityPolicy, DurabilityPolicy.VOLATILE),
    )


def _depth(fields: dict) -> int:
    """Depth of a publisher's queue; that of a bag may be anything, also rmw's largest size."""
    depth = fields.get("depth")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        return DEFAULT_DEPTH
    return min(depth, LARGEST_DEPTH)


def _word(fields: dict, name: str, policy: type[Enum], default) -> Any:
    value = fields.get(name, default)
    try:
        found = policy(value) if isinstance(value, int) else policy[str(value).upper()]
    except (KeyError, ValueError):
        return default
    return default if found.name in ("SYSTEM_DEFAULT", "UNKNOWN", "BEST_AVAILABLE") else found


def _complete_time(value) -> dict:
    """A duration as rosbag2 writes it; infinite when it is none."""
    parts = [value.get("sec"), value.get("nsec")] if isinstance(value, dict) else [None]
    if all(type(part) is int and 0 <= part <= INFINITE["sec"] for part in parts):
        return {"sec": parts[0], "nsec": parts[1]}
    return dict(INFINITE)


def _time(duration: Duration) -> dict:
    nanoseconds = duration.nanoseconds
    if nanoseconds <= 0 or nanoseconds >= Infinite.nanoseconds:
        return dict(INFINITE)
    return {"sec": nanoseconds // SECOND, "nsec": nanoseconds % SECOND}

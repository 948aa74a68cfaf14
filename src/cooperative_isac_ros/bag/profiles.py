"""Quality of service of recorded topics, between rclpy and the form of rosbag2."""

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

# Infinite duration, as rmw writes it.
INFINITE = {"sec": 9223372036, "nsec": 854775807}
NS_PER_S = 1_000_000_000
# Depth of a publisher whose bag has no valid one.
DEFAULT_DEPTH = 10
# Largest depth, in messages: "keep all" may be written as the largest number of rmw.
LARGEST_DEPTH = 10_000
# Depth of a recorder's subscription: it must not lose messages while it waits for the disk.
RECORDED_DEPTH = 1000


def profile_fields(profile: QoSProfile, depth: int = 10) -> dict:
    """Fields of a publisher's profile in a bag.

    depth: of a profile from discovery, which has none
    """
    has_history = profile.history != HistoryPolicy.UNKNOWN
    return {
        "history": profile.history.short_key if has_history else "keep_last",
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
    """Complete and correct the fields of a recorded profile, as other readers require them."""
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


def subscription_profile(offered: Sequence[QoSProfile]) -> QoSProfile:
    """Profile of a subscription that is compatible with all publishers of a topic.

    It requests the strongest reliability and durability that all of them offer.
    """
    reliability = ReliabilityPolicy.BEST_EFFORT
    if offered and all(item.reliability == ReliabilityPolicy.RELIABLE for item in offered):
        reliability = ReliabilityPolicy.RELIABLE
    durability = DurabilityPolicy.VOLATILE
    if offered and all(item.durability == DurabilityPolicy.TRANSIENT_LOCAL for item in offered):
        durability = DurabilityPolicy.TRANSIENT_LOCAL
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=RECORDED_DEPTH,
        reliability=reliability,
        durability=durability,
    )


def publisher_profile(offered: Sequence[dict]) -> QoSProfile:
    """Profile of the first recorded publisher; reliable where the bag has none."""
    fields = offered[0] if offered else {}
    history = _word(fields, "history", HistoryPolicy, HistoryPolicy.KEEP_LAST)
    is_keep_all = history == HistoryPolicy.KEEP_ALL
    return QoSProfile(
        history=HistoryPolicy.KEEP_ALL if is_keep_all else HistoryPolicy.KEEP_LAST,
        depth=_depth(fields),
        reliability=_word(fields, "reliability", ReliabilityPolicy, ReliabilityPolicy.RELIABLE),
        durability=_word(fields, "durability", DurabilityPolicy, DurabilityPolicy.VOLATILE),
    )


def _depth(fields: dict) -> int:
    """Depth of a publisher's queue, limited; that of a bag may be any value."""
    depth = fields.get("depth")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        return DEFAULT_DEPTH
    return min(depth, LARGEST_DEPTH)


def _word(fields: dict, name: str, policy: type[Enum], default) -> Any:
    """Policy of a field, by its name or number; the default where it is invalid."""
    value = fields.get(name, default)
    try:
        found = policy(value) if isinstance(value, int) else policy[str(value).upper()]
    except (KeyError, ValueError):
        return default
    return default if found.name in ("SYSTEM_DEFAULT", "UNKNOWN", "BEST_AVAILABLE") else found


def _complete_time(value) -> dict:
    """Duration as rosbag2 writes it; infinite where it is invalid."""
    parts = [value.get("sec"), value.get("nsec")] if isinstance(value, dict) else [None]
    if all(type(part) is int and 0 <= part <= INFINITE["sec"] for part in parts):
        return {"sec": parts[0], "nsec": parts[1]}
    return dict(INFINITE)


def _time(duration: Duration) -> dict:
    """Duration as rosbag2 writes it."""
    nanoseconds = duration.nanoseconds
    if nanoseconds <= 0 or nanoseconds >= Infinite.nanoseconds:
        return dict(INFINITE)
    return {"sec": nanoseconds // NS_PER_S, "nsec": nanoseconds % NS_PER_S}

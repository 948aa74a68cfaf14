"""Quality of service between rclpy and the words of rosbag2."""

from __future__ import annotations

from typing import Sequence

from rclpy.duration import Duration, Infinite
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

INFINITE = {"sec": 9223372036, "nsec": 854775807}
SECOND = 1_000_000_000
HEARD_DEPTH = 1000  # a recorder that waits for the disk must not lose what comes meanwhile


def profile_fields(profile: QoSProfile, depth: int = 10) -> dict:
    """What a bag says about a publisher's profile; discovery does not tell its depth."""
    known = profile.history != HistoryPolicy.UNKNOWN
    return {"history": profile.history.short_key if known else "keep_last", "depth": profile.depth or depth,
            "reliability": profile.reliability.short_key, "durability": profile.durability.short_key,
            "deadline": _time(profile.deadline), "lifespan": _time(profile.lifespan),
            "liveliness": profile.liveliness.short_key,
            "liveliness_lease_duration": _time(profile.liveliness_lease_duration),
            "avoid_ros_namespace_conventions": bool(profile.avoid_ros_namespace_conventions)}


def heard_profile(offered: Sequence[QoSProfile]) -> QoSProfile:
    """A subscription that matches every publisher, and asks for the most that all of them offer."""
    reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=HEARD_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable and offered else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched and offered else DurabilityPolicy.VOLATILE)


def played_profile(offered: Sequence[dict]) -> QoSProfile:
    """A publisher's profile as recorded; reliable where the bag does not say."""
    fields = offered[0] if offered else {}
    keep_all = _word(fields, "history", HistoryPolicy, HistoryPolicy.KEEP_LAST) == HistoryPolicy.KEEP_ALL
    return QoSProfile(
        history=HistoryPolicy.KEEP_ALL if keep_all else HistoryPolicy.KEEP_LAST,
        depth=max(int(fields.get("depth", 10)), 1),
        reliability=_word(fields, "reliability", ReliabilityPolicy, ReliabilityPolicy.RELIABLE),
        durability=_word(fields, "durability", DurabilityPolicy, DurabilityPolicy.VOLATILE))


def _word(fields: dict, name: str, policy: type, default):
    value = fields.get(name, default)
    try:
        found = policy(value) if isinstance(value, int) else policy[str(value).upper()]
    except (KeyError, ValueError):
        return default
    return default if found.name in ("SYSTEM_DEFAULT", "UNKNOWN", "BEST_AVAILABLE") else found


def _time(duration: Duration) -> dict:
    nanoseconds = duration.nanoseconds
    if nanoseconds <= 0 or nanoseconds >= Infinite.nanoseconds:
        return dict(INFINITE)
    return {"sec": nanoseconds // SECOND, "nsec": nanoseconds % SECOND}

"""Quality of service of every topic, in one place."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(
    depth: int, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability
    )


def newest(number: int) -> QoSProfile:
    """Where a slow reader must skip to the newest messages, so many of them."""
    return _profile(number)


def bulk(number: int) -> QoSProfile:
    """Echoes of megabytes: those of two frames, so many in each."""
    return _profile(2 * number)


STREAM = _profile(10)  # frames, features, detections, tracks: numbered, so that a drop is seen
COUNTED = _profile(200)  # where a reader that is seconds late must not miss one
# Detections of the last seconds, which a tracker that is started again catches up with.
HISTORY = _profile(200, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NEWEST = newest(1)
LATCHED = _profile(1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ODOMETRY = _profile(10)
# As tf2 listens.
TRANSFORMS = _profile(100)
FIXED_TRANSFORMS = _profile(100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Match every robot's publisher:
ODOMETRY_OF_ANYONE = _profile(50, reliability=ReliabilityPolicy.BEST_EFFORT)
NEWEST_OF_ANYONE = _profile(1, reliability=ReliabilityPolicy.BEST_EFFORT)

"""Quality of service of all topics."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(
    depth: int, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability
    )


def newest(number: int) -> QoSProfile:
    """Profile of a slow subscription, which skips to the newest messages.

    number: of messages that are kept
    """
    return _profile(number)


def bulk(number: int) -> QoSProfile:
    """Profile of echoes, which are megabytes: those of two frames are kept.

    number: of echoes per frame
    """
    return _profile(2 * number)


# Frames, features, detections and tracks: their numbers show where one was lost.
STREAM = _profile(10)
# Topics of which a subscription that is seconds late must not lose a message.
COUNTED = _profile(200)
# Detections of the last seconds, for a tracker that was restarted.
HISTORY = _profile(200, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# The newest message only.
NEWEST = newest(1)
# The newest message, also for late subscriptions.
LATCHED = _profile(1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Odometry that this package publishes.
ODOMETRY = _profile(10)
# /tf and /tf_static, as tf2_ros subscribes to them.
TRANSFORMS = _profile(100)
FIXED_TRANSFORMS = _profile(100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Odometry and classes of robots: best effort is compatible with any publisher.
ODOMETRY_OF_ANYONE = _profile(50, reliability=ReliabilityPolicy.BEST_EFFORT)
NEWEST_OF_ANYONE = _profile(1, reliability=ReliabilityPolicy.BEST_EFFORT)

"""A robot that drives in a circle and publishes its odometry: a target of a scene.

    python examples/robot.py

and in another terminal `isac run campus`, or with ROS 2 `ros2 launch cooperative_isac
scene.launch.py`. The robot is tracked as long as it publishes.
"""

from contextlib import suppress
from math import cos, pi, sin

import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

NAME = "my_robot"
KIND = "vehicle"
# Circle in the frame `map` of scene campus.
CENTER_M = (45.0, 30.0, 1.0)
RADIUS_M = 8.0
TURN_RATE_RADPS = 0.6
# 10 Hz at least: access points interpolate between the messages.
PERIOD_S = 0.05


def odometry(stamp):
    """Pose and velocity of the robot at a time (rclpy.time.Time)."""
    message = Odometry(child_frame_id=NAME)
    message.header.frame_id = "map"
    message.header.stamp = stamp.to_msg()

    # Place on the circle.
    angle_rad = TURN_RATE_RADPS * stamp.nanoseconds * 1e-9
    position = message.pose.pose.position
    position.x = CENTER_M[0] + RADIUS_M * cos(angle_rad)
    position.y = CENTER_M[1] + RADIUS_M * sin(angle_rad)
    position.z = CENTER_M[2]

    # It looks along the circle, a quarter of a turn ahead of the place.
    heading_rad = angle_rad + pi / 2
    message.pose.pose.orientation.w = cos(heading_rad / 2)
    message.pose.pose.orientation.z = sin(heading_rad / 2)

    # The twist is in the robot's own frame: it drives along its x axis.
    message.twist.twist.linear.x = RADIUS_M * TURN_RATE_RADPS
    message.twist.twist.angular.z = TURN_RATE_RADPS
    return message


def main():
    """Publish until Ctrl-C."""
    rclpy.init()
    node = rclpy.create_node(NAME)

    # Its class, once; late subscribers receive it, too. May be left out.
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(String, f"targets/{NAME}/class", latched).publish(String(data=KIND))

    publisher = node.create_publisher(Odometry, f"targets/{NAME}/odom", 10)
    node.create_timer(PERIOD_S, lambda: publisher.publish(odometry(node.get_clock().now())))
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


if __name__ == "__main__":
    main()

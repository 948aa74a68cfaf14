"""ROS 2 nodes around the science: the only place that imports rclpy and messages."""

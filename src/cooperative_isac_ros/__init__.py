"""ROS 2 nodes around the science: the only package that imports rclpy and messages.

base, parameters, qos, health, guard and start are what all nodes share; the rooms are messages,
timing, inputs, nodes, launching, processes, display and bag.
"""

"""Cooperative integrated sensing and communication: the science, free of ROS."""

__version__ = "0.1.0"

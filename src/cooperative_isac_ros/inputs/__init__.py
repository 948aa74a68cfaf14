"""Inputs of the nodes: announcements, odometry of targets, poses of stations, echoes."""

"""Motions of targets and stations: curves, waypoints, recorded trajectories."""

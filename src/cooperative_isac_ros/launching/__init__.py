"""Launching of a scene: its list of nodes, their options and supervision, and `isac run`."""

"""Targets read from a plane of locations: what networks share whose center looks at one."""

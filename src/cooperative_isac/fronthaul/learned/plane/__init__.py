"""Targets read from a plane of locations: what networks share whose centre looks at one."""

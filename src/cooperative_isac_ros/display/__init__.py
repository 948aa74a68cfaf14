"""Markers and the view of a scene for RViz."""

"""Markers of a scene for RViz: static world, stations, truth, detections, tracks, live figures."""

from cooperative_isac_ros.display.markers.results import (
    detection_markers,
    figures_marker,
    track_markers,
    truth_markers,
)
from cooperative_isac_ros.display.markers.shapes import ELLIPSOID_SIGMAS, deletions, temporary
from cooperative_isac_ros.display.markers.world import mobile_markers, static_markers

__all__ = [
    "ELLIPSOID_SIGMAS",
    "deletions",
    "detection_markers",
    "figures_marker",
    "mobile_markers",
    "static_markers",
    "temporary",
    "track_markers",
    "truth_markers",
]

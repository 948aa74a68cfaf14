"""Metrics of detections and tracks: OSPA, GOSPA, continuity, consistency."""

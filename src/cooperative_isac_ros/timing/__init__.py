"""Timing of frames: stamps, numbers, order, deadlines and back pressure."""

"""Stamps, frame numbers, order, deadlines and skipping of frames."""

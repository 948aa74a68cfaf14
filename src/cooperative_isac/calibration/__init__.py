"""Calibration of stations: clock offsets between them."""

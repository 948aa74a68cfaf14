"""Accuracy and continuity figures."""

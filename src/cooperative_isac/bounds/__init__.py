"""Cramer-Rao bounds of location and velocity."""

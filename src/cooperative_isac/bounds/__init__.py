"""Cramer-Rao bounds."""

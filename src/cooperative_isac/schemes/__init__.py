"""Sensing schemes: what an access point sends and how the center reads it."""

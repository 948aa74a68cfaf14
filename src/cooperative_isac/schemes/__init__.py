"""Sensing schemes: an encoder at every station, a decoder at the center."""

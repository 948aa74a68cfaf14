"""Sensing schemes: what an access point sends and how the centre reads it."""

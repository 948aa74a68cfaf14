"""Learned codecs: encoders and codebooks at the access points, a decoder at the center (torch)."""

"""Learned codecs: encoders and codebooks at the access points, one decoder at the center. Needs
torch.
"""

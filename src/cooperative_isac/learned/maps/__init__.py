"""The maps network: receivers map echoes onto one plane, the center fuses the paths of a target."""

"""Scheme dvqvae: learned encoders, codeword indices on the fronthaul, a learned decoder (CF)."""

from __future__ import annotations

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.learned import LearnedScheme


class DvqvaeScheme(LearnedScheme):
    """With the best weights there are for the scene."""

    def __init__(self, scene: Scene):
        super().__init__(scene, "dvqvae")


class DvqvaeDemodulatedScheme(LearnedScheme):
    """With convolutions on echoes that are freed of the symbols."""

    def __init__(self, scene: Scene):
        super().__init__(scene, "dvqvae_demodulated")


class DvqvaePaperScheme(LearnedScheme):
    """With the paper's own architecture and input: raw echoes (CF section III, Table II)."""

    def __init__(self, scene: Scene):
        super().__init__(scene, "dvqvae_paper")

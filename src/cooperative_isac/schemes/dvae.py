"""Scheme dvae: the D-VQVAE without codebooks, float32 latents on the fronthaul (CF section V-A)."""

from __future__ import annotations

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.learned import LearnedScheme


class DvaeScheme(LearnedScheme):
    """The ablation of CF: what quantization costs."""

    def __init__(self, scene: Scene):
        super().__init__(scene, "dvae")

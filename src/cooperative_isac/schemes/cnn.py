"""Scheme cnn: raw echoes on the fronthaul, one convolutional network at the centre (CF section V-A)."""

from __future__ import annotations

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.learned import LearnedScheme


class CnnScheme(LearnedScheme):
    """The centralised baseline of CF."""

    def __init__(self, scene: Scene):
        super().__init__(scene, "cnn")

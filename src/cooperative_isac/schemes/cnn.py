"""Schemes cnn and cnn_paper: raw echoes on the fronthaul, one convolutional network at the center
(CF section V-A).
"""

from __future__ import annotations

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.learned import CentralScheme


class CnnScheme(CentralScheme):
    """CF's convolutions on echoes that the center frees of the symbols, read with the scene's
    geometry.
    """

    def __init__(self, scene: Scene):
        super().__init__(scene, "cnn")


class CnnPaperScheme(CentralScheme):
    """The centralized baseline as CF describes it: raw echoes into convolutions and fully connected
    layers.
    """

    def __init__(self, scene: Scene):
        super().__init__(scene, "cnn_paper")

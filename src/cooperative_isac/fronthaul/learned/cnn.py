"""The centralised network of CF section V-A, scheme cnn_paper: raw echoes travel to the centre, which does all."""

from __future__ import annotations

from math import prod

import numpy as np
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.config import CnnConfig
from cooperative_isac.fronthaul.learned.dvqvae import common_shape
from cooperative_isac.fronthaul.learned.encoder import FAST
from cooperative_isac.fronthaul.learned.inputs import raw_observation
from cooperative_isac.fronthaul.learned.network import Found, Network, Truth
from cooperative_isac.fronthaul.learned.targets import TargetHead
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.frame import TransmitFrame

KERNEL = 5


class Cnn(Network):
    """Nothing is learned at the access points: a latent is a resource element of one antenna."""

    kind = "cnn"

    def __init__(self, scene: Scene, config: CnnConfig):
        super().__init__(scene, config)
        channels, *shape = common_shape(scene, "raw")
        self.latent_shape = prod(shape), channels
        for site in scene.receivers:
            self.encoders[site.name] = Elements()
        self.centre = CnnCentre(scene, config, shape, channels)

    @property
    def needs_symbols(self) -> bool:
        return False

    @property
    def input_key(self) -> str:
        return self.kind

    def observe(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> np.ndarray:
        return raw_observation(self.scene, echo)

    def knowledge(self, frame: TransmitFrame) -> np.ndarray:
        return np.empty(0, np.float32)

    def loss(self, output: Tensor, truth: Truth) -> Tensor:
        return self.centre.head.loss(output, truth)

    def read(self, output: Tensor) -> Found:
        return self.centre.head.read(output, self.deviation)


class Elements(nn.Module):
    """Observations [batch, channels, ...] to latents [batch, L, channels], as they are."""

    def forward(self, observations: Tensor) -> Tensor:
        return observations.flatten(2).mT


class CnnCentre(nn.Module):
    """Echoes of all receivers to targets."""

    def __init__(self, scene: Scene, config: CnnConfig, shape: tuple[int, ...], channels: int):
        super().__init__()
        self.shape = shape
        pools = [min(config.pooling, length) for length in shape]
        first, second = config.channels
        self.features = nn.Sequential(
            nn.Conv3d(len(scene.receivers) * channels, first, KERNEL, padding=KERNEL // 2), nn.ReLU(),
            nn.Conv3d(first, second, KERNEL, padding=KERNEL // 2), nn.ReLU(), nn.MaxPool3d(pools),
            nn.Flatten())
        flat = second * prod(length // pool for length, pool in zip(shape, pools))
        widths = [flat, config.neurons, config.neurons, config.neurons]
        self.joint = nn.Sequential(*(nn.Sequential(nn.Linear(*pair), nn.ReLU())
                                     for pair in zip(widths, widths[1:])))
        self.head = TargetHead(scene, config.neurons, config.num_targets)
        self.to(memory_format=FAST)

    def forward(self, latents: Tensor, heard: Tensor, knowledge: Tensor) -> Tensor:
        """latents: [batch, M, L, channels]. Returns [batch, Q, 1 + 2 dimension] (TargetHead)."""
        return self.head(self.joint(self.features(latents.mT.reshape(len(latents), -1, *self.shape))))

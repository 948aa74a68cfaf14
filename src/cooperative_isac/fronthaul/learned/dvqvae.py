"""The D-VQVAE of CF section III, and the D-VAE, which is the same without codebooks."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.config import DvqvaeConfig
from cooperative_isac.fronthaul.learned.encoder import Encoder, Residual, halving, latent_count, reduced
from cooperative_isac.fronthaul.learned.inputs import num_channels, observation, transmit_tensor
from cooperative_isac.fronthaul.learned.network import Found, Network, Truth
from cooperative_isac.fronthaul.learned.quantiser import Codebook
from cooperative_isac.fronthaul.learned.targets import TargetHead
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.frame import TransmitFrame

NEURONS = 256


class Dvqvae(Network):
    """Network of CF Fig. 3."""

    kind = "dvqvae"

    def __init__(self, scene: Scene, config: DvqvaeConfig):
        super().__init__(scene, config)
        grid, latent_dim = scene.grid, config.latent_dim if config.codebook else None
        shapes = {(site.num_ant, grid.num_subcarriers, grid.num_symbols) for site in scene.receivers}
        if len(shapes) > 1:
            raise ValueError(f"scene '{scene.name}' has receivers with different numbers of antennas; the D-VQVAE stacks "
                             "their latents, so give them equal arrays")
        shape = shapes.pop()
        self.latent_shape = latent_count(shape, config.encoder_layers), latent_dim or config.hidden
        for site in scene.receivers:
            self.encoders[site.name] = Encoder(num_channels(scene, config.input), config.hidden,
                                               config.encoder_layers, config.encoder_residuals, latent_dim)
            if config.codebook:
                self.codebooks[site.name] = Codebook(config.latent_dim, config.codebook)
        self.centre = Centre(scene, config, self.latent_shape[1], reduced(shape, config.encoder_layers))

    def observe(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> np.ndarray:
        return observation(self.scene, echo, frame, self.config.input)

    def knowledge(self, frame: TransmitFrame) -> np.ndarray:
        return transmit_tensor(frame)

    def loss(self, output: Tensor, truth: Truth) -> Tensor:
        return self.centre.head.loss(output, truth)

    def read(self, output: Tensor) -> Found:
        return self.centre.head.read(output, self.deviation)


class Centre(nn.Module):
    """The decoder of CF section III-C (eq. 16): latents of all receivers and the transmit signal to targets."""

    def __init__(self, scene: Scene, config: DvqvaeConfig, latent_dim: int, latent_axes: tuple[int, ...]):
        super().__init__()
        self.latent_axes = latent_axes
        hidden, residuals = config.hidden, config.transmit_residuals
        widths = [len(scene.receivers) * latent_dim, *[hidden] * config.centre_residuals]
        self.residuals = nn.Sequential(*(Residual(*pair) for pair in zip(widths, widths[1:])))
        self.transmit = nn.Sequential(halving(2, hidden, config.transmit_layers),
                                      *(Residual(hidden, hidden) for _ in range(residuals)))
        antennas = sum(site.num_ant for site in scene.transmitters)
        shape = antennas, scene.grid.num_subcarriers, scene.grid.num_symbols
        self.from_latents = nn.Linear(widths[-1] * prod(latent_axes), config.features)
        self.from_transmit = nn.Linear(hidden * latent_count(shape, config.transmit_layers), config.features)
        self.joint = nn.Sequential(nn.Linear(2 * config.features, NEURONS), nn.ReLU())
        self.head = TargetHead(scene, NEURONS, config.num_targets)

    def forward(self, latents: Tensor, heard: Tensor, knowledge: Tensor) -> Tensor:
        """latents: [batch, M, L, D]; knowledge: transmit_tensor. Returns [batch, Q, 1 + 2 dimension] (TargetHead)."""
        tensor = latents.mT.reshape(len(latents), -1, *self.latent_axes)
        parts = [self.from_latents(self.residuals(tensor).flatten(1)),
                 self.from_transmit(self.transmit(knowledge).flatten(1))]
        return self.head(self.joint(torch.cat(parts, dim=1)))

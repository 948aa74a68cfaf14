"""The D-VQVAE of CF section III, or without codebooks the D-VAE of CF section V-A."""

from __future__ import annotations

from itertools import pairwise, product
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.encoder import (
    ElementMean,
    Encoder,
    Residual,
    channel_widths,
    downsampled_shape,
    halving,
    latent_count,
)
from cooperative_isac.learned.inputs import (
    SPECTRUM,
    demodulated_observation,
    observation_shape,
    raw_observation,
    transmit_tensor,
)
from cooperative_isac.learned.network import Network, Predictions, Truth
from cooperative_isac.learned.paper.beams import average, set_beams, subtract_noise_floor
from cooperative_isac.learned.paper.config import BEAM_CHANNELS, DvqvaeConfig
from cooperative_isac.learned.quantizer import Codebook
from cooperative_isac.learned.targets import TargetHead
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal

NEURONS = 256
INNER = 1, 2  # taps of a kernel of 4 with stride 2 that no other position has


class Dvqvae(Network):
    """Network of CF Fig. 3."""

    kind = "paper_dvqvae"
    center: Center

    def __init__(self, scene: Scene, config: DvqvaeConfig):
        super().__init__(scene, config)
        latent_dim = config.latent_dim if config.codebook else None
        observed = common_shape(scene, config.input)
        channels, shape = observed[0], observed[1:]
        self.latent_shape = latent_count(shape, config.encoder_layers), latent_dim or config.hidden
        widths = (
            tuple(config.beams * count for count in BEAM_CHANNELS)
            if config.beams
            else channel_widths(config.hidden, config.encoder_layers)
        )
        for site in scene.receivers:
            self.encoders[site.name] = Encoder(
                channels, widths, config.encoder_residuals, latent_dim
            )
            if config.codebook:
                self.codebooks[site.name] = Codebook(config.latent_dim, config.codebook)
        self.center = Center(
            scene, config, self.latent_shape[1], downsampled_shape(shape, config.encoder_layers)
        )

    def init_weights(self) -> None:
        """Begin as beams, where the configuration has some."""
        if self.config.beams:
            for encoder in self.encoders.values():
                assert isinstance(encoder, Encoder)
                _begin_with_beams(encoder, self.config.beams)

    @property
    def needs_symbols(self) -> bool:
        """Whether observe looks at the frame; see Network.needs_symbols."""
        return self.config.input != "raw"

    @property
    def input_key(self) -> str:
        """What observe and knowledge depend on; see Network.input_key."""
        observed = "raw" if self.config.input == "raw" else SPECTRUM
        return f"{observed} {bool(self.config.transmit_layers)}"

    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """What one encoder takes; see Network.observe."""
        if self.config.input == "raw":
            return raw_observation(self.scene, echo)
        return demodulated_observation(self.scene, echo, frame)

    def side_information(self, frame: Signal) -> np.ndarray:
        """What the center takes of the frame; see Network.knowledge."""
        return transmit_tensor(frame) if self.config.transmit_layers else np.empty(0, np.float32)

    def loss(self, output: Tensor, truth: Truth) -> Tensor:
        """Estimation loss of a batch; see Network.loss."""
        return self.center.head.loss(output, truth, self.config.error)

    def decode(self, output: Tensor) -> Predictions:
        """Targets of a batch; see Network.read."""
        return self.center.head.decode(output, self.deviation)


class Center(nn.Module):
    """The decoder of CF section III-C (eq. 16): all latents and the transmit signal to targets."""

    def __init__(
        self, scene: Scene, config: DvqvaeConfig, latent_dim: int, latent_axes: tuple[int, ...]
    ):
        super().__init__()
        self.latent_axes = latent_axes
        num_receivers, hidden = len(scene.receivers), config.center_hidden or config.hidden
        widths = [num_receivers * latent_dim, *[hidden] * config.center_residuals]
        self.elements = (
            ElementMean(num_receivers, latent_dim, latent_axes[0]) if config.alike else None
        )
        self.residuals = nn.Sequential(*(Residual(*pair) for pair in pairwise(widths)))
        places = latent_axes[0] if config.alike else prod(latent_axes)
        self.from_latents = nn.Linear(widths[-1] * places, config.features)
        self.transmit = self._transmit_branch(scene, config) if config.transmit_layers else None
        branches = 2 if self.transmit else 1
        self.joint = nn.Sequential(nn.Linear(branches * config.features, NEURONS), nn.ReLU())
        self.head = TargetHead(scene, NEURONS, config.num_targets)

    @staticmethod
    def _transmit_branch(scene: Scene, config: DvqvaeConfig) -> nn.Module:
        antennas = sum(site.num_ant for site in scene.transmitters)
        shape = antennas, scene.grid.num_subcarriers, scene.grid.num_symbols
        residuals = (
            Residual(config.hidden, config.hidden) for _ in range(config.transmit_residuals)
        )
        size = config.hidden * latent_count(shape, config.transmit_layers)
        return nn.Sequential(
            halving(2, channel_widths(config.hidden, config.transmit_layers)),
            *residuals,
            nn.Flatten(),
            nn.Linear(size, config.features),
        )

    def forward(self, latents: Tensor, heard: Tensor, side_information: Tensor) -> Tensor:
        """latents: [batch, M, L, D]; knowledge: transmit_tensor. Returns what TargetHead does."""
        tensor = latents.mT.unflatten(3, self.latent_axes)
        if self.elements:
            tensor = self.elements(tensor, heard)
        parts = [self.from_latents(self.residuals(tensor.flatten(1, 2)).flatten(1))]
        if self.transmit:
            parts.append(self.transmit(side_information))
        return self.head(self.joint(torch.cat(parts, dim=1)))


def _begin_with_beams(encoder: Encoder, num_beams: int) -> None:
    """Amplitudes of beams of four antennas, over that of noise: each beam of every second four in a
    channel.
    """
    first, second, third = (
        module for module in encoder.halving.modules() if isinstance(module, nn.Conv3d)
    )
    set_beams(first, num_beams, list(product(INNER, INNER)), (1, -1))
    average(second, INNER, slice(1, 3), first.out_channels // num_beams)
    average(third, INNER, slice(1, 3), 1)
    subtract_noise_floor(third)
    if isinstance(encoder.projector, nn.Linear):
        nn.init.eye_(encoder.projector.weight)


def common_shape(scene: Scene, kind: str) -> tuple[int, ...]:
    """Shape of every receiver's observation. ValueError where receivers differ."""
    shapes = {observation_shape(scene, site, kind) for site in scene.receivers}
    if len(shapes) > 1:
        raise ValueError(
            f"scene '{scene.name}' has receivers with different numbers of antennas; this "
            "network stacks what they send, so give them equal arrays"
        )
    return shapes.pop()

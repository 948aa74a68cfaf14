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
    downsampling,
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
from cooperative_isac.learned.paper.beams import set_average, set_beams, subtract_noise_floor
from cooperative_isac.learned.paper.config import BEAM_CHANNELS, DvqvaeConfig
from cooperative_isac.learned.quantizer import Codebook
from cooperative_isac.learned.targets import TargetHead
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal

# Outputs of the layer that joins the two projectors.
NEURONS = 256
# Taps of a kernel of 4 with stride 2 that belong to one position alone.
INNER_TAPS = (1, 2)


class Dvqvae(Network):
    """Network of CF Fig. 3."""

    kind = "paper_dvqvae"
    center: Center

    def __init__(self, scene: Scene, config: DvqvaeConfig):
        super().__init__(scene, config)
        in_channels, *axes = common_shape(scene, config.input)
        latent_axes = downsampled_shape(tuple(axes), config.encoder_layers)
        latent_dim = config.latent_dim if config.codebook else None
        self.latent_shape = (prod(latent_axes), latent_dim or config.hidden)

        # Encoders and codebooks
        if config.beams:
            widths = tuple(config.beams * count for count in BEAM_CHANNELS)
        else:
            widths = channel_widths(config.hidden, config.encoder_layers)
        for site in scene.receivers:
            self.encoders[site.name] = Encoder(
                in_channels, widths, config.encoder_residuals, latent_dim
            )
            if config.codebook:
                self.codebooks[site.name] = Codebook(config.latent_dim, config.codebook)

        self.center = Center(scene, config, self.latent_shape[1], latent_axes)

    def init_weights(self) -> None:
        """Begin with receive beams, where the configuration has some."""
        if self.config.beams:
            for encoder in self.encoders.values():
                assert isinstance(encoder, Encoder)
                _init_beams(encoder, self.config.beams)

    @property
    def needs_symbols(self) -> bool:
        """True where echoes are demodulated; see Network.needs_symbols."""
        return self.config.input != "raw"

    @property
    def input_key(self) -> str:
        """Names of the input and of the side information; see Network.input_key."""
        observed = "raw" if self.config.input == "raw" else SPECTRUM
        return f"{observed} {bool(self.config.transmit_layers)}"

    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """The raw or the demodulated echo; see Network.encoder_input."""
        if self.config.input == "raw":
            return raw_observation(self.scene, echo)
        return demodulated_observation(self.scene, echo, frame)

    def side_information(self, frame: Signal) -> np.ndarray:
        """The transmit signal, where the center uses it; see Network.side_information."""
        return transmit_tensor(frame) if self.config.transmit_layers else np.empty(0, np.float32)

    def loss(self, output: Tensor, truth: Truth) -> Tensor:
        """Loss of a batch, a scalar; see Network.loss."""
        return self.center.head.loss(output, truth, self.config.error)

    def decode(self, output: Tensor) -> Predictions:
        """Predicted targets of a batch; see Network.decode."""
        return self.center.head.decode(output, self.deviation)


class Center(nn.Module):
    """The decoder of CF section III-C (eq. 16): all latents and the transmit signal to targets.

    latent_dim: D, length of a latent vector
    latent_axes: latents of one echo along space, frequency and time
    """

    def __init__(
        self, scene: Scene, config: DvqvaeConfig, latent_dim: int, latent_axes: tuple[int, ...]
    ):
        super().__init__()
        self.latent_axes = latent_axes
        num_receivers = len(scene.receivers)
        hidden = config.center_hidden or config.hidden

        # Branch of the latents: mean pooling over resource elements, which leaves the axis of space
        # alone; then residual blocks over the channels of all receivers.
        self.elements = (
            ElementMean(num_receivers, latent_dim, latent_axes[0]) if config.alike else None
        )
        widths = [num_receivers * latent_dim, *[hidden] * config.center_residuals]
        self.residuals = nn.Sequential(*(Residual(*pair) for pair in pairwise(widths)))
        num_places = latent_axes[0] if config.alike else prod(latent_axes)
        self.from_latents = nn.Linear(widths[-1] * num_places, config.features)

        # Branch of the transmit signal.
        self.transmit = self._transmit_branch(scene, config) if config.transmit_layers else None

        # Joint layer, then the head that estimates presence and state of each target.
        num_branches = 2 if self.transmit else 1
        self.joint = nn.Sequential(nn.Linear(num_branches * config.features, NEURONS), nn.ReLU())
        self.head = TargetHead(scene, NEURONS, config.num_targets)

    @staticmethod
    def _transmit_branch(scene: Scene, config: DvqvaeConfig) -> nn.Module:
        """Features of the transmit tensor (real and imaginary part) of all transmit antennas."""
        hidden = config.hidden
        widths = channel_widths(hidden, config.transmit_layers)
        residuals = (Residual(hidden, hidden) for _ in range(config.transmit_residuals))

        # Size of the downsampled tensor.
        num_tx_ant = sum(site.num_ant for site in scene.transmitters)
        shape = (num_tx_ant, scene.grid.num_subcarriers, scene.grid.num_symbols)
        flat_size = hidden * latent_count(shape, config.transmit_layers)

        return nn.Sequential(
            downsampling(2, widths),
            *residuals,
            nn.Flatten(),
            nn.Linear(flat_size, config.features),
        )

    def forward(self, latents: Tensor, receiver_mask: Tensor, side_information: Tensor) -> Tensor:
        """Targets of latents and side information.

        latents: [batch, M, L, D], float32
        receiver_mask: [batch, M], float32, 1 where a receiver sent latents, else 0
        side_information: [batch, 2, num_tx_ant, num_subcarriers, num_symbols], float32
        (transmit_tensor)
        Returns [batch, Q, 1 + 2 dimension], float32 (TargetHead).
        """
        # Latents as channels over space, frequency and time; with mean pooling over space alone.
        hidden = latents.mT.unflatten(3, self.latent_axes)
        if self.elements:
            hidden = self.elements(hidden, receiver_mask)

        # Convolutions over the channels of all receivers.
        hidden = self.residuals(hidden.flatten(1, 2))
        features = [self.from_latents(hidden.flatten(1))]

        # Join with the transmit signal.
        if self.transmit:
            features.append(self.transmit(side_information))
        return self.head(self.joint(torch.cat(features, dim=1)))


def _init_beams(encoder: Encoder, num_beams: int) -> None:
    """Initialize an encoder with receive beams of four antennas, relative to the noise floor.

    The first convolution forms beams at every second antenna; the second and the third average
    their amplitudes over subcarriers, symbols and signs. A channel of the third has one beam at one
    antenna position, and the projector is the identity. See learned.paper.beams.

    num_beams: directions, evenly over the sine of the angle
    """
    first, second, third = (
        module for module in encoder.halving.modules() if isinstance(module, nn.Conv3d)
    )
    inner = slice(INNER_TAPS[0], INNER_TAPS[-1] + 1)

    # Positive and negative half waves of each beam in each resource element, then their means.
    set_beams(first, num_beams, list(product(INNER_TAPS, INNER_TAPS)), (1, -1))
    set_average(second, INNER_TAPS, inner, first.out_channels // num_beams)
    set_average(third, INNER_TAPS, inner, 1)
    subtract_noise_floor(third)

    # Latents are the amplitudes of the beams.
    if isinstance(encoder.projector, nn.Linear):
        nn.init.eye_(encoder.projector.weight)


def common_shape(scene: Scene, kind: str) -> tuple[int, ...]:
    """Shape of every receiver's observation (inputs.observation_shape).

    kind: raw | demodulated
    Raises ValueError where receivers differ.
    """
    shapes = {observation_shape(scene, site, kind) for site in scene.receivers}
    if len(shapes) > 1:
        raise ValueError(
            f"scene '{scene.name}' has receivers with different numbers of antennas; this "
            "network stacks what they send, so give them equal arrays"
        )
    return shapes.pop()

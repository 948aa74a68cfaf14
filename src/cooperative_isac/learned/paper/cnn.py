"""The centralized network of CF section V-A (scheme cnn_paper): raw echoes travel to the center.

CF leaves open whether its convolutions take one echo or all; here they take one echo each, and the
layers behind them take all.
"""

from __future__ import annotations

import itertools
from math import prod

import numpy as np
from torch import Tensor, nn

from cooperative_isac.learned.encoder import MEMORY_FORMAT, ElementMean
from cooperative_isac.learned.inputs import raw_observation
from cooperative_isac.learned.network import Network, Predictions, Truth
from cooperative_isac.learned.paper.beams import set_average, set_beams, subtract_noise_floor
from cooperative_isac.learned.paper.config import CnnConfig
from cooperative_isac.learned.paper.dvqvae import common_shape
from cooperative_isac.learned.targets import TargetHead
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal

# Kernel of the convolutions along all axes (CF section V-A).
KERNEL = 5
MIDDLE = KERNEL // 2
# Share of the mean noise amplitude that is left (as beams.NOISE_MARGIN), for beams at the edge of
# the array that lack two of five antennas.
EDGE_MARGIN = 0.5


class Cnn(Network):
    """Convolutions of each receiver's raw echo, and fully connected layers over all receivers.

    In a run the convolutions, too, are at the center (schemes.learned.CentralScheme); in a
    distributed training each access point trains its own.
    """

    kind = "paper_cnn"
    center: CnnCenter

    def __init__(self, scene: Scene, config: CnnConfig):
        super().__init__(scene, config)
        in_channels, num_ant, *elements = common_shape(scene, "raw")
        pooled = [length // min(config.pooling, length) for length in elements]
        latent_axes = (num_ant, *pooled)
        self.latent_shape = (prod(latent_axes), config.channels[1])
        for site in scene.receivers:
            self.encoders[site.name] = Convolutions(in_channels, config)
        self.center = CnnCenter(scene, config, latent_axes)

    def init_weights(self) -> None:
        """Begin with receive beams, where the configuration has some."""
        if self.config.beams:
            for encoder in self.encoders.values():
                assert isinstance(encoder, Convolutions)
                encoder.init_beams(self.config.beams)

    @property
    def needs_symbols(self) -> bool:
        """False: the input is the raw echo; see Network.needs_symbols."""
        return False

    @property
    def input_key(self) -> str:
        """Name of raw inputs; see Network.input_key."""
        return self.kind

    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """The raw echo; see Network.encoder_input."""
        return raw_observation(self.scene, echo)

    def side_information(self, frame: Signal) -> np.ndarray:
        """Nothing: the center does not use the frame; see Network.side_information."""
        return np.empty(0, np.float32)

    def loss(self, output: Tensor, truth: Truth) -> Tensor:
        """Loss of a batch, a scalar; see Network.loss."""
        return self.center.head.loss(output, truth, self.config.error)

    def decode(self, output: Tensor) -> Predictions:
        """Predicted targets of a batch; see Network.decode."""
        return self.center.head.decode(output, self.deviation)


class Convolutions(nn.Module):
    """Two convolutions and max pooling over resource elements: the encoder of one receiver."""

    def __init__(self, in_channels: int, config: CnnConfig):
        super().__init__()
        first_channels, second_channels = config.channels
        self.first = nn.Conv3d(in_channels, first_channels, KERNEL, padding=MIDDLE)
        self.second = nn.Conv3d(first_channels, second_channels, KERNEL, padding=MIDDLE)
        self.pooling = config.pooling
        # torch's types lack the overload with a memory format alone.
        self.to(memory_format=MEMORY_FORMAT)  # pyrefly: ignore[no-matching-overload]

    def init_beams(self, num_beams: int) -> None:
        """Begin with beams of the five antennas around each, relative to the noise floor."""
        set_beams(self.first, num_beams, [(MIDDLE, MIDDLE)], (1,))
        set_average(self.second, [MIDDLE], slice(None), 1)
        subtract_noise_floor(self.second, EDGE_MARGIN)

    def forward(self, observations: Tensor) -> Tensor:
        """Latents of observations.

        observations: [batch, 2, num_rx_ant, num_subcarriers, num_symbols], float32
        Returns [batch, L, channels], float32.
        """
        hidden = self.second(self.first(observations).relu()).relu()

        # Pool over subcarriers and symbols, not over antennas, which carry the direction.
        pools = (1, *(min(self.pooling, length) for length in hidden.shape[3:]))
        pooled = nn.functional.max_pool3d(hidden, pools)

        # One latent for each position.
        return pooled.flatten(2).mT


class CnnCenter(nn.Module):
    """Fully connected layers on the latents of all receivers.

    latent_axes: antennas, and pooled subcarriers and symbols, of one receiver's latents
    """

    def __init__(self, scene: Scene, config: CnnConfig, latent_axes: tuple[int, ...]):
        super().__init__()
        self.latent_axes = latent_axes

        # Mean over resource elements, where the configuration asks for it.
        num_receivers = len(scene.receivers)
        channels = config.channels[1]  # of the last convolution
        self.elements = (
            ElementMean(num_receivers, channels, latent_axes[0]) if config.alike else None
        )

        # Three fully connected layers, on all latents of all receivers, or on their means.
        num_places = latent_axes[0] if config.alike else prod(latent_axes)
        num_inputs = num_receivers * channels * num_places
        widths = [num_inputs, config.neurons, config.neurons, config.neurons]
        self.joint = nn.Sequential(
            *(nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in itertools.pairwise(widths))
        )

        # Presence and state of each target.
        self.head = TargetHead(scene, config.neurons, config.num_targets)

    def forward(self, latents: Tensor, receiver_mask: Tensor, side_information: Tensor) -> Tensor:
        """Targets of latents.

        latents: [batch, M, L, channels], float32
        receiver_mask: [batch, M], float32, 1 where a receiver sent latents, else 0
        side_information: not used
        Returns [batch, Q, 1 + 2 dimension], float32 (TargetHead).
        """
        # Latents as channels over space, frequency and time; with mean pooling over space alone.
        hidden = latents.mT.unflatten(3, self.latent_axes)
        if self.elements:
            hidden = self.elements(hidden, receiver_mask)

        # All of them as one vector to the fully connected layers.
        return self.head(self.joint(hidden.flatten(1)))

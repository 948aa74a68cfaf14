"""The centralized network of CF section V-A, scheme cnn_paper: raw echoes travel to the center,
which does all.

CF does not say whether its convolutions see one echo or all; here they take one, and the layers
behind them all.
"""

from __future__ import annotations

import itertools
from math import prod

import numpy as np
from torch import Tensor, nn

from cooperative_isac.learned.encoder import FAST, ElementMean
from cooperative_isac.learned.inputs import raw_observation
from cooperative_isac.learned.network import Network, Predictions, Truth
from cooperative_isac.learned.paper.beams import average, set_beams, subtract_noise_floor
from cooperative_isac.learned.paper.config import CnnConfig
from cooperative_isac.learned.paper.dvqvae import common_shape
from cooperative_isac.learned.targets import TargetHead
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal

KERNEL = 5
MIDDLE = KERNEL // 2
EDGES = 0.5  # as beams.MARGIN, for beams that lack two of five antennas


class Cnn(Network):
    """Live, encoders are at the center, too (schemes.learned.CentralScheme); an access point trains
    its own.
    """

    kind = "paper_cnn"
    center: CnnCenter

    def __init__(self, scene: Scene, config: CnnConfig):
        super().__init__(scene, config)
        channels, num_ant, *elements = common_shape(scene, "raw")
        axes = num_ant, *(length // min(config.pooling, length) for length in elements)
        self.latent_shape = prod(axes), config.channels[1]
        for site in scene.receivers:
            self.encoders[site.name] = Convolutions(channels, config)
        self.center = CnnCenter(scene, config, axes)

    def init_weights(self) -> None:
        """Begin as beams, where the configuration has some."""
        if self.config.beams:
            for encoder in self.encoders.values():
                assert isinstance(encoder, Convolutions)
                encoder.begin_with_beams(self.config.beams)

    @property
    def needs_symbols(self) -> bool:
        """Whether observe looks at the frame; see Network.needs_symbols."""
        return False

    @property
    def input_key(self) -> str:
        """What observe and knowledge depend on; see Network.input_key."""
        return self.kind

    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """What one encoder takes; see Network.observe."""
        return raw_observation(self.scene, echo)

    def side_information(self, frame: Signal) -> np.ndarray:
        """What the center takes of the frame; see Network.knowledge."""
        return np.empty(0, np.float32)

    def loss(self, output: Tensor, truth: Truth) -> Tensor:
        """Estimation loss of a batch; see Network.loss."""
        return self.center.head.loss(output, truth, self.config.error)

    def decode(self, output: Tensor) -> Predictions:
        """Targets of a batch; see Network.read."""
        return self.center.head.decode(output, self.deviation)


class Convolutions(nn.Module):
    """Observations [batch, 2, num_rx_ant, num_subcarriers, num_symbols] to latents [batch, L,
    channels].
    """

    def __init__(self, in_channels: int, config: CnnConfig):
        super().__init__()
        first, second = config.channels
        self.first = nn.Conv3d(in_channels, first, KERNEL, padding=MIDDLE)
        self.second = nn.Conv3d(first, second, KERNEL, padding=MIDDLE)
        self.pooling = config.pooling
        # torch's own types leave out a layout without a type of numbers.
        self.to(memory_format=FAST)  # pyrefly: ignore[no-matching-overload]

    def begin_with_beams(self, num_beams: int) -> None:
        """Amplitudes of beams of five antennas around each antenna, over that of noise."""
        set_beams(self.first, num_beams, [(MIDDLE, MIDDLE)], (1,))
        average(self.second, [MIDDLE], slice(None), 1)
        subtract_noise_floor(self.second, EDGES)

    def forward(self, observations: Tensor) -> Tensor:
        """Latents [batch, L, channels] of observations, as the class has them."""
        found = self.second(self.first(observations).relu()).relu()
        pools = 1, *(min(self.pooling, length) for length in found.shape[3:])
        return nn.functional.max_pool3d(found, pools).flatten(2).mT


class CnnCenter(nn.Module):
    """What the convolutions found in the echoes of all receivers to targets."""

    def __init__(self, scene: Scene, config: CnnConfig, axes: tuple[int, ...]):
        super().__init__()
        self.axes, num_receivers, channels = axes, len(scene.receivers), config.channels[1]
        self.elements = ElementMean(num_receivers, channels, axes[0]) if config.alike else None
        flat = num_receivers * channels * (axes[0] if config.alike else prod(axes))
        widths = [flat, config.neurons, config.neurons, config.neurons]
        self.joint = nn.Sequential(
            *(nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in itertools.pairwise(widths))
        )
        self.head = TargetHead(scene, config.neurons, config.num_targets)

    def forward(self, latents: Tensor, heard: Tensor, side_information: Tensor) -> Tensor:
        """latents: [batch, M, L, channels]. Returns [batch, Q, 1 + 2 dimension] (TargetHead)."""
        tensor = latents.mT.unflatten(3, self.axes)
        if self.elements:
            tensor = self.elements(tensor, heard)
        return self.head(self.joint(tensor.flatten(1)))

"""What every learned codec is made of, and all that schemes and training know of it.

    echo, frame --observe--> observation --encoder--> latents --codebook--> indices on the fronthaul
    indices --codebook--> latents of all receivers --center, which knows the frame--> output
    --read--> found

Training exchanges latents and their gradients between encoder and center (CF Algorithm 1); a scheme
sends the packed indices, or float32 latents where there is no codebook.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.quantizer import Codebook
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class Truth:
    """Targets of a batch, in no order: present [batch, Q], bool; state [batch, Q, 2 dimension],
    float32, location [m] then velocity [m/s]; zero where no target is present.
    """

    present: Tensor
    state: Tensor


@dataclass(frozen=True)
class Predictions:
    """What a network found: presence [batch, Q], float32, probabilities; state [batch, Q, 2
    dimension], float32, location [m] then velocity [m/s]; deviation: its standard deviations, same
    shape.
    """

    presence: Tensor
    state: Tensor
    std: Tensor


class Network(nn.Module, ABC):
    """A learned codec of one scene; a subclass is made from (scene, config) alone.

    config: frozen dataclass of plain values, its hyperparameters, num_targets among them; stored
    beside the weights.
    encoders: one module per receiver, observations [batch, *observation] -> latents [batch, L, D],
    float32.
    codebooks: one Codebook per receiver, or none at all: then latents travel as float32.
    center: module (latents [batch, M, L, D], heard [batch, M], knowledge [batch, ...]) -> output of
    any kind; M receivers in the scene's order, latents zero where a receiver was not heard (heard
    0.0, else 1.0).
    deviation: [2 dimension], standard deviations of the errors; training measures them at its end.
    A network that tells deviations by itself ignores it.
    """

    kind: str
    latent_shape: tuple[int, int]
    center: nn.Module
    deviation: Tensor

    def __init__(self, scene: Scene, config):
        super().__init__()
        self.scene, self.config = scene, config
        self.encoders, self.codebooks = nn.ModuleDict(), nn.ModuleDict()
        self.register_buffer("deviation", torch.ones(2 * scene.dimension))

    def init_weights(self) -> None:
        """Choose the weights that training begins with; as they are, unless a network knows
        better.
        """

    @property
    def receivers(self) -> tuple[str, ...]:
        """Names of the receivers, in the order of the center's latents."""
        return tuple(site.name for site in self.scene.receivers)

    def codebook(self, receiver: str) -> Codebook | None:
        """The codebook of a receiver, None where latents travel as float32."""
        if receiver not in self.codebooks:
            return None
        codebook = self.codebooks[receiver]
        assert isinstance(codebook, Codebook)
        return codebook

    @property
    def needs_symbols(self) -> bool:
        """Whether observe looks at the frame, so that access points must be told its symbols."""
        return True

    @property
    def input_key(self) -> str:
        """What observe and knowledge depend on beside the scene: networks of one key share cached
        samples.
        """
        return f"{self.kind} {self.config}"

    @abstractmethod
    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """What one encoder takes: fixed arithmetic at the access point, nothing learned, so it may
        be cached.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W). Returns
        [*observation], float32,
        of order one: it survives float16.
        """

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> Tensor:
        """Latents [L, D] of one receiver's echo; arguments as in observe."""
        return self.encoders[receiver](
            torch.from_numpy(self.encoder_input(echo, frame, receiver))[None]
        )[0]

    @abstractmethod
    def side_information(self, frame: Signal) -> np.ndarray:
        """What the center takes of the transmitted frame itself, float32, of order one, or
        empty.
        """

    @abstractmethod
    def loss(self, output, truth: Truth) -> Tensor:
        """Estimation loss of a batch, a scalar (CF eq. 17); targets have no order."""

    @abstractmethod
    def decode(self, output) -> Predictions:
        """Targets of a batch from the center's output."""

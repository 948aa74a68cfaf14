"""Base class of all learned codecs: the interface that schemes and training use.

    echo, frame --encoder_input--> observation --encoder--> latents --codebook--> packed indices
    packed indices --codebook--> latents of all receivers, side information --center--> output
    output --decode--> predictions

Training exchanges latents and their gradients between encoder and center (CF Algorithm 1). A scheme
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

# Probability of presence above which a prediction is a target.
PRESENCE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Truth:
    """True targets of a batch, in no order.

    present: [batch, Q], bool
    state: [batch, Q, 2 dimension], float32, location [m], then velocity [m/s]; zero where no
    target is present
    """

    present: Tensor
    state: Tensor


@dataclass(frozen=True)
class Predictions:
    """Predicted targets of a batch.

    presence: [batch, Q], float32, probabilities that there is a target
    state: [batch, Q, 2 dimension], float32, location [m], then velocity [m/s]
    std: [batch, Q, 2 dimension], float32, standard deviations of the state
    """

    presence: Tensor
    state: Tensor
    std: Tensor


class Network(nn.Module, ABC):
    """A learned codec of one scene; a subclass is made from (scene, config) alone.

    config: frozen dataclass of plain values, its hyperparameters, num_targets among them; stored
    beside the weights
    encoders: one module per receiver, observations [batch, *observation] to latents [batch, L, D],
    float32
    codebooks: one Codebook per receiver, or none at all: then latents travel as float32
    center: module (latents [batch, M, L, D], receiver_mask [batch, M], side_information [batch,
    ...]) to an output of any kind; M receivers in the scene's order; receiver_mask is 1.0 where a
    receiver sent latents, else 0.0, and its latents are zero
    deviation: [2 dimension], float32, standard deviations of the errors, which training measures at
    its end; ignored by a network that predicts standard deviations
    latent_shape: (L, D)
    """

    kind: str
    latent_shape: tuple[int, int]
    center: nn.Module
    deviation: Tensor

    def __init__(self, scene: Scene, config):
        super().__init__()
        self.scene = scene
        self.config = config
        self.encoders = nn.ModuleDict()
        self.codebooks = nn.ModuleDict()
        # Name in files of weights.
        self.register_buffer("deviation", torch.ones(2 * scene.dimension))

    def init_weights(self) -> None:
        """Set the weights with which training begins; by default those of the layers."""

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
        """True where encoder_input uses the frame, so that access points need its symbols."""
        return True

    @property
    def input_key(self) -> str:
        """Key of the options, beside the scene, on which inputs and side information depend.

        Networks with the same key share cached samples.
        """
        return f"{self.kind} {self.config}"

    @abstractmethod
    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """Input of one encoder: fixed arithmetic without weights, so that it can be cached.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        Returns [*observation], float32, of order one, so that float16 can store it.
        """

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> Tensor:
        """Latents of one receiver's echo.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        Returns [L, D], float32.
        """
        observation = torch.from_numpy(self.encoder_input(echo, frame, receiver))
        return self.encoders[receiver](observation[None])[0]

    @abstractmethod
    def side_information(self, frame: Signal) -> np.ndarray:
        """Side information of the center: its input from the frame, float32; may be empty.

        Its values are of order one, so that float16 can store them.
        """

    @abstractmethod
    def loss(self, output, truth: Truth) -> Tensor:
        """Estimation loss of a batch, a scalar (CF eq. 17); targets have no order."""

    @abstractmethod
    def decode(self, output) -> Predictions:
        """Predicted targets of a batch from the center's output."""

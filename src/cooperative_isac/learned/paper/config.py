"""Hyperparameters of the learned codecs, which are stored beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

from cooperative_isac.learned.quantizer import CodebookConfig

INPUTS = ("raw", "demodulated")
ERROR_KINDS = ("squared", "absolute")
# Convolutions of an encoder that begins as beams, and channels after each of them, for each beam.
BEAM_LAYERS = 3
BEAM_CHANNELS = (8, 2, 4)


@dataclass(frozen=True)
class DvqvaeConfig:
    """Hyperparameters of the network of CF section III; the defaults are CF Table II.

    num_targets: Q, largest number of targets that it detects
    input: raw | demodulated, input of the encoders (learned.inputs)
    encoder_layers: L_cnn, convolutions of stride 2 of each encoder
    encoder_residuals: L_res, residual blocks of each encoder
    hidden: H, channels after the encoder's convolutions
    latent_dim: D, length of a codeword
    codebook: None for the D-VAE, whose latents are the H channels themselves
    transmit_layers, transmit_residuals: the same layers on the transmit signal at the center (0
    layers: the center does not use the transmit signal)
    center_residuals: residual blocks of the center
    features: outputs of each of the center's two linear projectors; not in CF: 32 gives its 206
    million parameters

    Not in CF:
    beams: number of receive beams as which the encoders' weights begin (learned.paper.beams); an
    encoder then has three convolutions, no residual block, and 4 hidden channels for each beam (0:
    random weights)
    alike: mean pooling: the center takes the normalized mean of latents over resource elements
    center_hidden: channels of the center's residual blocks (0: hidden)
    error: squared (CF eq. 17) | absolute, error of states in the loss
    """

    num_targets: int = 2
    input: str = "raw"
    encoder_layers: int = 2
    encoder_residuals: int = 2
    hidden: int = 128
    latent_dim: int = 512
    codebook: CodebookConfig | None = CodebookConfig(32)
    transmit_layers: int = 2
    transmit_residuals: int = 2
    center_residuals: int = 1
    features: int = 32
    beams: int = 0
    alike: bool = False
    center_hidden: int = 0
    error: str = "squared"

    def __post_init__(self) -> None:
        check_choice("input", self.input, INPUTS)
        check_choice("error", self.error, ERROR_KINDS)
        if self.beams:
            self._check_beams()

    def _check_beams(self) -> None:
        """Raise ValueError where the encoders cannot begin as beams."""
        hidden = BEAM_CHANNELS[-1] * self.beams
        is_convolutional = self.input == "raw" and self.encoder_layers == BEAM_LAYERS
        if not is_convolutional or self.hidden != hidden:
            raise ValueError(
                f"{self.beams} beams need input raw, encoder_layers {BEAM_LAYERS} and hidden "
                f"{hidden}, not {self.input}, {self.encoder_layers} and {self.hidden}"
            )
        if self.encoder_residuals or (self.codebook and self.latent_dim < self.hidden):
            raise ValueError(
                f"{self.beams} beams need encoder_residuals 0 and latent_dim {self.hidden} or "
                f"more, not {self.encoder_residuals} and {self.latent_dim}"
            )


@dataclass(frozen=True)
class CnnConfig:
    """Hyperparameters of the centralized network of CF section V-A and its reference [1].

    It has two convolutions of kernel 5 with max pooling, and three fully connected layers.

    num_targets: Q, largest number of targets that it detects
    neurons: outputs of each fully connected layer

    Not in CF:
    channels: channels after each convolution of one receiver's echo
    pooling: resource elements along each axis that become one
    beams: number of receive beams as which the convolutions' weights begin, equal to their channels
    (0: random weights)
    alike, error: as in DvqvaeConfig
    """

    num_targets: int = 2
    channels: tuple[int, int] = (8, 8)
    neurons: int = 256
    pooling: int = 8
    beams: int = 0
    alike: bool = False
    error: str = "squared"

    def __post_init__(self) -> None:
        check_choice("error", self.error, ERROR_KINDS)
        if self.beams and tuple(self.channels) != (self.beams, self.beams):
            raise ValueError(
                f"{self.beams} beams need channels {[self.beams, self.beams]}, "
                f"not {list(self.channels)}"
            )


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError for a setting that is none of the allowed values."""
    if value not in allowed:
        raise ValueError(f"{name} '{value}' is not known; use one of {', '.join(allowed)}")

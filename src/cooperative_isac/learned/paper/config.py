"""Hyperparameters of the learned codecs: what is stored beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

from cooperative_isac.learned.quantizer import CodebookConfig

INPUTS = ("raw", "demodulated")
ERRORS = ("squared", "absolute")
BEAM_LAYERS, BEAM_CHANNELS = 3, (8, 2, 4)  # after each convolution, for each beam


@dataclass(frozen=True)
class DvqvaeConfig:
    """The network of CF section III; the defaults are CF Table II.

    num_targets: Q, targets it can tell; input: raw | demodulated, what the encoders take
    (learned.inputs);
    hidden: H, channels after the encoder's convolutions; latent_dim: D, length of a codeword;
    codebook: None for the D-VAE, whose latents are the H channels themselves;
    features: outputs of each of the center's two linear projectors, not in CF: 32 gives its 206
    million;
    *_layers: convolutions that halve every axis, L_cnn (transmit_layers 0: the center does not look
    at the transmit signal); *_residuals: residual convolutions, L_res. Not in CF:
    beams: directions that an encoder of three convolutions, none residual, listens to as training
    begins (learned.beams), with hidden 4 times as many (0: random weights); alike: the center takes
    the normalized mean of latents over resource elements; center_hidden: channels of its residual
    convolutions (0: hidden); error: of states in the loss, squared (CF eq. 17) or absolute.
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
        check_choice("error", self.error, ERRORS)
        wanted = BEAM_LAYERS, BEAM_CHANNELS[-1] * self.beams
        if self.beams and (self.input != "raw" or (self.encoder_layers, self.hidden) != wanted):
            raise ValueError(
                f"{self.beams} beams need input raw, encoder_layers {wanted[0]} and hidden "
                f"{wanted[1]}, not {self.input}, {self.encoder_layers} and {self.hidden}"
            )
        if self.beams and (
            self.encoder_residuals or (self.codebook and self.latent_dim < self.hidden)
        ):
            raise ValueError(
                f"{self.beams} beams need encoder_residuals 0 and latent_dim {self.hidden} or "
                f"more, not {self.encoder_residuals} and {self.latent_dim}"
            )


@dataclass(frozen=True)
class CnnConfig:
    """The centralized network of CF section V-A and its reference [1]: two convolutions of kernel 5
    with max
    pooling, three fully connected layers of 256 neurons. Not in CF: channels, after each
    convolution of one receiver's echo; pooling: resource elements of each axis that become one;
    beams: directions that the convolutions listen to as training begins, as many as they have
    channels (0: random weights); alike, error: as in DvqvaeConfig.
    """

    num_targets: int = 2
    channels: tuple[int, int] = (8, 8)
    neurons: int = 256
    pooling: int = 8
    beams: int = 0
    alike: bool = False
    error: str = "squared"

    def __post_init__(self) -> None:
        check_choice("error", self.error, ERRORS)
        if self.beams and tuple(self.channels) != 2 * (self.beams,):
            raise ValueError(
                f"{self.beams} beams need channels {2 * [self.beams]}, not {list(self.channels)}"
            )


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """ValueError for a setting that is none of the allowed values, with all of them."""
    if value not in allowed:
        raise ValueError(f"{name} '{value}' is not known; use one of {', '.join(allowed)}")

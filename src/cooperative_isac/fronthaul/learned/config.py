"""Hyperparameters of the learned codecs: what is stored beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

from cooperative_isac.fronthaul.learned.quantiser import CodebookConfig

INPUTS = ("raw", "demodulated")


@dataclass(frozen=True)
class DvqvaeConfig:
    """The network of CF section III; the defaults are CF Table II.

    num_targets: Q, targets it can tell; input: raw | demodulated, what the encoders take (learned.inputs);
    hidden: H, channels after the encoder's convolutions; latent_dim: D, length of a codeword;
    codebook: None for the D-VAE, whose latents are the H channels themselves;
    features: outputs of each of the centre's two linear projectors, not in CF: 32 gives its 206 million;
    *_layers: convolutions that halve every axis, L_cnn (transmit_layers 0: the centre does not look at the
    transmit signal); *_residuals: residual convolutions, L_res.
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
    centre_residuals: int = 1
    features: int = 32

    def __post_init__(self) -> None:
        if self.input not in INPUTS:
            raise ValueError(f"input '{self.input}' is not known; use one of {', '.join(INPUTS)}")


@dataclass(frozen=True)
class CnnConfig:
    """The centralised network of CF section V-A and its reference [1]: two convolutions of kernel 5 with max
    pooling, three fully connected layers of 256 neurons; channels are not in CF."""

    num_targets: int = 2
    channels: tuple[int, int] = (8, 16)
    neurons: int = 256
    pooling: int = 4

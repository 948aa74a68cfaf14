"""The D-VQVAE on demodulated echoes with a compact centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fronthaul.learned.dvqvae import common_shape
from cooperative_isac.fronthaul.learned.encoder import Encoder, latent_count, reduced
from cooperative_isac.fronthaul.learned.inputs import MEAN_SPECTRUM, demodulated_observation, num_doppler_bins
from cooperative_isac.fronthaul.learned.plane.network import PlaneNetwork, check_plane
from cooperative_isac.fronthaul.learned.quantiser import Codebook, CodebookConfig
from cooperative_isac.fronthaul.learned.spectra.centre import SpectraCentre
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.frame import TransmitFrame


@dataclass(frozen=True)
class SpectraConfig:
    """num_targets: how many it tells at most; encoder_*, hidden, latent_dim, codebook: as in DvqvaeConfig;

    cells: of the plane along an axis; centre_*: channels and residual layers there.
    """

    num_targets: int = 4
    encoder_layers: int = 1
    encoder_residuals: int = 2
    hidden: int = 16
    latent_dim: int = 16
    codebook: CodebookConfig = CodebookConfig(256, num_parts=2, restart_after=20)
    cells: int = 24
    centre_channels: int = 32
    centre_residuals: int = 2

    def __post_init__(self) -> None:
        check_plane(self.num_targets, self.cells, (self.centre_channels, ))
        for name in ("encoder_layers", "hidden", "latent_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")


class Spectra(PlaneNetwork):
    """CF's encoder and codebook on echoes freed of their symbols; the centre knows where in a spectrum each cell of
    the scene's plane lies."""

    kind = "spectra"
    largest_spread_cells = 1.0

    def __init__(self, scene: Scene, config: SpectraConfig):
        super().__init__(scene, config)
        if scene.dimension != 2:
            raise ValueError(f"scene '{scene.name}' has dimension {scene.dimension}; this network needs dimension 2")
        channels, *shape = common_shape(scene, "demodulated")
        if any(length % 2 ** config.encoder_layers for length in shape[:2]):
            raise ValueError(f"{shape[0]} antennas and {shape[1]} subcarriers cannot be halved {config.encoder_layers} "
                             "times; this network needs numbers that can")
        self.latent_shape = latent_count(shape, config.encoder_layers), config.latent_dim
        for site in scene.receivers:
            self.encoders[site.name] = Encoder(channels, config.hidden, config.encoder_layers,
                                               config.encoder_residuals, config.latent_dim)
            self.codebooks[site.name] = Codebook(config.latent_dim, config.codebook)
        max_doppler_hz = num_doppler_bins(scene) / 2 * scene.grid.doppler_resolution_hz
        self.centre = SpectraCentre(scene, config.latent_dim, reduced(shape, config.encoder_layers),
                                    config.encoder_layers, config.cells, config.centre_channels,
                                    config.centre_residuals, max_doppler_hz)

    @property
    def input_key(self) -> str:
        return MEAN_SPECTRUM

    def observe(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> np.ndarray:
        return demodulated_observation(self.scene, echo, frame)

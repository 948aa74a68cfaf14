"""Codecs of demodulated echoes, with codebooks or without, and a center with the geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.learned.inputs import SPECTRUM, demodulated_observation
from cooperative_isac.learned.paper.dvqvae import common_shape
from cooperative_isac.learned.plane.latents import LatentLayout
from cooperative_isac.learned.plane.network import PlaneNetwork, check_plane
from cooperative_isac.learned.quantizer import Codebook, CodebookConfig
from cooperative_isac.learned.spectra.center import SpectraCenter
from cooperative_isac.learned.spectra.encoder import SpectrumEncoder
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class SpectraConfig:
    """Hyperparameters of the spectra network.

    num_targets: largest number of targets that it detects
    hidden, kernel: channels and kernel of each encoder's convolutions
    encoder_layers, encoder_residuals: number of each encoder's convolutions and residual blocks
    part_dim: numbers of each part of a latent (LatentLayout)
    codebook: codewords and number of parts of a latent
    quantized: send indices of codewords; otherwise latents travel as float32
    cells: cells of the plane along an axis
    center_channels, center_residuals: channels and residual blocks of the center
    """

    num_targets: int = 4
    hidden: int = 16
    kernel: int = 3
    encoder_layers: int = 1
    encoder_residuals: int = 1
    part_dim: int = 8
    codebook: CodebookConfig = CodebookConfig(256, num_parts=9, restart_after=20)
    quantized: bool = True
    cells: int = 24
    center_channels: int = 32
    center_residuals: int = 2

    def __post_init__(self) -> None:
        check_plane(self.num_targets, self.cells, (self.center_channels,))
        for name in ("encoder_layers", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; it must be odd")


class Spectra(PlaneNetwork):
    """Encoders of demodulated echoes, and a center that projects their spectra onto the plane."""

    kind = "spectra"
    center: SpectraCenter
    largest_spread_cells = 1.0

    def __init__(self, scene: Scene, config: SpectraConfig):
        super().__init__(scene, config)
        beams, delays, shifts = _spectrum_shape(scene)
        layout = LatentLayout(
            config.codebook.num_parts,
            config.part_dim,
            len(scene.transmitters),
            config.quantized,
            has_beams=True,
        )
        self.latent_shape = (beams * delays, layout.size)

        # Encoders and codebooks
        num_departures = max(site.num_ant for site in scene.transmitters)
        for site in scene.receivers:
            self.encoders[site.name] = SpectrumEncoder(
                layout,
                scene.grid.range_resolution_m,
                num_departures,
                config.hidden,
                config.kernel,
                config.encoder_layers,
                config.encoder_residuals,
            )
            if config.quantized:
                self.codebooks[site.name] = Codebook(layout.size, config.codebook)

        # Center
        max_doppler_hz = shifts / 2 * scene.grid.doppler_resolution_hz
        self.center = SpectraCenter(
            scene,
            layout,
            (beams, delays),
            config.cells,
            config.center_channels,
            config.center_residuals,
            max_doppler_hz,
        )

    @property
    def input_key(self) -> str:
        """Name of demodulated inputs; see Network.input_key."""
        return SPECTRUM

    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """Spectrum of one demodulated echo; see Network.encoder_input."""
        return demodulated_observation(self.scene, echo, frame)


def _spectrum_shape(scene: Scene) -> tuple[int, int, int]:
    """Beams, delays and Doppler shifts of every receiver's spectrum.

    Raises ValueError where the scene is not in a plane, or paths are ambiguous in delay.
    """
    if scene.dimension != 2:
        raise ValueError(
            f"scene '{scene.name}' has dimension {scene.dimension}; this network needs dimension 2"
        )
    _, beams, delays, shifts = common_shape(scene, "demodulated")
    if delays == scene.grid.num_subcarriers:
        raise ValueError(
            f"paths over the area of scene '{scene.name}' differ by more than its {delays} "
            "subcarriers can resolve; this network needs more subcarriers, a smaller "
            "stride or a smaller area"
        )
    return beams, delays, shifts

"""The compact D-VQVAE: receivers map echoes onto one plane and send codewords of its cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from cooperative_isac.learned.maps.agreement import CLEANED_PENALTY, SIDELOBE_PENALTY
from cooperative_isac.learned.maps.center import MapCenter
from cooperative_isac.learned.maps.encoder import MapEncoder
from cooperative_isac.learned.plane.latents import LatentLayout
from cooperative_isac.learned.plane.network import PlaneNetwork, check_plane
from cooperative_isac.learned.plane.output import at_middle_height, cell_centers
from cooperative_isac.learned.quantizer import Codebook, CodebookConfig
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.cleaned_map import CleanedMap
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.sensing.map_filters import MapFilters
from cooperative_isac.sensing.path_map import PathMap
from cooperative_isac.sensing.space_map import SpaceMap
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class MapsConfig:
    """Hyperparameters of the maps network.

    num_targets: largest number of targets that it detects
    cells, coarse: cells of the maps and of the latents along an axis
    heights: heights of the filters in each cell of the maps, in space
    cleaned: strong paths are fitted, and their side lobes removed (CleanedMap; in space PathMap)
    part_dim: numbers of each part of a latent (LatentLayout)
    codebook: codewords and number of parts of a latent
    quantized: send indices of codewords; otherwise latents travel as float32
    encoder_channels, encoder_residuals: channels and residual blocks of each encoder
    center_channels, center_residuals: channels and residual blocks of the center
    """

    num_targets: int = 4
    cells: int = 48
    coarse: int = 16
    heights: int = 6
    cleaned: bool = False
    part_dim: int = 8
    codebook: CodebookConfig = CodebookConfig(256, num_parts=8, restart_after=20)
    quantized: bool = True
    encoder_channels: int = 64
    encoder_residuals: int = 1
    center_channels: int = 64
    center_residuals: int = 3

    def __post_init__(self) -> None:
        check_plane(self.num_targets, self.coarse, (self.encoder_channels, self.center_channels))
        if self.cells < 1 or self.cells % self.coarse:
            raise ValueError(f"cells {self.cells} must be a multiple of coarse {self.coarse}")


class Maps(PlaneNetwork):
    """Convolutional encoders on maps of locations, product quantization, and one center."""

    kind = "maps"
    center: MapCenter

    def __init__(self, scene: Scene, config: MapsConfig):
        super().__init__(scene, config)
        layout = LatentLayout(
            config.codebook.num_parts,
            config.part_dim,
            len(scene.transmitters),
            config.quantized,
            has_rises=scene.dimension == 3,
        )
        self.latent_shape = (config.coarse**2, layout.size)

        # Center; all receivers' maps have the same scales.
        first_map = self._maps[scene.receivers[0].name]
        self.center = MapCenter(
            scene,
            layout,
            config.coarse,
            config.center_channels,
            config.center_residuals,
            first_map.max_doppler_hz,
            CLEANED_PENALTY if config.cleaned else SIDELOBE_PENALTY,
        )

        # Encoders and codebooks; paths run over receivers, then transmitters.
        excess_m = self._excess()
        for index, site in enumerate(scene.receivers):
            paths = slice(index * layout.num_tx, (index + 1) * layout.num_tx)
            self.encoders[site.name] = MapEncoder(
                layout,
                config.coarse,
                excess_m[paths],
                first_map.max_excess_m,
                config.encoder_channels,
                config.encoder_residuals,
            )
            if config.quantized:
                self.codebooks[site.name] = Codebook(layout.size, config.codebook)

    def _excess(self) -> Tensor:
        """Lengths of paths over fine cells less those over the coarse cells that contain them.

        Returns [num_paths, cells, cells], float32, m.
        """
        paths = self.center.paths
        fine, coarse = (
            paths.length(at_middle_height(self.scene, cell_centers(self.scene, cells)))
            for cells in (self.config.cells, self.config.coarse)
        )
        fine = fine.permute(2, 0, 1)
        coarse = coarse.permute(2, 0, 1)
        stride = self.config.cells // self.config.coarse
        return fine - coarse.repeat_interleave(stride, 1).repeat_interleave(stride, 2)

    @cached_property
    def _maps(self) -> Mapping[str, MapFilters]:
        """Maps of the receivers, by name."""
        config = self.config
        sites = self.scene.receivers
        if self.scene.dimension == 2:
            return {site.name: LocationMap(self.scene, site, config.cells) for site in sites}
        return {
            site.name: SpaceMap(self.scene, site, config.cells, config.heights) for site in sites
        }

    @cached_property
    def _observers(self) -> Mapping[str, MapFilters | CleanedMap | PathMap]:
        """Inputs of the encoders from the echoes of the receivers, by name."""
        if not self.config.cleaned:
            return self._maps
        return {name: _cleaned(location_map) for name, location_map in self._maps.items()}

    @property
    def input_key(self) -> str:
        """Name of the maps' kind and resolution; see Network.input_key."""
        heights = "" if self.scene.dimension == 2 else f" {self.config.heights}"
        suffix = " cleaned" if self.config.cleaned else ""
        return f"{self.kind} {self.config.cells}{heights}{suffix}"

    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """Map of locations of one echo, [num_tx, fields, cells, cells]; see Network."""
        return self._observers[receiver].observe(echo, frame)


def _cleaned(location_map: MapFilters) -> CleanedMap | PathMap:
    """The cleaned map of a plane or of space."""
    if isinstance(location_map, LocationMap):
        return CleanedMap(location_map)
    assert isinstance(location_map, SpaceMap)
    return PathMap(location_map)

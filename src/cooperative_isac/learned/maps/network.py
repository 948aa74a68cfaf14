"""The compact D-VQVAE: receivers map their echoes onto the same plane, codewords tell of its
cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from cooperative_isac.learned.maps.center import MapCenter
from cooperative_isac.learned.maps.encoder import MapEncoder
from cooperative_isac.learned.plane.latents import LatentLayout
from cooperative_isac.learned.plane.network import PlaneNetwork, check_plane
from cooperative_isac.learned.plane.output import cell_centers
from cooperative_isac.learned.quantizer import Codebook, CodebookConfig
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class MapsConfig:
    """Sizes of the network of maps.

    num_targets: how many it tells at most; cells, coarse: of the maps and of the latents along an
    axis; codebook: its parts are laid out by LatentLayout; quantized: else latents travel as they
    are, as float32.
    """

    num_targets: int = 4
    cells: int = 48
    coarse: int = 16
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
    """Maps of locations, product-quantized by convolutional encoders, added and read at the
    center.
    """

    kind = "maps"
    center: MapCenter

    def __init__(self, scene: Scene, config: MapsConfig):
        super().__init__(scene, config)
        layout = LatentLayout(
            config.codebook.num_parts, config.part_dim, len(scene.transmitters), config.quantized
        )
        self.latent_shape = config.coarse**2, layout.size
        first = self._maps[scene.receivers[0].name]
        self.center = MapCenter(
            scene,
            layout,
            config.coarse,
            config.center_channels,
            config.center_residuals,
            first.max_doppler_hz,
        )
        for index, site in enumerate(scene.receivers):
            excess = self._excess(index * layout.num_tx, layout.num_tx)
            self.encoders[site.name] = MapEncoder(
                layout,
                config.coarse,
                excess,
                first.max_excess_m,
                config.encoder_channels,
                config.encoder_residuals,
            )
            if config.quantized:
                self.codebooks[site.name] = Codebook(layout.size, config.codebook)

    def _excess(self, first: int, num_paths: int) -> Tensor:
        """Lengths of paths over the fine cells less those over their coarse cells, [num_paths,
        cells, cells], m.
        """
        config, paths = self.config, slice(first, first + num_paths)
        fine, coarse = (
            self.center.paths.length(cell_centers(self.scene, cells)).permute(2, 0, 1)[paths]
            for cells in (config.cells, config.coarse)
        )
        repeats = config.cells // config.coarse
        return fine - coarse.repeat_interleave(repeats, 1).repeat_interleave(repeats, 2)

    @cached_property
    def _maps(self) -> dict[str, LocationMap]:
        return {
            site.name: LocationMap(self.scene, site, self.config.cells)
            for site in self.scene.receivers
        }

    @property
    def input_key(self) -> str:
        """What observe and knowledge depend on; see Network.input_key."""
        return f"{self.kind} {self.config.cells}"

    def encoder_input(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """What one encoder takes; see Network.observe."""
        return self._maps[receiver].observe(echo, frame)

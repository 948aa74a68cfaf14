"""The compact D-VQVAE: receivers map their echoes onto the same plane, codewords tell of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.maps.consensus import PathTold
from cooperative_isac.fronthaul.learned.maps.centre import MapCentre, PlaneOutput, centres
from cooperative_isac.fronthaul.learned.maps.encoder import MapEncoder
from cooperative_isac.fronthaul.learned.maps.latents import LatentLayout
from cooperative_isac.fronthaul.learned.maps.loss import plane_loss
from cooperative_isac.fronthaul.learned.network import Found, Network, Truth
from cooperative_isac.fronthaul.learned.quantiser import Codebook, CodebookConfig
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.waveform.frame import TransmitFrame

LEAST_HEAT, LARGEST_SPREAD_CELLS = 0.3, 0.5  # of a target that is told


@dataclass(frozen=True)
class MapsConfig:
    """num_targets: how many it tells at most; cells, coarse: of the maps and of the latents along an axis;

    codebook: its parts are laid out by LatentLayout; quantised: else latents travel as they are, as float32.
    """

    num_targets: int = 4
    cells: int = 48
    coarse: int = 16
    part_dim: int = 8
    codebook: CodebookConfig = CodebookConfig(256, num_parts=8, restart_after=20)
    quantised: bool = True
    encoder_channels: int = 64
    encoder_residuals: int = 1
    centre_channels: int = 64
    centre_residuals: int = 3

    def __post_init__(self) -> None:
        if self.cells % self.coarse:
            raise ValueError(f"cells {self.cells} must be a multiple of coarse {self.coarse}")


class Maps(Network):
    """Maps of locations, product-quantised by convolutional encoders, added and read at the centre."""

    kind = "maps"

    def __init__(self, scene: Scene, config: MapsConfig):
        super().__init__(scene, config)
        layout = LatentLayout(config.codebook.num_parts, config.part_dim, len(scene.transmitters))
        self.latent_shape = config.coarse ** 2, layout.size
        first = self._maps[scene.receivers[0].name]
        self.centre = MapCentre(scene, layout, config.coarse, config.centre_channels, config.centre_residuals,
                                first.max_doppler_hz)
        for index, site in enumerate(scene.receivers):
            excess = self._excess(index * layout.num_tx, layout.num_tx)
            self.encoders[site.name] = MapEncoder(layout, config.coarse, excess, first.max_excess_m,
                                                  config.encoder_channels, config.encoder_residuals)
            if config.quantised:
                self.codebooks[site.name] = Codebook(layout.size, config.codebook)

    def _excess(self, first: int, num_paths: int) -> Tensor:
        """Lengths of paths over the fine cells less those over their coarse cells, [num_paths, cells, cells], m."""
        area, config, paths = self.scene.area, self.config, slice(first, first + num_paths)
        fine, coarse = (self.centre.paths.length(centres(area.low_m, area.high_m, cells)).permute(2, 0, 1)[paths]
                        for cells in (config.cells, config.coarse))
        repeats = config.cells // config.coarse
        return fine - coarse.repeat_interleave(repeats, 1).repeat_interleave(repeats, 2)

    @cached_property
    def _maps(self) -> dict[str, LocationMap]:
        return {site.name: LocationMap(self.scene, site, self.config.cells) for site in self.scene.receivers}

    @property
    def input_key(self) -> str:
        return f"{self.kind} {self.config.cells}"

    def observe(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> np.ndarray:
        return self._maps[receiver].observe(echo, frame)

    def knowledge(self, frame: TransmitFrame) -> np.ndarray:
        return np.empty(0, np.float32)

    def loss(self, output: PlaneOutput, truth: Truth) -> Tensor:
        return plane_loss(output, truth, self.centre.paths, self.centre.centres_m, self.centre.cell_m)

    def read(self, output: PlaneOutput) -> Found:
        """The highest peaks of the heat, each with what its cell says; absent where it is unsure of the place."""
        heat = output.heat.float()
        peak = nn.functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat
        heat, cell = torch.where(peak, heat, -torch.inf).flatten(1).topk(self.config.num_targets)

        def at_peaks(planes: Tensor) -> Tensor:
            values = planes.float().flatten(1, 2)
            return values.gather(1, cell[..., None].expand(-1, -1, values.shape[-1]))

        def told(paths: PathTold) -> PathTold:
            return PathTold(*(at_peaks(planes) for planes in (paths.value, paths.log_deviation, paths.doubt)))

        heard = output.heard[:, None].expand(-1, cell.shape[1], -1)
        guess, spread = at_peaks(output.point_m), 2 ** 0.5 * at_peaks(output.log_spread_m).exp()
        point, place = self.centre.paths.location(guess, spread, told(output.length), heard)
        velocity, speed = self.centre.paths.velocity(point, told(output.doppler), heard)
        deviation = torch.cat([part.diagonal(dim1=-2, dim2=-1).sqrt() for part in (place, speed)], -1)
        presence = torch.sigmoid(heat - float(np.log(LEAST_HEAT / (1 - LEAST_HEAT))))
        unsure = deviation[..., :2].norm(dim=-1) > LARGEST_SPREAD_CELLS * self.centre.cell_m.max()
        presence = presence.masked_fill(unsure, 0.0)
        return Found(presence, torch.cat([point, velocity], -1), deviation)

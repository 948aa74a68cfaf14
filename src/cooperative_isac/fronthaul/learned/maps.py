"""The compact D-VQVAE: receivers map their echoes onto the same plane, codewords tell of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.map_centre import MapCentre, PlaneOutput
from cooperative_isac.fronthaul.learned.map_encoder import MapEncoder
from cooperative_isac.fronthaul.learned.map_loss import plane_loss
from cooperative_isac.fronthaul.learned.network import Found, Network, Truth
from cooperative_isac.fronthaul.learned.quantiser import Codebook, CodebookConfig
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.waveform.frame import TransmitFrame

LEAST_HEAT, LARGEST_SPREAD_CELLS = 0.3, 0.5  # of a target that is told


@dataclass(frozen=True)
class MapsConfig:
    """num_targets: how many it tells at most; cells, coarse: of the maps and of the latents along an axis;

    codebook: with a part for each transmitter's Doppler shift, and the others for whatever is learned;
    doppler_weight: how much the Doppler shift counts in the distances of its part.
    """

    num_targets: int = 4
    cells: int = 48
    coarse: int = 16
    part_dim: int = 8
    codebook: CodebookConfig = CodebookConfig(256, num_parts=6, restart_after=20)
    doppler_weight: float = 4.0
    encoder_channels: int = 64
    encoder_residuals: int = 2
    centre_channels: int = 96
    centre_residuals: int = 3

    def __post_init__(self) -> None:
        if self.cells % self.coarse:
            raise ValueError(f"cells {self.cells} must be a multiple of coarse {self.coarse}")


class Maps(Network):
    """Maps of locations, product-quantised by convolutional encoders, added and read at the centre."""

    kind = "maps"

    def __init__(self, scene: Scene, config: MapsConfig):
        super().__init__(scene, config)
        num_tx, parts = len(scene.transmitters), config.codebook.num_parts
        if parts <= num_tx:
            raise ValueError(f"codebook.num_parts is {parts}; {num_tx} transmitters need {num_tx + 1} or more")
        self.latent_shape = config.coarse ** 2, parts * config.part_dim
        for site in scene.receivers:
            self.encoders[site.name] = MapEncoder(num_tx, config.cells, config.coarse, parts, config.part_dim,
                                                  config.encoder_channels, config.encoder_residuals,
                                                  config.doppler_weight)
            self.codebooks[site.name] = Codebook(self.latent_shape[1], config.codebook)
        most_hz = self._maps[scene.receivers[0].name].max_doppler_hz
        self.centre = MapCentre(scene, config.coarse, parts, config.part_dim, config.centre_channels,
                                config.centre_residuals, most_hz, config.doppler_weight)

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
        centre = self.centre
        return plane_loss(output, truth, centre.velocity, centre.centres_m, centre.cell_m)

    def read(self, output: PlaneOutput) -> Found:
        """The highest peaks of the heat, each with what its cell says; absent where it is unsure of the place."""
        heat = output.heat.float()
        peak = nn.functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat
        heat, cell = torch.where(peak, heat, -torch.inf).flatten(1).topk(self.config.num_targets)

        def at_peaks(planes: Tensor) -> Tensor:
            values = planes.float().flatten(1, 2)
            return values.gather(1, cell[..., None].expand(-1, -1, values.shape[-1]))

        point, spread = at_peaks(output.point_m), 2 ** 0.5 * at_peaks(output.log_spread_m).exp()
        doppler, doppler_spread = at_peaks(output.doppler_khz), 2 ** 0.5 * at_peaks(output.log_spread_khz).exp()
        heard = output.heard[:, None].expand_as(doppler)
        velocity, covariance = self.centre.velocity.velocity(point, doppler, doppler_spread, heard)
        presence = torch.sigmoid(heat - float(np.log(LEAST_HEAT / (1 - LEAST_HEAT))))
        unsure = spread.norm(dim=-1) > LARGEST_SPREAD_CELLS * self.centre.cell_m.max()
        presence = presence.masked_fill(unsure, 0.0)
        deviation = torch.cat([spread, covariance.diagonal(dim1=-2, dim2=-1).sqrt()], -1)
        return Found(presence, torch.cat([point, velocity], -1), deviation)

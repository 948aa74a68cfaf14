"""What networks share whose center reads targets from a plane of locations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.network import Network, Predictions, Truth
from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.learned.plane.loss import plane_loss
from cooperative_isac.learned.plane.output import PlaneOutput
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.learned.plane.residual import GROUPS
from cooperative_isac.waveform.signal import Signal

LEAST_HEAT = 0.3  # of a target that is reported


def check_plane(num_targets: int, cells: int, channels: tuple[int, ...]) -> None:
    """ValueError where no network can be made of these: cells along an axis, channels of planes."""
    if cells < 1 or not 0 < num_targets <= cells**2:
        raise ValueError(f"a plane of {cells} x {cells} cells cannot tell {num_targets} targets")
    if any(count < 1 or count % GROUPS for count in channels):
        raise ValueError(
            f"channels of planes are {', '.join(map(str, channels))}; each must be a multiple of "
            f"{GROUPS}"
        )


class PlaneCenter(nn.Module):
    """A center that answers with a PlaneOutput.

    paths: geometry of all paths in the plane
    centers_m: [cells, cells, 2], float32, m, of the cells of the plane
    cell_m: [2], float32, m, size of a cell
    """

    paths: PathGeometry
    centers_m: Tensor
    cell_m: Tensor


class PlaneNetwork(Network):
    """A network whose center answers with a PlaneOutput."""

    center: PlaneCenter
    largest_spread_cells = 0.5  # of a target that is reported

    def side_information(self, frame: Signal) -> np.ndarray:
        """What the center takes of the frame; see Network.knowledge."""
        return np.empty(0, np.float32)

    def loss(self, output: PlaneOutput, truth: Truth) -> Tensor:
        """Estimation loss of a batch; see Network.loss."""
        with _exact(output):
            return plane_loss(
                output.float(), truth, self.center.paths, self.center.centers_m, self.center.cell_m
            )

    def decode(self, output: PlaneOutput) -> Predictions:
        """The highest peaks of the heat, each with what its cell says; absent where it is unsure of
        the place.
        """
        with _exact(output):
            return self._decode(output.float())

    def _decode(self, output: PlaneOutput) -> Predictions:
        peak = (
            nn.functional.max_pool2d(output.heatmap_logits[:, None], 3, 1, 1)[:, 0]
            == output.heatmap_logits
        )
        heatmap_logits, cell = (
            torch.where(peak, output.heatmap_logits, -torch.inf)
            .flatten(1)
            .topk(self.config.num_targets)
        )

        def at_peaks(planes: Tensor) -> Tensor:
            values = planes.flatten(1, 2)
            return values.gather(1, cell[..., None].expand(-1, -1, values.shape[-1]))

        def measured(paths: PathMeasurements) -> PathMeasurements:
            return PathMeasurements(
                *(at_peaks(planes) for planes in (paths.value, paths.log_std, paths.doubt))
            )

        heard = output.heard[:, None].expand(-1, cell.shape[1], -1)
        guess, spread = at_peaks(output.point_m), 2**0.5 * at_peaks(output.log_spread_m).exp()
        point, place = self.center.paths.location(guess, spread, measured(output.length), heard)
        velocity, speed = self.center.paths.velocity(point, measured(output.doppler), heard)
        deviation = torch.cat(
            [part.diagonal(dim1=-2, dim2=-1).sqrt() for part in (place, speed)], -1
        )
        presence = torch.sigmoid(heatmap_logits - float(np.log(LEAST_HEAT / (1 - LEAST_HEAT))))
        unsure = (
            deviation[..., :2].norm(dim=-1) > self.largest_spread_cells * self.center.cell_m.max()
        )
        presence = presence.masked_fill(unsure, 0.0)
        return Predictions(presence, torch.cat([point, velocity], -1), deviation)


def _exact(output: PlaneOutput) -> torch.autocast:
    """Geometry wants all digits, also where the network itself does with half of them."""
    return torch.autocast(output.heatmap_logits.device.type, enabled=False)

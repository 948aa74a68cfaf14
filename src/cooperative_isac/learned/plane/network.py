"""Base classes of networks whose center looks for targets in a plane of locations."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.network import Network, Predictions, Truth
from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.learned.plane.layers import (
    BODY_LENGTH_STD_M,
    DOPPLER_STD_KHZ,
    ELEVATION_STD_DEG,
    LENGTH_STD_M,
    NORM_GROUPS,
    PathUncertainty,
)
from cooperative_isac.learned.plane.loss import plane_loss
from cooperative_isac.learned.plane.output import (
    LAPLACE_STD,
    LOG_SPREAD_RANGE,
    PlaneOutput,
    cell_centers,
    channels_last,
)
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal

# Smallest probability in the heatmap of a target that is reported: there its presence is 0.5.
MIN_PROBABILITY = 0.3
# Log-odds of a target in a cell before training: most cells are empty.
INITIAL_LOG_ODDS = -4.0
# Log of the mean absolute error [m] of a first location before training.
INITIAL_LOG_SPREAD = 0.5
# Scale of the learned offset of a first height, m: about the spread of the heights of UAVs.
HEIGHT_SCALE_M = 10.0
# Sharpness of the mean of the heights that paths measure, per unit of their log10(1 + SNR): about
# that of weights in proportion to the SNR.
HEIGHT_SHARPNESS = 2.0
# Smallest sum of weights of paths, so that a quotient is finite without any.
SMALLEST_WEIGHT = 1e-6


def num_state_channels(dimension: int) -> int:
    """Output channels before those of paths: log-odds, offset and log spread of the location."""
    return 1 + 2 * dimension


def num_changes(dimension: int) -> int:
    """Output channels of each path, which change its measurements.

    They are changes of the deviation and of the outlier odds of its Doppler shift and its length,
    and in space of its elevation; in space also an offset of its length, as the echo is that of a
    point on a body, not of its middle.
    """
    return 4 if dimension == 2 else 7


def num_output_channels(dimension: int, num_paths: int, num_choices: int) -> int:
    """Output channels of a center.

    num_choices: measurements of a path among which it chooses
    """
    return num_state_channels(dimension) + (num_changes(dimension) + num_choices) * num_paths


def check_plane(num_targets: int, cells: int, channels: tuple[int, ...]) -> None:
    """Refuse sizes of which no network can be made.

    cells: number of cells along an axis
    channels: numbers of channels of all planes
    Raises ValueError with the size that does not fit.
    """
    if cells < 1 or not 0 < num_targets <= cells**2:
        raise ValueError(f"a plane of {cells} x {cells} cells cannot hold {num_targets} targets")
    if any(count < 1 or count % NORM_GROUPS for count in channels):
        raise ValueError(
            f"channels of planes are {', '.join(map(str, channels))}; each must be a multiple of "
            f"{NORM_GROUPS}"
        )


@dataclass(frozen=True)
class OutputChannels:
    """Output channels of a center, except for those of the choice among measurements.

    heatmap_logits: [batch, 1, rows, columns], float32, log-odds of a target
    offset: [batch, D, rows, columns], float32, cells, first location less the middle of the cell;
    its height in HEIGHT_SCALE_M, less the mean of the measured ones
    log_spread: [batch, D, rows, columns], float32, log of its mean absolute error [m]
    path_changes: [batch, num_changes num_paths, rows, columns], float32, changes of log standard
    deviation and outlier log-odds of Doppler shifts, then of lengths, then of elevations, and last
    offsets of lengths [m]
    """

    heatmap_logits: Tensor
    offset: Tensor
    log_spread: Tensor
    path_changes: Tensor


@dataclass(frozen=True)
class CellPaths:
    """Measurements of the paths that belong to a target in each cell.

    power: [batch, rows, columns, num_paths], float32, log10(1 + SNR)
    doppler_khz: [batch, rows, columns, num_paths], float32, kHz
    length_m: [batch, rows, columns, num_paths], float32, m
    elevation_deg: [batch, rows, columns, num_paths], float32, degree; None in a plane
    height_m: [batch, rows, columns, num_paths], float32, m, of a target over the cell with that
    elevation; None in a plane
    """

    power: Tensor
    doppler_khz: Tensor
    length_m: Tensor
    elevation_deg: Tensor | None = None
    height_m: Tensor | None = None


class PlaneCenter(nn.Module):
    """A center whose output is a PlaneOutput.

    paths: geometry of all paths in the plane
    centers_m: [cells, cells, 2], float32, m, centers of the cells of the plane
    cell_m: [2], float32, m, size of a cell
    doppler, length: uncertainty of the Doppler shifts and lengths of paths
    elevation: in space, uncertainty of the elevations of paths
    out: last convolution, to num_output_channels; its channels are num_state_channels, num_changes
    for each path, then those by which a subclass chooses among measurements
    """

    paths: PathGeometry
    centers_m: Tensor
    cell_m: Tensor
    doppler: PathUncertainty
    length: PathUncertainty
    elevation: PathUncertainty
    out: nn.Conv2d

    def add_cells(self, scene: Scene, cells: int) -> None:
        """Register the centers and the size of the cells of the scene's plane."""
        size_m = (scene.box.high_m[:2] - scene.box.low_m[:2]) / cells
        cell_m = torch.tensor(size_m, dtype=torch.float32)
        self.register_buffer("cell_m", cell_m, persistent=False)
        self.register_buffer("centers_m", cell_centers(scene, cells), persistent=False)

    def add_uncertainties(self, dimension: int) -> None:
        """Add the uncertainty models of Doppler shifts [kHz], lengths [m], elevations [degree]."""
        self.doppler = PathUncertainty(*DOPPLER_STD_KHZ)
        self.length = PathUncertainty(*(LENGTH_STD_M if dimension == 2 else BODY_LENGTH_STD_M))
        if dimension == 3:
            self.elevation = PathUncertainty(*ELEVATION_STD_DEG)

    @torch.no_grad()
    def init_output(self) -> None:
        """Begin without targets, and with the measurements of paths as they are."""
        bias = self.out.bias
        assert bias is not None
        self.out.weight[num_state_channels(self.paths.dimension) :].zero_()
        bias.zero_()
        bias[0] = INITIAL_LOG_ODDS

    def split_output(self, channels: Tensor) -> tuple[OutputChannels, Tensor]:
        """Output channels by their meaning, and those of the choice among measurements.

        channels: [batch, channels, rows, columns], float32
        """
        size = self.paths.dimension
        of_paths = num_changes(size) * self.paths.num_paths
        num_choices = channels.shape[1] - num_state_channels(size) - of_paths
        *state, choice = channels.split([1, size, size, of_paths, num_choices], 1)
        return OutputChannels(*state), choice

    def plane_output(
        self, channels: OutputChannels, paths: CellPaths, path_mask: Tensor
    ) -> PlaneOutput:
        """The output of output channels and of the measurements of paths in each cell.

        path_mask: [batch, num_paths], float32, 1 where the path's receiver sent latents, else 0
        """
        # Measurements with their uncertainties, and in space the offsets of lengths.
        count = num_changes(self.paths.dimension)
        changes = channels_last(channels.path_changes).chunk(count, -1)
        doppler_std, doppler_odds, length_std, length_odds, *in_space = changes
        length_m = paths.length_m
        elevation = None
        if paths.elevation_deg is not None:
            elevation_std, elevation_odds, length_offset_m = in_space
            length_m = length_m + length_offset_m
            elevation = self.elevation(
                paths.elevation_deg, paths.power, elevation_std, elevation_odds
            )
        doppler = self.doppler(paths.doppler_khz, paths.power, doppler_std, doppler_odds)
        length = self.length(length_m, paths.power, length_std, length_odds)

        return PlaneOutput(
            channels.heatmap_logits[:, 0],
            self._first_locations(channels, paths, path_mask),
            channels_last(channels.log_spread + INITIAL_LOG_SPREAD).clamp(*LOG_SPREAD_RANGE),
            doppler,
            length,
            path_mask,
            elevation,
        )

    def _first_locations(
        self, channels: OutputChannels, paths: CellPaths, path_mask: Tensor
    ) -> Tensor:
        """First estimates of locations, [batch, rows, columns, D], float32, m."""
        offset = channels_last(channels.offset)
        ground_m = self.centers_m + offset[..., :2] * self.cell_m
        if paths.height_m is None:
            return ground_m

        # Height: mean of those that the paths measure, the stronger the path the more.
        mask = path_mask[:, None, None]
        logits = HEIGHT_SHARPNESS * paths.power * mask
        weights = torch.softmax(logits, -1) * mask
        weighted_sum_m = (weights * paths.height_m).sum(-1, keepdim=True)
        sum_of_weights = weights.sum(-1, keepdim=True).clamp_min(SMALLEST_WEIGHT)
        measured_m = weighted_sum_m / sum_of_weights

        # The learned offset from it.
        height_m = measured_m + HEIGHT_SCALE_M * offset[..., 2:]
        return torch.cat([ground_m, height_m], -1)


class PlaneNetwork(Network):
    """A network whose center is a PlaneCenter.

    largest_spread_cells: largest standard deviation of the location of a target that is reported,
    in cells
    """

    center: PlaneCenter
    largest_spread_cells = 0.5

    def side_information(self, frame: Signal) -> np.ndarray:
        """Nothing: these centers do not need the frame; see Network.side_information."""
        return np.empty(0, np.float32)

    def loss(self, output: PlaneOutput, truth: Truth) -> Tensor:
        """Loss of a batch, a scalar; see Network.loss."""
        with _full_precision(output):
            return plane_loss(
                output.float(), truth, self.center.paths, self.center.centers_m, self.center.cell_m
            )

    def decode(self, output: PlaneOutput) -> Predictions:
        """Targets at the highest peaks of the heatmap; see Network.decode.

        A target whose location is too uncertain is reported as absent.
        """
        with _full_precision(output):
            return self._decode(output.float())

    def _decode(self, output: PlaneOutput) -> Predictions:
        # The highest local maxima of the heatmap.
        logits = output.heatmap_logits
        most_around = nn.functional.max_pool2d(logits[:, None], 3, 1, 1)[:, 0]
        peaks = torch.where(most_around == logits, logits, -torch.inf)
        peak_logits, cell = peaks.flatten(1).topk(self.config.num_targets)

        # Gather the estimates in their cells.
        point = _at_cells(output.point_m, cell)
        std = LAPLACE_STD * _at_cells(output.log_spread_m, cell).exp()
        length = _paths_at_cells(output.length, cell)
        doppler = _paths_at_cells(output.doppler, cell)
        elevation = None
        if output.elevation is not None:
            elevation = _paths_at_cells(output.elevation, cell)
        path_mask = output.path_mask[:, None].expand(-1, cell.shape[1], -1)

        # Locations and velocities, with their standard deviations.
        location, location_covariance = self.center.paths.location(
            point, std, length, path_mask, elevation
        )
        velocity, velocity_covariance = self.center.paths.velocity(location, doppler, path_mask)
        location_std = location_covariance.diagonal(dim1=-2, dim2=-1).sqrt()
        velocity_std = velocity_covariance.diagonal(dim1=-2, dim2=-1).sqrt()

        # Presence above one half means a heatmap above MIN_PROBABILITY and a certain location.
        least_logit = log(MIN_PROBABILITY / (1 - MIN_PROBABILITY))
        largest_std_m = self.largest_spread_cells * self.center.cell_m.max()
        is_uncertain = location_std.norm(dim=-1) > largest_std_m
        presence = torch.sigmoid(peak_logits - least_logit).masked_fill(is_uncertain, 0.0)
        return Predictions(
            presence,
            torch.cat([location, velocity], -1),
            torch.cat([location_std, velocity_std], -1),
        )


def _at_cells(planes: Tensor, cell: Tensor) -> Tensor:
    """Values of planes [batch, rows, columns, ...] at cells [batch, Q], [batch, Q, ...]."""
    values = planes.flatten(1, 2)
    return values.gather(1, cell[..., None].expand(-1, -1, values.shape[-1]))


def _paths_at_cells(paths: PathMeasurements, cell: Tensor) -> PathMeasurements:
    """Measurements of paths at cells [batch, Q]."""
    return PathMeasurements(
        _at_cells(paths.value, cell),
        _at_cells(paths.log_std, cell),
        _at_cells(paths.outlier_log_odds, cell),
    )


def _full_precision(output: PlaneOutput) -> torch.autocast:
    """Switch mixed precision off: geometry needs all digits of float32."""
    return torch.autocast(output.heatmap_logits.device.type, enabled=False)

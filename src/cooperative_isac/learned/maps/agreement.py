"""Agreement of measured paths on targets at the cells of a scene in space, by geometry alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.output import cell_centers
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.scene.model import Scene

# Heights at which a cell's paths are compared: a box of 45 m in steps of 3.7 m. A target is half a
# step off at most, by which the length of its path differs by 0.6 m in the median, 1.4 m in 90 %.
NUM_HEIGHTS = 12
# Parts of a cell along each axis at which they are compared.
PARTS = 2
# Offset of lengths, m: an echo is that of a point nearer than the middle of a body. About that of a
# UAV; the center begins with it, and learns its own.
BODY_OFFSET_M = 0.5
# Differences of a measurement that weaken its vote to 0.6: of its length, m, for places within a
# cell and points on a body, and of its elevation, degree, for places near a receiver.
LENGTH_TOLERANCE_M = 1.5
ELEVATION_TOLERANCE_DEG = 4.0
# Loss of a measurement's log fit for each decade of power below the strongest echo of its Doppler
# shift anywhere: the side lobes of a strong target cover the plane with its Doppler shift.
SIDELOBE_PENALTY = 2.0
# The same where side lobes are canceled: what is left of them is 25 dB below.
CLEANED_PENALTY = 0.3
# Difference of Doppler shifts up to which an echo can be a side lobe of another, resolution cells.
SIDELOBE_CELLS = 0.5
# Least logarithm of a fit: a measurement that fits worse is as unlikely as one that fits not at
# all.
LEAST_LOG_FIT = -12.0


@dataclass(frozen=True)
class Fit:
    """Fit of measurements to a target in each cell, at the height at which most paths agree.

    votes: [batch, rows, columns], float32, number of paths with a measurement that fits
    log_fit: [batch, num_paths, neighbors, rows, columns], float32, log of the vote of each
    measurement
    """

    votes: Tensor
    log_fit: Tensor


class Agreement(nn.Module):
    """Counts the paths whose measured lengths and elevations fit one target in a cell.

    scene: in space
    cells: cells of the plane along an axis
    sidelobe_penalty: loss of a measurement's log fit for each decade of power below the strongest
    echo of its Doppler shift
    """

    lengths_m: Tensor  # [num_points, num_paths, 1, cells, cells], float32, m
    elevations_deg: Tensor  # the same shape, float32, degree

    def __init__(
        self,
        scene: Scene,
        paths: PathGeometry,
        cells: int,
        sidelobe_penalty: float = SIDELOBE_PENALTY,
    ):
        super().__init__()
        self.sidelobe_penalty = sidelobe_penalty

        # Middles of the parts of cells: from [cells, PARTS, cells, PARTS, 2] to
        # [PARTS^2, cells, cells, 2].
        parts_m = cell_centers(scene, cells * PARTS)
        parts_m = parts_m.unflatten(0, (-1, PARTS)).unflatten(2, (-1, PARTS))
        parts_m = parts_m.permute(1, 3, 0, 2, 4).flatten(0, 1)

        # Points over them at all heights, [num_points, cells, cells, 3].
        low_m, high_m = paths.heights_m
        shares = (torch.arange(NUM_HEIGHTS) + 0.5) / NUM_HEIGHTS
        heights_m = low_m + shares * (high_m - low_m)
        at_heights = [
            torch.cat([parts_m, torch.full_like(parts_m[..., :1], float(height_m))], -1)
            for height_m in heights_m
        ]
        points_m = torch.cat(at_heights)

        # What their paths would measure.
        for name, values in (
            ("lengths_m", paths.length(points_m) - BODY_OFFSET_M),
            ("elevations_deg", paths.elevation(points_m)),
        ):
            by_path = values.permute(0, 3, 1, 2)[:, :, None].contiguous()
            self.register_buffer(name, by_path, persistent=False)

    @torch.no_grad()
    def forward(
        self,
        power: Tensor,
        decades_below: Tensor,
        length_m: Tensor,
        elevation_deg: Tensor,
        path_mask: Tensor,
    ) -> Fit:
        """The fit of all measurements around each cell.

        power, decades_below, length_m, elevation_deg: [batch, num_paths, neighbors, rows, columns],
        float32, log10(1 + SNR) (zero: no measurement), as from `decades_below`, m and degree
        path_mask: [batch, num_paths], float32, 1 where the path's receiver sent latents, else 0
        """
        is_measured = (power > 0) & (path_mask[:, :, None, None, None] > 0)
        weakness = torch.where(is_measured, -self.sidelobe_penalty * decades_below, LEAST_LOG_FIT)

        # The point with most votes, begun with none.
        votes = torch.zeros_like(power[:, 0, 0])
        log_fit = torch.full_like(power, LEAST_LOG_FIT)
        for lengths_m, elevations_deg in zip(self.lengths_m, self.elevations_deg):
            # Fit of each measurement to a target at this point of every cell.
            length_misfit = (length_m - lengths_m) / LENGTH_TOLERANCE_M
            elevation_misfit = (elevation_deg - elevations_deg) / ELEVATION_TOLERANCE_DEG
            fit = weakness - 0.5 * (length_misfit.square() + elevation_misfit.square())

            # Each path has the vote of its best measurement.
            best_of_paths = fit.amax(2)
            votes_here = best_of_paths.exp().sum(1)
            is_better = votes_here > votes
            votes = torch.where(is_better, votes_here, votes)
            log_fit = torch.where(is_better[:, None, None], fit, log_fit)
        return Fit(votes, log_fit.clamp_min(LEAST_LOG_FIT))


def decades_below(power: Tensor, doppler: Tensor, resolution: float) -> Tensor:
    """Power of each echo below the strongest one of a path with its Doppler shift.

    power: [batch, num_paths, rows, columns], float32, log10(1 + SNR)
    doppler: [batch, num_paths, rows, columns], float32, Doppler shift
    resolution: resolution cell of Doppler shifts, in their unit
    Returns [batch, num_paths, rows, columns], float32, decades, 0 for the strongest.
    """
    # Pairs of echoes with nearly the same Doppler shift.
    powers = power.flatten(2)
    shifts = doppler.flatten(2)
    differences = (shifts[..., None] - shifts[..., None, :]).abs()
    is_near = differences < SIDELOBE_CELLS * resolution

    # The strongest one beside each.
    strongest = torch.where(is_near, powers[..., None, :], 0.0).amax(-1)
    return (strongest - powers).view_as(power)

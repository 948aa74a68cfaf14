"""Location and velocity of a target from the measurements of its paths, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.consensus import MAX_OUTLIERS, PathMeasurements, consensus
from cooperative_isac.scene.model import Scene, Site

# Distance below which directions from a site shrink to zero, m: they have no meaning at the site,
# and a gradient through them would grow without limit.
MIN_SITE_DISTANCE_M = 0.5
# Smallest range of speeds of the prior of a velocity, m/s: a scene at rest has no spread.
MIN_SPEED_MPS = 1.0
# Gauss-Newton steps of a location: the first linearizes about the first estimate, the second about
# a point near the target. In training every step costs its gradient.
LOCATION_STEPS = 2


class PathGeometry(nn.Module):
    """Lengths [m] and Doppler shifts [kHz] of the paths in the plane of a scene.

    Paths run over receivers, then transmitters.

    outlier_khz, outlier_m: supports of the uniform densities of outliers, which are mostly echoes
    of other targets: the range of their Doppler shifts, and two delay bins
    max_outliers: largest number of outliers among the paths of a target
    """

    transmitters: Tensor  # [num_tx, 2], float32, m
    receivers: Tensor  # [num_rx, 2], float32, m

    def __init__(self, scene: Scene):
        super().__init__()
        self.register_buffer("transmitters", _positions(scene.transmitters), persistent=False)
        self.register_buffer("receivers", _positions(scene.receivers), persistent=False)
        self.khz_per_mps = 1e-3 / scene.grid.wavelength_m

        # Densities of outliers.
        self.outlier_khz = 2 * scene.sensing.max_speed_mps * self.khz_per_mps
        self.outlier_m = 2 * scene.grid.range_resolution_m
        self.max_outliers = MAX_OUTLIERS

        # Information (inverse variance) about a speed that is uniform between -max and max on each
        # axis.
        max_speed_mps = max(scene.draw.max_speed_mps, MIN_SPEED_MPS)
        self.speed_information = 3 / max_speed_mps**2

    @property
    def num_paths(self) -> int:
        """Number of pairs of a transmitter and a receiver."""
        return len(self.transmitters) * len(self.receivers)

    def length(self, points_m: Tensor) -> Tensor:
        """Lengths of the paths over points (CF eq. 8).

        points_m: [..., 2], float32, m
        Returns [..., num_paths], float32, m.
        """
        from_rx = (points_m[..., None, :] - self.receivers).norm(dim=-1)
        from_tx = (points_m[..., None, :] - self.transmitters).norm(dim=-1)
        return (from_rx[..., :, None] + from_tx[..., None, :]).flatten(-2)

    def slopes(self, points_m: Tensor) -> Tensor:
        """Derivatives of the lengths of the paths with respect to the location.

        points_m: [..., 2], float32, m
        Returns [..., num_paths, 2], float32.
        """
        from_rx = _directions(points_m, self.receivers)[..., :, None, :]
        from_tx = _directions(points_m, self.transmitters)[..., None, :, :]
        return (from_rx + from_tx).flatten(-3, -2)

    def doppler(self, state: Tensor) -> Tensor:
        """Doppler shifts of targets, positive where a path shortens (CF eq. 9).

        state: [..., 4], float32, location [m], then velocity [m/s]
        Returns [..., num_paths], float32, kHz.
        """
        velocity = state[..., 2:, None]
        length_rates = (self.slopes(state[..., :2]) @ velocity).squeeze(-1)
        return -self.khz_per_mps * length_rates

    def location(
        self, point_m: Tensor, std_m: Tensor, length: PathMeasurements, path_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Location and its covariance from a first estimate and the lengths of paths.

        point_m: [..., 2], float32, m, first estimate
        std_m: [..., 2], float32, m, its standard deviation
        length: values [..., num_paths], m
        path_mask: [..., num_paths], float32, 1 where a path has a measurement, else 0
        Returns [..., 2], m, and [..., 2, 2], m^2, float32.
        """
        prior = torch.diag_embed(std_m.square().reciprocal())
        step = torch.zeros_like(point_m)
        covariance = torch.diag_embed(std_m.square())
        for _ in range(LOCATION_STEPS):
            # Linearize the lengths about the current location; no gradient through that choice.
            step = step.detach()
            lengths = self.length(point_m + step)
            slopes = self.slopes(point_m + step)
            excess = length.value - lengths + (slopes @ step[..., None]).squeeze(-1)

            # Solve for the step from the first estimate.
            linear = PathMeasurements(excess, length.log_std, length.outlier_log_odds)
            step, covariance = consensus(
                linear, slopes, path_mask, prior, self.outlier_m, self.max_outliers
            )
        return point_m + step, covariance

    def velocity(
        self, point_m: Tensor, doppler: PathMeasurements, path_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity and its covariance; the prior is the spread of speeds in the scene's draws.

        point_m: [..., 2], float32, m, location
        doppler: values [..., num_paths], kHz
        path_mask: [..., num_paths], float32, 1 where a path has a measurement, else 0
        Returns [..., 2], m/s, and [..., 2, 2], (m/s)^2, float32.
        """
        identity = torch.eye(2, device=point_m.device)
        prior = self.speed_information * identity.expand(*point_m.shape[:-1], 2, 2)
        slopes = -self.khz_per_mps * self.slopes(point_m)
        return consensus(doppler, slopes, path_mask, prior, self.outlier_khz, self.max_outliers)


def _positions(sites: tuple[Site, ...]) -> Tensor:
    """Positions of sites in the plane, [num, 2], float32, m."""
    positions = [site.position_m[:2].tolist() for site in sites]
    return torch.tensor(positions, dtype=torch.float32, device="cpu")


def _directions(points_m: Tensor, sites_m: Tensor) -> Tensor:
    """Unit vectors from sites to points, [..., num_sites, 2]."""
    offset = points_m[..., None, :] - sites_m
    return offset / offset.norm(dim=-1, keepdim=True).clamp_min(MIN_SITE_DISTANCE_M)

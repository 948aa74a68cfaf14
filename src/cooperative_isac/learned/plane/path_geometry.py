"""Location and velocity of a target from the measurements of its paths: geometry that a decoder
need not learn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.consensus import PathMeasurements, consensus
from cooperative_isac.scene.model import Scene

NEAREST_M = 0.5
LOCATION_STEPS = 2


class PathGeometry(nn.Module):
    """Lengths [m] and Doppler shifts [kHz] of paths in the plane of a scene; paths run over
    receivers, then transmitters.

    outlier_khz, outlier_m: supports of the uniform densities of outliers, which are mostly echoes
    too
    """

    transmitters: Tensor  # [num_tx, 2], float32, m
    receivers: Tensor  # [num_rx, 2], float32, m

    def __init__(self, scene: Scene):
        super().__init__()
        for name, sites in (("transmitters", scene.transmitters), ("receivers", scene.receivers)):
            places = torch.tensor(
                [site.position_m[:2].tolist() for site in sites], dtype=torch.float32, device="cpu"
            )
            self.register_buffer(name, places, persistent=False)
        self.khz_per_mps = 1e-3 / scene.grid.wavelength_m
        self.outlier_khz = 2 * scene.sensing.max_speed_mps * self.khz_per_mps
        self.outlier_m = 2 * scene.grid.range_resolution_m
        self.slowness = (
            3 / max(scene.draw.max_speed_mps, 1.0) ** 2
        )  # information of a speed uniform on each axis

    @property
    def num_paths(self) -> int:
        """Transmitter-receiver pairs."""
        return len(self.transmitters) * len(self.receivers)

    def length(self, points_m: Tensor) -> Tensor:
        """Lengths of the paths over points [..., 2], [..., num_paths], m (CF eq. 8)."""
        from_rx, from_tx = (
            (points_m[..., None, :] - sites).norm(dim=-1)
            for sites in (self.receivers, self.transmitters)
        )
        return (from_rx[..., :, None] + from_tx[..., None, :]).flatten(-2)

    def slopes(self, points_m: Tensor) -> Tensor:
        """Derivative of each path's length with the location, [..., num_paths, 2]; points_m: [...,
        2].
        """
        from_rx = _directions(points_m, self.receivers)[..., :, None, :]
        from_tx = _directions(points_m, self.transmitters)[..., None, :, :]
        return (from_rx + from_tx).flatten(-3, -2)

    def doppler(self, state: Tensor) -> Tensor:
        """Doppler shifts of targets, [..., num_paths] (CF eq. 9); state: [..., 4], location [m] and
        velocity [m/s].
        """
        return -self.khz_per_mps * (self.slopes(state[..., :2]) @ state[..., 2:, None]).squeeze(-1)

    def location(
        self, point_m: Tensor, deviation_m: Tensor, length: PathMeasurements, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Location [..., 2] and its covariance [..., 2, 2] from a first guess and the lengths of
        the paths over it.

        point_m, deviation_m (standard, of the guess): [..., 2]; heard (0 or 1): [..., num_paths].
        """
        prior = torch.diag_embed(deviation_m.square().reciprocal())
        step, covariance = torch.zeros_like(point_m), torch.diag_embed(deviation_m.square())
        for _ in range(LOCATION_STEPS):
            at, slopes = point_m + step.detach(), self.slopes(point_m + step.detach())
            excess = (
                length.value - self.length(at) + (slopes @ step.detach()[..., None]).squeeze(-1)
            )
            step, covariance = consensus(
                PathMeasurements(excess, length.log_std, length.doubt),
                slopes,
                heard,
                prior,
                self.outlier_m,
            )
        return point_m + step, covariance

    def velocity(
        self, point_m: Tensor, doppler: PathMeasurements, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity [..., 2] and its covariance [..., 2, 2], with the draw's spread as prior; shapes
        as location.
        """
        prior = self.slowness * torch.eye(2, device=point_m.device).expand(
            *point_m.shape[:-1], 2, 2
        )
        return consensus(
            doppler, -self.khz_per_mps * self.slopes(point_m), heard, prior, self.outlier_khz
        )


def _directions(points_m: Tensor, sites_m: Tensor) -> Tensor:
    """Unit vectors from sites to points, [..., num_sites, 2]."""
    away = points_m[..., None, :] - sites_m
    return away / away.norm(dim=-1, keepdim=True).clamp_min(NEAREST_M)

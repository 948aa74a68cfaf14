"""From the Doppler shifts of a target's paths to its velocity: geometry that a decoder need not learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.scene.model import Scene

NEAREST_M = 0.5


class PathVelocity(nn.Module):
    """Doppler shifts and velocities in the plane of a scene; paths run over receivers, then transmitters.

    unit_hz: what the Doppler shifts are told in.
    """

    def __init__(self, scene: Scene, unit_hz: float):
        super().__init__()
        for name, sites in (("transmitters", scene.transmitters), ("receivers", scene.receivers)):
            places = torch.tensor([site.position_m[:2].tolist() for site in sites], dtype=torch.float32)
            self.register_buffer(name, places, persistent=False)
        self.per_metre = 1 / (scene.grid.wavelength_m * unit_hz)
        self.prior = 3 / max(scene.draw.max_speed_mps, 1.0) ** 2  # of a speed that is uniform on each axis

    @property
    def num_paths(self) -> int:
        """Transmitter-receiver pairs."""
        return len(self.transmitters) * len(self.receivers)

    def slopes(self, points_m: Tensor) -> Tensor:
        """Derivative of each path's Doppler shift with the velocity, [..., num_paths, 2], units per m/s (CF eq. 9).

        points_m: [..., 2].
        """
        from_rx = _directions(points_m, self.receivers)[..., :, None, :]
        from_tx = _directions(points_m, self.transmitters)[..., None, :, :]
        return -self.per_metre * (from_rx + from_tx).flatten(-3, -2)

    def doppler(self, state: Tensor) -> Tensor:
        """Doppler shifts of targets, [..., num_paths]; state: [..., 4], location [m] and velocity [m/s]."""
        return (self.slopes(state[..., :2]) @ state[..., 2:, None]).squeeze(-1)

    def velocity(self, points_m: Tensor, doppler: Tensor, deviation: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted least squares with the draw's spread as prior: velocity [..., 2] and its covariance [..., 2, 2].

        points_m: [..., 2]; doppler, deviation (standard), heard (0 or 1): [..., num_paths].
        """
        slopes = self.slopes(points_m)
        weighted = slopes * (heard / deviation.square())[..., None]
        information = weighted.mT @ slopes + self.prior * torch.eye(2, device=slopes.device)
        covariance = torch.linalg.inv(information)
        return (covariance @ (weighted.mT @ doppler[..., None])).squeeze(-1), covariance


def _directions(points_m: Tensor, sites_m: Tensor) -> Tensor:
    """Unit vectors from sites to points, [..., num_sites, 2]."""
    away = points_m[..., None, :] - sites_m
    return away / away.norm(dim=-1, keepdim=True).clamp_min(NEAREST_M)

"""Location and velocity of a target from the measurements of its paths, in closed form."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.consensus import MAX_OUTLIERS, PathMeasurements, consensus
from cooperative_isac.scene.model import Scene

# Largest number of outliers among the paths of a target in space. Echoes over ground and walls and
# pairs of sites without a direct path are frequent there, and every path also measures an
# elevation: three of six paths still determine a location.
MAX_OUTLIERS_IN_SPACE = 3
# Distance below which directions from a site shrink to zero, m: they have no meaning at the site,
# and a gradient through them would grow without limit.
MIN_SITE_DISTANCE_M = 0.5
# Smallest range of speeds of the prior of a velocity, m/s: a scene at rest has no spread.
MIN_SPEED_MPS = 1.0
# Gauss-Newton steps of a location: the first linearizes about the first estimate, the second about
# a point near the target. In training every step costs its gradient.
LOCATION_STEPS = 2
# Support of the uniform density of outliers among elevations, degree: the range of elevations of
# targets from a roof.
OUTLIER_DEG = 60.0
# Sine of the angle to an array's columns below which elevations have no finite slope; also the
# least cosine between the columns and the vertical plane of a place from which a height follows.
SMALLEST_SINE = 0.05
# Largest sine of an elevation from which a height follows: that of 64 degrees.
LARGEST_SINE = 0.9


class PathGeometry(nn.Module):
    """Lengths [m], Doppler shifts [kHz] and elevations [degree] of the paths of a scene.

    Paths run over receivers, then transmitters. Locations have the D axes of the scene's dimension.

    outlier_khz, outlier_m: supports of the uniform densities of outliers, which are mostly echoes
    of other targets: the range of their Doppler shifts, and two delay bins
    max_outliers: largest number of outliers among the paths of a target
    """

    transmitters: Tensor  # [num_tx, D], float32, m
    receivers: Tensor  # [num_rx, D], float32, m
    columns: Tensor  # [num_rx, 3], float32, directions along the columns of the receivers' arrays
    speed_information: Tensor  # [D], float32, (s/m)^2, inverse variances of speeds along the axes

    def __init__(self, scene: Scene):
        super().__init__()
        self.dimension = scene.dimension
        self._add_sites(scene)
        self.heights_m = (float(scene.box.low_m[-1]), float(scene.box.high_m[-1]))
        self.khz_per_mps = 1e-3 / scene.grid.wavelength_m

        # Densities of outliers.
        self.outlier_khz = 2 * scene.sensing.max_speed_mps * self.khz_per_mps
        self.outlier_m = 2 * scene.grid.range_resolution_m
        self.max_outliers = MAX_OUTLIERS if self.dimension == 2 else MAX_OUTLIERS_IN_SPACE

        # Information (inverse variance) about a speed that is uniform between -max and max on each
        # axis.
        speeds_mps = [scene.draw.max_speed_mps, scene.draw.max_speed_mps]
        if self.dimension == 3:
            speeds_mps.append(scene.draw.max_climb_mps)
        information = [3 / max(speed_mps, MIN_SPEED_MPS) ** 2 for speed_mps in speeds_mps]
        self.register_buffer("speed_information", _constant(information), persistent=False)

    def _add_sites(self, scene: Scene) -> None:
        """Register positions of the stations, and the columns of the receivers' arrays."""
        groups = {"transmitters": scene.transmitters, "receivers": scene.receivers}
        for name, sites in groups.items():
            positions_m = [site.position_m[: self.dimension].tolist() for site in sites]
            self.register_buffer(name, _constant(positions_m), persistent=False)

        # The columns are along the third axis of an array's own frame.
        columns = [site.rotation[:, 2].tolist() for site in scene.receivers]
        self.register_buffer("columns", _constant(columns), persistent=False)

    @property
    def num_paths(self) -> int:
        """Number of pairs of a transmitter and a receiver."""
        return len(self.transmitters) * len(self.receivers)

    def length(self, points_m: Tensor) -> Tensor:
        """Lengths of the paths over points (CF eq. 8).

        points_m: [..., D], float32, m
        Returns [..., num_paths], float32, m.
        """
        from_rx = (points_m[..., None, :] - self.receivers).norm(dim=-1)
        from_tx = (points_m[..., None, :] - self.transmitters).norm(dim=-1)
        return (from_rx[..., :, None] + from_tx[..., None, :]).flatten(-2)

    def slopes(self, points_m: Tensor) -> Tensor:
        """Derivatives of the lengths of the paths with respect to the location.

        points_m: [..., D], float32, m
        Returns [..., num_paths, D], float32.
        """
        from_rx = _directions(points_m, self.receivers)[..., :, None, :]
        from_tx = _directions(points_m, self.transmitters)[..., None, :, :]
        return (from_rx + from_tx).flatten(-3, -2)

    def doppler(self, state: Tensor) -> Tensor:
        """Doppler shifts of targets, positive where a path shortens (CF eq. 9).

        state: [..., 2 D], float32, location [m], then velocity [m/s]
        Returns [..., num_paths], float32, kHz.
        """
        point, velocity = state.split(self.dimension, -1)
        length_rates = (self.slopes(point) @ velocity[..., None]).squeeze(-1)
        return -self.khz_per_mps * length_rates

    def elevation(self, points_m: Tensor) -> Tensor:
        """Elevations of arrival over the horizontal plane of each receiver's array, in space.

        points_m: [..., 3], float32, m
        Returns [..., num_paths], float32, degree.
        """
        cosines = (_directions(points_m, self.receivers) * self.columns).sum(-1)
        return self._per_path(torch.rad2deg(cosines.clamp(-1, 1).asin()))

    def height(self, ground_m: Tensor, rises: Tensor, receiver: int) -> Tensor:
        """Heights of targets over places on the ground, from the elevations of their echoes.

        ground_m: [..., 2], float32, m
        rises: [..., num_tx], float32, sines of the elevations over the plane of a receiver's array
        receiver: index
        Returns [..., num_tx], float32, m, within the heights of the scene's box.
        """
        # Horizontal direction and distance from the receiver.
        column = self.columns[receiver]
        away = ground_m - self.receivers[receiver, :2]
        distance = away.norm(dim=-1).clamp_min(MIN_SITE_DISTANCE_M)
        along = (away @ column[:2]) / distance

        # An elevation e has the rise along cos(e) + up sin(e) = scale sin(e + tilt). The scale is
        # zero where horizontal columns, as of an array on a ceiling, are across the direction.
        up = column[2].expand_as(along)
        scale = torch.hypot(along, up).clamp_min(SMALLEST_SINE)
        sines = (rises / scale[..., None]).clamp(-LARGEST_SINE, LARGEST_SINE)
        tilt = torch.atan2(along, up)
        elevation = sines.asin() - tilt[..., None]
        over_receiver = distance[..., None] * elevation.tan()
        return (self.receivers[receiver, 2] + over_receiver).clamp(*self.heights_m)

    def elevation_slopes(self, points_m: Tensor) -> Tensor:
        """Derivatives of the elevations with respect to the location, in space.

        points_m: [..., 3], float32, m
        Returns [..., num_paths, 3], float32, degree/m.
        """
        # Direction and distance from each receiver.
        directions = _directions(points_m, self.receivers)
        offsets_m = points_m[..., None, :] - self.receivers
        distances_m = offsets_m.norm(dim=-1, keepdim=True).clamp_min(MIN_SITE_DISTANCE_M)

        # The direction turns with the component of a step across it.
        cosines = (directions * self.columns).sum(-1, keepdim=True)
        across = (self.columns - cosines * directions) / distances_m
        sines = (1 - cosines.square()).clamp_min(SMALLEST_SINE**2).sqrt()
        slopes = torch.rad2deg(across / sines)
        return self._per_path(slopes.mT).mT

    def location(
        self,
        point_m: Tensor,
        std_m: Tensor,
        length: PathMeasurements,
        path_mask: Tensor,
        elevation: PathMeasurements | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Location and its covariance from a first estimate and the measurements of paths.

        point_m: [..., D], float32, m, first estimate
        std_m: [..., D], float32, m, its standard deviation
        length: values [..., num_paths], m
        path_mask: [..., num_paths], float32, 1 where a path has a measurement, else 0
        elevation: values [..., num_paths], degree; None: not measured
        Returns [..., D], m, and [..., D, D], m^2, float32.
        """
        # Lengths, and in space elevations behind them.
        quantities = 1 if elevation is None else 2
        mask = torch.cat([path_mask] * quantities, -1)
        widths = torch.tensor([self.outlier_m, OUTLIER_DEG][:quantities], device=point_m.device)
        widths = widths.repeat_interleave(self.num_paths)

        # Gauss-Newton steps.
        prior = torch.diag_embed(std_m.square().reciprocal())
        step = torch.zeros_like(point_m)
        covariance = torch.diag_embed(std_m.square())
        for _ in range(LOCATION_STEPS):
            # Linearize about the current location; no gradient through that choice.
            step = step.detach()
            linear, slopes = self._linearized(point_m, step, length, elevation)

            # Solve for the step from the first estimate.
            step, covariance = consensus(
                linear, slopes, mask, prior, widths, self.max_outliers, quantities
            )
        return point_m + step, covariance

    def velocity(
        self, point_m: Tensor, doppler: PathMeasurements, path_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity and its covariance; the prior is the spread of speeds in the scene's draws.

        point_m: [..., D], float32, m, location
        doppler: values [..., num_paths], kHz
        path_mask: [..., num_paths], float32, 1 where a path has a measurement, else 0
        Returns [..., D], m/s, and [..., D, D], (m/s)^2, float32.
        """
        prior = torch.diag_embed(self.speed_information.expand(point_m.shape))
        slopes = -self.khz_per_mps * self.slopes(point_m)
        return consensus(doppler, slopes, path_mask, prior, self.outlier_khz, self.max_outliers)

    def _linearized(
        self,
        point_m: Tensor,
        step_m: Tensor,
        length: PathMeasurements,
        elevation: PathMeasurements | None,
    ) -> tuple[PathMeasurements, Tensor]:
        """Measurements as linear functions of the step from the first estimate.

        step_m: [..., D], float32, m, about which they are linearized
        Returns measurements [..., num_paths or twice as many] and their slopes [..., D].
        """
        # Lengths.
        at_m = point_m + step_m
        slopes = self.slopes(at_m)
        change_m = (slopes @ step_m[..., None]).squeeze(-1)
        lengths = replace(length, value=length.value - self.length(at_m) + change_m)
        if elevation is None:
            return lengths, slopes

        # Elevations, behind them.
        turns = self.elevation_slopes(at_m)
        change_deg = (turns @ step_m[..., None]).squeeze(-1)
        elevations_deg = elevation.value - self.elevation(at_m) + change_deg
        both = PathMeasurements(
            torch.cat([lengths.value, elevations_deg], -1),
            torch.cat([lengths.log_std, elevation.log_std], -1),
            torch.cat([lengths.outlier_log_odds, elevation.outlier_log_odds], -1),
        )
        return both, torch.cat([slopes, turns], -2)

    def _per_path(self, values: Tensor) -> Tensor:
        """Values [..., num_rx] of receivers as those of their paths, [..., num_paths]."""
        return values.repeat_interleave(len(self.transmitters), -1)


def _constant(values: list) -> Tensor:
    """A float32 tensor of plain numbers, on the processor."""
    return torch.tensor(values, dtype=torch.float32, device="cpu")


def _directions(points_m: Tensor, sites_m: Tensor) -> Tensor:
    """Unit vectors from sites to points, [..., num_sites, D]."""
    offset = points_m[..., None, :] - sites_m
    return offset / offset.norm(dim=-1, keepdim=True).clamp_min(MIN_SITE_DISTANCE_M)

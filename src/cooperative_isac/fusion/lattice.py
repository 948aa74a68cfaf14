"""Search for targets in the echoes of several receivers together, on a lattice of locations.

At each point of the lattice the power of every link on every band is matched to the delay, angles
and stream weights that the point implies, and added up: no link has to exceed a threshold alone. A
velocity is found likewise, and the state is fitted to all echoes (fusion.joint_ml). The target is
then subtracted from all of them, and the next peak of the lattice is examined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cooperative_isac.fusion.echo_links import EchoLinks, EchoName, Targets
from cooperative_isac.fusion.joint_ml import JointMatch, JointMl
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.joint_fit import JointFit, subtract_paths
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.search_grid import SearchGrid, beam_directions
from cooperative_isac.sensing.surface import (
    SEARCH_DOPPLER_OVERSAMPLING,
    doppler_bins,
    likelihood_surface,
    static_weights,
)

# Spacing of the lattice over the finest range resolution c / B, along the ground and upwards:
# a path between two points loses 2 dB on average, which the finer lattice about a peak gives back.
SPACING = 0.6
VERTICAL_SPACING = 0.9

# Spacing of velocities over the finest speed resolution of a monostatic link.
VELOCITY_SPACING = 0.75

# Halvings of that spacing about the best velocity.
VELOCITY_HALVINGS = 2

# Least power of a fitted state over that of its links, each at its own best Doppler shift: with a
# smaller share the fit ended on a side lobe. It is well below 1, as noise raises the power at the
# best shift of a link above that at the shift of the state.
EXPLAINED_SHARE = 0.5

# Speed of a fitted state over the scene's largest one, at most: its velocity has an error.
LARGEST_SPEED = 1.2

# Points and velocities of a lattice at most: larger ones are made coarser.
MOST_POINTS = 12_000
MOST_VELOCITIES = 20_000

# Power of one link above which only its logarithm counts, in noise variances, or over the largest
# power of the link: a strong echo has side lobes on all points of its delay, which would exceed
# targets on all links.
LINEAR_POWER = 30.0
LINEAR_SHARE = 0.1

# Distance of two peaks of the lattice, in spacings: nearer ones are of one target.
SEPARATION = 1.5

# Peaks that are examined before a search ends without a target.
MOST_PEAKS = 4


@dataclass(frozen=True)
class LatticeCells:
    """Points of a lattice in front of one receiver, beam by beam.

    sensor: search of the receiver
    order: [num_cells], int, indices of the points
    grid: search grid of the points
    is_expected: [num_cells, num_linked], bool, paths that count (fusion.echo_links)
    """

    sensor: LocalMl
    order: np.ndarray
    grid: SearchGrid
    is_expected: np.ndarray


@dataclass(frozen=True)
class Lattice:
    """Lattice of locations in the box of a scene, and of velocities, common to all bands.

    scene: of one or several bands, with the poses of its stations; its links are summed
    sensors: search of each receiver on each band, by the name of its echo
    cells: of receivers, computed when a search needs them; copies with other poses share them
    """

    scene: Scene
    sensors: Mapping[EchoName, LocalMl]
    cells: dict[EchoName, LatticeCells] = field(default_factory=dict)

    @cached_property
    def spacing_m(self) -> np.ndarray:
        """Distance of neighboring points along each axis, [D], float64, m."""
        # Shares of the finest range resolution.
        dimension = self.scene.dimension
        shares = np.array([SPACING, SPACING, VERTICAL_SPACING])[:dimension]
        resolution_m = min(view.grid.range_resolution_m for view in self.scene.views)
        spacing_m = shares * resolution_m

        # Coarser along all axes alike where the points would be too many.
        size_m = self.scene.box.high_m - self.scene.box.low_m
        num_points = float(np.prod(size_m[:dimension] / spacing_m + 1))
        excess = max(1.0, num_points / MOST_POINTS)
        return spacing_m * excess ** (1 / dimension)

    @cached_property
    def points_m(self) -> np.ndarray:
        """Points of the lattice, [num_points, 3], float64, m, map."""
        box = self.scene.box
        lines = [
            np.linspace(low, high, max(math.ceil((high - low) / spacing), 1) + 1)
            for low, high, spacing in zip(box.low_m, box.high_m, self.spacing_m)
        ]
        return self._in_space(lines, self.scene.plane_height_m)

    @cached_property
    def velocities_mps(self) -> np.ndarray:
        """Velocities up to the scene's largest speed, [num_velocities, 3], float64, m/s, map."""
        largest_mps = self.scene.sensing.max_speed_mps
        count = 2 * math.ceil(largest_mps / self._velocity_spacing_mps) + 1
        line = np.linspace(-largest_mps, largest_mps, count)
        velocities_mps = self._in_space([line] * self.scene.dimension, 0.0)
        speeds_mps = np.linalg.norm(velocities_mps, axis=1)
        return velocities_mps[speeds_mps <= largest_mps]

    @property
    def threshold(self) -> float:
        """Log-likelihood ratio that noise exceeds anywhere with the scene's probability.

        The false-alarm probability is that of all stations together. Power of noise at one state is
        Exp(1): it exceeds x with probability exp(-x).
        """
        num_trials = len(self.points_m) * len(self.velocities_mps)
        probability = self.scene.sensing.false_alarm_probability
        probability *= len(self.scene.receiving_stations)
        return float(np.log(num_trials / probability))

    def statistic(self, joints: Mapping[EchoName, JointFit]) -> np.ndarray:
        """Power of all links at each point above that of noise, each at its best Doppler shift.

        joints: echoes by name
        Returns [num_points], float64, in noise variances, that of strong links compressed.
        Source: DC reference [9].
        """
        total = np.zeros(len(self.points_m))
        for name, joint in joints.items():
            links = self._links[name]
            if not len(links.linked):
                continue

            # Power of each link at the points in front of the receiver, beam by beam.
            cells = self._cells(name)
            surface = likelihood_surface(
                cells.grid.behind(joint.maker.whitening),
                joint.maker.reference,
                joint.correlation,
                joint.noise_power_w,
                self.sensors[name].max_doppler_hz,
            )
            compressed = _compressed(surface.power[links.linked])

            # Points with many links have more noise than others: its mean is the harmonic number of
            # the independent Doppler bins.
            bins, _ = doppler_bins(joint.maker.reference, self.sensors[name].max_doppler_hz)
            noise = np.log(len(bins)) + np.euler_gamma
            total[cells.order] += np.sum((compressed - noise) * cells.is_expected.T, axis=0)
        return total

    def search(self, joints: Mapping[EchoName, JointFit], known: Targets, most: int) -> Targets:
        """The known targets, then those that are found in what they leave.

        joints: echoes by name
        known: targets that are in the echoes, fitted
        most: number of all targets, at most
        """
        found = known
        residual = _without(self.scene, joints, found)
        may_replace = True
        while len(found) < most:
            # The first of the highest peaks with enough evidence.
            match = self._strongest(residual)
            if match is None:
                break

            # Beside a known target: its fit may be off, and this peak what it left. It is dropped
            # and found anew, once in a search; later peaks beside known targets are targets, too.
            near = self._is_near(found, match.targets.points_m[0])
            if near.any() and may_replace:
                may_replace = False
                found = found.keep(~near)
                residual = _without(self.scene, joints, found)
                continue

            # Subtract it: its side lobes are peaks, too.
            found = Targets(
                np.concatenate([found.points_m, match.targets.points_m]),
                np.concatenate([found.velocities_mps, match.targets.velocities_mps]),
            )
            residual = _subtracted(residual, match)
        return found

    @cached_property
    def _links(self) -> dict[EchoName, EchoLinks]:
        """Links whose paths are summed, by name of the echo."""
        views = {view.band: view for view in self.scene.views}
        return {name: EchoLinks.of(views[name.band], name.receiver) for name in self.sensors}

    def _is_near(self, targets: Targets, point_m: np.ndarray) -> np.ndarray:
        """Targets within one main lobe of a point, [num_targets], bool."""
        size = self.scene.dimension
        away = (targets.points_m - point_m)[:, :size] / self.spacing_m
        return np.linalg.norm(away, axis=1) <= SEPARATION

    def _strongest(self, joints: Mapping[EchoName, JointFit]) -> JointMatch | None:
        """The fit of the highest peak whose evidence exceeds the threshold; None: there is none."""
        joint = JointMl(self.scene, joints)
        for point_m in self._peaks(self.statistic(joints)):
            # Finer lattice about the peak, and the best velocity there.
            nearby_m = point_m + self._offsets_m / 2
            best = np.argmax([self._power_at(joints, each) for each in nearby_m])
            start_m = nearby_m[best]
            start = Targets(start_m[None], self._velocity_at(joints, start_m)[None])

            # Fit of the state, which must explain what the links have there.
            match = joint.fisher_scoring(joint.match(start))
            available = self._power_at(joints, match.targets.points_m[0])
            is_explained = match.power[0] >= EXPLAINED_SHARE * available
            speed_mps = np.linalg.norm(match.targets.velocities_mps[0])
            is_possible = speed_mps <= LARGEST_SPEED * self.scene.sensing.max_speed_mps
            if is_explained and is_possible and match.evidence[0] >= self.threshold:
                return match
        return None

    @property
    def _velocity_spacing_mps(self) -> float:
        """Distance of neighboring velocities along an axis, m/s."""
        grids = [view.grid for view in self.scene.views]
        resolution_mps = min(grid.doppler_resolution_hz * grid.wavelength_m / 2 for grid in grids)
        fine_mps = VELOCITY_SPACING * resolution_mps

        # Coarser where the velocities would be too many.
        most_per_axis = MOST_VELOCITIES ** (1 / self.scene.dimension)
        coarse_mps = 2 * self.scene.sensing.max_speed_mps / most_per_axis
        return max(fine_mps, coarse_mps)

    @cached_property
    def _velocity_steps_mps(self) -> np.ndarray:
        """Steps to a velocity itself and its neighbors, [3^D, 3], float64, m/s."""
        line = self._velocity_spacing_mps * np.array([-1.0, 0.0, 1.0])
        return self._in_space([line] * self.scene.dimension, 0.0)

    @cached_property
    def _offsets_m(self) -> np.ndarray:
        """Steps to a point itself and its neighbors, [3^D, 3], float64, m."""
        lines = [spacing * np.array([-1.0, 0.0, 1.0]) for spacing in self.spacing_m]
        return self._in_space(lines, 0.0)

    def _cells(self, name: EchoName) -> LatticeCells:
        """Points in front of the receiver of an echo."""
        known = self.cells.get(name)
        sensor = self.sensors[name]
        if known is not None and known.sensor is sensor:
            return known

        # Points in front of the receiver.
        receiver = sensor.receiver
        wavelength_m = sensor.grid.wavelength_m
        away_m = self.points_m - receiver.position_m
        ranges_m = np.linalg.norm(away_m, axis=1)
        ahead = np.flatnonzero((away_m @ receiver.boresight >= 0) & (ranges_m > 0))

        # Nearest beam of each point.
        directions = beam_directions(receiver, self.scene.dimension, wavelength_m)
        beams = steering_vectors(receiver.elements_m, directions, wavelength_m)
        arrivals = steering_vectors(
            receiver.elements_m, away_m[ahead] / ranges_m[ahead, None], wavelength_m
        )
        nearest = np.abs(arrivals.conj() @ beams.T).argmax(axis=1)
        used, number = np.unique(nearest, return_inverse=True)

        # Sort points by beam; those of beam k are cells starts[k] to starts[k + 1].
        by_beam = np.argsort(number, kind="stable")
        starts = np.searchsorted(number[by_beam], np.arange(len(used) + 1))
        order = ahead[by_beam]
        grid = SearchGrid(
            beams=beams[used].conj().astype(np.complex64),
            starts=starts,
            points_m=self.points_m[order],
            ranges_m=ranges_m[order],
            range_step_m=float(self.spacing_m[0]),
            transmitters=sensor.scene.transmitters,
            receiver=receiver,
            grid=sensor.grid,
        )
        is_expected = self._links[name].expected(grid.points_m)
        self.cells[name] = LatticeCells(sensor, order, grid, is_expected)
        return self.cells[name]

    def _peaks(self, statistic: np.ndarray) -> list[np.ndarray]:
        """The highest points of a statistic, no two of one target, [3], float64, m, each."""
        peaks: list[np.ndarray] = []
        for index in np.argsort(-statistic, kind="stable").tolist():
            if len(peaks) == MOST_PEAKS:
                break
            point_m = self.points_m[index]
            others = Targets(np.array(peaks).reshape(-1, 3), np.zeros((len(peaks), 3)))
            if not self._is_near(others, point_m).any():
                peaks.append(point_m)
        return peaks

    def _spectra(self, joint: JointFit, name: EchoName, point_m: np.ndarray) -> np.ndarray:
        """Power of the expected paths in one echo at a point, over the Doppler bins of the search.

        Returns [num_paths, num_bins], float64, in noise variances, the bins of sensing.surface.
        """
        # Doppler bins that a target can have, and factors that make up for the energy which the
        # suppression of static paths removes there.
        maker = joint.maker
        reference = maker.reference
        bins, shifts_hz = doppler_bins(reference, self.sensors[name].max_doppler_hz)
        weights = static_weights(reference, shifts_hz)
        num_bins = reference.num_blocks * SEARCH_DOPPLER_OVERSAMPLING

        # Correlations in the beam toward the point.
        in_beam = np.tensordot(maker.receive_at(point_m).conj(), joint.correlation, axes=1)
        spectra = []
        for index in self._transmitters(name, point_m):
            # Filter at the delay and stream weights of the point, then the spectrum over time.
            filters, energy = maker.filters_at(index, point_m[None])
            blocks = np.tensordot(filters[0].conj(), in_beam, axes=2)
            values = reference.spectrum(blocks, num_bins)[bins]
            spectra.append(weights * np.abs(values) ** 2 / (energy[0] * joint.noise_power_w))
        return np.array(spectra).reshape(-1, len(bins))

    def _transmitters(self, name: EchoName, point_m: np.ndarray) -> np.ndarray:
        """Indices of the transmitters whose paths over a point are expected in an echo."""
        links = self._links[name]
        return links.linked[links.expected(point_m[None])[0]]

    def _power_at(self, joints: Mapping[EchoName, JointFit], point_m: np.ndarray) -> float:
        """Power of all links at one point, each at its best Doppler shift."""
        return sum(
            float(self._spectra(joint, name, point_m).max(axis=1).sum())
            for name, joint in joints.items()
        )

    def _velocity_at(self, joints: Mapping[EchoName, JointFit], point_m: np.ndarray) -> np.ndarray:
        """Velocity with the largest power of all links at a point, [3], float64, m/s."""
        spectra = {name: self._spectra(joint, name, point_m) for name, joint in joints.items()}
        best_mps = self._best_velocity(joints, spectra, point_m, self.velocities_mps)

        # Finer and finer lattices about the best one.
        for halvings in range(1, VELOCITY_HALVINGS + 1):
            nearby_mps = best_mps + self._velocity_steps_mps / 2**halvings
            best_mps = self._best_velocity(joints, spectra, point_m, nearby_mps)
        return best_mps

    def _best_velocity(
        self,
        joints: Mapping[EchoName, JointFit],
        spectra: Mapping[EchoName, np.ndarray],
        point_m: np.ndarray,
        velocities_mps: np.ndarray,
    ) -> np.ndarray:
        """The velocity with the largest power of all links at a point, [3], float64, m/s.

        spectra: of _spectra, by name of the echo
        velocities_mps: [n, 3], float64, m/s
        """
        total = np.zeros(len(velocities_mps))
        for name, joint in joints.items():
            # Spectra of the echo's links in the order of their shifts, as interp needs them.
            sensor = self.sensors[name]
            _, shifts_hz = doppler_bins(joint.maker.reference, sensor.max_doppler_hz)
            ascending = np.argsort(shifts_hz)
            compressed = _compressed(spectra[name])

            # Power at the Doppler shift that each velocity has on the link.
            transmitters = self._transmitters(name, point_m)
            for index, spectrum in zip(transmitters, compressed, strict=True):
                paths = bistatic_geometry(
                    sensor.scene.transmitters[index].position_m,
                    sensor.receiver.position_m,
                    point_m,
                    velocities_mps,
                    sensor.grid.wavelength_m,
                    sensor.scene.transmitters[index].velocity_mps,
                    sensor.receiver.velocity_mps,
                )
                total += np.interp(paths.doppler_hz, shifts_hz[ascending], spectrum[ascending])
        return velocities_mps[total.argmax()]

    def _in_space(self, lines: list[np.ndarray], plane: float) -> np.ndarray:
        """All combinations of values along the axes, [n, 3], with a value for z in a plane."""
        mesh = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(lines))
        rest = np.full((len(mesh), 3 - len(lines)), plane)
        return np.column_stack([mesh, rest])


def _compressed(power: np.ndarray) -> np.ndarray:
    """Powers of which only the logarithm counts above a limit of each link.

    power: [num_links, n], in noise variances
    Returns [num_links, n], float64.
    """
    limits = np.maximum(LINEAR_SHARE * power.max(axis=1), LINEAR_POWER)[:, None]
    return limits * np.log1p(power / limits)


def _without(
    scene: Scene, joints: Mapping[EchoName, JointFit], targets: Targets
) -> dict[EchoName, JointFit]:
    """Echoes without the paths of targets."""
    if not len(targets):
        return dict(joints)
    return _subtracted(joints, JointMl(scene, joints).match(targets))


def _subtracted(joints: Mapping[EchoName, JointFit], match: JointMatch) -> dict[EchoName, JointFit]:
    """Echoes without the paths of a fit."""
    residual = {}
    for name, joint in joints.items():
        fit = match.fits.get(name)
        correlation = joint.correlation if fit is None else subtract_paths(joint.correlation, fit)
        residual[name] = JointFit(joint.maker, correlation, joint.noise_power_w)
    return residual

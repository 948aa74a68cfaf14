"""Search for targets in the echoes of several receivers together, on a lattice of locations.

At each point of the lattice the power of every link on every band is matched to the delay, angles
and stream weights that the point implies, and added up: no link has to exceed a threshold alone. A
velocity is found likewise, and the state is fitted to all echoes (fusion.joint_ml). The target is
then subtracted from all of them, and the next peak of the lattice is examined.

The whole lattice takes longer than the period of a live scene. Where targets are followed from
frame to frame, a frame searches one part of it (fusion.lattice_cells) and the others only if there
is a target in that part: echoes of a target have side lobes all over the lattice, and its location
is where all links agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cooperative_isac.fusion.echo_links import EchoLinks, EchoName, Targets
from cooperative_isac.fusion.joint_ml import JointMatch, JointMl
from cooperative_isac.fusion.lattice_cells import LatticeCells, cells_in_front
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.joint_fit import JointFit, subtract_paths
from cooperative_isac.sensing.local_ml import LocalMl
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

# Least power at the start of a fit over that at its end: with a smaller share the start is outside
# of the main lobe, and the fit ends elsewhere. Peaks of noise have too little power for a target
# even if the fit gains that much, and are not fitted.
START_SHARE = 0.5

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

# Peaks that are examined before a search ends without a target, of the whole lattice and of a part
# of it: one of each part is more than those of the whole.
MOST_PEAKS = 4
MOST_PEAKS_OF_PART = 1

# Parts of the lattice, of which a frame searches one: at 4 frames a second all of them in 2 s, in a
# sixth of the processor time of the whole lattice.
NUM_PARTS = 8


@dataclass(frozen=True)
class Lattice:
    """Lattice of locations in the box of a scene, and of velocities, common to all bands.

    scene: of one or several bands, with the poses of its stations; its links are summed
    sensors: search of each receiver on each band, by the name of its echo
    cells: of receivers and parts of the lattice, computed when a search needs them; copies with
        other poses share them
    """

    scene: Scene
    sensors: Mapping[EchoName, LocalMl]
    cells: dict[tuple[EchoName, int], LatticeCells] = field(default_factory=dict)

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
    def parts(self) -> tuple[np.ndarray, ...]:
        """Parts of the lattice, slabs from west to east: indices of points, [n], int, each."""
        return tuple(np.array_split(np.arange(len(self.points_m)), NUM_PARTS))

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

    def statistic(
        self, joints: Mapping[EchoName, JointFit], parts: Sequence[int] = range(NUM_PARTS)
    ) -> np.ndarray:
        """Power of all links at each point above that of noise, each at its best Doppler shift.

        joints: echoes by name
        parts: of the lattice; by default all of them
        Returns [num_points], float64, in noise variances, that of strong links compressed, and
        minus infinity in other parts and where no path is expected.
        Source: DC reference [9].
        """
        total = np.zeros(len(self.points_m))
        is_searched = np.zeros(len(self.points_m), bool)
        for name, joint in joints.items():
            if not len(self._links[name].linked):
                continue

            # Points with many links have more noise than others: its mean is the harmonic number of
            # the independent Doppler bins.
            bins, _ = doppler_bins(joint.maker.reference, self.sensors[name].max_doppler_hz)
            noise = np.log(len(bins)) + np.euler_gamma

            for part in parts:
                cells = self._cells(name, part)
                if not cells.is_expected.any():
                    continue
                excess = self._link_powers(joint, name, cells) - noise
                total[cells.order] += np.sum(excess * cells.is_expected.T, axis=0)
                is_searched[cells.order] |= cells.is_expected.any(axis=1)
        return np.where(is_searched, total, -np.inf)

    def prepare(self) -> None:
        """Compute the cells of all receivers, which the first search would compute."""
        for name in self.sensors:
            for part in range(NUM_PARTS):
                self._cells(name, part).grid.prepare()

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
            match = self._strongest(residual, range(NUM_PARTS))
            if match is None:
                break

            # Beside a known target: its fit may be off, and this peak what it left. It is dropped
            # and found anew, once in a search; later peaks beside known targets are targets, too.
            near = self.is_near(found, match.targets.points_m[0])
            if near.any() and may_replace:
                may_replace = False
                found = found.keep(~near)
                residual = _without(self.scene, joints, found)
                continue

            # Subtract all targets: their side lobes are peaks, too.
            fit = self._together(joints, found, match)
            found = fit.targets
            residual = _subtracted(joints, fit)
        return found

    def search_part(
        self, joints: Mapping[EchoName, JointFit], known: Targets, most: int, part: int
    ) -> Targets:
        """The known targets, and one more, if there is a target in a part of the lattice.

        joints: echoes by name
        known: targets that are in the echoes, fitted
        most: number of all targets, at most
        part: that is searched
        """
        if len(known) >= most:
            return known
        residual = _without(self.scene, joints, known)
        match = self._strongest(residual, [part])
        if match is None:
            return known

        # Beside a known target: its fit may be off, and this peak what it left. It is found anew.
        # Others have side lobes all over the lattice: the strongest of all parts is a target.
        near = self.is_near(known, match.targets.points_m[0])
        found = known.keep(~near)
        if near.any():
            match = self._strongest(_without(self.scene, joints, found), [part])
        else:
            match = self._strongest(residual, range(NUM_PARTS))
        return found if match is None else self._together(joints, found, match).targets

    def is_near(self, targets: Targets, point_m: np.ndarray) -> np.ndarray:
        """Targets within one main lobe of a point, [num_targets], bool.

        point_m: [3], float64, m, map
        """
        size = self.scene.dimension
        away = (targets.points_m - point_m)[:, :size] / self.spacing_m
        return np.linalg.norm(away, axis=1) <= SEPARATION

    @cached_property
    def _links(self) -> dict[EchoName, EchoLinks]:
        """Links whose paths are summed, by name of the echo."""
        views = {view.band: view for view in self.scene.views}
        return {name: EchoLinks.of(views[name.band], name.receiver) for name in self.sensors}

    def _link_powers(self, joint: JointFit, name: EchoName, cells: LatticeCells) -> np.ndarray:
        """Power of each link to a receiver at the points in front of it, compressed.

        Returns [num_linked, num_cells], float64, in noise variances.
        """
        surface = likelihood_surface(
            cells.grid.behind(joint.maker.whitening),
            joint.maker.reference,
            joint.correlation,
            joint.noise_power_w,
            self.sensors[name].max_doppler_hz,
        )
        return _compressed(surface.power[self._links[name].linked])

    def _strongest(
        self, joints: Mapping[EchoName, JointFit], parts: Sequence[int]
    ) -> JointMatch | None:
        """The fit of the first of the highest peaks that is a target; None: there is none.

        parts: of the lattice, one or all
        """
        most = MOST_PEAKS_OF_PART if len(parts) == 1 else MOST_PEAKS
        peaks_m = self._peaks(self.statistic(joints, parts), most)
        return self._first_match(joints, peaks_m)

    def _together(
        self, joints: Mapping[EchoName, JointFit], found: Targets, match: JointMatch
    ) -> JointMatch:
        """Fit of a new target together with those that are found already.

        Fitted one after the other, errors of one would remain as peaks beside another.
        """
        joint = JointMl(self.scene, joints)
        return joint.fisher_scoring(joint.match(found.and_also(match.targets)))

    def _first_match(
        self, joints: Mapping[EchoName, JointFit], peaks_m: Sequence[np.ndarray]
    ) -> JointMatch | None:
        """The fit of the first peak whose evidence exceeds the threshold; None: there is none.

        peaks_m: [3], float64, m, map, each
        """
        joint = JointMl(self.scene, joints)
        for peak_m in peaks_m:
            # Finer lattice about the peak, and the best velocity there.
            nearby_m = peak_m + self._offsets_m / 2
            best = self._power_at(joints, nearby_m).argmax()
            start_m = nearby_m[best]
            start = Targets(start_m[None], self._velocity_at(joints, start_m)[None])

            # Peaks that a fit may bring above the threshold.
            match = joint.match(start)
            largest_gain = (1 / START_SHARE - 1) * match.power[0]
            if match.evidence[0] + largest_gain < self.threshold:
                continue

            # Fit of the state, which must explain what the links have there.
            match = joint.fisher_scoring(match)
            available = self._power_at(joints, match.targets.points_m)[0]
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

    def _cells(self, name: EchoName, part: int) -> LatticeCells:
        """Points of a part of the lattice in front of the receiver of an echo."""
        known = self.cells.get((name, part))
        sensor = self.sensors[name]
        if known is None or known.sensor is not sensor:
            known = cells_in_front(
                sensor, self._links[name], self.points_m, self.parts[part], self.spacing_m[0]
            )
            self.cells[name, part] = known
        return known

    def _peaks(self, statistic: np.ndarray, most: int) -> list[np.ndarray]:
        """The highest points of a statistic, no two of one target, [3], float64, m, each.

        most: number of them, at most
        """
        peaks: list[np.ndarray] = []
        for index in np.argsort(-statistic, kind="stable").tolist():
            if len(peaks) == most or statistic[index] == -np.inf:
                break
            point_m = self.points_m[index]
            others = Targets(np.array(peaks).reshape(-1, 3), np.zeros((len(peaks), 3)))
            if not self.is_near(others, point_m).any():
                peaks.append(point_m)
        return peaks

    def _spectra(self, joint: JointFit, name: EchoName, points_m: np.ndarray) -> np.ndarray:
        """Power of all links of one echo at some points, over the Doppler bins of the search.

        Returns [num_linked, num_points, num_bins], float32, in noise variances, the bins of
        sensing.surface; zero where no path is expected.
        """
        # Doppler bins that a target can have, and factors that make up for the energy which the
        # suppression of static paths removes there.
        maker = joint.maker
        reference = maker.reference
        bins, shifts_hz = doppler_bins(reference, self.sensors[name].max_doppler_hz)
        weights = static_weights(reference, shifts_hz)
        num_bins = reference.num_blocks * SEARCH_DOPPLER_OVERSAMPLING

        # Correlations in the beams toward the points, each with one value in a row.
        num_points = len(points_m)
        correlation = joint.correlation
        beams = maker.receive_at(points_m).conj() @ correlation.reshape(len(correlation), -1)
        in_beam = beams.reshape(num_points, *correlation.shape[1:])

        links = self._links[name]
        is_expected = links.expected(points_m)
        spectra = np.zeros((len(links.linked), num_points, len(bins)), np.float32)
        for place, index in enumerate(links.linked):
            # Filters at the delays and stream weights of the points, then spectra over time.
            filters, energy = maker.filters_at(index, points_m)
            blocks = reference.behind_filters(filters, in_beam, np.zeros(num_points))
            values = reference.spectrum(blocks, num_bins)[:, bins]
            power = np.abs(values) ** 2 / (energy[:, None] * joint.noise_power_w)
            spectra[place] = weights * power * is_expected[:, place, None]
        return spectra

    def _power_at(self, joints: Mapping[EchoName, JointFit], points_m: np.ndarray) -> np.ndarray:
        """Power of all links at some points, each at its best Doppler shift.

        points_m: [num_points, 3], float64, m, map
        Returns [num_points], float64, in noise variances.
        """
        total = np.zeros(len(points_m))
        for name, joint in joints.items():
            total += self._spectra(joint, name, points_m).max(axis=2).sum(axis=0)
        return total

    def _velocity_at(self, joints: Mapping[EchoName, JointFit], point_m: np.ndarray) -> np.ndarray:
        """Velocity with the largest power of all links at a point, [3], float64, m/s."""
        spectra = {
            name: _compressed(self._spectra(joint, name, point_m[None])[:, 0])
            for name, joint in joints.items()
        }
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

        spectra: [num_linked, num_bins], float, of each echo, in noise variances, compressed
        velocities_mps: [n, 3], float64, m/s
        """
        total = np.zeros(len(velocities_mps))
        for name, joint in joints.items():
            # Shifts in their order, as interp needs them.
            sensor = self.sensors[name]
            _, shifts_hz = doppler_bins(joint.maker.reference, sensor.max_doppler_hz)
            ascending = np.argsort(shifts_hz)

            # Power at the Doppler shift that each velocity has on the link.
            for index, spectrum in zip(self._links[name].linked, spectra[name], strict=True):
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

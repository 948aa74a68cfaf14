"""Joint maximum likelihood over the raw echoes of all receivers: all targets at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.gain import expected_power
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.path_state import PathState

# Steps of Fisher scoring at most: a few from a start within the main lobe, the rest is for targets
# whose steps are shortened.
JOINT_SCORING_STEPS = 8

# Expected gain of a step, below which it is not worth its time: the squared length of the step in
# standard deviations, here a third of one.
NEGLIGIBLE_GAIN = 0.1

# Added to the diagonal of the paths' coherence, so that identical replicas can be inverted; far
# above the rounding of single precision.
COHERENCE_LOADING = 1e-6

# Coherence of two paths' replicas from which one echo cannot separate them.
DUPLICATE_COHERENCE = 0.98


@dataclass(frozen=True)
class Targets:
    """Locations and velocities of several targets.

    points_m: [num_targets, 3], float64, m, map
    velocities_mps: [num_targets, 3], float64, m/s, map
    """

    points_m: np.ndarray
    velocities_mps: np.ndarray

    def __len__(self) -> int:
        return len(self.points_m)

    def keep(self, chosen: np.ndarray) -> Targets:
        """Only the chosen targets.

        chosen: mask [num_targets], bool, or indices [num], int
        """
        return Targets(self.points_m[chosen], self.velocities_mps[chosen])

    def moved(self, steps: np.ndarray) -> Targets:
        """The targets after a step each.

        steps: [num_targets, 2 D], float64, of location (m) and velocity (m/s)
        """
        size = steps.shape[1] // 2
        points_m = self.points_m.copy()
        points_m[:, :size] += steps[:, :size]
        velocities_mps = self.velocities_mps.copy()
        velocities_mps[:, :size] += steps[:, size:]
        return Targets(points_m, velocities_mps)


@dataclass(frozen=True)
class JointMatch:
    """Targets matched against all echoes, with the amplitude of every path free.

    targets: that are matched
    fits: by receiver, with a path from every transmitter to every target
    slope: [num_targets, 2 D], float64, gradient of the log-likelihood with location and velocity
    information: [num_targets, 2 D, 2 D], float64, Fisher information of both
    evidence: [num_targets], float64, log-likelihood ratio to noise, with reflections CN(0, chi^2):
        noise alone exceeds x with probability exp(-x) at most
    """

    targets: Targets
    fits: Mapping[str, Fit]
    slope: np.ndarray
    information: np.ndarray
    evidence: np.ndarray

    def duplicate(self) -> int | None:
        """Index of the last target that no echo separates from an earlier one, or None."""
        num_targets = len(self.targets)
        alike = np.ones((num_targets, num_targets), bool)
        for fit in self.fits.values():
            # Paths of the same transmitter, compared between all pairs of targets.
            same = np.abs(fit.coherence) > DUPLICATE_COHERENCE
            num_paths = fit.state.num_paths // num_targets
            blocks = same.reshape(num_targets, num_paths, num_targets, num_paths)
            alike &= np.diagonal(blocks, axis1=1, axis2=3).all(axis=-1)

        duplicates = np.flatnonzero(np.tril(alike, -1).any(axis=1))
        return int(duplicates[-1]) if len(duplicates) else None

    @property
    def power(self) -> np.ndarray:
        """Coherent SNR of each target over all its paths, [num_targets], float64."""
        return sum((fit.target_power for fit in self.fits.values()), np.zeros(len(self.targets)))

    @property
    def explained(self) -> np.ndarray:
        """Share of each target in the joint log-likelihood, [num_targets], float64."""
        shares = [
            np.bincount(fit.state.owner, fit.explained, fit.state.num_targets)
            for fit in self.fits.values()
        ]
        return sum(shares, np.zeros(len(self.targets)))


class JointMl:
    """Joint likelihood of the receivers whose echoes arrived.

    scene: seen on one band, whose links have paths
    echoes: by receiver, the correlation of its echo and the replicas of paths in it
    """

    def __init__(self, scene: Scene, echoes: Mapping[str, JointFit]):
        self.scene = scene
        self._linked = {name: np.array(scene.linked_transmitters(name), int) for name in echoes}
        self._sites = {name: scene.receiver(name) for name in echoes}
        self._joints = {
            name: JointFit(joint.maker, joint.correlation, joint.noise_power_w)
            for name, joint in echoes.items()
            if len(self._linked[name])
        }
        self._prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps**-2.0], scene.dimension))

    def match(self, targets: Targets) -> JointMatch:
        """Match all paths of all targets at every receiver."""
        size = self.scene.dimension
        num_targets = len(targets)
        fits = {}
        slope = np.zeros((num_targets, 2 * size))
        information = np.zeros((num_targets, 2 * size, 2 * size))
        evidence = np.zeros(num_targets)

        for name, joint in self._joints.items():
            receiver = self._sites[name]
            state, doppler_slopes = self._paths(receiver, targets)
            fit = joint.match(state)
            fits[name] = fit

            # Delay and angles of the paths depend on the location alone.
            slope[:, :size] += fit.location_slope
            information[:, :size, :size] += fit.target_information

            # Doppler shifts depend on location and velocity.
            weighted = fit.doppler_information[:, None, None] * doppler_slopes[:, :, None]
            np.add.at(slope, state.owner, doppler_slopes * fit.doppler_slope[:, None])
            np.add.at(information, state.owner, weighted * doppler_slopes[:, None, :])
            np.add.at(evidence, state.owner, self._evidence(receiver, fit))

        # Gaussian prior of the velocity.
        information += self._prior
        slope[:, size:] -= targets.velocities_mps[:, :size] @ self._prior[size:, size:]
        return JointMatch(targets, fits, slope, information, evidence)

    def fisher_scoring(self, match: JointMatch) -> JointMatch:
        """Ascend the likelihood until no target expects to gain more than NEGLIGIBLE_GAIN.

        Where the total likelihood fell, the targets that explain less take shorter steps; a step by
        which no target gained is undone.
        """
        # Share of the Newton step that each target takes.
        scale = np.ones(len(match.targets))
        for _ in range(JOINT_SCORING_STEPS):
            # Newton step of every target with the Fisher information.
            steps = _newton_steps(match.information, match.slope)
            expected_gain = scale * np.sum(steps * match.slope, axis=1)
            if np.all(expected_gain < NEGLIGIBLE_GAIN):
                break

            # Match at the new states.
            tried = self.match(match.targets.moved(scale[:, None] * steps))

            # Shorter steps of targets that explain less, longer ones of the others.
            rise = tried.explained - match.explained
            worse = (rise < -NEGLIGIBLE_GAIN) & (rise.sum() < 0)
            scale = np.where(worse, scale / 4, np.minimum(2 * scale, 1.0))
            if not worse.all():
                match = tried
        return match

    def _paths(self, receiver: Site, targets: Targets) -> tuple[PathState, np.ndarray]:
        """Paths of all links to a receiver over every target.

        Returns the paths, target by target, and the derivatives of their Doppler shifts with
        location and velocity, [num_paths, 2 D].
        """
        size = self.scene.dimension
        wavelength_m = self.scene.grid.wavelength_m
        linked = self._linked[receiver.name]
        transmitters_m = np.array([self.scene.transmitters[index].position_m for index in linked])
        velocities_mps = targets.velocities_mps[:, None]
        paths = bistatic_geometry(
            transmitters_m,
            receiver.position_m,
            targets.points_m[:, None],
            velocities_mps,
            wavelength_m,
        )

        # Derivatives of the Doppler shifts.
        with_location = paths.doppler_location_gradient(velocities_mps, wavelength_m)[..., :size]
        with_velocity = -paths.range_gradient[..., :size] / wavelength_m
        slopes = np.concatenate([with_location, with_velocity], axis=-1)

        owner, place = np.divmod(np.arange(paths.doppler_hz.size), len(linked))
        state = PathState(targets.points_m, owner, linked[place], paths.doppler_hz.ravel())
        return state, slopes.reshape(-1, 2 * size)

    def _evidence(self, receiver: Site, fit: Fit) -> np.ndarray:
        """Log-likelihood ratio of each path to noise, [num_paths], float64.

        The reflection of a path is CN(0, chi^2); with the radar equation chi^2 is the mean radar
        cross section of the smallest class. The power z that a path adds to what all others explain
        is Exp(1) in noise and Exp(1 + m) for a path of mean SNR m, so the ratio is
        z m / (1 + m) - ln(1 + m): negative where a path that should be detected is missing.
        """
        # Mean SNR of every path.
        noise_power_w = self.scene.propagation.noise_power_w
        state = fit.state
        points_m = state.points_m[state.owner]
        gain = np.empty(len(points_m))
        for index, site in enumerate(self.scene.transmitters):
            chosen = state.transmitter == index
            path = bistatic_geometry(
                site.position_m, receiver.position_m, points_m[chosen], np.zeros(3), 1.0
            )
            gain[chosen] = expected_power(self.scene, site, receiver, path)
        mean_snr = gain * fit.replica.gram[:, 0, 0].real / noise_power_w

        # Power that a path shares with the others: the variance inflation of its amplitude.
        num_paths = len(fit.coherence)
        loaded = fit.coherence + COHERENCE_LOADING * np.eye(num_paths)
        inflation = np.maximum(np.diag(np.linalg.inv(loaded)).real, 1)
        own_power = fit.power / inflation
        return own_power * mean_snr / (1 + mean_snr) - np.log1p(mean_snr)


def _newton_steps(information: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Steps of Fisher scoring; none for a target that no echo locates.

    information: [num_targets, 2 D, 2 D], float64
    slope: [num_targets, 2 D], float64
    Returns [num_targets, 2 D], float64.
    """
    try:
        return np.linalg.solve(information, slope[..., None])[..., 0]
    except np.linalg.LinAlgError:
        pass  # one matrix is singular, and numpy does not report which

    steps = np.zeros_like(slope)
    for target, one in enumerate(information):
        if np.isfinite(one).all():
            steps[target] = np.linalg.pinv(one, hermitian=True) @ slope[target]
    return steps

"""Joint maximum likelihood over the raw echoes of all receivers: all targets at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.gain import expected_power
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.path_state import PathState

STEPS = 8
TOLERANCE = 0.1
ROUNDING = 1e-6
SAME = 0.98


@dataclass(frozen=True)
class Targets:
    """points_m, velocities_mps: [num_targets, 3] in map."""

    points_m: np.ndarray
    velocities_mps: np.ndarray

    def __len__(self) -> int:
        return len(self.points_m)

    def keep(self, chosen: np.ndarray) -> Targets:
        """Only the chosen targets ([num_targets], bool or indices)."""
        return Targets(self.points_m[chosen], self.velocities_mps[chosen])

    def moved(self, steps: np.ndarray) -> Targets:
        """The targets after steps [num_targets, 2 D] in location and velocity."""
        size = steps.shape[1] // 2
        points, velocities = self.points_m.copy(), self.velocities_mps.copy()
        points[:, :size] += steps[:, :size]
        velocities[:, :size] += steps[:, size:]
        return Targets(points, velocities)


@dataclass(frozen=True)
class JointMatch:
    """Targets matched against all echoes, every path's amplitude free.

    fits: by receiver, with a path from every transmitter to every target; slope: [num_targets, 2
    D], gradient of the log-likelihood with location and velocity; information: [num_targets, 2 D, 2
    D]; evidence: [num_targets], log-likelihood ratio to noise, with reflections CN(0, chi^2): noise
    alone exceeds x with probability exp(-x) at most.
    """

    targets: Targets
    fits: Mapping[str, Fit]
    slope: np.ndarray
    information: np.ndarray
    evidence: np.ndarray

    def double(self) -> int | None:
        """A target that every echo confuses with another one, the last of such; None where there is
        none.
        """
        alike = np.ones((len(self.targets), len(self.targets)), bool)
        for fit in self.fits.values():
            same = np.abs(fit.coherence) > SAME
            num_paths = fit.state.num_paths // len(self.targets)
            blocks = same.reshape(len(self.targets), num_paths, len(self.targets), num_paths)
            alike &= np.diagonal(blocks, axis1=1, axis2=3).all(axis=-1)
        doubles = np.flatnonzero(np.tril(alike, -1).any(axis=1))
        return int(doubles[-1]) if len(doubles) else None

    @property
    def power(self) -> np.ndarray:
        """Coherent SNR of each target over all its paths, [num_targets]."""
        return sum((fit.target_power for fit in self.fits.values()), np.zeros(len(self.targets)))

    @property
    def explained(self) -> np.ndarray:
        """Share of each target in the log-likelihood that all explain together, [num_targets]."""
        shares = [
            np.bincount(fit.state.owner, fit.explained, fit.state.num_targets)
            for fit in self.fits.values()
        ]
        return sum(shares, np.zeros(len(self.targets)))


class JointMl:
    """The joint likelihood of the receivers that were heard.

    echoes: by receiver, its correlation, and what makes replicas of paths in it.
    """

    def __init__(self, scene: Scene, echoes: Mapping[str, JointFit]):
        self.scene = scene
        self._sites = {name: scene.receiver(name) for name in echoes}
        self._joints = {
            name: JointFit(joint.maker, joint.correlation, joint.noise_power_w)
            for name, joint in echoes.items()
        }
        self._prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps**-2.0], scene.dimension))

    def match(self, targets: Targets) -> JointMatch:
        """Match all paths of all targets at every receiver."""
        size, count = self.scene.dimension, len(targets)
        slope, information = np.zeros((count, 2 * size)), np.zeros((count, 2 * size, 2 * size))
        evidence, fits = np.zeros(count), {}
        for name, joint in self._joints.items():
            state, rows = self._paths(self._sites[name], targets)
            fit = fits[name] = joint.match(state)
            slope[:, :size] += fit.location_slope
            information[:, :size, :size] += fit.target_information
            np.add.at(slope, state.owner, rows * fit.doppler_slope[:, None])
            np.add.at(
                information,
                state.owner,
                fit.doppler_information[:, None, None] * rows[:, :, None] * rows[:, None, :],
            )
            np.add.at(evidence, state.owner, self._evidence(self._sites[name], fit))
        information += self._prior
        slope[:, size:] -= targets.velocities_mps[:, :size] @ self._prior[size:, size:]
        return JointMatch(targets, fits, slope, information, evidence)

    def climb(self, match: JointMatch) -> JointMatch:
        """Fisher scoring until no target expects to gain more than TOLERANCE of log-likelihood.

        Where the likelihood of all fell, targets that explain less take shorter steps; a step that
        helped nobody is taken back.
        """
        scale = np.ones(len(match.targets))
        for _ in range(STEPS):
            steps = _newton_steps(match.information, match.slope)
            if np.all(scale * np.sum(steps * match.slope, axis=1) < TOLERANCE):
                break
            tried = self.match(match.targets.moved(scale[:, None] * steps))
            rise = tried.explained - match.explained
            worse = (rise < -TOLERANCE) & (rise.sum() < 0)
            scale = np.where(worse, scale / 4, np.minimum(2 * scale, 1.0))
            if not worse.all():
                match = tried
        return match

    def _paths(self, receiver: Site, targets: Targets) -> tuple[PathState, np.ndarray]:
        """Paths from every transmitter over every target, their Doppler slopes [num_paths, 2 D]."""
        size, wavelength = self.scene.dimension, self.scene.grid.wavelength_m
        senders = np.array([site.position_m for site in self.scene.transmitters])
        moving = targets.velocities_mps[:, None]
        paths = bistatic_geometry(
            senders, receiver.position_m, targets.points_m[:, None], moving, wavelength
        )
        with_location = paths.doppler_location_gradient(moving, wavelength)[..., :size]
        rows = np.concatenate(
            [with_location, -paths.range_gradient[..., :size] / wavelength], axis=-1
        )
        owner, transmitter = np.divmod(np.arange(paths.doppler_hz.size), len(senders))
        state = PathState(targets.points_m, owner, transmitter, paths.doppler_hz.ravel())
        return state, rows.reshape(-1, 2 * size)

    def _evidence(self, receiver: Site, fit: Fit) -> np.ndarray:
        """Log-likelihood ratio of each path to noise, its reflection being CN(0, chi^2),
        [num_paths].

        With the radar equation chi^2 is the mean radar cross section of the smallest class.

        The power z that a path adds to what all others explain is Exp(1) in noise and Exp(1 + m)
        for a path of mean SNR m, so the ratio is z m / (1 + m) - ln(1 + m): a path that ought to be
        heard and is not speaks against its target.
        """
        air, state = self.scene.propagation, fit.state
        points = state.points_m[state.owner]
        gain = np.empty(len(points))
        for index, site in enumerate(self.scene.transmitters):
            chosen = state.transmitter == index
            path = bistatic_geometry(
                site.position_m, receiver.position_m, points[chosen], np.zeros(3), 1.0
            )
            gain[chosen] = expected_power(self.scene, site, receiver, path)
        mean = gain * fit.replica.gram[:, 0, 0].real / air.noise_power_w
        size = len(fit.coherence)
        shared = np.maximum(np.diag(np.linalg.inv(fit.coherence + ROUNDING * np.eye(size))).real, 1)
        return fit.power / shared * mean / (1 + mean) - np.log1p(mean)


def _newton_steps(information: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Steps [num_targets, 2 D] of Fisher scoring; none for a target that no echo locates.

    information: [num_targets, 2 D, 2 D]
    slope: [num_targets, 2 D]
    """
    try:
        return np.linalg.solve(information, slope[..., None])[..., 0]
    except np.linalg.LinAlgError:
        steps = np.zeros_like(slope)
        for target, one in enumerate(information):
            if np.isfinite(one).all():
                steps[target] = np.linalg.pinv(one, hermitian=True) @ slope[target]
        return steps

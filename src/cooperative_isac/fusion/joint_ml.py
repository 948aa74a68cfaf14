"""Joint maximum likelihood over the echoes of all receivers on all bands: all targets at once.

Every path has an amplitude of its own, so that the echoes of two bands or receivers need no common
phase: their log-likelihoods, gradients and information are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.echo_links import EchoLinks, EchoName, Targets
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit

# Steps of Fisher scoring at most: a few from a start within the main lobe, the rest is for targets
# whose steps are shortened.
JOINT_SCORING_STEPS = 8

# Expected gain of a step, below which it is not worth its time: the squared length of the step in
# standard deviations, here a third of one.
NEGLIGIBLE_GAIN = 0.1

# Coherence of two paths' replicas from which one echo cannot separate them.
DUPLICATE_COHERENCE = 0.98


@dataclass(frozen=True)
class JointMatch:
    """Targets matched against all echoes, with the amplitude of every path free.

    targets: that are matched
    fits: by echo, with the expected paths of its band (echo_links); none of an echo without any
    slope: [num_targets, 2 D], float64, gradient of the log-likelihood with location and velocity
    information: [num_targets, 2 D, 2 D], float64, Fisher information of both
    evidence: [num_targets], float64, log-likelihood ratio to noise, with reflections CN(0, chi^2):
        noise alone exceeds x with probability exp(-x) at most
    """

    targets: Targets
    fits: Mapping[EchoName, Fit]
    slope: np.ndarray
    information: np.ndarray
    evidence: np.ndarray

    def duplicate(self) -> int | None:
        """Index of the last target that no echo separates from an earlier one, or None."""
        num_targets = len(self.targets)
        compared = np.zeros((num_targets, num_targets), bool)
        separated = np.zeros((num_targets, num_targets), bool)
        for fit in self.fits.values():
            # Paths over the same link, compared between all pairs of targets.
            state = fit.state
            first, second = np.nonzero(state.transmitter[:, None] == state.transmitter)
            pairs = (state.owner[first], state.owner[second])
            compared[pairs] = True
            is_different = np.abs(fit.coherence[first, second]) <= DUPLICATE_COHERENCE
            np.logical_or.at(separated, pairs, is_different)

        alike = compared & ~separated
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
    """Joint likelihood of the echoes that arrived.

    scene: of one or several bands, whose links have paths
    echoes: by name, the correlation of the echo and the replicas of paths in it
    """

    def __init__(self, scene: Scene, echoes: Mapping[EchoName, JointFit]):
        self.scene = scene
        views = {view.band: view for view in scene.views}
        self._links: dict[EchoName, EchoLinks] = {}
        self._joints: dict[EchoName, JointFit] = {}
        for name, joint in echoes.items():
            links = EchoLinks.of(views[name.band], name.receiver)
            if len(links.linked):
                self._links[name] = links
                self._joints[name] = JointFit(joint.maker, joint.correlation, joint.noise_power_w)
        self._prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps**-2.0], scene.dimension))

    def match(self, targets: Targets) -> JointMatch:
        """Match all expected paths of all targets in every echo."""
        size = self.scene.dimension
        num_targets = len(targets)
        fits = {}
        slope = np.zeros((num_targets, 2 * size))
        information = np.zeros((num_targets, 2 * size, 2 * size))
        evidence = np.zeros(num_targets)

        for name, joint in self._joints.items():
            links = self._links[name]
            state, doppler_slopes = links.paths(targets)
            if not state.num_paths:
                continue
            fit = joint.match(state)
            fits[name] = fit

            # Delay and angles of the paths depend on the location alone.
            slope[:, :size] += fit.location_slope
            information[:, :size, :size] += fit.target_information

            # Doppler shifts depend on location and velocity.
            weighted = fit.doppler_information[:, None, None] * doppler_slopes[:, :, None]
            np.add.at(slope, state.owner, doppler_slopes * fit.doppler_slope[:, None])
            np.add.at(information, state.owner, weighted * doppler_slopes[:, None, :])
            np.add.at(evidence, state.owner, links.evidence(fit))

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

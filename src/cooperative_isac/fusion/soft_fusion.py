"""Detections from weak candidates of several stations, which none of them detects alone.

Candidates on different links that agree in location and velocity are one hypothesis. Its
log-likelihood ratio is that of one target, whose state is integrated out, to independent noise
peaks. Noise peaks are a Poisson process, and the densities of all hypotheses with a target add up
to 1 at most: noise alone makes exp(-x) hypotheses or fewer in a frame, on average, whose
log-likelihood ratio exceeds x. So a false-alarm rate sets the threshold.

A path of a target is no noise peak, and meets peaks of noise and paths of other targets. So a
detection needs that ratio to the likeliest other cause of its paths: some of them are of one
target, each of the others is of noise or of a target of its own. Given the paths of targets, the
same bound holds for the noise that meets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.detection import Detection, Evidence, detection_problem
from cooperative_isac.fusion.path_evidence import (
    Pool,
    agreeing_sets,
    mixture_moments,
    sum_distribution,
)
from cooperative_isac.fusion.path_measurements import (
    PathMeasurements,
    Solutions,
    solve,
)
from cooperative_isac.fusion.path_pool import PathPool
from cooperative_isac.fusion.rejection import are_static
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.candidates import Candidates
from cooperative_isac.sensing.report import EchoReport

# Mean number of false detections that noise makes in a frame, at most, alone and with each target.
# The bound is loose: in `campus` noise alone makes 0.02. The tracker tests them over frames.
FALSE_ALARMS = 1.0
# Probability with which two paths of one target pass the test that they agree in location.
GATE_PROBABILITY = 0.9995
# Squared Mahalanobis distance of the locations of two paths that are tested so. It is far beyond
# the quantile of that probability, as the Gaussians about both locations leave out that ridges of
# constant range are curved.
COARSE_GATE = 100.0
# Least probability with which a target has paths on as few links as a hypothesis has: less likely
# ones are ghosts of stronger targets, which noise does not explain.
FEW_LINKS_PROBABILITY = 0.02
# Share of the paths above its threshold that a station sends.
FOUND_SHARE = 0.9
# Hypotheses of a frame with as many paths that are examined, those with the most evidence first:
# limits the time.
MOST_HYPOTHESES = 2000
# Distance of a soft detection from a detection by reports within which both are of one target, m.
SAME_M = 3.0
# Largest standard deviation of the location of a detection, m: two of them are about SAME_M. With
# 1.35 m fewer targets are found, and false tracks are as frequent.
LOCATED_M = 1.65


@dataclass(frozen=True)
class _Hypotheses:
    """Sets of paths, each of one target; first those of single paths, in their order.

    found: states
    members: [num_hypotheses, num_paths], bool
    ratios: [num_hypotheses], float64, log-likelihood ratio to noise
    is_located: [num_hypotheses], bool, True where the location is accurate and inside the box
    is_possible: [num_hypotheses], bool, True where the set may be a detection
    """

    found: Solutions
    members: np.ndarray
    ratios: np.ndarray
    is_located: np.ndarray
    is_possible: np.ndarray


class SoftFusion:
    """Adds up the weak candidates of a scene's stations.

    scene: with one band, and targets that are points
    false_alarms: mean number of false detections that noise makes in a frame, at most
    """

    def __init__(self, scene: Scene, false_alarms: float = FALSE_ALARMS):
        self.scene = scene
        self.paths = PathPool(scene)

        # Noise makes exp(-x) hypotheses or fewer with a log-likelihood ratio above x (see above).
        self.threshold = -float(np.log(false_alarms))

    def fuse(
        self,
        reports: Sequence[EchoReport],
        candidates: Mapping[str, Candidates],
        detections: Sequence[Detection] = (),
    ) -> tuple[Detection, ...]:
        """Detections of the reports, located by all paths of the frame, and those of other targets.

        A detection by reports has the paths above the thresholds of the stations alone, one of
        which may be a noise peak in place of a weaker path.

        reports: of all stations in the frame
        candidates: by name of the station
        detections: of the reports alone
        Returns the detections of the reports in their order, then the others, the likeliest first.
        """
        pool = self.paths.pool(reports, candidates)
        groups = self._hypotheses(pool)
        if not groups:
            return tuple(detections)
        hypotheses = self._scored(pool, groups)

        # Take the likeliest, each path once.
        same_echo = self.paths.same_echo(pool.paths)
        used = np.zeros(len(pool.evidence), bool)
        found: list[Detection] = []
        ratios = np.where(hypotheses.is_possible, hypotheses.ratios, -np.inf)
        for index in np.argsort(-ratios, kind="stable").tolist():
            if not ratios[index] > self.threshold:
                break
            own = groups[index]
            if used[own].any():
                continue
            evidence = self._evidence(hypotheses, index)
            detection = self._detection(pool.paths, hypotheses, index, evidence)
            if detection is None:
                continue

            # Its paths, and their echoes in the replicas of other transmitters, are explained.
            used |= same_echo[own].any(axis=0)
            is_likely = evidence.log_likelihood_ratio > self.threshold
            if is_likely and not self._is_static(detection):
                found.append(detection)
        return _merged(detections, found)

    def _hypotheses(self, pool: Pool) -> list[np.ndarray]:
        """Single paths, and sets of paths on different links that agree pairwise; none if no two
        agree.
        """
        scene = self.scene
        size = scene.dimension
        paths = pool.paths
        link = paths.link
        count = len(link)
        if count < 2:
            return []

        # Pairs of paths on different links that agree in location, roughly.
        points = paths.point_m[:, :size]
        covariance = np.linalg.inv(paths.location_information())
        first, second = np.triu_indices(count, 1)
        is_other_link = link[first] != link[second]
        first = first[is_other_link]
        second = second[is_other_link]
        away_m = points[first] - points[second]
        spread = covariance[first] + covariance[second]
        weighted = np.linalg.solve(spread, away_m[..., None])[..., 0]
        squared_distances = np.einsum("ni,ni->n", away_m, weighted)
        is_near = squared_distances <= COARSE_GATE
        first = first[is_near]
        second = second[is_near]
        if not len(first):
            return []

        # The same with the state fitted. The 2 (D + 1) values of two paths and the D components of
        # the prior velocity, less the 2 D components of the state, leave D + 2 degrees of freedom.
        pairs = np.column_stack([first, second]).ravel()
        fitted = solve(paths, pairs, np.repeat(np.arange(len(first)), 2))
        has_fit = fitted.misfit <= chdtri(size + 2, 1 - GATE_PROBABILITY)
        agree = np.zeros((count, count), bool)
        agree[first[has_fit], second[has_fit]] = True

        return agreeing_sets(agree, pool.evidence, MOST_HYPOTHESES)

    def _scored(self, pool: Pool, groups: list[np.ndarray]) -> _Hypotheses:
        """States and log-likelihood ratios of sets of paths.

        pool: paths of the frame
        groups: rows of each set, first those of single paths
        """
        scene = self.scene
        size = scene.dimension
        hypotheses = np.arange(len(groups))

        # States of least squared errors.
        rows = np.concatenate(groups)
        group = np.repeat(hypotheses, [len(own) for own in groups])
        found = solve(pool.paths, rows, group)

        # Evidence of the paths, whose locations are blurred.
        evidence = pool.evidence[rows] + pool.paths.log_blur()[rows]
        ratios = np.bincount(group, evidence)

        # Evidence of the links without a path: the target's power is below the threshold there.
        has_path = np.zeros((len(hypotheses), len(self.paths.links.names)), bool)
        has_path[group, pool.paths.link[rows]] = True
        exceeds, log_missed = self.paths.threshold_probabilities(pool, found)
        ratios += np.where(has_path, 0.0, log_missed).sum(axis=1)

        # Likelihood integrated over the state, by a Gaussian about its maximum (Laplace): its value
        # there times (2 pi)^D / sqrt(det N), with the information N of the 2 D components.
        _, log_determinant = np.linalg.slogdet(found.normal)
        ratios -= found.misfit / 2
        ratios -= log_determinant / 2 - size * np.log(2 * np.pi)

        # Prior density: locations uniform in the box, Gaussian velocities.
        volume = np.prod((scene.box.high_m - scene.box.low_m)[:size])
        velocity_variances = scene.velocity_stds_mps**2
        log_velocity_volume = np.log(2 * np.pi * velocity_variances).sum() / 2
        ratios -= np.log(volume) + log_velocity_volume

        # Ghosts of stronger targets have a path on fewer links than a target would: probability
        # that a target has paths on so few links.
        link_counts = sum_distribution(FOUND_SHARE * exceeds)
        as_few_probability = np.cumsum(link_counts, axis=1)[hypotheses, has_path.sum(axis=1)]

        # Possible detections: located, on enough links, and of more than a single path.
        members = np.zeros((len(hypotheses), len(pool.evidence)), bool)
        members[group, rows] = True
        is_located = self._is_located(found)
        is_on_enough_links = as_few_probability >= FEW_LINKS_PROBABILITY
        is_possible = is_located & is_on_enough_links & (members.sum(axis=1) > 1)
        ratios = np.where(np.isfinite(ratios), ratios, -np.inf)
        return _Hypotheses(found, members, ratios, is_located, is_possible)

    def _evidence(self, hypotheses: _Hypotheses, index: int) -> Evidence:
        """Evidence of one hypothesis against the likeliest other cause of its paths.

        A target at the same place, with some of the paths, is no other cause.

        hypotheses: all of the frame
        index: of the one that is tested
        """
        members = hypotheses.members
        positions_m = hypotheses.found.position_m
        own = members[index]

        # Single paths of other targets, where these are likelier than noise; the first hypotheses
        # are those of single paths.
        alone_ratios = np.maximum(hypotheses.ratios[: members.shape[1]], 0.0) * own
        is_alone = own & (alone_ratios > 0)

        # Hypotheses with some of the paths and no other; those elsewhere are other causes.
        within = np.flatnonzero(~(members & ~own).any(axis=1))
        away_m = np.linalg.norm(positions_m[within] - positions_m[index], axis=1)
        parts = within[~hypotheses.is_located[within] | (away_m >= SAME_M)]

        # Other causes: one target with a part of the paths and the rest alone, or all of them
        # alone. Each has a log-likelihood ratio to noise, and a set of paths that are not noise.
        rest_ratios = (~members[parts] * alone_ratios).sum(axis=1)
        cause_ratios = (hypotheses.ratios[parts] + rest_ratios).tolist()
        cause_paths = [paths.tobytes() for paths in members[parts] | is_alone]
        cause_ratios.append(float(alone_ratios.sum()))
        cause_paths.append(is_alone.tobytes())

        # Density of false detections about the state: that of a target with the same paths, or the
        # highest one where that hypothesis was not examined. Without any path, the prior.
        index_of: dict[bytes, int | None] = {np.zeros_like(own).tobytes(): None}
        index_of |= {members[part].tobytes(): part for part in within.tolist()}
        densities = [
            cause_ratio + self._log_density(hypotheses, index, index_of.get(paths, index))
            for cause_ratio, paths in zip(cause_ratios, cause_paths)
        ]
        ratio = hypotheses.ratios[index]
        return Evidence(
            log_likelihood_ratio=float(ratio - max(cause_ratios)),
            log_false_density=float(max(densities) - ratio),
        )

    def _log_density(self, hypotheses: _Hypotheses, index: int, cause: int | None) -> float:
        """Logarithm of the density of a hypothesis' state about that of a target with some of its
        paths, in 1/m^D (s/m)^D.

        hypotheses: all of the frame
        index: of the hypothesis whose state is taken
        cause: hypothesis of these paths; None: of no path, the prior
        """
        size = self.scene.dimension
        state = hypotheses.found.state(index, size)

        # Prior: locations uniform in the box, Gaussian velocities, D components of both.
        if cause is None:
            box = self.scene.box
            extents_m = (box.high_m - box.low_m)[:size]
            log_volume = np.log(np.prod(extents_m))
            deviations_mps = self.scene.velocity_stds_mps
            velocity = state[size:] / deviations_mps
            squared_distance = np.sum(velocity**2)
            log_det = -2 * log_volume - 2 * np.log(deviations_mps).sum()
            return float(log_det - squared_distance - size * np.log(2 * np.pi)) / 2

        # Gaussian of 2 D components about the state of the target with these paths.
        away = state - hypotheses.found.state(cause, size)
        normal = hypotheses.found.normal[cause]
        squared_distance = away @ normal @ away
        _, log_det = np.linalg.slogdet(normal)
        return float(log_det - squared_distance) / 2 - size * np.log(2 * np.pi)

    def _is_located(self, found: Solutions) -> np.ndarray:
        """Mask of the states with an accurate location inside the box, [num_states], bool."""
        # Inside the box.
        size = self.scene.dimension
        low_m = self.scene.box.low_m[:size]
        high_m = self.scene.box.high_m[:size]
        points_m = found.position_m[:, :size]
        is_above_low = points_m >= low_m
        is_below_high = points_m <= high_m
        is_inside = np.all(is_above_low & is_below_high, axis=1)

        # Standard deviation along the worst axis.
        covariance = np.linalg.inv(found.normal)
        of_location = covariance[:, :size, :size]
        largest_m2 = np.linalg.eigvalsh(of_location)[:, -1]
        deviation_m = np.sqrt(largest_m2)
        return is_inside & (deviation_m <= LOCATED_M)

    def _mixture(self, hypotheses: _Hypotheses, index: int) -> tuple[np.ndarray, np.ndarray]:
        """State of a target over the sets of paths that may be its own.

        A peak of noise beside a target fits as well as a weak path of it, and has any Doppler
        shift. So hypotheses at the same place that share a path are weighted by their likelihoods.

        hypotheses: all of the frame
        index: of the likeliest one of the target
        Returns its mean [2 D], SI, map, and its covariance [2 D, 2 D].
        """
        size = self.scene.dimension
        found = hypotheses.found

        # Possible hypotheses at the same place with some of the paths.
        members = hypotheses.members
        shares_path = (members & members[index]).any(axis=1)
        away_m = np.linalg.norm(found.position_m - found.position_m[index], axis=1)
        is_near = away_m < SAME_M
        rows = np.flatnonzero(shares_path & is_near & hypotheses.is_possible)

        # Their states, each a Gaussian.
        positions_m = found.position_m[rows, :size]
        velocities_mps = found.velocity_mps[rows, :size]
        states = np.column_stack([positions_m, velocities_mps])
        covariances = np.linalg.inv(found.normal[rows])
        return mixture_moments(states, covariances, hypotheses.ratios[rows])

    def _detection(
        self, paths: PathMeasurements, hypotheses: _Hypotheses, index: int, evidence: Evidence
    ) -> Detection | None:
        """The detection of a hypothesis; None where it is impossible.

        paths: of the frame
        index: of the hypothesis
        evidence: for it
        """
        own = np.flatnonzero(hypotheses.members[index])
        mean, mean_covariance = self._mixture(hypotheses, index)

        # State in three dimensions; in a plane with its height and the accuracy of this.
        scene = self.scene
        axes = STATE_AXES[scene.dimension]
        state = np.array([0.0, 0.0, scene.plane_height_m, 0.0, 0.0, 0.0])
        state[axes] = mean
        covariance = np.diag([scene.height_std_m**2] * 6)
        covariance[np.ix_(axes, axes)] = mean_covariance

        # Links of its paths, their stations, and the sum of their SNR.
        links = sorted(set(paths.link[own].tolist()))
        names = tuple(self.paths.links.names[number] for number in links)
        detection = Detection(
            state[:3],
            state[3:],
            covariance,
            float(10 * np.log10(paths.power[own].sum())),
            tuple(sorted({name.rx for name in names})),
            len(own),
            names,
            evidence,
        )
        if detection_problem(detection) is not None:
            return None

        # Velocity: paths of several targets that meet in a point hardly agree on a possible one.
        speed = np.linalg.norm(detection.velocity_mps)
        deviation = np.sqrt(np.linalg.eigvalsh(detection.covariance[3:, 3:])[-1])
        return detection if speed <= scene.sensing.max_speed_mps + deviation else None

    def _is_static(self, detection: Detection) -> bool:
        """True where a detection is compatible with clutter slower than the minimum speed."""
        size = self.scene.dimension
        velocity_mps = detection.velocity_mps[:size]
        covariance = detection.covariance[3 : 3 + size, 3 : 3 + size]
        return bool(are_static(self.scene, velocity_mps[None], covariance[None])[0])


def _merged(by_reports: Sequence[Detection], found: Sequence[Detection]) -> tuple[Detection, ...]:
    """Detections by reports with the better location of the same target, then those of others.

    by_reports: of the reports alone, in their order
    found: by all paths of the frame, the likeliest first
    """
    merged = list(by_reports)
    not_located = [row for row, one in enumerate(by_reports) if not one.is_partial]
    others = []
    for detection in found:
        # Detections by reports of the same target.
        near_m = {
            row: float(np.linalg.norm(detection.position_m - one.position_m))
            for row, one in enumerate(by_reports)
            if not one.is_partial and _is_same(detection, one)
        }
        if not near_m:
            others.append(detection)
            continue

        # The nearest of them that no likelier one has located. It stays one by the stations.
        rows = [row for row in near_m if row in not_located]
        if rows:
            nearest = min(rows, key=near_m.__getitem__)
            merged[nearest] = replace(detection, evidence=None)
            not_located.remove(nearest)
    return (*merged, *others)


def _is_same(detection: Detection, other: Detection) -> bool:
    """Whether two detections are of one target."""
    return bool(np.linalg.norm(detection.position_m - other.position_m) < SAME_M)

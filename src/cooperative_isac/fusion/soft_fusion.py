"""Detections from weak candidates of several stations, which none of them detects alone.

Candidates on different links that agree in location and velocity are one hypothesis. Its
log-likelihood ratio is that of one target, whose state is integrated out, to independent noise
peaks. Noise peaks are a Poisson process, and the densities of all hypotheses with a target add up
to 1 at most: noise alone makes exp(-x) hypotheses or fewer in a frame, on average, whose
log-likelihood ratio exceeds x. So a false-alarm rate sets the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from cooperative_isac.channel.gain import expected_power
from cooperative_isac.fusion.detection import Detection, detection_problem
from cooperative_isac.fusion.path_measurements import (
    PathMeasurements,
    Solutions,
    solve,
    velocity_deviation_mps,
)
from cooperative_isac.fusion.rejection import STATIC_PROBABILITY
from cooperative_isac.fusion.reports import links_of
from cooperative_isac.scene.geometry import STATE_AXES, bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.candidates import Candidates
from cooperative_isac.sensing.report import EchoReport

# Mean number of false detections that noise makes in a frame, at most. The bound is loose: in
# `campus` noise makes 0.02.
FALSE_ALARMS = 1.0
# Of a hypothesis of two paths of one target to agree in location.
GATE_PROBABILITY = 0.9995
# The same before its location is fitted: the ridges of the likelihood are curved.
COARSE_GATE = 100.0
# Share of the largest power that a transmitter radiates on average, where precoders have to serve
# users at once.
USED_POWER = 0.5
# Probability of as few links, given a target: fewer are ghosts of stronger targets, which noise
# does not explain. FOUND_SHARE: of the paths above its threshold, those that a station sends.
FEW_LINKS_PROBABILITY = 0.02
FOUND_SHARE = 0.9
# Hypotheses of a frame with as many paths that are examined, those with the most evidence first:
# limits the time.
MOST_HYPOTHESES = 2000
# Distance of a soft detection from a detection by reports within which both are of one target, m.
SAME_M = 3.0
# Largest standard deviation of the location of a detection, m: two of them are within SAME_M.
LOCATED_M = 1.5
# Resolution cells of delay, angle and Doppler shift within which two candidates of a station are
# one echo.
SAME_CELLS = 1.0


@dataclass(frozen=True)
class Pool:
    """Single paths of all stations in one frame: candidates, and paths of reports.

    paths: their measurements
    evidence: [n], float64, log-likelihood ratio of each path to a noise peak, where its measurement
    fits the target exactly
    least: [num_receivers], float64, power from which on a station sends candidates, in noise
    variances; infinite where it sent none
    """

    paths: PathMeasurements
    evidence: np.ndarray
    least: np.ndarray


class SoftFusion:
    """Adds up the weak candidates of a scene's stations.

    scene: with one band, and targets that are points
    false_alarms: mean number of false detections that noise makes in a frame, at most
    """

    def __init__(self, scene: Scene, false_alarms: float = FALSE_ALARMS):
        self.scene = scene
        self.links = links_of(scene)
        self._names = [site.name for site in scene.receivers]
        self.threshold = -float(np.log(false_alarms))

    def fuse(
        self,
        reports: Sequence[EchoReport],
        candidates: Mapping[str, Candidates],
        detections: Sequence[Detection] = (),
    ) -> tuple[Detection, ...]:
        """Detections of targets beside those of the reports alone, the likeliest first.

        reports: of all stations in the frame
        candidates: by name of the station
        detections: of the reports alone
        """
        return tuple(found for found, _ in self.scored(reports, candidates, detections))

    def scored(
        self,
        reports: Sequence[EchoReport],
        candidates: Mapping[str, Candidates],
        detections: Sequence[Detection] = (),
    ) -> list[tuple[Detection, float]]:
        """The same with the log-likelihood ratio of each detection."""
        pool = self.pool(reports, candidates)
        groups = self._hypotheses(pool)
        if not groups:
            return []

        # Log-likelihood ratios of all hypotheses.
        rows = np.concatenate(groups)
        group = np.repeat(np.arange(len(groups)), [len(own) for own in groups])
        found = solve(self.scene, pool.paths, rows, group)
        ratios = self._ratios(pool, rows, group, found)

        # Take the likeliest, each path once.
        same_echo = self._same_echo(pool.paths)
        used = np.zeros(len(pool.evidence), bool)
        taken: list[tuple[Detection, float]] = []
        for index in np.argsort(-ratios, kind="stable").tolist():
            if not ratios[index] > self.threshold:
                break
            own = groups[index]
            if used[own].any():
                continue
            detection = self._detection(pool.paths, own, found, index)
            if detection is None:
                continue

            # Its paths, and their echoes in the replicas of other transmitters, are explained.
            used |= same_echo[own].any(axis=0)
            is_moving = not self._is_static(detection)
            if is_moving and not any(_is_same(detection, other) for other in detections):
                taken.append((detection, float(ratios[index])))
        return taken

    def pool(self, reports: Sequence[EchoReport], candidates: Mapping[str, Candidates]) -> Pool:
        """All paths of a frame."""
        scene = self.scene
        least = np.full(len(self._names), np.inf)
        rows = []
        for name, own in candidates.items():
            station = self._names.index(name)
            first = self.links.first[scene.band, name]
            if len(own):
                least[station] = own.power.min()
            link = first + own.transmitter
            rows.append(np.column_stack([link, own.point_m, own.doppler_hz, own.power]))
        for report in reports:
            first = self.links.first[report.band, report.receiver]
            for path in report.paths:
                values = [first + path.transmitter, *report.point_m, path.doppler_hz, path.power]
                rows.append(np.array([values]))
        table = np.concatenate(rows) if rows else np.zeros((0, 6))
        link = table[:, 0].astype(int)
        power = table[:, 5]
        paths = PathMeasurements(self.links, link, table[:, 1:4], table[:, 4], power)
        expected = self.expected_snr(link, paths.point_m)
        return Pool(paths, path_evidence(power, expected), least)

    def expected_snr(self, link: np.ndarray, point_m: np.ndarray) -> np.ndarray:
        """Mean SNR of a target's path by way of a point, [n], float64.

        link: [n], int
        point_m: [n, 3], float64, m
        """
        scene = self.scene
        snr = np.empty(len(link))
        for number in np.unique(link).tolist():
            own = link == number
            name = self.links.names[number]
            transmitter = next(site for site in scene.transmitters if site.name == name.tx)
            receiver = scene.receiver(name.rx)
            path = bistatic_geometry(
                transmitter.position_m,
                receiver.position_m,
                point_m[own],
                np.zeros(3),
                scene.grid.wavelength_m,
            )
            # Energy of the frame towards the point, on average over precoders.
            energy = USED_POWER * scene.waveform.power_w / transmitter.num_ant
            energy *= scene.grid.num_symbols
            gain = expected_power(scene, transmitter, receiver, path)
            snr[own] = gain * energy / scene.propagation.noise_power_w
        return snr

    def _hypotheses(self, pool: Pool) -> list[np.ndarray]:
        """Sets of two or more paths on different links that agree pairwise."""
        scene = self.scene
        size = scene.dimension
        paths = pool.paths
        link = paths.link
        count = len(link)
        if count < 2:
            return []

        # Pairs of links that agree in location, roughly.
        points = paths.point_m[:, :size]
        covariance = np.linalg.inv(paths.location_information(scene))
        first, second = np.triu_indices(count, 1)
        other = link[first] != link[second]
        first = first[other]
        second = second[other]
        away = points[first] - points[second]
        spread = covariance[first] + covariance[second]
        distances = np.einsum("ni,ni->n", away, np.linalg.solve(spread, away[..., None])[..., 0])
        near = distances <= COARSE_GATE
        first = first[near]
        second = second[near]
        if not len(first):
            return []

        # The same with the location fitted.
        pairs = np.column_stack([first, second]).ravel()
        fitted = solve(scene, paths, pairs, np.repeat(np.arange(len(first)), 2))
        near = fitted.misfit <= chdtri(size + 2, 1 - GATE_PROBABILITY)
        agree = np.zeros((count, count), bool)
        agree[first[near], second[near]] = True

        # Growth by one path at a time: later ones that agree with all members.
        sets = [np.array([row]) for row in range(count)]
        common = [agree[row] for row in range(count)]
        complete: list[np.ndarray] = []
        while sets:
            grown = []
            shared = []
            for members, able in zip(sets, common):
                for row in np.flatnonzero(able).tolist():
                    grown.append(np.append(members, row))
                    shared.append(able & agree[row])
            sets = grown
            common = shared
            if len(sets) > MOST_HYPOTHESES:
                total = np.array([pool.evidence[members].sum() for members in sets])
                best = np.argsort(-total, kind="stable")[:MOST_HYPOTHESES]
                sets = [sets[place] for place in best]
                common = [common[place] for place in best]
            complete += sets
        return complete

    def _ratios(
        self, pool: Pool, rows: np.ndarray, group: np.ndarray, found: Solutions
    ) -> np.ndarray:
        """Log-likelihood ratio of each hypothesis to noise, [num_groups], float64."""
        scene = self.scene
        size = scene.dimension
        count = len(found.position_m)

        # Evidence of the paths, and of links that should have one.
        ratios = np.bincount(group, pool.evidence[rows] + pool.paths.log_blur(scene)[rows])
        has = np.zeros((count, len(self.links.names)), bool)
        has[group, pool.paths.link[rows]] = True
        fewer = np.zeros((count, len(self.links.names) + 1))
        fewer[:, 0] = 1.0
        for number, name in enumerate(self.links.names):
            least = pool.least[self._names.index(name.rx)]
            if np.isfinite(least):
                expected = self.expected_snr(np.full(count, number), found.position_m)
                missed = np.log(-np.expm1(-least / (1 + expected)))
                ratios += np.where(has[:, number], 0.0, missed)
                share = FOUND_SHARE * np.exp(-least / (1 + expected))[:, None]
                fewer[:, 1:] = fewer[:, 1:] * (1 - share) + fewer[:, :-1] * share
                fewer[:, :1] *= 1 - share

        # Integral over the state, about its maximum (Laplace).
        ratios -= found.misfit / 2
        _, log_det = np.linalg.slogdet(found.normal)
        ratios -= log_det / 2 - size * np.log(2 * np.pi)

        # Prior of the state: uniform in the box, and a velocity of the scene's targets.
        deviation = velocity_deviation_mps(scene)
        volume = np.prod((scene.box.high_m - scene.box.low_m)[:size])
        ratios -= np.log(volume) + size * np.log(2 * np.pi * deviation**2) / 2
        low = scene.box.low_m[:size]
        high = scene.box.high_m[:size]
        places = found.position_m[:, :size]
        inside = np.all((places >= low) & (places <= high), axis=1)
        covariance = np.linalg.inv(found.normal)[:, :size, :size]
        deviation_m = np.sqrt(np.linalg.eigvalsh(covariance)[:, -1])
        is_located = inside & (deviation_m <= LOCATED_M)
        as_few = np.cumsum(fewer, axis=1)[np.arange(count), has.sum(axis=1)]
        is_located &= as_few >= FEW_LINKS_PROBABILITY
        return np.where(is_located & np.isfinite(ratios), ratios, -np.inf)

    def _same_echo(self, paths: PathMeasurements) -> np.ndarray:
        """Which paths of a station are one echo, [n, n], bool.

        All transmitters send the same streams: an echo has peaks in the replicas of all of them, at
        points of the same delay and angle of arrival.
        """
        grid = self.scene.grid
        values = paths.values(self.scene)
        ranges = values[:, 0]
        shifts = values[:, -1]
        station = self.links.receiver[paths.link]
        same = np.abs(ranges[:, None] - ranges) < SAME_CELLS * grid.range_resolution_m
        same &= np.abs(shifts[:, None] - shifts) < SAME_CELLS * grid.doppler_resolution_hz
        for axis, width in enumerate(paths.beam_widths(self.scene).T, start=1):
            apart = np.abs(values[:, None, axis] - values[:, axis])
            same &= apart < SAME_CELLS * width
        same &= station[:, None] == station
        return same | np.eye(len(ranges), dtype=bool)

    def _detection(
        self, paths: PathMeasurements, own: np.ndarray, found: Solutions, index: int
    ) -> Detection | None:
        """The detection of a hypothesis; None where it is impossible."""
        scene = self.scene
        size = scene.dimension
        covariance = np.diag([scene.height_std_m**2] * 6)
        axes = STATE_AXES[size]
        covariance[np.ix_(axes, axes)] = np.linalg.inv(found.normal[index])
        links = sorted(set(paths.link[own].tolist()))
        names = tuple(self.links.names[number] for number in links)
        detection = Detection(
            found.position_m[index],
            found.velocity_mps[index],
            covariance,
            float(10 * np.log10(paths.power[own].sum())),
            tuple(sorted({name.rx for name in names})),
            len(own),
            names,
        )
        if detection_problem(detection) is not None:
            return None

        # Velocity: paths of several targets that meet in a point hardly agree on a possible one.
        speed = np.linalg.norm(detection.velocity_mps)
        deviation = np.sqrt(np.linalg.eigvalsh(detection.covariance[3:, 3:])[-1])
        return detection if speed <= scene.sensing.max_speed_mps + deviation else None

    def _is_static(self, detection: Detection) -> bool:
        """Whether a detection has a velocity near that of clutter."""
        limit = self.scene.sensing.min_speed_mps
        speed = np.linalg.norm(detection.velocity_mps)
        if limit == 0:
            return False
        size = self.scene.dimension
        over = detection.velocity_mps[:size] * max(1 - limit / max(speed, limit), 0.0)
        spread = detection.covariance[3:, 3:][:size, :size]
        away = over @ np.linalg.solve(spread, over)
        return bool(away < chdtri(size, 1 - STATIC_PROBABILITY))


def path_evidence(power: np.ndarray, expected_snr: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of the power of a path to that of a noise peak at the same place.

    In noise the power is Exp(1), with a target Exp(1 + m), m its mean SNR: z m / (1 + m) -
    ln(1 + m). Peaks of noise have the density sqrt(det(J / (2 pi))) exp(-z) in the measured
    parameters, those of a target exp(-z / (1 + m)) / (1 + m) times the same
    normalization of their errors, so that J cancels.
    """
    return power * expected_snr / (1 + expected_snr) - np.log1p(expected_snr)


def _is_same(detection: Detection, other: Detection) -> bool:
    """Whether two detections are of one target."""
    return bool(np.linalg.norm(detection.position_m - other.position_m) < SAME_M)

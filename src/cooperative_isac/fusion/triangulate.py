"""Angles, ranges and range rates to detections: the geometry at the center (CF section V-A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.estimate import Estimate, estimate
from cooperative_isac.fusion.fuse import detection_of
from cooperative_isac.fusion.rejection import is_possible, is_static
from cooperative_isac.fusion.reports import Links, links_of
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.path_parameters import (
    Accuracy,
    PathParameters,
    location_of,
    location_slopes,
)
from cooperative_isac.sensing.report import EchoReport, PathReport
from cooperative_isac.sensing.search_grid import AREA_MARGIN, NEAREST_M

# Probability with which the measurements of one target pass the chi-square test of their misfit.
AGREEMENT_PROBABILITY = 0.9999

# Gauss-Newton steps from each start, and further ones from the best of them: two are enough to
# compare starts, four to converge.
FIRST_STEPS = 2
FURTHER_STEPS = 2

# Misfit over its gate after the first steps, above which further ones are not tried.
HOPELESS_MISFIT = 30.0

# Standard deviation of the location in a direction that a measurement does not see, m: more than
# any area, and keeps the information invertible.
UNSEEN_STD_M = 1e3


@dataclass(frozen=True)
class Measurement:
    """Parameters of one path at one receiver.

    receiver: receiving station
    parameters: measured values
    accuracy: their standard deviations
    """

    receiver: Site
    parameters: PathParameters
    accuracy: Accuracy


@dataclass(frozen=True)
class Match:
    """Measurements that are taken for one target, and the location and velocity fitted to them.

    members: indices of the measurements
    reports: the measurements, linearized about the location
    fitted: location and velocity
    misfit: chi-square of the measurements over its gate; they agree below 1
    """

    members: tuple[int, ...]
    reports: tuple[EchoReport, ...]
    fitted: Estimate
    misfit: float


def triangulate(scene: Scene, measurements: Sequence[Measurement]) -> tuple[Detection, ...]:
    """Detections of the targets that at least two receivers agree on, best agreement first.

    Measurements of two receivers are of one target when one location and velocity explains all six
    numbers; measurements of further receivers are added where they agree. Location and velocity
    minimize the squared errors of all parameters.

    scene: seen on one band, a plane
    measurements: of all receivers
    """
    # All pairs of different receivers that agree.
    links = links_of(scene)
    pairs = [
        fit(scene, measurements, pair, links)
        for pair in combinations(range(len(measurements)), 2)
        if measurements[pair[0]].receiver is not measurements[pair[1]].receiver
    ]
    agreeing = [pair for pair in pairs if pair.misfit < 1]

    # Greedy assignment: each measurement belongs to one target.
    used: set[int] = set()
    matches = []
    for match in sorted(agreeing, key=lambda pair: pair.misfit):
        if used.isdisjoint(match.members):
            extended = _extended(scene, measurements, match, used, links)
            used.update(extended.members)
            matches.append(extended)
    return _accepted(scene, matches)


def locate_each(scene: Scene, measurements: Sequence[Measurement]) -> tuple[Detection, ...]:
    """Detections of one receiver's measurements, each taken for a target.

    Of each velocity only the component along the bisector of the path is measured.

    scene: seen on one band, a plane
    measurements: of one receiver
    """
    links = links_of(scene)
    matches = [fit(scene, measurements, (index,), links) for index in range(len(measurements))]
    return _accepted(scene, matches)


def fit(
    scene: Scene,
    measurements: Sequence[Measurement],
    members: tuple[int, ...],
    links: Links | None = None,
) -> Match:
    """Location and velocity of some measurements by least squares.

    Gauss-Newton steps begin at the location by each measurement and go on from the best one.
    Measurements that disagree by far after the first steps get no further ones.

    scene: seen on one band, a plane
    measurements: of all receivers
    members: indices of those that are fitted
    links: of the scene, where they are known already
    """
    links = links_of(scene) if links is None else links
    chosen = [measurements[index] for index in members]

    # First steps from the location by each measurement.
    starts_m = [
        location_of(scene, measurement.receiver, measurement.parameters) for measurement in chosen
    ]
    first = [
        _gauss_newton(scene, chosen, members, start_m, FIRST_STEPS, links) for start_m in starts_m
    ]
    best = min(first, key=lambda match: match.misfit)
    if best.misfit > HOPELESS_MISFIT:
        return best

    # Further steps from the best of them.
    point_m = np.append(best.fitted.position_m, scene.plane_height_m)
    return _gauss_newton(scene, chosen, members, point_m, FURTHER_STEPS, links)


def _gauss_newton(
    scene: Scene,
    chosen: Sequence[Measurement],
    members: tuple[int, ...],
    start_m: np.ndarray,
    steps: int,
    links: Links,
) -> Match:
    """Fit after some Gauss-Newton steps.

    chosen: measurements that are fitted
    members: their indices
    start_m: [3], float64, m, map
    """
    reports, fitted = _step(scene, chosen, start_m, links)
    for _ in range(steps - 1):
        point_m = np.append(fitted.position_m, start_m[2])
        reports, fitted = _step(scene, chosen, point_m, links)

    # Misfit over the one that agreeing measurements have at most.
    gate = chdtri(max(fitted.degrees, 1), 1 - AGREEMENT_PROBABILITY)
    share = fitted.misfits.sum() / gate
    return Match(members, reports, fitted, float(share))


def _step(
    scene: Scene, chosen: Sequence[Measurement], point_m: np.ndarray, links: Links
) -> tuple[tuple[EchoReport, ...], Estimate]:
    """One Gauss-Newton step from a point [3] in map, or from the nearest one of the area."""
    area = scene.box.padded(AREA_MARGIN)
    inside_m = point_m.copy()
    inside_m[:2] = np.clip(point_m[:2], area.low_m[:2], area.high_m[:2])
    reports = tuple(linearized(scene, measurement, inside_m) for measurement in chosen)
    return reports, estimate(scene, reports, links=links)


def linearized(scene: Scene, measurement: Measurement, point_m: np.ndarray) -> EchoReport:
    """A measurement as location, information and Doppler shift, linear about a point.

    scene: seen on one band, a plane
    measurement: angle, range and range rate of a path
    point_m: [3], float64, m, map
    """
    receiver = measurement.receiver
    parameters = measurement.parameters
    accuracy = measurement.accuracy
    transmitter = scene.transmitters[parameters.transmitter]
    point_m = _off_receiver(receiver, point_m)

    # Errors of angle and range at the point, in standard deviations.
    path = bistatic_geometry(transmitter.position_m, receiver.position_m, point_m, np.zeros(3), 1.0)
    cosine_error = np.cos(parameters.angle_rad) - path.aoa @ receiver.axis
    range_error_m = parameters.range_m - path.range_m
    deviations = np.array([accuracy.cosine, accuracy.range_m])
    errors = np.array([cosine_error, range_error_m]) / deviations

    # Their slopes with the location.
    slopes = location_slopes(scene, receiver, parameters.transmitter, point_m)
    slopes = slopes / deviations[:, None]

    # Location by least squares.
    information = slopes.T @ slopes + np.eye(2) / UNSEEN_STD_M**2
    located_m = point_m.copy()
    located_m[:2] += np.linalg.solve(information, slopes.T @ errors)

    # SNR at which the Doppler shift has the stated standard deviation.
    wavelength_m = scene.grid.wavelength_m
    doppler_hz = -parameters.range_rate_mps / wavelength_m
    precision = (wavelength_m / accuracy.range_rate_mps) ** 2
    snr = float(precision / doppler_information(scene.grid, 1.0))
    report = PathReport(parameters.transmitter, doppler_hz, snr, information)
    return EchoReport(receiver.name, located_m, (report,), scene.band)


def _off_receiver(receiver: Site, point_m: np.ndarray) -> np.ndarray:
    """A point, or the nearest one that is not at the receiver, where the angle has no slope.

    point_m: [3], float64, m, map
    """
    away_m = point_m - receiver.position_m
    distance_m = np.linalg.norm(away_m)
    if distance_m >= NEAREST_M:
        return point_m
    direction = away_m / distance_m if distance_m > 0 else receiver.boresight
    return receiver.position_m + NEAREST_M * direction


def _extended(
    scene: Scene,
    measurements: Sequence[Measurement],
    match: Match,
    used: set[int],
    links: Links,
) -> Match:
    """The match with the best agreeing measurement of every other receiver.

    used: indices of the measurements that belong to other targets
    """
    while True:
        receivers = {id(measurements[index].receiver) for index in match.members}
        candidates = [
            fit(scene, measurements, (*match.members, index), links)
            for index, measurement in enumerate(measurements)
            if index not in used and id(measurement.receiver) not in receivers
        ]
        best = min(candidates, key=lambda candidate: candidate.misfit, default=None)
        if best is None or best.misfit >= 1:
            return match
        match = best


def _accepted(scene: Scene, matches: Sequence[Match]) -> tuple[Detection, ...]:
    """Detections of the matches that can be targets of the scene and are not static clutter."""
    detections = [
        detection_of(scene, match.reports, match.fitted)
        for match in matches
        if not is_static(scene, match.reports, match.fitted)
    ]
    return tuple(detection for detection in detections if is_possible(scene, detection))

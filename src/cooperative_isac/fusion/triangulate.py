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
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.path_parameters import (
    Accuracy,
    PathParameters,
    location_of,
    location_slopes,
)
from cooperative_isac.sensing.report import EchoReport, PathReport
from cooperative_isac.sensing.search_grid import AREA_MARGIN

MISFIT_PROBABILITY = 0.9999
FIRST_STEPS, LAST_STEPS = 2, 2
HOPELESS = 30.0
UNSEEN_M = 1e3


@dataclass(frozen=True)
class Measurement:
    """What one receiver says of one target, and how well it is taken to know it."""

    receiver: Site
    parameters: PathParameters
    accuracy: Accuracy


@dataclass(frozen=True)
class Match:
    """Measurements of one target and where they put it; misfit: their chi-square over its gate."""

    members: tuple[int, ...]
    reports: tuple[EchoReport, ...]
    fitted: Estimate
    misfit: float


def triangulate(scene: Scene, measurements: Sequence[Measurement]) -> tuple[Detection, ...]:
    """Detections of the targets that at least two receivers agree on, best agreement first.

    Measurements of two receivers are of one target when one location and velocity explains all six
    numbers; further receivers join where they agree. Location and velocity minimize the squared
    errors of all parameters.
    """
    links = links_of(scene)
    pairs = [
        fit(scene, measurements, pair, links)
        for pair in combinations(range(len(measurements)), 2)
        if measurements[pair[0]].receiver is not measurements[pair[1]].receiver
    ]
    used: set[int] = set()
    told = []
    for match in sorted((pair for pair in pairs if pair.misfit < 1), key=lambda pair: pair.misfit):
        if used.isdisjoint(match.members):
            match = _joined(scene, measurements, match, used, links)
            used.update(match.members)
            told.append(match)
    return _trusted(scene, told)


def locate_each(scene: Scene, measurements: Sequence[Measurement]) -> tuple[Detection, ...]:
    """Detections of one receiver's measurements, each a target; it knows one component of each
    velocity.
    """
    links = links_of(scene)
    return _trusted(
        scene, [fit(scene, measurements, (index,), links) for index in range(len(measurements))]
    )


def fit(
    scene: Scene,
    measurements: Sequence[Measurement],
    members: tuple[int, ...],
    links: Links | None = None,
) -> Match:
    """The best location and velocity of measurements, by Gauss-Newton steps from the better of
    their locations.

    What disagrees beyond hope after the first steps is left there.
    """
    links = links_of(scene) if links is None else links
    chosen = [measurements[index] for index in members]
    starts = [
        location_of(scene, measurement.receiver, measurement.parameters) for measurement in chosen
    ]
    begun = min(
        (_climb(scene, chosen, members, start, FIRST_STEPS, links) for start in starts),
        key=lambda match: match.misfit,
    )
    if begun.misfit > HOPELESS:
        return begun
    point = np.append(begun.fitted.position_m, scene.plane_height_m)
    return _climb(scene, chosen, members, point, LAST_STEPS, links)


def _climb(
    scene: Scene,
    chosen: Sequence[Measurement],
    members: tuple[int, ...],
    start_m: np.ndarray,
    steps: int,
    links: Links,
) -> Match:
    reports, fitted = _step(scene, chosen, start_m, links)
    for _ in range(steps - 1):
        point = np.append(fitted.position_m, start_m[2])
        reports, fitted = _step(scene, chosen, point, links)
    gate = chdtri(max(fitted.degrees, 1), 1 - MISFIT_PROBABILITY)
    return Match(members, reports, fitted, float(fitted.misfits.sum() / gate))


def _step(
    scene: Scene, chosen: Sequence[Measurement], point_m: np.ndarray, links: Links
) -> tuple[tuple[EchoReport, ...], Estimate]:
    """One Gauss-Newton step from a point [3] in map, or from the nearest one of the area."""
    area, point = scene.box.padded(AREA_MARGIN), point_m.copy()
    point[:2] = np.clip(point[:2], area.low_m[:2], area.high_m[:2])
    reports = tuple(linearized(scene, measurement, point) for measurement in chosen)
    return reports, estimate(scene, reports, links=links)


def linearized(scene: Scene, measurement: Measurement, point_m: np.ndarray) -> EchoReport:
    """A measurement as location, information and Doppler shift, linear about a point."""
    receiver, parameters, accuracy = (
        measurement.receiver,
        measurement.parameters,
        measurement.accuracy,
    )
    site = scene.transmitters[parameters.transmitter]
    path = bistatic_geometry(site.position_m, receiver.position_m, point_m, np.zeros(3), 1.0)
    deviations = np.array([accuracy.cosine, accuracy.range_m])
    away = np.array(
        [np.cos(parameters.angle_rad) - path.aoa @ receiver.axis, parameters.range_m - path.range_m]
    )
    slopes = location_slopes(scene, receiver, parameters.transmitter, point_m) / deviations[:, None]
    information = slopes.T @ slopes + np.eye(2) / UNSEEN_M**2
    located = point_m.copy()
    located[:2] += np.linalg.solve(information, slopes.T @ (away / deviations))
    wavelength = scene.grid.wavelength_m
    power = (wavelength / accuracy.range_rate_mps) ** 2 / doppler_information(scene.grid, 1.0)
    return EchoReport(
        receiver.name,
        located,
        (
            PathReport(
                parameters.transmitter,
                -parameters.range_rate_mps / wavelength,
                float(power),
                information,
            ),
        ),
        scene.band,
    )


def _joined(
    scene: Scene,
    measurements: Sequence[Measurement],
    match: Match,
    used: set[int],
    links: Links,
) -> Match:
    """The match with the best agreeing measurement of every other receiver."""
    while True:
        heard = {id(measurements[index].receiver) for index in match.members}
        wider = [
            fit(scene, measurements, (*match.members, index), links)
            for index, measurement in enumerate(measurements)
            if index not in used and id(measurement.receiver) not in heard
        ]
        best = min(wider, key=lambda candidate: candidate.misfit, default=None)
        if best is None or best.misfit >= 1:
            return match
        match = best


def _trusted(scene: Scene, matches: Sequence[Match]) -> tuple[Detection, ...]:
    """Detections of the matches that can be targets of the scene and are not static clutter."""
    detections = [
        detection_of(scene, match.reports, match.fitted)
        for match in matches
        if not is_static(scene, match.reports, match.fitted)
    ]
    return tuple(detection for detection in detections if is_possible(scene, detection))

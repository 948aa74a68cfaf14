"""Fusion of point targets in plain loops over report objects: the twin of fusion.points."""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.body import POINT_STD_M
from cooperative_isac.fusion.estimate import CONVERGED_STEP, GAUSS_NEWTON_STEPS
from cooperative_isac.fusion.fuse import detection_of, is_target
from cooperative_isac.fusion.grouping import GATE_PROBABILITY
from cooperative_isac.fusion.points import MISFIT_PER_DEGREE, MISFIT_PROBABILITY
from cooperative_isac.fusion.rejection import Accepted
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY
from cooperative_isac.sensing.information import shift_information
from cooperative_isac.sensing.known_paths import link_suppression


@dataclass
class PlainEstimate:
    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    misfits: np.ndarray
    degrees: int
    body: object = POINT_BODY


def plain_clusters(scene, reports):
    """Clusters of reports and their estimates, one after the other."""
    free = sorted(reports, key=lambda report: -report.power)
    while free:
        members = grown(scene, free)
        fitted = plain_estimate(scene, members)
        while len(members) > 1 and fitted.misfits.sum() > chdtri(
            max(fitted.degrees, 1), 1 - MISFIT_PROBABILITY
        ):
            candidates = [members[:place] + members[place + 1 :] for place in range(len(members))]
            fits = [plain_estimate(scene, candidate) for candidate in candidates]
            scores = [fit.misfits.sum() - MISFIT_PER_DEGREE * fit.degrees for fit in fits]
            best = int(np.argmin(scores))
            members, fitted = candidates[best], fits[best]
        free = [report for report in free if not any(report is member for member in members)]
        yield members, fitted


def grown(scene, free):
    """The strongest report and the nearest ones that can be of the same target."""
    size = scene.dimension
    gate = chdtri(size, 1 - GATE_PROBABILITY)
    cluster = [free[0]]
    information = free[0].information
    weighted = information @ free[0].point_m[:size]
    while True:
        taken = {(r.band, r.receiver, path.transmitter) for r in cluster for path in r.paths}
        center = np.linalg.solve(information, weighted)
        best, nearest = np.inf, None
        for report in free:
            links = {(report.band, report.receiver, path.transmitter) for path in report.paths}
            if not links.isdisjoint(taken):
                continue
            spread = np.linalg.inv(report.information) + np.linalg.inv(information)
            spread = spread + POINT_STD_M**2 * np.eye(size)
            away = report.point_m[:size] - center
            distance = away @ np.linalg.solve(spread, away)
            if distance < best:
                best, nearest = distance, report
        if nearest is None or best > gate:
            return cluster
        cluster.append(nearest)
        information = information + nearest.information
        weighted = weighted + nearest.information @ nearest.point_m[:size]


def plain_estimate(scene, reports):
    """Gauss-Newton over location and velocity, equation by equation."""
    size = scene.dimension
    information = sum(report.information for report in reports)
    weighted = sum(report.information @ report.point_m[:size] for report in reports)
    prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps**-2.0], size))
    position, velocity = np.linalg.solve(information, weighted), np.zeros(size)
    for _ in range(GAUSS_NEWTON_STEPS):
        normal = prior.copy()
        normal[:size, :size] += information
        slope = -prior @ np.concatenate([position, velocity])
        slope[:size] += weighted - information @ position
        for _, row, error, weight in shift_equations(scene, reports, position, velocity):
            normal += weight * np.outer(row, row)
            slope += weight * error * row
        step = np.linalg.solve(normal, slope)
        position, velocity = position + step[:size], velocity + step[size:]
        if step @ normal @ step < CONVERGED_STEP:
            break
    misfits = np.zeros(len(reports))
    for index, report in enumerate(reports):
        away = report.point_m[:size] - position
        misfits[index] = away @ report.information @ away
    equations = shift_equations(scene, reports, position, velocity)
    for index, _, error, weight in equations:
        misfits[index] += weight * error**2
    degrees = size * len(reports) + len(equations) - 2 * size
    return PlainEstimate(position, velocity, np.linalg.inv(normal), misfits, degrees)


def shift_equations(scene, reports, position, velocity):
    """(report, slope with the state, error, weight) of every Doppler shift."""
    size = scene.dimension
    point, moving = np.array([0.0, 0.0, scene.plane_height_m]), np.zeros(3)
    point[:size], moving[:size] = position, velocity
    equations = []
    for index, report in enumerate(reports):
        view = scene.on(report.band)
        receiver = view.receiver(report.receiver)
        wavelength = view.grid.wavelength_m
        for path in report.paths:
            sender = view.transmitters[path.transmitter]
            sites = sender.velocity_mps, receiver.velocity_mps
            geometry = bistatic_geometry(
                sender.position_m, receiver.position_m, point, moving, wavelength, *sites
            )
            with_location = geometry.doppler_location_gradient(moving, wavelength, *sites)[:size]
            with_velocity = -geometry.range_gradient[:size] / wavelength
            weight = shift_information(
                view.grid,
                np.array([path.power]),
                np.array([path.doppler_hz]),
                link_suppression(view, receiver),
            )[0]
            row = np.concatenate([with_location, with_velocity])
            equations.append((index, row, path.doppler_hz - geometry.doppler_hz, weight))
    return equations


def plain_fuse(scene, reports):
    """Detections of a frame in which the reports of all stations arrived."""
    accepted = []
    for cluster, fitted in plain_clusters(scene, reports):
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted):
            accepted.append(Accepted(cluster, detection, POINT_BODY))
    return tuple(one.detection for one in accepted)

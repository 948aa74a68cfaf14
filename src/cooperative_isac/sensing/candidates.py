"""Weak candidates: peaks of the likelihood surface below the detection threshold of a station.

One station alone cannot separate them from noise. The fusion center adds up those of several
stations and links that agree in location and velocity (fusion.soft_fusion).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.information import (
    LEAST_INFORMATION,
    doppler_information,
    location_information,
    positive_definite,
)
from cooperative_isac.sensing.joint_fit import JointFit, MatchBudget, subtract_paths
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.surface import Surface

# Matched-filter power below which a peak is no candidate, in noise variances: a mean of 1 is noise
# alone, and such weak peaks of several stations agree by chance.
LEAST_POWER = 4.0
# Steps of Fisher scoring: peaks of the surface are half a cell off at most.
REFINEMENTS = 2
# Longest step of a location, in steps of the search grid along the range, and of a Doppler shift,
# in resolution cells: what is farther belongs to another peak.
MOST_STEP = 2.0
MOST_SHIFT = 0.5
# Joint fits of the search for strong peaks, whose side lobes would fill the list of candidates.
STRONG_MATCHES = 60


@dataclass(frozen=True)
class Candidates:
    """Single paths that stand out of the noise a little, the strongest first.

    transmitter: [num_candidates], int, index of the transmitting site
    point_m: [num_candidates, 3], float64, m, in map
    doppler_hz: [num_candidates], float64, Hz
    power: [num_candidates], float64, matched-filter power in noise variances
    """

    transmitter: np.ndarray
    point_m: np.ndarray
    doppler_hz: np.ndarray
    power: np.ndarray

    def __len__(self) -> int:
        return len(self.power)

    def take(self, chosen: np.ndarray) -> Candidates:
        """Some of the candidates, [m], int or bool."""
        return Candidates(
            self.transmitter[chosen],
            self.point_m[chosen],
            self.doppler_hz[chosen],
            self.power[chosen],
        )


NO_CANDIDATES = Candidates(np.zeros(0, int), np.zeros((0, 3)), np.zeros(0), np.zeros(0))


def find_candidates(sensor: LocalMl, joint: JointFit, known: Fit | None, most: int) -> Candidates:
    """The strongest peaks of what the known paths of an echo leave.

    sensor: the search of the station
    joint: the echo; its budget is not touched
    known: paths that the station reports; None: none
    most: number of candidates, at most
    """
    if most < 1 or not len(sensor.search.points_m):
        return NO_CANDIDATES

    # The echo with a budget of its own, and what the known paths leave of it.
    budget = MatchBudget(matches_left=STRONG_MATCHES)
    joint = JointFit(joint.maker, joint.correlation, joint.noise_power_w, budget)
    residual = joint.correlation
    if known is not None:
        residual = subtract_paths(residual, known)

    # Peaks above the threshold of the station, whose side lobes go with them.
    found = NO_CANDIDATES
    surface = sensor.surface(joint, residual)
    strong = sensor.strong_paths(joint, known, residual, surface)
    if strong.num_paths:
        fit = JointFit(joint.maker, residual, joint.noise_power_w).match(strong)
        state = fit.state
        found = Candidates(
            state.transmitter, state.points_m[state.owner], state.doppler_hz, fit.power
        )
        residual = subtract_paths(residual, fit)
        surface = sensor.surface(joint, residual)

    # Peaks of what is left.
    peaks = _peaks(sensor, surface, most - len(found))
    if peaks.num_paths:
        found = _joined(found, _refined(sensor, joint, residual, peaks))

    # The strongest that are finite.
    is_finite = np.isfinite(found.power) & np.isfinite(found.doppler_hz)
    is_finite &= np.isfinite(found.point_m).all(axis=1)
    found = found.take(is_finite & (found.power >= LEAST_POWER))
    strongest = np.argsort(-found.power, kind="stable")[:most]
    return found.take(strongest)


def _peaks(sensor: LocalMl, surface: Surface, most: int) -> PathState:
    """The strongest peaks of a likelihood surface, no two of a transmitter in one main lobe."""
    # Highest cell of all transmitters, one after the other.
    power = surface.power.copy()
    cells = []
    transmitters = []
    for _ in range(most):
        transmitter, cell = np.unravel_index(int(power.argmax()), power.shape)
        if power[transmitter, cell] < LEAST_POWER:
            break
        cells.append(cell)
        transmitters.append(transmitter)
        power[transmitter, sensor.search.neighbors(int(cell))] = 0
    return PathState(
        points_m=sensor.search.points_m[cells],
        owner=np.arange(len(cells)),
        transmitter=np.array(transmitters, int),
        doppler_hz=surface.doppler_hz[transmitters, cells],
    )


def _refined(
    sensor: LocalMl, joint: JointFit, residual: np.ndarray, peaks: PathState
) -> Candidates:
    """Candidates at the peaks of the likelihood of single paths, each for itself.

    A joint fit would share noise among paths whose waveforms are nearly alike.
    """
    longest_m = MOST_STEP * sensor.search.range_step_m
    most_hz = MOST_SHIFT * joint.maker.reference.frame.grid.doppler_resolution_hz
    limit_hz = sensor.max_doppler_hz
    best = _scored(joint, residual, peaks)
    for _ in range(REFINEMENTS):
        # Step of the location by Fisher scoring, no farther than the main lobe.
        moves_m = np.linalg.solve(best.information, best.location_slope[..., None])[..., 0]
        length_m = np.linalg.norm(moves_m, axis=1, keepdims=True)
        moves_m *= np.minimum(1.0, longest_m / np.maximum(length_m, longest_m))
        points_m = best.state.points_m.copy()
        points_m[:, : moves_m.shape[1]] += moves_m

        # Step of the Doppler shift.
        shifts_hz = np.clip(best.doppler_slope / best.doppler_information, -most_hz, most_hz)
        doppler_hz = np.clip(best.state.doppler_hz + shifts_hz, -limit_hz, limit_hz)

        # Keep what is more likely than before.
        state = replace(best.state, points_m=points_m, doppler_hz=doppler_hz)
        tried = _scored(joint, residual, state)
        best = best.where(tried, tried.power > best.power)
    return Candidates(
        best.state.transmitter, best.state.points_m, best.state.doppler_hz, best.power
    )


@dataclass(frozen=True)
class _Scored:
    """Likelihood of single paths, one for each target, with its slopes.

    power: [n], float64, matched-filter power in noise variances
    location_slope: [n, D], float64, 1/m
    doppler_slope: [n], float64, 1/Hz
    information: [n, D, D], float64, 1/m^2
    doppler_information: [n], float64, 1/Hz^2
    """

    state: PathState
    power: np.ndarray
    location_slope: np.ndarray
    doppler_slope: np.ndarray
    information: np.ndarray
    doppler_information: np.ndarray

    def where(self, other: _Scored, better: np.ndarray) -> _Scored:
        """The paths of another where it is better, [n], bool."""
        point_m = np.where(better[:, None], other.state.points_m, self.state.points_m)
        doppler_hz = np.where(better, other.state.doppler_hz, self.state.doppler_hz)
        return _Scored(
            replace(self.state, points_m=point_m, doppler_hz=doppler_hz),
            np.where(better, other.power, self.power),
            np.where(better[:, None], other.location_slope, self.location_slope),
            np.where(better, other.doppler_slope, self.doppler_slope),
            np.where(better[:, None, None], other.information, self.information),
            np.where(better, other.doppler_information, self.doppler_information),
        )


def _scored(joint: JointFit, residual: np.ndarray, state: PathState) -> _Scored:
    """The likelihood of the single paths of a state, and its slopes."""
    maker = joint.maker
    reference = maker.reference
    replica = maker.make(state)
    count, num_filters = replica.filters.shape[:2]
    num_blocks = reference.num_blocks

    # The echo in each path's beam and in the derivatives of the beam with the location.
    beams = replica.receive.conj().reshape(count * num_filters, -1)
    in_beam = beams @ residual.reshape(len(residual), -1)
    in_beam = in_beam.reshape(count, num_filters, -1, num_blocks)

    # At each path's Doppler shift, and in the derivative with it.
    ramp = -2j * np.pi * (reference.block_times_s - reference.middle_s)
    phases = replica.doppler_phases
    phase_slopes = phases * ramp.astype(np.complex64)
    in_bin = in_beam @ np.stack([phases, phase_slopes], axis=-1)[:, None]

    # Behind each path's filter, and the derivatives with Doppler shift and location.
    filters = replica.filters.conj().reshape(count, num_filters, -1)
    matched = np.einsum("nf,nf->n", filters[:, 0], in_bin[:, 0, :, 0])
    by_doppler = np.einsum("nf,nf->n", filters[:, 0], in_bin[:, 0, :, 1])
    by_location = np.einsum("nkf,nf->nk", filters[:, 1:], in_bin[:, 0, :, 0])
    by_location += np.einsum("nf,nkf->nk", filters[:, 0], in_bin[:, 1:, :, 0])

    # Power over noise; the energy of a waveform changes with the location.
    energy = replica.gram[:, 0, 0].real
    noise_w = energy * joint.noise_power_w
    power = np.abs(matched) ** 2 / noise_w
    slope = 2 * np.real(matched.conj()[:, None] * by_location) / noise_w[:, None]
    slope -= power[:, None] * 2 * replica.gram[:, 0, 1:].real / energy[:, None]
    doppler_slope = 2 * np.real(matched.conj() * by_doppler) / noise_w

    # Information with the amplitude unknown.
    information = location_information(replica.receive[state.owner], replica.gram)
    information = positive_definite(information)
    shift = doppler_information(reference.frame.grid, power) * replica.doppler_share
    return _Scored(
        state,
        power.astype(float),
        slope.astype(float),
        doppler_slope.astype(float),
        2 * power[:, None, None] * information,
        np.maximum(shift, LEAST_INFORMATION),
    )


def _joined(first: Candidates, second: Candidates) -> Candidates:
    return Candidates(
        np.concatenate([first.transmitter, second.transmitter]),
        np.concatenate([first.point_m, second.point_m]),
        np.concatenate([first.doppler_hz, second.doppler_hz]),
        np.concatenate([first.power, second.power]),
    )

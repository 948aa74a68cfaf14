"""Weak candidates: peaks of the likelihood surface below the detection threshold of a station.

One station alone cannot separate them from noise. The fusion center adds up those of several
stations and links that agree in location and velocity (fusion.soft_fusion).
"""

from __future__ import annotations

from collections.abc import Sequence
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
# Steps of Fisher scoring at most, and gain of power that is worth another one, in noise variances.
# A peak half a cell off has lost a quarter of its power, and most arrive after four steps: where
# they stop early, errors of location are larger than the information states.
REFINEMENTS = 10
LEAST_GAIN = 0.05
# Longest step of a location, in steps of the search grid along the range, and of a Doppler shift,
# in resolution cells: what is farther belongs to another peak.
MOST_STEP = 2.0
MOST_SHIFT = 0.5
# Squared Mahalanobis distance below which two refined peaks are one: cells of the search on both
# sides of a peak arrive at it to a fraction of a standard deviation, and peaks beside it are one
# main lobe away, several standard deviations.
SAME_PEAK = 4.0
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


def find_candidates(
    sensor: LocalMl, joint: JointFit, known: Fit | None, most: int, linked: Sequence[int]
) -> Candidates:
    """The strongest peaks of what the known paths of an echo leave.

    sensor: the search of the station
    joint: the echo; its budget is not touched
    known: paths that the station reports; None: none
    most: number of candidates, at most
    linked: [num_linked], indices of the transmitters whose paths the station uses
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

    # Peaks of what is left, of paths that are used.
    found = found.take(np.isin(found.transmitter, linked))
    peaks = _peaks(sensor, surface, most - len(found), linked)
    if peaks.num_paths:
        found = _joined(found, _refined(sensor, joint, residual, peaks))

    # The strongest that are finite.
    is_finite = np.isfinite(found.power) & np.isfinite(found.doppler_hz)
    is_finite &= np.isfinite(found.point_m).all(axis=1)
    found = found.take(is_finite & (found.power >= LEAST_POWER))
    strongest = np.argsort(-found.power, kind="stable")[:most]
    return found.take(strongest)


def _peaks(sensor: LocalMl, surface: Surface, most: int, linked: Sequence[int]) -> PathState:
    """The strongest peaks of a likelihood surface, no two of a transmitter in one main lobe.

    sensor: the search of the station
    surface: of the echo
    most: number of peaks, at most
    linked: [num_linked], indices of the transmitters whose paths the station uses
    """
    # Highest cell of all these transmitters, one after the other.
    power = np.zeros_like(surface.power)
    power[list(linked)] = surface.power[list(linked)]
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
    best = _scored(joint, residual, peaks)
    unfinished = np.arange(len(best.power))
    for _ in range(REFINEMENTS):
        if not len(unfinished):
            break
        before = best.at(unfinished)
        tried = _scored(joint, residual, _stepped(sensor, joint, before))

        # Keep what is more likely than before, and go on where it is so by far.
        gain = tried.power - before.power
        best = best.replaced(unfinished[gain > 0], tried.at(np.flatnonzero(gain > 0)))
        unfinished = unfinished[gain > LEAST_GAIN]

    # Each peak once.
    best = best.at(np.flatnonzero(~_is_repeated(best)))
    return Candidates(
        best.state.transmitter, best.state.points_m, best.state.doppler_hz, best.power
    )


def _stepped(sensor: LocalMl, joint: JointFit, scored: _Scored) -> PathState:
    """Single paths after a step of Fisher scoring."""
    # Step of the location, no farther than the main lobe.
    moves_m = np.linalg.solve(scored.information, scored.location_slope[..., None])[..., 0]
    length_m = np.linalg.norm(moves_m, axis=1, keepdims=True)
    longest_m = MOST_STEP * sensor.search.range_step_m
    shortening = longest_m / np.maximum(length_m, longest_m)
    moves_m *= np.minimum(1.0, shortening)

    # In a plane the height stays.
    size = moves_m.shape[1]
    points_m = scored.state.points_m.copy()
    points_m[:, :size] += moves_m

    # Step of the Doppler shift, likewise, and within the shifts that are searched.
    shifts_hz = scored.doppler_slope / scored.doppler_information
    longest_hz = MOST_SHIFT * joint.maker.reference.frame.grid.doppler_resolution_hz
    shifts_hz = np.clip(shifts_hz, -longest_hz, longest_hz)
    limit_hz = sensor.max_doppler_hz
    doppler_hz = np.clip(scored.state.doppler_hz + shifts_hz, -limit_hz, limit_hz)
    return replace(scored.state, points_m=points_m, doppler_hz=doppler_hz)


def _is_repeated(scored: _Scored) -> np.ndarray:
    """Mask of the paths that are at the peak of a stronger one, [n], bool."""
    state = scored.state

    # Squared distances of all pairs, [n, n], in units of the first path's accuracy: of locations,
    # then with those of Doppler shifts.
    size = scored.information.shape[-1]
    away_m = (state.points_m[:, None] - state.points_m)[..., :size]
    away_hz = state.doppler_hz[:, None] - state.doppler_hz
    squared = np.einsum("nmi,nij,nmj->nm", away_m, scored.information, away_m)
    squared += scored.doppler_information[:, None] * away_hz**2
    is_near = squared < SAME_PEAK

    # Pairs of one transmitter.
    is_same = state.transmitter[:, None] == state.transmitter

    # Pairs whose second path is the stronger one, the earlier one of equals.
    strongest = np.argsort(-scored.power, kind="stable")
    rank = np.empty(len(strongest), int)
    rank[strongest] = np.arange(len(strongest))
    is_after = rank[:, None] > rank
    return (is_near & is_same & is_after).any(axis=1)


@dataclass(frozen=True)
class _Scored:
    """Likelihood of single paths, one for each target, with its slopes.

    state: the paths
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

    def at(self, rows: np.ndarray) -> _Scored:
        """Some of the paths, [m], int."""
        state = self.state
        return _Scored(
            PathState(
                state.points_m[rows],
                np.arange(len(rows)),
                state.transmitter[rows],
                state.doppler_hz[rows],
            ),
            self.power[rows],
            self.location_slope[rows],
            self.doppler_slope[rows],
            self.information[rows],
            self.doppler_information[rows],
        )

    def replaced(self, rows: np.ndarray, others: _Scored) -> _Scored:
        """These paths with others in place of some of them.

        rows: [m], int
        others: m paths of the same transmitters
        """
        return _Scored(
            replace(
                self.state,
                points_m=_replaced(self.state.points_m, rows, others.state.points_m),
                doppler_hz=_replaced(self.state.doppler_hz, rows, others.state.doppler_hz),
            ),
            _replaced(self.power, rows, others.power),
            _replaced(self.location_slope, rows, others.location_slope),
            _replaced(self.doppler_slope, rows, others.doppler_slope),
            _replaced(self.information, rows, others.information),
            _replaced(self.doppler_information, rows, others.doppler_information),
        )


def _replaced(values: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """A copy of values with others in some of its rows."""
    copy = values.copy()
    copy[rows] = others
    return copy


def _scored(joint: JointFit, residual: np.ndarray, state: PathState) -> _Scored:
    """The likelihood of the single paths of a state, and its slopes."""
    maker = joint.maker
    reference = maker.reference
    replica = maker.make(state)
    count, num_filters = replica.filters.shape[:2]
    num_blocks = reference.num_blocks

    # The echo at each path's Doppler shift, and its derivative with it.
    phases = replica.doppler_phases
    phase_slopes = phases * reference.doppler_ramp.astype(np.complex64)
    in_bins = np.concatenate([phases, phase_slopes]) @ residual.reshape(-1, num_blocks).T
    in_bin, bin_slope = in_bins.reshape(2, count, len(residual), -1)

    # In each path's beam, and the derivatives with the location and with the Doppler shift.
    beams = replica.receive.conj()
    in_beam = beams @ in_bin
    doppler_slopes = (beams[:, :1] @ bin_slope)[:, 0]

    # Behind each path's filter, and the derivatives with Doppler shift and location.
    filters = replica.filters.conj().reshape(count, num_filters, -1)
    matched = np.einsum("nf,nf->n", filters[:, 0], in_beam[:, 0])
    by_doppler = np.einsum("nf,nf->n", filters[:, 0], doppler_slopes)
    by_location = np.einsum("nkf,nf->nk", filters[:, 1:], in_beam[:, 0])
    by_location += np.einsum("nf,nkf->nk", filters[:, 0], in_beam[:, 1:])

    # Power over noise, and its slope with the Doppler shift.
    energy = replica.gram[:, 0, 0].real
    noise_w = energy * joint.noise_power_w
    power = np.abs(matched) ** 2 / noise_w
    doppler_slope = 2 * np.real(matched.conj() * by_doppler) / noise_w

    # Its slope with the location, with which the energy of the waveform changes, too.
    location_slope = 2 * np.real(matched.conj()[:, None] * by_location) / noise_w[:, None]
    energy_slope = 2 * replica.gram[:, 0, 1:].real
    location_slope -= power[:, None] * energy_slope / energy[:, None]

    # Information with the amplitude unknown.
    of_location = location_information(replica.receive[state.owner], replica.gram)
    of_location = positive_definite(of_location)
    of_shift = doppler_information(reference.frame.grid, power) * replica.doppler_share
    return _Scored(
        state=state,
        power=power.astype(float),
        location_slope=location_slope.astype(float),
        doppler_slope=doppler_slope.astype(float),
        information=2 * power[:, None, None] * of_location,
        doppler_information=np.maximum(of_shift, LEAST_INFORMATION),
    )


def _joined(first: Candidates, second: Candidates) -> Candidates:
    return Candidates(
        np.concatenate([first.transmitter, second.transmitter]),
        np.concatenate([first.point_m, second.point_m]),
        np.concatenate([first.doppler_hz, second.doppler_hz]),
        np.concatenate([first.power, second.power]),
    )

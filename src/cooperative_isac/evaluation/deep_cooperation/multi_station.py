"""Figures 6a to 6d: location and velocity from one and from four base stations (DC section VI-B).

Four base stations at the corners of a square, 24 GHz and 240 kHz between subcarriers. Each has a
uniform array that receives. Active: each station receives its own signal. Passive: each receives
those of the others. Active-passive: all links. Symbol level fuses channel matrices, data level
estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import estimate_path
from cooperative_isac.evaluation.deep_cooperation.draws import (
    random_phase,
    random_velocity,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.stations import (
    LinkGrid,
    echo_of_target,
    empty_link,
    square_lattice,
    state_near,
)
from cooperative_isac.fusion.data_level import LinkEstimate, locate_by_estimates
from cooperative_isac.fusion.link_channel import LinkChannel
from cooperative_isac.fusion.symbol_level import (
    StateEstimate,
    location_statistic,
    state_information,
)

# Frame of every link: 30.7 MHz around 24 GHz, so that a range cell is 4.9 m.
NUM_SUBCARRIERS = 128
NUM_SYMBOLS = 32
SPACING_HZ = 240e3
CARRIER_HZ = 24e9

# Normal cyclic prefix of TS 38.211: 144 of 2048 samples.
SYMBOL_S = symbol_duration_s(SPACING_HZ)

GRID = LinkGrid(CARRIER_HZ, SPACING_HZ, NUM_SUBCARRIERS, SYMBOL_S, NUM_SYMBOLS)

# Receive array of a station: a line of elements half a wavelength apart, across the view to the
# middle of the square.
NUM_ANTENNAS = 4

# Stations at the corners of a square, targets in its middle part, m.
SIDE_M = 200.0
TARGET_HALF_M = 50.0
STATIONS_M = SIDE_M / 2 * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
# Largest speed of a target, m/s: that of a car on a country road.
MAX_TARGET_SPEED_MPS = 27.0

# Lattices of the search: finer than the resolution cell of the range (4.9 m), and velocities
# finer than the 44 m/s that a frame resolves.
LATTICE_HALF_M = 64.0
LATTICE_STEP_M = 3.0
VELOCITY_STEP_MPS = 9.0

# SNR of one antenna and resource element, dB, at each link.
SNRS_DB = (-38.0, -36.0, -34.0, -32.0, -30.0, -28.0, -26.0, -23.0, -20.0, -15.0, -10.0)

QUANTITIES = {
    "location_m": Quantity("RMSE of location (m)"),
    "velocity_mps": Quantity("RMSE of radial velocity (m/s)"),
}

ACTIVE_LINKS = tuple((i, i) for i in range(4))
PASSIVE_LINKS = tuple((i, (i + step) % 4) for i in range(4) for step in (1, 2, 3))
ONE = "one BS, active"


@dataclass(frozen=True)
class _Curve:
    """One way of cooperation.

    links: (transmitting, receiving) stations
    symbols: fusion of channel matrices, not of estimates
    """

    links: tuple[tuple[int, int], ...]
    symbols: bool = True


CURVES = {
    "a": {
        ONE: _Curve(ACTIVE_LINKS[:1]),
        "four BSs, active, data level": _Curve(ACTIVE_LINKS, symbols=False),
        "four BSs, active, symbol level": _Curve(ACTIVE_LINKS),
    },
    "c": {
        ONE: _Curve(ACTIVE_LINKS[:1]),
        "four BSs, active": _Curve(ACTIVE_LINKS),
        "four BSs, passive": _Curve(PASSIVE_LINKS),
        "four BSs, active-passive": _Curve(ACTIVE_LINKS + PASSIVE_LINKS),
    },
}


def multi_station(name: str, curves: str) -> Experiment:
    """The experiment of figures 6a and 6b (curves "a") or of 6c and 6d (curves "c").

    The velocity is the one along the line of sight of the first station, which a single station
    measures too.

    name: name of the figure
    curves: "a" for active cooperation, "c" for passive and active-passive cooperation
    """
    titles = {
        "a": "DC Figs. 6a, 6b: one base station, and active cooperation of four",
        "c": "DC Figs. 6c, 6d: one base station, and four: active, passive, active-passive",
    }
    return Experiment(
        name=name,
        title=titles[curves],
        axis="SNR of an antenna's resource element (dB)",
        values=SNRS_DB,
        quantities=QUANTITIES,
        trial=_trial_active if curves == "a" else _trial_passive,
        bounds=_bounds_active if curves == "a" else _bounds_passive,
    )


def _trial_active(snr_db: float, generator: np.random.Generator) -> Errors:
    return _trial(CURVES["a"], snr_db, generator)


def _trial_passive(snr_db: float, generator: np.random.Generator) -> Errors:
    return _trial(CURVES["c"], snr_db, generator)


def _bounds_active(snr_db: float) -> Errors:
    return _bounds(CURVES["a"], snr_db)


def _bounds_passive(snr_db: float) -> Errors:
    return _bounds(CURVES["c"], snr_db)


def _trial(curves: dict[str, _Curve], snr_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all curves see the same echoes."""
    position_m = generator.uniform(-TARGET_HALF_M, TARGET_HALF_M, 2)
    velocity_mps = random_velocity(generator, MAX_TARGET_SPEED_MPS)

    used = {link for curve in curves.values() for link in curve.links}
    echoes = {}
    for link in sorted(used):
        amplitude = 10 ** (snr_db / 20) * random_phase(generator)
        echoes[link] = echo_of_target(_link(link), amplitude, position_m, velocity_mps, generator)

    points_m = square_lattice(LATTICE_HALF_M, LATTICE_STEP_M)
    statistics = {
        link: location_statistic([echo], points_m, MAX_TARGET_SPEED_MPS)
        for link, echo in echoes.items()
    }

    errors = {}
    for name, curve in curves.items():
        links = [echoes[link] for link in curve.links]
        evidence = np.stack([statistics[link] for link in curve.links])
        locate = _by_symbols if curve.symbols else _by_estimates
        state = locate(links, evidence)
        errors[name] = {
            "location_m": float(np.linalg.norm(state.position_m - position_m)),
            "velocity_mps": float(
                _radial(position_m) @ state.velocity_mps - _radial(position_m) @ velocity_mps
            ),
        }
    return errors


def _by_symbols(links: Sequence[LinkChannel], evidence: np.ndarray) -> StateEstimate:
    """State from channel matrices: lattice of locations, lattice of velocities, refinement.

    evidence: [num_links, num_points], float64, of a target at each point
    """
    points_m = square_lattice(LATTICE_HALF_M, LATTICE_STEP_M)
    velocities_mps = square_lattice(MAX_TARGET_SPEED_MPS, VELOCITY_STEP_MPS)
    return state_near(links, points_m[np.argmax(evidence.sum(axis=0))], velocities_mps)


def _by_estimates(links: Sequence[LinkChannel], evidence: np.ndarray) -> StateEstimate:
    """State from each link's own state: location by delay and angle, and speed along its path.

    evidence: [num_links, num_points], float64, of a target at each point
    """
    estimates = []
    located = []
    for link, own_evidence in zip(links, evidence, strict=True):
        own = _by_symbols([link], own_evidence[None])
        beam = link.toward(own.position_m)
        delay_s = np.linalg.norm(own.position_m - link.transmitter_m) / LIGHT_SPEED_MPS
        delay_s += np.linalg.norm(own.position_m - link.receiver_m) / LIGHT_SPEED_MPS
        window_s = (delay_s - 1 / (NUM_SUBCARRIERS * SPACING_HZ), delay_s + 4e-8)
        path = estimate_path(
            [beam], window_s, (-2 * MAX_TARGET_SPEED_MPS, 2 * MAX_TARGET_SPEED_MPS)
        )
        estimates.append(LinkEstimate(link, path))
        located.append(own)
    start_m = np.median([own.position_m for own in located], axis=0)
    return locate_by_estimates(estimates, start_m, np.zeros(2))


def _bounds(curves: dict[str, _Curve], snr_db: float) -> Errors:
    """Root bounds, averaged in the square over targets of the middle part."""
    snr = 10 ** (snr_db / 10)
    axis_m = np.linspace(-TARGET_HALF_M, TARGET_HALF_M, 6)
    bounds = {}
    for name, curve in curves.items():
        links = [_link(link) for link in curve.links]
        variances = []
        for position_m in np.stack(np.meshgrid(axis_m, axis_m), axis=-1).reshape(-1, 2):
            information = state_information(links, [snr] * len(links), position_m, np.zeros(2))
            location = np.linalg.inv(information[:2, :2])
            radial = _radial(position_m)
            if len(links) == 1:
                velocity = 1 / (radial @ information[2:, 2:] @ radial)
            else:
                velocity = radial @ np.linalg.inv(information[2:, 2:]) @ radial
            variances.append((np.trace(location), velocity))
        location_m, velocity_mps = np.sqrt(np.mean(variances, axis=0))
        bounds[name] = {"location_m": float(location_m), "velocity_mps": float(velocity_mps)}
    return bounds


@cache
def _link(link: tuple[int, int]) -> LinkChannel:
    """Link between two stations, without a channel; arrays face the middle of the square."""
    transmitter, receiver = link
    return empty_link(
        GRID, STATIONS_M[transmitter], STATIONS_M[receiver], -STATIONS_M[receiver], NUM_ANTENNAS
    )


def _radial(position_m: np.ndarray) -> np.ndarray:
    """Unit vector from the first station to a location, [2]."""
    offset = position_m - STATIONS_M[0]
    return offset / np.linalg.norm(offset)

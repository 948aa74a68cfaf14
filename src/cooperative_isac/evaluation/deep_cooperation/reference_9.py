"""Reference [9] of DC with its own parameters: range and velocity of one and of several stations.

Wei et al., "Symbol-Level Integrated Sensing and Communication Enabled Multiple Base Stations
Cooperative Sensing": base stations at 24 GHz, each of which receives its own echo with one antenna.
It counts an SNR after the compression in range, over all subcarriers of a symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import ChannelMatrix, PathEstimate, estimate_path
from cooperative_isac.evaluation.deep_cooperation.draws import random_phase, random_velocity
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.multi_station import STATIONS_M
from cooperative_isac.evaluation.deep_cooperation.stations import (
    LinkGrid,
    echo_of_target,
    empty_link,
    square_lattice,
    state_near,
)
from cooperative_isac.fusion.data_level import LinkEstimate, locate_by_estimates
from cooperative_isac.fusion.link_channel import LinkChannel, path_of, unit_toward
from cooperative_isac.fusion.symbol_level import (
    StateEstimate,
    location_statistic,
    state_information,
)

# Frame of reference [9]: 93.1 MHz around 24 GHz, so that a range cell is 1.6 m; 256 symbols of
# 12.375 us, so that a velocity cell is 2.0 m/s; targets up to 27 m/s.
NUM_SUBCARRIERS = 128
NUM_SYMBOLS = 256
BANDWIDTH_HZ = 93.1e6
MAX_TARGET_SPEED_MPS = 27.0
GRID = LinkGrid(24e9, BANDWIDTH_HZ / NUM_SUBCARRIERS, NUM_SUBCARRIERS, 12.375e-6, NUM_SYMBOLS)

# SNR of reference [9], dB, and what it has over that of one resource element: the compression in
# range adds up the subcarriers in phase.
SNRS_DB = (-20.0, -17.0, -14.0, -11.0, -8.0, -5.0)
RANGE_COMPRESSION_DB = 10 * np.log10(NUM_SUBCARRIERS)

# Targets in the middle of the square of stations, m: reference [9] does not say where. Lattices of
# the search: 0.6 range cells and 0.4 velocity cells, within the main lobe of the next point.
TARGET_HALF_M = 20.0
LATTICE_HALF_M = 24.0
LATTICE_STEP_M = 1.0
VELOCITY_STEP_MPS = 0.8
# From one target to the next of those over which bounds are averaged, m.
BOUND_STEP_M = 10.0

# Delays of the area's points: half of its diagonal and a range cell about that of the middle, s.
MIDDLE_DELAY_S = 2 * float(np.linalg.norm(STATIONS_M[0])) / LIGHT_SPEED_MPS
HALF_WINDOW_S = 2 * (np.sqrt(2) * TARGET_HALF_M + 1.6) / LIGHT_SPEED_MPS
DELAY_WINDOW_S = (MIDDLE_DELAY_S - HALF_WINDOW_S, MIDDLE_DELAY_S + HALF_WINDOW_S)

# Speeds at which a path of a target may shorten: out and back.
MAX_PATH_SPEED_MPS = 2 * MAX_TARGET_SPEED_MPS
SPEED_WINDOW_MPS = (-MAX_PATH_SPEED_MPS, MAX_PATH_SPEED_MPS)

QUANTITIES = {
    "range_m": Quantity("RMSE of range from the first station (m)"),
    "velocity_mps": Quantity("RMSE of radial velocity (m/s)"),
}

ON_BINS = "one BS, on bins of the transform"
ONE = "one BS"
DATA_LEVEL = "four BSs, data level"
# Numbers of stations that cooperate at symbol level.
SYMBOL_LEVEL = {
    "two BSs, symbol level": 2,
    "three BSs, symbol level": 3,
    "four BSs, symbol level": 4,
}


def reference_9() -> Experiment:
    """Range and radial velocity of a target, as seen from the first station."""
    return Experiment(
        name="reference_9",
        title="DC reference [9]: one base station, and active cooperation of two to four",
        axis="SNR after compression in range (dB)",
        values=SNRS_DB,
        quantities=QUANTITIES,
        trial=_trial,
        bounds=_bounds,
    )


def element_snr(snr_db: float) -> float:
    """Power ratio of one resource element.

    snr_db: as reference [9] counts it, after the compression in range, dB
    """
    return float(10 ** ((snr_db - RANGE_COMPRESSION_DB) / 10))


def _trial(snr_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all curves see the same echoes."""
    # Target in the middle of the square.
    position_m = generator.uniform(-TARGET_HALF_M, TARGET_HALF_M, 2)
    velocity_mps = random_velocity(generator, MAX_TARGET_SPEED_MPS)

    # Echo of each station.
    modulus = np.sqrt(element_snr(snr_db))
    echoes = []
    for station in range(len(STATIONS_M)):
        amplitude = modulus * random_phase(generator)
        link = _link(station)
        echoes.append(echo_of_target(link, amplitude, position_m, velocity_mps, generator))

    # Delay and path speed of the first station's echo, by each way.
    matrices = [_matrix(echo) for echo in echoes]
    paths = [estimate_path([matrix], DELAY_WINDOW_S, SPEED_WINDOW_MPS) for matrix in matrices]
    found = {
        ON_BINS: _strongest_bin(matrices[0]),
        ONE: (paths[0].delay_s, paths[0].path_speed_mps),
    }
    for name, count in SYMBOL_LEVEL.items():
        found[name] = _first_path(echoes, _by_symbols(echoes[:count]))
    found[DATA_LEVEL] = _first_path(echoes, _by_estimates(echoes, paths))

    # Their errors.
    truth = path_of(echoes[0], position_m, velocity_mps)
    return {name: _errors(path, truth) for name, path in found.items()}


def _strongest_bin(matrix: ChannelMatrix) -> tuple[float, float]:
    """Delay, s, and path speed, m/s, of the largest bin of a station's two-dimensional transform.

    This is what a station reports that does not interpolate between bins.
    """
    # Transform over the subcarriers to delays, over the symbols to Doppler shifts.
    by_delay = np.fft.ifft(matrix.values, axis=0)
    magnitude = np.abs(np.fft.fft(by_delay, axis=1))

    # Delays of its rows, known modulo the span of the transform: those nearest to the area.
    delays_s = np.arange(NUM_SUBCARRIERS) / BANDWIDTH_HZ
    span_s = NUM_SUBCARRIERS / BANDWIDTH_HZ
    delays_s += span_s * np.round((MIDDLE_DELAY_S - delays_s) / span_s)

    # Path speeds of its columns.
    dopplers_hz = np.fft.fftfreq(NUM_SYMBOLS, GRID.symbol_s)
    speeds_mps = LIGHT_SPEED_MPS / GRID.carrier_hz * dopplers_hz

    # The largest bin in the windows of the search.
    is_near = np.abs(delays_s - MIDDLE_DELAY_S) <= HALF_WINDOW_S
    is_slow = np.abs(speeds_mps) <= MAX_PATH_SPEED_MPS
    searched = np.where(is_near[:, None] & is_slow, magnitude, 0)
    row, column = np.unravel_index(np.argmax(searched), searched.shape)
    return float(delays_s[row]), float(speeds_mps[column])


def _by_symbols(links: Sequence[LinkChannel]) -> StateEstimate:
    """State from channel matrices: lattice of locations, lattice of velocities, refinement."""
    points_m = square_lattice(LATTICE_HALF_M, LATTICE_STEP_M)
    velocities_mps = square_lattice(MAX_TARGET_SPEED_MPS, VELOCITY_STEP_MPS)
    evidence = location_statistic(links, points_m, MAX_TARGET_SPEED_MPS)
    return state_near(links, points_m[np.argmax(evidence)], velocities_mps)


def _by_estimates(links: Sequence[LinkChannel], paths: Sequence[PathEstimate]) -> StateEstimate:
    """State from the delay and speed of each link."""
    estimates = [LinkEstimate(link, path) for link, path in zip(links, paths, strict=True)]
    return locate_by_estimates(estimates, np.zeros(2), np.zeros(2))


def _first_path(links: Sequence[LinkChannel], state: StateEstimate) -> tuple[float, float]:
    """Delay, s, and path speed, m/s, of the first station's echo from a state."""
    return path_of(links[0], state.position_m, state.velocity_mps)


def _errors(path: tuple[float, float], truth: tuple[float, float]) -> dict[str, float]:
    """Errors of range and radial velocity: half of those of the path out and back."""
    return {
        "range_m": LIGHT_SPEED_MPS * (path[0] - truth[0]) / 2,
        "velocity_mps": (path[1] - truth[1]) / 2,
    }


def _bounds(snr_db: float) -> Errors:
    """Root bounds of each curve; both levels of fusion have the same."""
    snr = element_snr(snr_db)
    counts = {ONE: 1, **SYMBOL_LEVEL, DATA_LEVEL: len(STATIONS_M)}
    by_count = {count: _root_bounds(count, snr) for count in set(counts.values())}
    return {name: by_count[count] for name, count in counts.items()}


def _root_bounds(num_stations: int, snr: float) -> dict[str, float]:
    """Root bounds of the first stations, averaged in the square over targets of the middle part."""
    links = [_link(station) for station in range(num_stations)]
    points_m = square_lattice(TARGET_HALF_M, BOUND_STEP_M)
    variances = [_variances(links, snr, point_m) for point_m in points_m]
    range_m, velocity_mps = np.sqrt(np.mean(variances, axis=0))
    return {"range_m": float(range_m), "velocity_mps": float(velocity_mps)}


def _variances(
    links: Sequence[LinkChannel], snr: float, position_m: np.ndarray
) -> tuple[float, float]:
    """Bounds of the variances of range and radial velocity, for a target at rest."""
    # Information about location and velocity, and the line of sight of the first station.
    snr_of_links = [snr] * len(links)
    at_rest_mps = np.zeros(2)
    information = state_information(links, snr_of_links, position_m, at_rest_mps)
    radial = unit_toward(position_m, links[0].receiver_m)

    # A single station measures along its line of sight only.
    if len(links) == 1:
        along = np.kron(np.eye(2), radial)
        covariance = np.linalg.inv(along @ information @ along.T)
        return float(covariance[0, 0]), float(covariance[1, 1])

    # Several stations measure the whole state.
    covariance = np.linalg.inv(information)
    of_location = covariance[:2, :2]
    of_velocity = covariance[2:, 2:]
    range_variance = radial @ of_location @ radial
    velocity_variance = radial @ of_velocity @ radial
    return float(range_variance), float(velocity_variance)


@cache
def _link(station: int) -> LinkChannel:
    """Link of a station to itself, without a channel."""
    place_m = STATIONS_M[station]
    return empty_link(GRID, place_m, place_m, -place_m, num_antennas=1)


def _matrix(link: LinkChannel) -> ChannelMatrix:
    """Channel matrix of the only antenna of a link."""
    return link.toward(np.zeros(2))

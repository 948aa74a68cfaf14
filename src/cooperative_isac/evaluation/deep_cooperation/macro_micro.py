"""A target leaves the micro base stations' common area (DC section IV-B, Fig. 2(d)).

Three micro base stations at 24 GHz surround their common area, a macro base station at 5.9 GHz is
farther away. All sense actively. Synchronization is low: each station has a phase of its own, and
its frame starts at a time of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from cooperative_isac.estimation import PathEstimate, path_information
from cooperative_isac.estimation.recovery import statistic_threshold
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
    location_information,
    snr_of,
    square_lattice,
    state_near,
)
from cooperative_isac.fusion.data_level import LinkEstimate, locate_by_estimates
from cooperative_isac.fusion.link_channel import LinkChannel, path_of
from cooperative_isac.fusion.symbol_level import (
    StateEstimate,
    location_statistic,
    state_information,
)

# Every sixth subcarrier of 120 kHz and every twelfth symbol in the high band, every 20th of 30 kHz
# and every 14th in the low band: 46 and 58 MHz, 3.4 and 16 ms.
HIGH = LinkGrid(24e9, 6 * 120e3, 64, 12 * symbol_duration_s(120e3), 32)
LOW = LinkGrid(5.9e9, 20 * 30e3, 96, 14 * symbol_duration_s(30e3), 32)

# Antennas of a micro and of the macro base station.
MICRO_ANTENNAS = 4
MACRO_ANTENNAS = 8

# The macro base station is at the origin; micro base stations are RADIUS_M from the middle of their
# common area, which they face. The target leaves toward the macro base station, m.
MACRO_M = np.zeros(2)
MIDDLE_M = np.array([160.0, 0.0])
RADIUS_M = 45.0
MICRO_M = MIDDLE_M + RADIUS_M * np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])

# SNR of one antenna and resource element with the target in the middle of the common area, dB: the
# macro base station, with the larger array, detects it alone from there on.
MICRO_SNR_DB = -12.0
MACRO_SNR_DB = -24.0

# Elements of micro base stations, TR 38.901 table 7.3-1: half-power width of 65 degrees, and 30 dB
# less at most; the pattern counts for both ways.
HALF_POWER_DEG = 65.0
LEAST_GAIN_DB = -30.0
# Gain of that pattern at the half-power width off its axis, dB: at half of it the gain is -3 dB.
WIDTH_GAIN_DB = -12.0

# Lattice of places of the target over which bounds are averaged: half of its side and its step, in
# units of SPREAD_M.
BOUND_HALF = 1.0
BOUND_STEP = 0.5

# Target of a run: about its place on the way, and the velocity of a slow UAV.
SPREAD_M = np.array([4.0, 8.0])
MAX_SPEED_MPS = 12.0

# Start of a station's frame, s, uniform within this on both sides: clocks set over the network.
MAX_START_S = 1e-3

# Box in which the target is searched, about its place, and lattices finer than the resolution of
# 2.6 m and 1.6 m/s.
BOX_HALF_M = 30.0
LATTICE_STEP_M = 1.5
VELOCITY_STEP_MPS = 0.8

# Rate of false reports of a link, and number of independent cells whose greatest value in noise is
# that of the lattice (measured).
FALSE_ALARM_RATE = 1e-2
NUM_CELLS = 20_000

# A location counts as found within this distance, m.
FOUND_M = 2.0

MICRO = "micro BSs, symbol level"
MACRO = "macro BS"
DATA = "macro and micro, data level"
SYMBOLS = "macro and micro, symbol level"


@dataclass(frozen=True)
class Evidence:
    """One link and its statistic over the lattice.

    link: with its channel
    statistic: [num_points], float64, in units of the noise
    """

    link: LinkChannel
    statistic: np.ndarray


def macro_micro() -> Experiment:
    """Location of a target on its way out of the micro base stations' common area."""
    return Experiment(
        name="macro_micro",
        title="DC IV-B: a target leaves the micro cells' common area toward the macro base station",
        axis="distance from the middle of the micro cells (m)",
        values=(0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0),
        quantities={
            "location_m": Quantity("RMSE of location (m)"),
            "found": Quantity(f"share within {FOUND_M:g} m", "mean", logarithmic=False),
        },
        trial=_trial,
        bounds=_bounds,
    )


def _trial(distance_m: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all curves see the same echoes."""
    place_m = place_on_way(distance_m)
    position_m = place_m + generator.uniform(-SPREAD_M, SPREAD_M)
    velocity_mps = random_velocity(generator, MAX_SPEED_MPS)
    evidences = observed(place_m, position_m, velocity_mps, 0.0, generator)

    states = {
        MICRO: by_symbols(evidences[1:], place_m),
        MACRO: by_symbols(evidences[:1], place_m),
        DATA: by_estimates(evidences, place_m),
        SYMBOLS: by_symbols(evidences, place_m),
    }
    errors = {}
    for curve, state in states.items():
        error_m = float(np.linalg.norm(state.position_m - position_m))
        errors[curve] = {"location_m": error_m, "found": float(error_m < FOUND_M)}
    return errors


def _bounds(distance_m: float) -> Errors:
    """Root bounds of synchronous stations, averaged over places of the target."""
    micro_and_macro = {MICRO: slice(1, None), MACRO: slice(1), SYMBOLS: slice(None)}
    variances: dict[str, list[float]] = {curve: [] for curve in micro_and_macro}
    for offset_m in square_lattice(BOUND_HALF, BOUND_STEP) * SPREAD_M:
        position_m = place_on_way(distance_m) + offset_m
        snrs = snrs_at(position_m)

        # Information about the location of a target of unknown velocity, from the links of a curve.
        for curve, used in micro_and_macro.items():
            information = state_information(
                links_of_stations()[used], snrs[used], position_m, np.zeros(2)
            )
            if len(links_of_stations()[used]) == 1:
                # One link measures one component of the velocity: the information is singular.
                of_location = location_information(links_of_stations()[0], snrs[0], position_m)
            else:
                of_location = np.linalg.inv(np.linalg.inv(information)[:2, :2])
            variances[curve].append(float(np.trace(np.linalg.inv(of_location))))
    bounds = {
        curve: {"location_m": float(np.sqrt(np.mean(values)))}
        for curve, values in variances.items()
    }
    # Estimates carry the same information about the location, where every link has one.
    return {**bounds, DATA: bounds[SYMBOLS]}


def observed(
    place_m: np.ndarray,
    position_m: np.ndarray,
    velocity_mps: np.ndarray,
    level_db: float,
    generator: np.random.Generator,
) -> list[Evidence]:
    """Echoes at all stations, each at the time of its own frame, macro base station first.

    place_m: [2], float64, m, middle of the searched box
    position_m: [2], float64, m, of the target
    velocity_mps: [2], float64, m/s
    level_db: SNR beside that of the radar equation here, dB
    generator: of phases, noise and frame times
    """
    points_m = place_m + square_lattice(BOX_HALF_M, LATTICE_STEP_M)
    evidences = []
    for link, snr in zip(links_of_stations(), snrs_at(position_m), strict=True):
        # The target has moved when the station's frame starts.
        start_s = generator.uniform(-MAX_START_S, MAX_START_S)
        at_start_m = position_m + start_s * velocity_mps

        # Echo, and its statistic over the searched box.
        amplitude = np.sqrt(snr * 10 ** (level_db / 10)) * random_phase(generator)
        received = echo_of_target(link, amplitude, at_start_m, velocity_mps, generator)
        statistic = location_statistic([received], points_m, MAX_SPEED_MPS)
        evidences.append(Evidence(received, statistic))
    return evidences


def by_symbols(evidences: Sequence[Evidence], place_m: np.ndarray) -> StateEstimate:
    """State from the channel matrices of all given links together.

    evidences: of the links
    place_m: [2], float64, m, middle of the searched box
    """
    points_m = place_m + square_lattice(BOX_HALF_M, LATTICE_STEP_M)
    total = np.sum([evidence.statistic for evidence in evidences], axis=0)
    links = [evidence.link for evidence in evidences]
    return state_near(links, points_m[np.argmax(total)], _velocities())


def by_estimates(evidences: Sequence[Evidence], place_m: np.ndarray) -> StateEstimate:
    """State from the estimates of links that detect the target; of the best one if none does.

    evidences: of all links
    place_m: [2], float64, m, middle of the searched box
    """
    # State of each link that detects the target alone.
    reporting = reporting_links(evidences)
    if not reporting:
        reporting = [max(evidences, key=lambda evidence: float(evidence.statistic.max()))]
    owns = [by_symbols([evidence], place_m) for evidence in reporting]
    if len(owns) == 1:
        return owns[0]

    # Fit of all their delays, path speeds and directions, from the median of the locations.
    estimates = [
        _estimate_of(evidence.link, own) for evidence, own in zip(reporting, owns, strict=True)
    ]
    start_m = np.median([own.position_m for own in owns], axis=0)
    return locate_by_estimates(estimates, start_m, np.zeros(2))


def is_detection(evidences: Sequence[Evidence]) -> bool:
    """Whether the sum of some links' statistics exceeds that of noise alone.

    evidences: of the links
    """
    total = np.sum([evidence.statistic for evidence in evidences], axis=0)
    return bool(total.max() > statistic_threshold(NUM_CELLS, FALSE_ALARM_RATE, len(evidences)))


def reporting_links(evidences: Sequence[Evidence]) -> list[Evidence]:
    """Links that detect the target alone.

    evidences: of all links
    """
    return [evidence for evidence in evidences if is_detection([evidence])]


def _estimate_of(link: LinkChannel, own: StateEstimate) -> LinkEstimate:
    """Delay, path speed and direction of a link's own state, with their deviations."""
    # By the invariance of maximum likelihood they are those of the state's path.
    delay_s, path_speed_mps = path_of(link, own.position_m, own.velocity_mps)
    snr = snr_of(link, own)
    grid = link.toward(own.position_m)
    covariance = np.linalg.inv(path_information([grid], [snr * len(link.elements_m)]))
    path = PathEstimate(delay_s, path_speed_mps, np.zeros(0), covariance)

    # Deviation of the location across the view, as an angle.
    offset_m = own.position_m - link.receiver_m
    range_m = float(np.linalg.norm(offset_m))
    direction = offset_m / range_m
    across = np.array([-direction[1], direction[0]])
    of_location = np.linalg.inv(location_information(link, snr, own.position_m))
    direction_std = float(np.sqrt(across @ of_location @ across)) / range_m
    return LinkEstimate(link, path, direction, direction_std)


def place_on_way(distance_m: float) -> np.ndarray:
    """Place on the way from the common area to the macro base station, [2], float64, m.

    distance_m: from the middle of the common area, m
    """
    return MIDDLE_M - np.array([distance_m, 0.0])


def snrs_at(position_m: np.ndarray) -> np.ndarray:
    """Power ratios of all links by the radar equation and the pattern, [4], float64.

    position_m: [2], float64, m, of the target
    """
    # Macro base station: spreading alone, over that to the middle of the common area.
    to_middle_m = float(np.linalg.norm(MIDDLE_M - MACRO_M))
    levels_db = [MACRO_SNR_DB - _spreading_db(position_m - MACRO_M, to_middle_m)]

    # Micro base stations: spreading, and the pattern of an element on the way out and in.
    for station_m in MICRO_M:
        offset_m = position_m - station_m
        facing = (MIDDLE_M - station_m) / RADIUS_M
        cosine = np.clip(offset_m @ facing / np.linalg.norm(offset_m), -1.0, 1.0)
        angle_deg = np.degrees(np.arccos(cosine))
        gain_db = max(WIDTH_GAIN_DB * (angle_deg / HALF_POWER_DEG) ** 2, LEAST_GAIN_DB)
        levels_db.append(MICRO_SNR_DB - _spreading_db(offset_m, RADIUS_M) + 2 * gain_db)
    return 10 ** (np.array(levels_db) / 10)


def _spreading_db(offset_m: np.ndarray, reference_m: float) -> float:
    """Loss of both ways over that at a reference distance, dB."""
    return float(40 * np.log10(np.linalg.norm(offset_m) / reference_m))


@cache
def links_of_stations() -> tuple[LinkChannel, ...]:
    """Links without a channel, macro base station first."""
    macro = empty_link(LOW, MACRO_M, MACRO_M, MIDDLE_M - MACRO_M, MACRO_ANTENNAS)
    micro = [
        empty_link(HIGH, station_m, station_m, MIDDLE_M - station_m, MICRO_ANTENNAS)
        for station_m in MICRO_M
    ]
    return (macro, *micro)


def _velocities() -> np.ndarray:
    """Lattice of velocities, [num_velocities, 2], m/s."""
    return square_lattice(MAX_SPEED_MPS, VELOCITY_STEP_MPS)

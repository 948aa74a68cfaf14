"""Cooperation of a base station and UEs by where the target is (DC section IV-C, Fig. 3).

Within the range of its own echoes the base station fuses them with what it receives of the UEs'
signals. Farther away UEs near the target receive the base station's signal and report to it. Beyond
the uplink's range they sense with signals of their own, on the base station's schedule, and fuse
among themselves. UEs drive, and their own positions are uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from cooperative_isac.estimation.recovery import statistic_threshold
from cooperative_isac.evaluation.deep_cooperation.draws import random_phase, symbol_duration_s
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
from cooperative_isac.fusion.link_channel import LinkChannel, length_gradient, unit_toward
from cooperative_isac.fusion.station_position import with_position_error
from cooperative_isac.fusion.symbol_level import location_statistic

# Every 16th subcarrier of 30 kHz and every 14th symbol: 61 MHz and 16 ms at 5.9 GHz.
GRID = LinkGrid(5.9e9, 16 * 30e3, 128, 14 * symbol_duration_s(30e3), 32)

# Number of the base station, which is at the origin, among the ends of links; UEs count from 0.
BASE = -1
STATION_M = np.zeros(2)

# Antennas of the base station and of a UE.
STATION_ANTENNAS = 8
UE_ANTENNAS = 4

# UEs about the target's place, at distances uniform within these, m, in random directions.
NUM_UES = 4
UE_DISTANCES_M = (25.0, 60.0)
UE_SPEED_MPS = 10.0

# Standard deviation of the position that a UE reports of itself, along each axis, m.
POSITION_STD_M = 0.5

# SNR of one antenna and resource element of the base station's own echo of a target at 100 m, dB. A
# UE transmits 13 dB less; the base station's signal is focused onto the target by its array.
ECHO_SNR_DB = -14.0
REFERENCE_M = 100.0
UE_POWER_DB = -13.0
FOCUS_DB = 10 * np.log10(STATION_ANTENNAS)

# Borders of the zones, m: the base station detects targets by their own echoes up to the first, and
# UEs reach it up to the second.
DOWNLINK_SENSING_M = 150.0
UPLINK_M = 400.0

# Speed of a target, and box about the target's place in which it is searched. Lattices are finer
# than the resolution of 2.4 m, and of 3.2 m/s along the path.
MAX_SPEED_MPS = 12.0
SPREAD_M = 10.0
BOX_HALF_M = 30.0
LATTICE_STEP_M = 1.2

# Path speeds of the search: both ends of a path shorten at the speeds of target and UE at most.
MAX_PATH_SPEED_MPS = 2 * (MAX_SPEED_MPS + UE_SPEED_MPS)
PATH_SPEED_STEP_MPS = 1.6

# Steps of the fit of a location to path lengths and directions; the last ones change it by less
# than a hundredth of its deviation.
FIT_STEPS = 5

# Least change of a path length with a location, over that of one leg. Below it a location lies
# between both ends, where the length measures nothing; the cosine of half a degree.
LEAST_LENGTH_SLOPE = 1e-2

# Draws of target and UEs that a bound is averaged over.
NUM_BOUND_DRAWS = 50

# Rate of false reports of a link, and number of independent cells whose greatest value in noise is
# that of the lattice (measured).
FALSE_ALARM_RATE = 1e-3
NUM_CELLS = 30_000

# Share of errors within the covariance's ellipse that is consistent.
CONFIDENCE = 0.95

TOGETHER = "A: downlink and uplink together"
REPORTED = "B: UEs report to the BS"
AMONG_UES = "C: UEs fuse among themselves"
CHOSEN = "chosen by the target's place"
EXACT = "the same, UE positions taken for exact"


@dataclass(frozen=True)
class _Setting:
    """Target and UEs of a run.

    place_m: [2], float64, middle of the box in which the target is searched
    position_m, velocity_mps: [2], float64, of the target
    ues_m, ues_mps: [NUM_UES, 2], float64, of the UEs
    """

    place_m: np.ndarray
    position_m: np.ndarray
    velocity_mps: np.ndarray
    ues_m: np.ndarray
    ues_mps: np.ndarray


@dataclass(frozen=True)
class _ZoneLink:
    """One link between the base station and UEs.

    transmitter, receiver: number of the UE, or BASE for the base station
    link: geometry and channel
    snr: power ratio on one antenna and resource element
    """

    transmitter: int
    receiver: int
    link: LinkChannel
    snr: float


def bs_ue_zones() -> Experiment:
    """Location of a target by the three ways of cooperation over its distance."""
    return Experiment(
        name="bs_ue_zones",
        title="DC IV-C: base station and UEs cooperate by where the target is",
        axis="distance of the target from the base station (m)",
        values=(50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 600.0),
        quantities={
            "location_m": Quantity("RMSE of location (m)"),
            "consistent": Quantity(
                f"share of errors within the {CONFIDENCE:.0%} ellipse", "mean", logarithmic=False
            ),
        },
        trial=_trial,
        bounds=_bounds,
    )


def _trial(distance_m: float, generator: np.random.Generator) -> Errors:
    """Errors of one run; links that two ways share have the same echoes."""
    setting = _drawn(distance_m, generator)
    reported_m = setting.ues_m + POSITION_STD_M * generator.normal(size=(NUM_UES, 2))

    # Estimate of each link alone, with the positions that the UEs report.
    by_way = {}
    for way, links in _links(setting).items():
        by_way[way] = [
            _own_estimate(zone_link, setting, reported_m, generator) for zone_link in links
        ]
    if distance_m > UPLINK_M:
        # Reports do not arrive: what the base station receives itself is left.
        by_way[REPORTED] = by_way[TOGETHER]
    by_way[CHOSEN] = by_way[_way_at(distance_m)]
    by_way[EXACT] = by_way[CHOSEN]

    errors = {}
    for way, owns in by_way.items():
        position_m, information = _fused(owns, 0.0 if way == EXACT else POSITION_STD_M)
        error_m = position_m - setting.position_m
        errors[way] = {
            "location_m": float(np.linalg.norm(error_m)),
            "consistent": float(error_m @ information @ error_m < chi2.ppf(CONFIDENCE, 2)),
        }
    return errors


def _way_at(distance_m: float) -> str:
    """Way of cooperation at a target's distance from the base station."""
    if distance_m <= DOWNLINK_SENSING_M:
        return TOGETHER
    return REPORTED if distance_m <= UPLINK_M else AMONG_UES


@dataclass(frozen=True)
class _OwnEstimate:
    """What one link estimates alone.

    zone_link: the link, with its stations where they report themselves
    snr: estimated power ratio on one antenna and resource element
    position_m: [2], float64, m, where the link alone locates the target
    evidence: greatest statistic, in units of the noise
    """

    zone_link: _ZoneLink
    snr: float
    position_m: np.ndarray
    evidence: float


def _own_estimate(
    zone_link: _ZoneLink,
    setting: _Setting,
    reported_m: np.ndarray,
    generator: np.random.Generator,
) -> _OwnEstimate:
    """Estimate from the echo of one link, with UEs where they report themselves."""
    # The echo, with the Doppler shift of moving stations as a change of the target's velocity.
    amplitude = np.sqrt(zone_link.snr) * random_phase(generator)
    apparent_mps = _apparent_velocity(zone_link, setting)
    received = echo_of_target(
        zone_link.link, amplitude, setting.position_m, apparent_mps, generator
    )
    assumed = replace(
        received,
        transmitter_m=_station(zone_link.transmitter, reported_m),
        receiver_m=_station(zone_link.receiver, reported_m),
    )

    # Location on the lattice, with points in front of the array alone, as it is ambiguous behind.
    points_m = setting.place_m + square_lattice(BOX_HALF_M, LATTICE_STEP_M)
    facing = setting.place_m - assumed.receiver_m
    points_m = points_m[(points_m - assumed.receiver_m) @ facing > 0]
    statistic = location_statistic([assumed], points_m, MAX_SPEED_MPS + UE_SPEED_MPS)
    start_m = points_m[np.argmax(statistic)]

    # Location off the lattice. One link measures the path speed v @ along alone, so that the
    # velocities of the search are parallel to it.
    along = length_gradient(assumed, start_m)
    path_speeds_mps = np.arange(-MAX_PATH_SPEED_MPS, MAX_PATH_SPEED_MPS, PATH_SPEED_STEP_MPS)
    velocities_mps = np.multiply.outer(path_speeds_mps, along / (along @ along))
    state = state_near([assumed], start_m, velocities_mps)

    return _OwnEstimate(
        zone_link=replace(zone_link, link=assumed),
        snr=snr_of(assumed, state),
        position_m=state.position_m,
        evidence=float(statistic.max()),
    )


def _fused(owns: Sequence[_OwnEstimate], position_std_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Location and information of the links that detect the target; of the best if none does."""
    # Links whose evidence noise alone hardly reaches.
    threshold = statistic_threshold(NUM_CELLS, FALSE_ALARM_RATE, 1)
    reporting = [own for own in owns if own.evidence > threshold]
    if not reporting:
        reporting = [max(owns, key=lambda own: own.evidence)]

    # Start at the median, then fit to all path lengths and directions: weighted Gauss-Newton.
    position_m = np.median([own.position_m for own in reporting], axis=0)
    information = np.zeros((2, 2))
    links = [own.zone_link for own in reporting]
    for _ in range(FIT_STEPS):
        informations = _informations(
            links, [own.snr for own in reporting], position_m, position_std_m
        )
        information = informations.sum(axis=0)
        steps_m = np.stack([_step_to(own, position_m) for own in reporting])

        # Mean of the links' steps, weighted by their information.
        weighted = np.einsum("nij,nj->i", informations, steps_m)
        position_m = position_m + np.linalg.solve(information, weighted)
    return position_m, information


def _informations(
    links: Sequence[_ZoneLink],
    snrs: Sequence[float],
    position_m: np.ndarray,
    position_std_m: float,
) -> np.ndarray:
    """Information of each link about a location, with UEs of uncertain position, [n, 2, 2]."""
    of_links = [
        location_information(item.link, snr, position_m)
        for item, snr in zip(links, snrs, strict=True)
    ]
    displacements = [_displacement(item, position_m) for item in links]
    return with_position_error(np.stack(of_links), position_std_m * np.stack(displacements))


def _step_to(own: _OwnEstimate, position_m: np.ndarray) -> np.ndarray:
    """Step from a location to where a link measures path length and direction, linearized, [2]."""
    link = own.zone_link.link
    offset_m = position_m - link.receiver_m
    range_m = np.linalg.norm(offset_m)
    own_offset_m = own.position_m - link.receiver_m

    # Errors of path length and of direction of arrival.
    length_m = range_m + np.linalg.norm(position_m - link.transmitter_m)
    own_length_m = np.linalg.norm(own_offset_m) + np.linalg.norm(
        own.position_m - link.transmitter_m
    )
    own_angle = np.arctan2(own_offset_m[1], own_offset_m[0])
    angle = np.arctan2(offset_m[1], offset_m[0])
    turn = (own_angle - angle + np.pi) % (2 * np.pi) - np.pi

    # Their derivatives by the location.
    across = np.array([-offset_m[1], offset_m[0]]) / range_m**2
    slopes = np.stack([length_gradient(link, position_m), across])
    return np.linalg.solve(slopes, np.array([own_length_m - length_m, turn]))


def _bounds(distance_m: float) -> Errors:
    """Root bounds with uncertain positions of UEs, averaged over draws of target and UEs."""
    generator = np.random.default_rng(0)
    variances: dict[str, list[float]] = {}
    for _ in range(NUM_BOUND_DRAWS):
        setting = _drawn(distance_m, generator)
        for way, links in _links(setting).items():
            snrs = [item.snr for item in links]
            informations = _informations(links, snrs, setting.position_m, POSITION_STD_M)
            covariance = np.linalg.inv(informations.sum(axis=0))
            variances.setdefault(way, []).append(float(np.trace(covariance)))
    bounds = {
        way: {"location_m": float(np.sqrt(np.mean(values)))} for way, values in variances.items()
    }
    if distance_m > UPLINK_M:
        del bounds[REPORTED]
    return bounds


def _drawn(distance_m: float, generator: np.random.Generator) -> _Setting:
    """Target near its place, and UEs around it, with random velocities."""
    place_m = np.array([distance_m, 0.0])
    ranges_m = generator.uniform(*UE_DISTANCES_M, NUM_UES)
    return _Setting(
        place_m=place_m,
        position_m=place_m + generator.uniform(-SPREAD_M, SPREAD_M, 2),
        velocity_mps=generator.uniform(0, MAX_SPEED_MPS) * _directions(generator, 1)[0],
        ues_m=place_m + ranges_m[:, None] * _directions(generator, NUM_UES),
        ues_mps=UE_SPEED_MPS * _directions(generator, NUM_UES),
    )


def _directions(generator: np.random.Generator, count: int) -> np.ndarray:
    """Random unit vectors, [count, 2]."""
    angles = generator.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _links(setting: _Setting) -> dict[str, list[_ZoneLink]]:
    """Links of each way of cooperation, without a channel."""
    ues = range(NUM_UES)
    pairs = {
        TOGETHER: [(BASE, BASE), *((ue, BASE) for ue in ues)],
        REPORTED: [(BASE, ue) for ue in ues],
        AMONG_UES: [(ue, ue) for ue in ues],
    }
    return {
        way: [_link(setting, transmitter, receiver) for transmitter, receiver in stations]
        for way, stations in pairs.items()
    }


def _link(setting: _Setting, transmitter: int, receiver: int) -> _ZoneLink:
    """Link between two stations by the radar equation; arrays face the target's place."""
    transmitter_m = _station(transmitter, setting.ues_m)
    receiver_m = _station(receiver, setting.ues_m)
    num_antennas = STATION_ANTENNAS if receiver == BASE else UE_ANTENNAS
    facing = setting.place_m - receiver_m
    link = empty_link(GRID, transmitter_m, receiver_m, facing, num_antennas)

    # SNR, which falls with the product of the squared lengths of both legs.
    legs_m = [np.linalg.norm(setting.position_m - end) for end in (transmitter_m, receiver_m)]
    level_db = ECHO_SNR_DB - 20 * np.log10(np.prod(legs_m) / REFERENCE_M**2)

    # A UE has less power, and no beam on the target.
    if transmitter != BASE:
        level_db += UE_POWER_DB - FOCUS_DB
    return _ZoneLink(transmitter, receiver, link, 10 ** (level_db / 10))


def _station(number: int, ues_m: np.ndarray) -> np.ndarray:
    """Position of the base station or of a UE, [2], m."""
    return STATION_M if number == BASE else ues_m[number]


def _apparent_velocity(zone_link: _ZoneLink, setting: _Setting) -> np.ndarray:
    """Velocity that gives the same path speed if the stations stood still, [2], m/s."""
    # Change of the path's length by the motion of UEs at its ends.
    link = zone_link.link
    lengthening_mps = 0.0
    for number, end_m in (
        (zone_link.transmitter, link.transmitter_m),
        (zone_link.receiver, link.receiver_m),
    ):
        if number != BASE:
            offset_m = setting.position_m - end_m
            lengthening_mps -= setting.ues_mps[number] @ offset_m / np.linalg.norm(offset_m)

    # The same change by a target that moves along the gradient of the path's length.
    along = length_gradient(link, setting.position_m)
    return setting.velocity_mps + lengthening_mps * along / (along @ along)


def _displacement(zone_link: _ZoneLink, position_m: np.ndarray) -> np.ndarray:
    """Derivative of a link's own location with the position of its UE, [2, 2].

    The location is where the ray of the measured direction meets the ellipse of the measured path
    length. A UE that transmits and receives moves its own location with itself; the parts of both
    ends add up to that.
    """
    link = zone_link.link
    from_transmitter = unit_toward(position_m, link.transmitter_m)
    from_receiver = unit_toward(position_m, link.receiver_m)

    # Both legs keep their sum: the distance along the ray makes up for the transmitter's leg.
    slope = max(1 + from_transmitter @ from_receiver, LEAST_LENGTH_SLOPE)
    of_receiver = np.eye(2) - np.outer(from_receiver, from_transmitter) / slope
    total = np.zeros((2, 2))
    if zone_link.receiver != BASE:
        total += of_receiver
    if zone_link.transmitter != BASE:
        total += np.eye(2) - of_receiver
    return total

"""Links between stations on a plane, their echoes, and what one link estimates alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.evaluation.deep_cooperation.draws import complex_noise
from cooperative_isac.fusion.link_channel import LinkChannel, link_response
from cooperative_isac.fusion.symbol_level import (
    StateEstimate,
    refine_state,
    state_information,
    velocity_statistic,
)


@dataclass(frozen=True)
class LinkGrid:
    """Resource elements of a link.

    carrier_hz: carrier frequency, Hz
    spacing_hz: from one sensed subcarrier to the next, Hz
    num_subcarriers: sensed subcarriers
    symbol_s: from one sensed symbol to the next, s
    num_symbols: sensed symbols
    """

    carrier_hz: float
    spacing_hz: float
    num_subcarriers: int
    symbol_s: float
    num_symbols: int


def empty_link(
    grid: LinkGrid,
    transmitter_m: np.ndarray,
    receiver_m: np.ndarray,
    facing: np.ndarray,
    num_antennas: int,
) -> LinkChannel:
    """Link without a channel, in unit noise.

    grid: resource elements
    transmitter_m, receiver_m: [2], float64, m, positions of the stations
    facing: [2], float64, direction across the receiver's line of elements half a wavelength apart
    num_antennas: elements of the receiver
    """
    # Line of elements across the facing, centered on the station.
    along_array = np.array([-facing[1], facing[0]]) / np.linalg.norm(facing)
    places = np.arange(num_antennas) - (num_antennas - 1) / 2

    # Channel of zeros on all resource elements.
    shape = (num_antennas, grid.num_subcarriers, grid.num_symbols)
    wavelength_m = LIGHT_SPEED_MPS / grid.carrier_hz
    return LinkChannel(
        values=np.zeros(shape, complex),
        frequency_hz=grid.spacing_hz * np.arange(grid.num_subcarriers),
        time_s=grid.symbol_s * np.arange(grid.num_symbols),
        carrier_hz=grid.carrier_hz,
        noise_power=1.0,
        mask=np.ones(shape[1:], bool),
        transmitter_m=transmitter_m,
        receiver_m=receiver_m,
        elements_m=wavelength_m / 2 * np.multiply.outer(places, along_array),
    )


def echo_of_target(
    link: LinkChannel,
    amplitude: complex,
    position_m: np.ndarray,
    velocity_mps: np.ndarray,
    generator: np.random.Generator,
) -> LinkChannel:
    """Channel of one target on a link, in unit noise.

    link: its values are replaced
    amplitude: of the target's path
    position_m: [2], float64, m
    velocity_mps: [2], float64, m/s
    generator: of the noise
    """
    echo = amplitude * link_response(link, position_m, velocity_mps)
    return replace(link, values=echo + complex_noise(generator, echo.shape))


def square_lattice(half: float, step: float) -> np.ndarray:
    """Points of a square lattice about zero, [num_points, 2].

    half: half of the side
    step: between neighbors, in the same unit
    """
    axis = np.arange(-half, half + step / 2, step)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def state_near(
    links: Sequence[LinkChannel], position_m: np.ndarray, velocities_mps: np.ndarray
) -> StateEstimate:
    """Maximum likelihood state from a point of a lattice and the best of some velocities.

    links: channel matrices with the positions of their stations
    position_m: [2], float64, m, within the main lobe
    velocities_mps: [num_velocities, 2], float64, m/s
    """
    evidence = velocity_statistic(links, position_m, velocities_mps)
    return refine_state(links, position_m, velocities_mps[np.argmax(evidence)])


def snr_of(link: LinkChannel, state: StateEstimate) -> float:
    """Estimated power ratio of a target's path to the noise on one antenna and resource element.

    link: with its channel
    state: of the target
    """
    # Amplitude by least squares: the response has unit modulus on every element.
    response = link_response(link, state.position_m, state.velocity_mps)
    amplitude = np.vdot(response, link.values) / link.num_elements
    return float(abs(amplitude) ** 2 / link.noise_power)


def location_information(link: LinkChannel, snr: float, position_m: np.ndarray) -> np.ndarray:
    """Fisher information of one link about the location of a target of unknown velocity.

    It comes from delay and angle of arrival: one Doppler shift with an unknown velocity adds none.

    link: its values are not used
    snr: power ratio on one antenna and resource element
    position_m: [2], float64, m
    Returns [2, 2], float64, 1/m^2.
    """
    size = len(position_m)
    information = state_information([link], [snr], position_m, np.zeros(size))

    # Schur complement of the velocity, whose information has rank one: a pseudo-inverse.
    coupling = information[:size, size:]
    of_location = information[:size, :size]
    of_velocity = information[size:, size:]
    inverse = np.linalg.pinv(of_velocity, hermitian=True)
    return of_location - coupling @ inverse @ coupling.T

"""Echoes of spherical waves, summed element by element over exact distances.

Of the product only the symbols are taken.
"""

import math

import numpy as np

LIGHT_MPS = 299_792_458.0


def sent(frame):
    """Signal of each transmit antenna, [num_tx_ant, num_subcarriers, num_symbols], sqrt(W)."""
    num_subcarriers, _, num_symbols = frame.streams.shape
    group = num_subcarriers // len(frame.precoders)
    signal = np.empty((frame.precoders.shape[1], num_subcarriers, num_symbols), complex)
    for subcarrier in range(num_subcarriers):
        signal[:, subcarrier] = frame.precoders[subcarrier // group] @ frame.streams[subcarrier]
    if getattr(frame, "reference", None) is not None:
        over_subcarriers, over_symbols = frame.reference_strides
        signal[:, ::over_subcarriers, ::over_symbols] += sent(frame.reference)
    return signal


def places(site):
    """Each element's place in map, as lists."""
    return [
        [site.position_m[axis] + element[axis] for axis in range(3)] for element in site.elements_m
    ]


def sensed(grid):
    """Places of the sensed subcarriers on the comb, in a list."""
    fragments = grid.fragments or [(0, grid.num_subcarriers - 1)]
    return [place for first, last in fragments for place in range(first, last + 1)]


def noise(shape, power_w, generator):
    """Circular Gaussian noise, complex128."""
    return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)) * math.sqrt(
        power_w / 2
    )


def line_of_sight_echo(scene, receiver, frame, late_s=0.0, only=None):
    """The direct waves of all transmitters, or of one, between isotropic elements in free space."""
    grid = scene.grid
    signal = sent(frame)
    echo = np.zeros((receiver.num_ant, grid.num_subcarriers, grid.num_symbols), complex)
    frequencies = [
        grid.carrier_hz + number * grid.subcarrier_stride * grid.subcarrier_spacing_hz
        for number in sensed(grid)
    ]
    antenna = 0
    for site in scene.transmitters:
        for origin in places(site):
            for receive, place in enumerate(places(receiver)):
                distance = math.dist(origin, place)
                amplitude = LIGHT_MPS / grid.carrier_hz / (4 * math.pi * distance)
                turns = np.array([frequency * distance / LIGHT_MPS for frequency in frequencies])
                turns += late_s * (np.array(frequencies) - grid.carrier_hz)
                if only in (None, site.name):
                    echo[receive] += (
                        amplitude * np.exp(-2j * math.pi * turns)[:, None] * signal[antenna]
                    )
            antenna += 1
    return echo


def target_echo(scene, receiver, frame, point_m, velocity_mps, amplitude):
    """The waves that a moving point scatters, its distances taken anew at each symbol.

    amplitude: of the path between any two elements, the same for all
    """
    grid = scene.grid
    signal = sent(frame)
    echo = np.zeros((receiver.num_ant, grid.num_subcarriers, grid.num_symbols), complex)
    frequencies = np.array(
        [
            grid.carrier_hz + number * grid.subcarrier_stride * grid.subcarrier_spacing_hz
            for number in sensed(grid)
        ]
    )
    period_s = (1 / grid.subcarrier_spacing_hz + grid.cyclic_prefix_s) * grid.symbol_stride
    for symbol in range(grid.num_symbols):
        point = [point_m[axis] + velocity_mps[axis] * symbol * period_s for axis in range(3)]
        antenna = 0
        incident = np.zeros(grid.num_subcarriers, complex)
        for site in scene.transmitters:
            for origin in places(site):
                delay_s = math.dist(origin, point) / LIGHT_MPS
                incident += (
                    np.exp(-2j * math.pi * frequencies * delay_s) * signal[antenna, :, symbol]
                )
                antenna += 1
        for receive, place in enumerate(places(receiver)):
            delay_s = math.dist(point, place) / LIGHT_MPS
            echo[receive, :, symbol] = (
                amplitude * np.exp(-2j * math.pi * frequencies * delay_s) * incident
            )
    return echo

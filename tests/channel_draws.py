"""Draws of snapshots and channel matrices for the tests of the estimators."""

import numpy as np

from cooperative_isac.estimation import ChannelMatrix, channel_matrix, path_response, steering


def complex_normal(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def snapshots(rng, frequencies, positions, powers, num_snapshots):
    """Snapshots of uncorrelated Gaussian sources in unit noise."""
    amplitudes = np.sqrt(powers)[:, None] * complex_normal(rng, len(frequencies), num_snapshots)
    noise = complex_normal(rng, len(positions), num_snapshots)
    return steering(frequencies, positions) @ amplitudes + noise


def channel(rng, grid: ChannelMatrix, paths) -> ChannelMatrix:
    """Channel of paths (amplitude, delay, speed) with the grid's noise."""
    values = np.sqrt(grid.noise_power) * complex_normal(rng, *grid.values.shape)
    for amplitude, delay_s, path_speed_mps in paths:
        values += amplitude * path_response(grid, delay_s, path_speed_mps)
    return ChannelMatrix(
        np.where(grid.mask, values, 0),
        grid.frequency_hz,
        grid.time_s,
        grid.carrier_hz,
        grid.noise_power,
        grid.mask,
    )


def empty_grid(num_subcarriers, num_symbols, carrier_hz, spacing_hz, symbol_s, mask=None):
    """Grid with unit noise."""
    zeros = np.zeros((num_subcarriers, num_symbols), complex)
    return channel_matrix(zeros, carrier_hz, spacing_hz, symbol_s, 1.0, mask)

"""Paths without Doppler shift, summed into one channel matrix: thousands of them cost a frame no
more than one.
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.waveform.signal import Signal, antenna_slices


def channel_matrix(scene: Scene, receiver: Site, paths: PathSet) -> np.ndarray:
    """Channel from every transmit antenna to every receive antenna by way of static paths.

    paths: paths to the receiver; their Doppler shifts are taken to be zero
    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64, antennas of all transmitters in a
    row.
    """
    offsets = scene.grid.subcarrier_offsets_hz
    wavelength = scene.grid.wavelength_m
    antennas = antenna_slices(scene)
    matrix = np.zeros((len(offsets), receiver.num_ant, antennas[-1].stop), complex)

    for index, site in enumerate(scene.transmitters):
        chosen = paths.transmitter == index
        arrival = steering_vectors(receiver.elements_m, paths.aoa[chosen], wavelength)
        departure = steering_vectors(site.elements_m, paths.aod[chosen], wavelength)
        weighted = arrival * paths.amplitude[chosen][:, None]
        for subcarrier, offset_hz in enumerate(offsets):
            phases = np.exp(-2j * np.pi * offset_hz * paths.delay_s[chosen])
            matrix[subcarrier, :, antennas[index]] = (weighted * phases[:, None]).T @ departure

    return matrix.transpose(1, 0, 2).astype(np.complex64)


def static_echo(frame: Signal, matrix: np.ndarray, phases: np.ndarray | None = None) -> np.ndarray:
    """Echo of a frame through a static channel, [num_rx_ant, num_subcarriers, num_symbols],
    complex64, sqrt(W).

    matrix: [num_rx_ant, num_subcarriers, num_tx_ant], complex64, from channel_matrix
    phases: [num_transmitters, num_subcarriers, num_symbols] or [num_transmitters, 1, num_symbols],
    complex64, of the clocks of each link; None: all 1
    """
    echo = np.zeros((*matrix.shape[:2], frame.grid.num_symbols), np.complex64)

    for index, part in enumerate(frame.antennas):
        every_antenna = np.eye(part.stop - part.start, dtype=np.complex64)
        signal = frame.toward(index, every_antenna)
        arriving = matrix[:, :, part].transpose(1, 0, 2) @ signal
        if phases is not None:
            arriving *= phases[index][:, None, :]
        echo += arriving.transpose(1, 0, 2)

    return echo

"""Channel matrix of all paths without Doppler shift.

Thousands of static paths, summed into one matrix, cost a frame no more than a single one.
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.signal import Signal, antenna_slices


def channel_matrix(scene: Scene, receiver: Site, paths: PathSet) -> np.ndarray:
    """Channel from every transmit antenna to every receive antenna by way of static paths.

    paths: to the receiver; their Doppler shifts are taken to be zero
    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64, antennas of all transmitters in a
    row.
    """
    offsets_hz = scene.grid.subcarrier_offsets_hz
    wavelength_m = scene.grid.wavelength_m
    antennas = antenna_slices(scene)
    matrix = np.zeros((len(offsets_hz), receiver.num_ant, antennas[-1].stop), complex)

    for index, site in enumerate(scene.transmitters):
        # Steering vectors of this transmitter's paths.
        chosen = paths.transmitter == index
        arrival = steering_vectors(receiver.elements_m, paths.aoa[chosen], wavelength_m)
        departure = steering_vectors(site.elements_m, paths.aod[chosen], wavelength_m)

        # Sum over the paths, with the phase of the delay at each subcarrier.
        weighted = arrival * paths.amplitude[chosen][:, None]
        delays_s = paths.delay_s[chosen]
        for subcarrier, offset_hz in enumerate(offsets_hz):
            phases = np.exp(-2j * np.pi * offset_hz * delays_s)
            delayed = weighted * phases[:, None]
            matrix[subcarrier, :, antennas[index]] = delayed.T @ departure

    return matrix.transpose(1, 0, 2).astype(np.complex64)


def static_echo(
    signal: Signal, matrix: np.ndarray, clock_phasors: np.ndarray | None = None
) -> np.ndarray:
    """Echo of a signal through a static channel.

    matrix: [num_rx_ant, num_subcarriers, num_tx_ant], complex64, from channel_matrix
    clock_phasors: [num_transmitters, num_subcarriers or 1, num_symbols], complex64, of each link;
    None: all 1
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    echo = np.zeros((*matrix.shape[:2], signal.grid.num_symbols), np.complex64)

    for index, part in enumerate(signal.antennas):
        # The signal of each antenna by itself.
        every_antenna = np.eye(part.stop - part.start, dtype=np.complex64)
        transmitted = signal.toward(index, every_antenna)

        arriving = matrix[:, :, part].transpose(1, 0, 2) @ transmitted
        if clock_phasors is not None:
            arriving *= clock_phasors[index][:, None, :]
        echo += arriving.transpose(1, 0, 2)

    return echo

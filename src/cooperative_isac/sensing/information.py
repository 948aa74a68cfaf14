"""Fisher information of a path's location and Doppler shift, its amplitude unknown (CF eqs. 22-28)."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.model import OfdmGrid


def doppler_information(grid: OfdmGrid, power: np.ndarray) -> np.ndarray:
    """Fisher information of paths' Doppler shifts at coherent SNRs (any shape), 1/Hz^2 (CF eq. 23, one unknown path)."""
    variance_s2 = grid.symbol_period_s ** 2 * (grid.num_symbols ** 2 - 1) / 12  # of the symbols' times
    return 2 * power * (2 * np.pi) ** 2 * variance_s2


def location_information(receive: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Information of the location per unit of 2 SNR, amplitude and Doppler unknown, [num_paths, D, D].

    receive: [num_paths, 1 + D, num_rx_ant]; gram: [num_paths, 1 + D, 1 + D].
    """
    beams = receive.conj() @ receive.swapaxes(1, 2)
    energy = gram[:, 0, 0].real[:, None, None]
    crossed = beams[:, 1:, :1] * gram[:, :1, 1:]
    inner = beams[:, 1:, 1:] * energy + crossed + crossed.conj().swapaxes(1, 2) + gram[:, 1:, 1:]
    along = beams[:, 0, 1:] * energy[:, 0] + gram[:, 0, 1:]
    return np.real(inner - along[:, :, None].conj() * along[:, None, :] / energy) / energy

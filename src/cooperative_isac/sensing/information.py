"""Fisher information of location and Doppler shift, amplitudes unknown (CF eqs. 22-28)."""

from __future__ import annotations

from typing import overload

import numpy as np

from cooperative_isac.scene.band import OfdmGrid

# Information of a Doppler shift that is not measured, 1/Hz^2: a standard deviation of 1 MHz.
LEAST_INFORMATION = 1e-12

# Information of a location that is not measured, 1/m^2: a standard deviation of 1000 km.
LEAST_LOCATION_INFORMATION = 1e-12

# Share of the diagonal that is added to an information matrix: above the rounding of single
# precision.
INFORMATION_RIDGE = 1e-6

# Share of a waveform's energy that the suppression of static paths leaves at least: below, the
# average over random streams does not apply to a single frame.
LEAST_WAVEFORM_SHARE = 1e-3

# Doppler shift in resolution cells below which both signs give nearly the same waveform, so that a
# shift may be taken for its negative.
AMBIGUOUS_CELLS = 0.4

# Standard deviation that is added there to the distance of both signs, in resolution cells.
AMBIGUOUS_STD_CELLS = 0.1


def positive_definite(information: np.ndarray) -> np.ndarray:
    """Information matrices without the asymmetry and negative eigenvalues of rounding.

    information: [..., D, D], float, 1/m^2
    Returns [..., D, D], float64, symmetric and positive definite.
    """
    # Products of the standard information along both axes of each element.
    diagonal = np.diagonal(information, axis1=-2, axis2=-1)
    diagonal = np.maximum(diagonal, LEAST_LOCATION_INFORMATION)
    rows = diagonal[..., :, None]
    columns = diagonal[..., None, :]
    scale = np.sqrt(rows * columns)

    # The symmetric part, scaled to a diagonal of ones.
    size = information.shape[-1]
    symmetric = (information + information.swapaxes(-1, -2)) / 2
    correlation = symmetric / scale
    correlation[..., range(size), range(size)] = 1.0

    # Eigenvalues shifted above zero.
    least = np.linalg.eigvalsh(correlation)[..., 0].astype(float)
    ridge = INFORMATION_RIDGE + np.maximum(-least, 0.0)
    shifted = correlation + ridge[..., None, None] * np.eye(size)
    return scale * shifted


@overload
def doppler_information(grid: OfdmGrid, power: float) -> float: ...
@overload
def doppler_information(grid: OfdmGrid, power: np.ndarray) -> np.ndarray: ...
def doppler_information(grid: OfdmGrid, power: float | np.ndarray) -> float | np.ndarray:
    """Fisher information of the Doppler shift of a path (CF eq. 23, one unknown path).

    grid: of the frame
    power: [...], float64, coherent SNR, linear
    Returns [...], float64, 1/Hz^2.
    """
    # Variance of the symbols' times.
    variance_s2 = grid.symbol_period_s**2 * (grid.num_symbols**2 - 1) / 12
    return 2 * power * (2 * np.pi) ** 2 * variance_s2


def shift_information(
    grid: OfdmGrid, power: np.ndarray, doppler_hz: np.ndarray, static_paths: str
) -> np.ndarray:
    """Fisher information of measured Doppler shifts.

    grid: of the frame
    power: [num_paths], float64, coherent SNR, linear
    doppler_hz: [num_paths], float64, Hz
    static_paths: keep | project | learn, of the scene. A packet does not contain how much of a
        background was learned when it was sent: with `learn` the lesser of both others applies.
    Returns [num_paths], float64, 1/Hz^2.
    """
    kept = doppler_information(grid, power)
    if static_paths == "keep":
        return kept
    projected = suppressed_doppler_information(grid, power, doppler_hz)
    return projected if static_paths == "project" else np.minimum(kept, projected)


def suppressed_doppler_information(
    grid: OfdmGrid, power: np.ndarray, doppler_hz: np.ndarray
) -> np.ndarray:
    """Fisher information of Doppler shifts after the projection of unknown static paths.

    The waveform x = exp(j 2 pi f t) and its slope are projected onto the orthogonal complement of a
    constant, the average of the projection over random streams.

    grid: of the frame
    power: [num_paths], float64, coherent SNR after the projection, linear
    doppler_hz: [num_paths], float64, Hz
    Returns [num_paths], float64, 1/Hz^2.
    """
    shifts_hz = np.asarray(doppler_hz)
    times_s = grid.symbol_times_s - grid.symbol_times_s.mean()
    waveform = np.exp(2j * np.pi * shifts_hz[:, None] * times_s)

    # Projected inner products: of the waveform, of its slope, and of one with the other.
    mean = waveform.mean(axis=1)
    slope_mean = (waveform * times_s).mean(axis=1)
    energy = 1 - np.abs(mean) ** 2
    slope_energy = np.mean(times_s**2) - np.abs(slope_mean) ** 2
    squared_cross = np.abs(mean * slope_mean) ** 2

    # Energy of the slope beside the waveform, whose amplitude is unknown.
    determinant = np.maximum(slope_energy * energy - squared_cross, 0)
    variance_s2 = determinant / np.maximum(energy, LEAST_WAVEFORM_SHARE) ** 2
    information = 2 * power * (2 * np.pi) ** 2 * variance_s2
    information = np.maximum(information, LEAST_INFORMATION)

    # Near zero, the projected waveforms of both signs are the same ramp: the likelihood has two
    # peaks, and their distance adds to the error.
    cell_hz = grid.doppler_resolution_hz
    is_ambiguous = np.abs(shifts_hz) < AMBIGUOUS_CELLS * cell_hz
    distance_hz = np.hypot(2 * shifts_hz, AMBIGUOUS_STD_CELLS * cell_hz)
    variance_hz2 = 1 / information[is_ambiguous]
    information[is_ambiguous] = 1 / (variance_hz2 + distance_hz[is_ambiguous] ** 2)
    return information


def location_information(receive: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Information of the location per unit of 2 SNR, with unknown amplitude and Doppler shift.

    A replica is the product of a receive beam and a transmit waveform; the first entry of each is
    the value, the others are the slopes with the location.

    receive: [num_paths, 1 + D, num_rx_ant], complex64, unit steering vector and its slopes
    gram: [num_paths, 1 + D, 1 + D], complex64, inner products of waveform and slopes
    Returns [num_paths, D, D], float, 1/m^2.
    """
    # Inner products of the beams: slopes with the value, and slopes with slopes.
    beams = receive.conj() @ receive.swapaxes(1, 2)
    beam_with_slopes = beams[:, 0, 1:]
    slopes_with_beam = beams[:, 1:, :1]
    of_beam_slopes = beams[:, 1:, 1:]

    # The same of the waveforms, whose energy is that of the replica.
    energy = gram[:, 0, 0].real[:, None, None]
    waveform_with_slopes = gram[:, 0, 1:]
    of_waveform_slopes = gram[:, 1:, 1:]

    # Inner products of the slopes of the replica, by the product rule.
    mixed = slopes_with_beam * waveform_with_slopes[:, None]
    mirrored = mixed.conj().swapaxes(1, 2)
    inner = of_beam_slopes * energy + mixed + mirrored + of_waveform_slopes

    # Without their components along the replica, which the unknown amplitude explains.
    along = beam_with_slopes * energy[:, 0] + waveform_with_slopes
    rows = along[:, :, None].conj()
    columns = along[:, None, :]
    explained = rows * columns / energy
    return np.real(inner - explained) / energy

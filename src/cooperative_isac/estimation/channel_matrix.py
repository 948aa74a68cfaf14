"""Channel matrix of one antenna or beam: the echo divided by the symbols that were sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

import cooperative_isac.estimation.checks as checks

# For the errors of functions of channel matrices and of their noise.
MATRIX_REMEDY = "such as channel_matrix(values, carrier_hz, ...)"
NOISE_REMEDY = "such as 1.0 for a simulation without noise"


@dataclass(frozen=True)
class ChannelMatrix:
    """Noisy channel on the resource elements of one band.

    A path of delay tau that shortens with speed v contributes
    a exp(-j 2 pi f_n tau) exp(+j 2 pi (f_c + f_n) v t_m / c): the Doppler shift is positive when
    the path shortens, and the part f_n v t_m is its migration through delay cells.

    values: [num_subcarriers, num_symbols], complex, zero where the mask is False
    frequency_hz: [num_subcarriers], float64, Hz, relative to the carrier
    time_s: [num_symbols], float64, s
    carrier_hz: carrier frequency, Hz
    noise_power: variance of the circular noise on each resource element
    mask: [num_subcarriers, num_symbols], bool, resource elements that carry a known symbol
    """

    values: np.ndarray
    frequency_hz: np.ndarray
    time_s: np.ndarray
    carrier_hz: float
    noise_power: float
    mask: np.ndarray

    def __post_init__(self) -> None:
        axes = "num_subcarriers, num_symbols"
        values = checks.array("values", self.values, axes)
        mask = checks.mask("mask", self.mask)
        frequency_hz = checks.reals("frequency_hz", self.frequency_hz, "num_subcarriers")
        time_s = checks.reals("time_s", self.time_s, "num_symbols")
        checks.positive("carrier_hz", self.carrier_hz)
        checks.positive("noise_power", self.noise_power, NOISE_REMEDY)
        size = (len(frequency_hz), len(time_s))
        checks.shape("values", values, size, "frequency_hz and time_s")
        checks.shape("mask", mask, size, "frequency_hz and time_s")


def channel_matrix(
    values: np.ndarray,
    carrier_hz: float,
    subcarrier_spacing_hz: float,
    symbol_s: float,
    noise_power: float,
    mask: np.ndarray | None = None,
) -> ChannelMatrix:
    """Channel matrix on a regular OFDM grid that starts at the carrier and at time zero.

    values: [num_subcarriers, num_symbols], complex
    carrier_hz: frequency of the first subcarrier, Hz
    subcarrier_spacing_hz: Hz
    symbol_s: duration of a symbol with its cyclic prefix, s
    noise_power: variance of the circular noise on each resource element
    mask: [num_subcarriers, num_symbols], bool, resource elements in use; all if None
    """
    values = checks.array("values", values, "num_subcarriers, num_symbols")
    num_subcarriers, num_symbols = values.shape
    subcarrier_spacing_hz = checks.positive("subcarrier_spacing_hz", subcarrier_spacing_hz)
    symbol_s = checks.positive("symbol_s", symbol_s)
    used = np.ones(values.shape, bool) if mask is None else checks.mask("mask", mask)
    checks.shape("mask", used, values.shape, "values")
    return ChannelMatrix(
        values=np.where(used, values, 0),
        frequency_hz=subcarrier_spacing_hz * np.arange(num_subcarriers),
        time_s=symbol_s * np.arange(num_symbols),
        carrier_hz=carrier_hz,
        noise_power=noise_power,
        mask=used,
    )


def path_response(
    matrix: ChannelMatrix, delay_s: float, path_speed_mps: float, *, migrates: bool = True
) -> np.ndarray:
    """Response of a path of unit amplitude on all resource elements of a grid.

    matrix: the grid; its values are not used
    delay_s: delay of the path at time zero, s
    path_speed_mps: speed at which the path shortens, m/s (twice the closing speed if monostatic)
    migrates: with the Doppler shift of each subcarrier's own frequency, not of the carrier's
    Returns [num_subcarriers, num_symbols], complex128, of unit modulus where the mask is True.
    """
    checks.instance("matrix", matrix, ChannelMatrix, MATRIX_REMEDY)
    delay_s = checks.number("delay_s", delay_s)
    path_speed_mps = checks.number("path_speed_mps", path_speed_mps)
    doppler_ratio = path_speed_mps / LIGHT_SPEED_MPS
    over_frequency = np.exp(-2j * np.pi * matrix.frequency_hz * delay_s)
    over_time = np.exp(2j * np.pi * matrix.carrier_hz * doppler_ratio * matrix.time_s)
    response = np.multiply.outer(over_frequency, over_time)
    if migrates:
        shift = np.multiply.outer(matrix.frequency_hz, matrix.time_s)
        response *= np.exp(2j * np.pi * doppler_ratio * shift)
    return np.where(matrix.mask, response, 0)


def matrix_list(name: str, matrices: object) -> list[ChannelMatrix]:
    """Channel matrices of an argument, checked.

    name: of the argument
    """
    return checks.sequence(name, matrices, ChannelMatrix, MATRIX_REMEDY)


def offset_correction(
    frequency_hz: np.ndarray, time_s: np.ndarray, delay_s: float, shift_hz: float
) -> np.ndarray:
    """Phasors that take a clock offset off a channel.

    frequency_hz: [num_subcarriers], float64, Hz, relative to the carrier
    time_s: [num_symbols], float64, s
    delay_s: timing offset, by which paths look longer, s
    shift_hz: carrier frequency offset, by which Doppler shifts look greater, Hz
    Returns [num_subcarriers, num_symbols], complex128, of unit modulus.
    """
    over_frequency = np.exp(2j * np.pi * frequency_hz * delay_s)
    over_time = np.exp(-2j * np.pi * shift_hz * time_s)
    return np.multiply.outer(over_frequency, over_time)

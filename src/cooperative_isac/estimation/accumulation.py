"""Accumulation of echoes over antennas, symbols and frames, and where it ends."""

from __future__ import annotations

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS
from scipy.signal import czt
from scipy.special import sici

import cooperative_isac.estimation.checks as checks


def relative_phases(channels: np.ndarray) -> np.ndarray:
    """Phases of antennas (or frames) relative to each other, from their common echo.

    They are those of the dominant eigenvector of the covariance over the antennas, the maximum
    likelihood estimate for one path in white noise.

    channels: [num_channels, ...], complex, channel matrices of the same path
    Returns [num_channels], float64, rad, zero for the first.
    """
    channels = checks.array("channels", channels, "num_channels, ...")
    snapshots = channels.reshape(len(channels), -1)
    covariance = snapshots @ snapshots.conj().T
    _, vectors = np.linalg.eigh(covariance)
    dominant = vectors[:, -1]
    return np.angle(dominant * dominant[0].conj())


def accumulate_coherently(channels: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Mean over antennas or frames after compensation of their phases.

    The noise falls by the number of channels, the echo stays: the SNR grows by it.

    channels: [num_channels, ...], complex
    phases: [num_channels], float64, rad, phases of the echo in each
    Returns [...], complex128.
    """
    channels = checks.array("channels", channels, "num_channels, ...")
    phases = checks.reals("phases", phases, "num_channels")
    checks.shape("phases", phases, channels.shape[:1], "channels")
    weights = np.exp(-1j * phases) / len(channels)
    return np.tensordot(weights, channels, axes=1)


def accumulate_noncoherently(maps: np.ndarray) -> np.ndarray:
    """Mean power over delay-Doppler maps whose phases are unknown.

    maps: [num_maps, ...], complex
    Returns [...], float64.
    """
    maps = checks.array("maps", maps, "num_maps, ...")
    return np.mean(np.abs(maps) ** 2, axis=0)


def migration_limit_s(bandwidth_hz: float, path_speed_mps: float) -> float:
    """Time in which a path moves through one delay cell, s.

    Accumulation at a fixed delay gains nothing beyond it.

    bandwidth_hz: bandwidth of the signal, Hz
    path_speed_mps: speed at which the path shortens, m/s (twice the closing speed if monostatic)
    """
    cell_m = LIGHT_SPEED_MPS / checks.positive("bandwidth_hz", bandwidth_hz)
    path_speed_mps = checks.number("path_speed_mps", path_speed_mps)
    if path_speed_mps == 0:
        raise ValueError("path_speed_mps is 0: a path at rest does not migrate, and has no limit")
    return cell_m / abs(path_speed_mps)


def migration_gain(
    num_subcarriers: int,
    num_symbols: int,
    subcarrier_spacing_hz: float,
    symbol_s: float,
    path_speed_mps: float,
) -> float:
    """Share of the coherent gain that is left when migration is not compensated.

    num_subcarriers, num_symbols: size of the grid
    subcarrier_spacing_hz: Hz
    symbol_s: duration of a symbol with its cyclic prefix, s
    path_speed_mps: speed at which the path shortens, m/s
    Returns the power gain at the true middle delay and Doppler shift over that of a path that
    stays in its cell, from 0 to 1.
    """
    num_subcarriers = checks.whole("num_subcarriers", num_subcarriers)
    num_symbols = checks.whole("num_symbols", num_symbols)
    subcarrier_spacing_hz = checks.positive("subcarrier_spacing_hz", subcarrier_spacing_hz)
    symbol_s = checks.positive("symbol_s", symbol_s)
    path_speed_mps = checks.number("path_speed_mps", path_speed_mps)

    # Frequencies and times of the grid about its middle.
    subcarriers = np.arange(num_subcarriers) - (num_subcarriers - 1) / 2
    symbols = np.arange(num_symbols) - (num_symbols - 1) / 2
    frequency_hz = subcarrier_spacing_hz * subcarriers
    time_s = symbol_s * symbols

    # Phases that migration adds, and the sum that they leave.
    turns = np.multiply.outer(frequency_hz, time_s) * path_speed_mps / LIGHT_SPEED_MPS
    coherence = np.mean(np.exp(2j * np.pi * turns))
    return float(np.abs(coherence) ** 2)


def gain_after_migration(cells: float) -> float:
    """Share of the coherent gain that is left after a path's migration through delay cells.

    The closed form of `migration_gain` for many subcarriers and symbols: the integral of
    exp(j 2 pi cells x y) over x and y from -1/2 to 1/2 is Si(pi cells / 2) / (pi cells / 2), with
    the sine integral Si. Half a cell leaves 0.93 (0.3 dB), one cell 0.76, four cells 0.05.

    cells: delay cells through which the path moves in the accumulated time, speed times time times
    bandwidth over the speed of light
    Returns the power gain over that of a path that stays in its cell, from 0 to 1.
    """
    half_turns = np.pi / 2 * abs(checks.number("cells", cells))
    if half_turns == 0:
        return 1.0
    sine_integral, _ = sici(half_turns)
    return float(sine_integral / half_turns) ** 2


def delay_doppler_map(
    values: np.ndarray,
    carrier_hz: float,
    subcarrier_spacing_hz: float,
    num_delays: int,
    num_dopplers: int,
    *,
    compensate_migration: bool,
) -> np.ndarray:
    """Delay-Doppler map of a regular grid, on request without migration through delay cells.

    With compensation each subcarrier's Doppler spectrum is taken at its own frequency (keystone
    transform), by a chirp-z transform: exact for constant speed, whatever the time on target, as
    long as the Doppler shift is within half a turn a symbol.

    values: [num_subcarriers, num_symbols], complex
    carrier_hz: frequency of the first subcarrier, Hz
    subcarrier_spacing_hz: Hz
    num_delays: delay cells over 1 / subcarrier_spacing_hz, at least num_subcarriers
    num_dopplers: Doppler cells over one turn per symbol
    compensate_migration: with the Doppler shift of each subcarrier's own frequency
    Returns [num_delays, num_dopplers], complex128; cell [k, l] is the delay
    k / (num_delays subcarrier_spacing_hz) and the Doppler shift l / num_dopplers turns a symbol,
    with the upper half of l negative.
    """
    values = checks.array("values", values, "num_subcarriers, num_symbols")
    num_subcarriers, num_symbols = values.shape
    carrier_hz = checks.positive("carrier_hz", carrier_hz)
    subcarrier_spacing_hz = checks.positive("subcarrier_spacing_hz", subcarrier_spacing_hz)
    num_delays = checks.whole("num_delays", num_delays, num_subcarriers)
    num_dopplers = checks.whole("num_dopplers", num_dopplers)

    # Doppler spectra of all subcarriers.
    if compensate_migration or num_dopplers < num_symbols:
        spectra = _spectra(
            values, carrier_hz, subcarrier_spacing_hz, num_dopplers, compensate_migration
        )
    else:
        spectra = np.fft.fft(values, n=num_dopplers, axis=1)

    # From subcarriers to delays, with unit gain for a path of unit amplitude.
    by_delay = np.fft.ifft(spectra, n=num_delays, axis=0, norm="forward")
    return by_delay / (num_subcarriers * num_symbols)


def _spectra(
    values: np.ndarray,
    carrier_hz: float,
    subcarrier_spacing_hz: float,
    num_dopplers: int,
    compensate_migration: bool,
) -> np.ndarray:
    """Doppler spectrum of each subcarrier by chirp-z transforms, zero first."""
    # Doppler cells from the most negative up, as one arc of the unit circle: the chirp-z transform
    # is the sum over symbols m of values[m] exp(-step (lowest + l) m) for cell l.
    lowest = -(num_dopplers // 2)
    spectra = np.empty((len(values), num_dopplers), complex)
    for n, samples in enumerate(values):
        frequency_hz = carrier_hz + n * subcarrier_spacing_hz
        scale = frequency_hz / carrier_hz if compensate_migration else 1.0
        step = 2j * np.pi * scale / num_dopplers
        ratio = np.exp(-step)
        start = np.exp(step * lowest)
        spectra[n] = czt(samples, m=num_dopplers, w=ratio, a=start)
    return np.roll(spectra, lowest, axis=1)


def doppler_resolution_hz(observation_s: float) -> float:
    """Doppler shift between two paths that an observation time resolves, Hz.

    observation_s: time from the first to the last symbol, s
    """
    return 1 / checks.positive("observation_s", observation_s)

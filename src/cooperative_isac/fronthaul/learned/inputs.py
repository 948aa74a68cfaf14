"""What a network takes of an echo and of a frame, scaled to order one."""

from __future__ import annotations

import numpy as np
from scipy import fft

from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.waveform.frame import TransmitFrame

DOPPLER_BINS_STEP = 4
MEAN_SPECTRUM = "demodulated, mean of streams"  # names cached observations


def observation_shape(scene: Scene, receiver: Site, kind: str) -> tuple[int, int, int, int]:
    """Shape of an observation: channels, then space, frequency (or delay) and time (or Doppler)."""
    grid = scene.grid
    if kind == "raw":
        return 2, receiver.num_ant, grid.num_subcarriers, grid.num_symbols
    return 1, receiver.num_ant, grid.num_subcarriers, num_doppler_bins(scene)


def raw_observation(scene: Scene, echo: np.ndarray) -> np.ndarray:
    """Real and imaginary part of the echo in units of the noise (CF section III-A).

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W). Returns observation_shape, float32.
    """
    return real_channels(_in_noise_units(scene, echo)[None])


def demodulated_observation(scene: Scene, echo: np.ndarray, frame: TransmitFrame) -> np.ndarray:
    """The echo freed of the symbols, stream by stream (y s_k^*), as log power over beam, delay, Doppler.

    Each path is a peak at its own place then; among the symbols it is noise. Powers are means over the streams: which
    of them leads to where is not told to the network. 0 is the power of noise. echo: [num_rx_ant,
    num_subcarriers, num_symbols], complex64, sqrt(W). Returns observation_shape, float32.
    """
    streams = _in_noise_units(scene, echo) * frame.streams.conj().transpose(1, 0, 2)[:, None]
    spectrum = fft.fft(streams, axis=3, norm="ortho")[..., doppler_bins(scene)]
    spectrum = fft.ifft(spectrum, axis=2, norm="ortho")
    spectrum = fft.fftshift(fft.fft(spectrum, axis=1, norm="ortho"), axes=1)
    power = np.mean(spectrum.real ** 2 + spectrum.imag ** 2, axis=0, keepdims=True)
    return np.log1p(power) - np.float32(np.log(2))


def num_doppler_bins(scene: Scene) -> int:
    """Doppler bins that hold the scene's fastest targets, a multiple of DOPPLER_BINS_STEP."""
    grid = scene.grid
    fastest = 2 * scene.sensing.max_speed_mps / grid.wavelength_m * grid.num_symbols * grid.symbol_period_s
    steps = -(-2 * int(np.ceil(fastest)) // DOPPLER_BINS_STEP)
    return min(steps * DOPPLER_BINS_STEP, grid.num_symbols)


def doppler_bins(scene: Scene) -> np.ndarray:
    """These bins of a Fourier transform over the symbols, ascending Doppler, [num_doppler_bins]."""
    count = num_doppler_bins(scene)
    return np.arange(-(count // 2), count - count // 2) % scene.grid.num_symbols


def transmit_tensor(frame: TransmitFrame) -> np.ndarray:
    """The transmit signal X of all antennas, scaled to unit power (CF section III-C).

    Returns [2, num_tx_ant, num_subcarriers, num_symbols], float32.
    """
    signals = [frame.toward(index, np.eye(part.stop - part.start, dtype=np.complex64))
               for index, part in enumerate(frame.antennas)]
    signal = np.concatenate(signals, axis=1).transpose(1, 0, 2)
    power = np.mean(signal.real ** 2 + signal.imag ** 2)
    return real_channels(signal[None] / np.sqrt(np.maximum(power, np.finfo(np.float32).tiny)))


def real_channels(signals: np.ndarray) -> np.ndarray:
    """[count, ...], complex, as channels [2 count, ...], float32: real parts, then imaginary parts."""
    return np.concatenate([signals.real, signals.imag]).astype(np.float32)


def _in_noise_units(scene: Scene, echo: np.ndarray) -> np.ndarray:
    return echo * np.float32(scene.propagation.noise_power_w ** -0.5)

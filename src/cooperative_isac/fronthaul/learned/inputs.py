"""What a network takes of an echo and of a frame, scaled to order one."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.frame import TransmitFrame


def num_channels(scene: Scene, kind: str) -> int:
    """Channels of an observation of one receiver: real and imaginary parts of its echo, or of each stream's."""
    return 2 if kind == "raw" else 2 * scene.users.num_users


def observation(scene: Scene, echo: np.ndarray, frame: TransmitFrame, kind: str) -> np.ndarray:
    """The echo in units of the noise, as it is or freed of the symbols, stream by stream (y s_k^*).

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    Returns [num_channels, num_rx_ant, num_subcarriers, num_symbols], float32 (CF section III-A).
    """
    scaled = echo * np.float32(scene.propagation.noise_power_w ** -0.5)
    if kind == "raw":
        return real_channels(scaled[None])
    return real_channels(scaled * frame.streams.conj().transpose(1, 0, 2)[:, None])


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

"""What a network takes of an echo and of a frame, scaled to order one."""

from __future__ import annotations

from itertools import product

import numpy as np

from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.waveform.signal import Signal

NOISE_OF_HALVES = 0.5  # power in half of the samples
# Of a spectrum and transmitter: power, and where between bins of beam, delay and Doppler shift.
CHANNELS = 4
TURNS = (
    1,
    -1,
    1,
)  # a peak beyond its bin turns the phase over antennas and symbols forward, over subcarriers back
BINS_STEP = 4  # so that axes can be halved twice
SPECTRUM = "demodulated, by transmitter"  # names cached observations


def observation_shape(scene: Scene, receiver: Site, kind: str) -> tuple[int, int, int, int]:
    """Shape of an observation: channels, then space, frequency (or delay) and time (or Doppler)."""
    grid = scene.grid
    if kind == "raw":
        return 2, receiver.num_ant, grid.num_subcarriers, grid.num_symbols
    return (
        CHANNELS * len(scene.transmitters),
        receiver.num_ant,
        len(delay_bins(scene)),
        num_doppler_bins(scene),
    )


def raw_observation(scene: Scene, echo: np.ndarray) -> np.ndarray:
    """Real and imaginary part of the echo in units of the noise (CF section III-A).

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W). Returns observation_shape,
    float32.
    """
    return real_channels(_network_echo(scene, echo)[None])


def demodulated_observation(scene: Scene, echo: np.ndarray, frame: Signal) -> np.ndarray:
    """The echo freed of the symbols, stream by stream (y s_k^*), over beam, delay and Doppler
    shift.

    The streams are put together again as each transmitter sends them in each of its own beams:
    precoders turn from group to group of subcarriers, which would move a peak along the delays. A
    path is a peak then; among the symbols
    it is noise. Four channels a transmitter, of the beam of departure with the most power: the log
    of the power over
    that of noise, and where between bins a peak lies, along beam, delay and Doppler shift: sin(pi
    bins), weaker where
    noise is. echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W). Returns
    observation_shape, float32.
    """
    streams = _network_echo(scene, echo) * frame.streams.conj().transpose(1, 0, 2)[:, None]
    beams, delays, shifts = _transforms(scene, len(echo))
    over_shifts = np.stack([streams @ transform.T for transform in shifts])
    channels = []
    for transmitter in range(len(frame.antennas)):
        whole, shift_halves = np.einsum(
            "nbk,hkrnt->hbrnt", _departing(frame, transmitter), over_shifts, optimize=True
        )
        over_delays = delays[0] @ whole
        spectrum = _over_beams(beams[0], over_delays)
        halves = (
            _over_beams(beams[1], over_delays),
            _over_beams(beams[0], delays[1] @ whole),
            _over_beams(beams[0], delays[0] @ shift_halves),
        )
        channels += _strongest(spectrum, halves)
    return np.stack(channels)


def _departing(frame: Signal, transmitter: int) -> np.ndarray:
    """Conjugate weights of the streams in each beam of departure, [num_subcarriers, num_beams,
    num_streams], that leave noise as strong as it is.
    """
    part = frame.antennas[transmitter]
    steering = np.fft.ifft(np.eye(part.stop - part.start), norm="forward")
    gains = frame.stream_gains(transmitter, steering).conj()
    power = np.mean(np.sum(np.abs(gains) ** 2, axis=2), axis=0)
    gains /= np.sqrt(np.maximum(power, np.finfo(np.float32).tiny))[:, None]
    return np.repeat(gains, frame.group_size, axis=0)


def _strongest(spectrum: np.ndarray, halves: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    power = spectrum.real**2 + spectrum.imag**2
    beam = power.argmax(axis=0)[None]
    first, *others = (
        np.take_along_axis(values, beam, 0)[0] for values in (power, spectrum, *halves)
    )
    whole, *differences = others
    return [
        np.log1p(first) - np.float32(np.log(2)),
        *(turn * _between_bins(whole, difference) for turn, difference in zip(TURNS, differences)),
    ]


def _transforms(scene: Scene, num_ant: int) -> tuple[np.ndarray, ...]:
    """For beams, delays and Doppler shifts a unitary Fourier transform's bins, and the same with
    the first half of what it sums up negative, [2, num_bins, num_samples], complex64 each.
    """
    grid = scene.grid
    beams = np.arange(-(num_ant // 2), num_ant - num_ant // 2)
    return (
        _transform(num_ant, beams, -1),
        _transform(grid.num_subcarriers, delay_bins(scene), 1),
        _transform(grid.num_symbols, doppler_bins(scene), -1),
    )


def _transform(size: int, bins: np.ndarray, sign: int) -> np.ndarray:
    samples = np.arange(size)
    transform = np.exp(2j * np.pi * sign / size * np.outer(bins, samples)) / np.sqrt(size)
    return np.stack([transform, transform * np.where(samples < size / 2, -1, 1)]).astype(
        np.complex64
    )


def _over_beams(transform: np.ndarray, streams: np.ndarray) -> np.ndarray:
    return np.tensordot(transform, streams, (1, 1)).swapaxes(0, 1)


def _between_bins(whole: np.ndarray, difference: np.ndarray) -> np.ndarray:
    first, second = (whole - difference) / 2, (whole + difference) / 2
    return (first.conj() * second).imag / (np.abs(first) * np.abs(second) + NOISE_OF_HALVES)


def num_doppler_bins(scene: Scene) -> int:
    """Doppler bins that hold the scene's fastest targets, a multiple of BINS_STEP or all."""
    grid = scene.grid
    fastest = (
        2
        * scene.sensing.max_speed_mps
        / grid.wavelength_m
        * grid.num_symbols
        * grid.symbol_period_s
    )
    return _in_steps(2 * int(np.ceil(fastest)), grid.num_symbols)


def doppler_bins(scene: Scene) -> np.ndarray:
    """These bins of a Fourier transform over the symbols, ascending Doppler, [num_doppler_bins]."""
    count = num_doppler_bins(scene)
    return np.arange(-(count // 2), count - count // 2) % scene.grid.num_symbols


def delay_window(scene: Scene) -> tuple[int, int]:
    """First delay bin and number of bins that hold every path over the scene's area, a multiple of
    BINS_STEP or all.

    One bin more on either side, where peaks that lie between bins leak to.
    """
    grid, area = scene.grid, scene.box
    corners = np.array(list(product(*zip(area.low_m, area.high_m))))
    shortest, longest = [], []
    for transmitter, receiver in product(scene.transmitters, scene.receivers):
        ends = transmitter.position_m, receiver.position_m
        shortest.append(np.linalg.norm(ends[0] - ends[1]))
        outward, inward = (np.linalg.norm(corners - end, axis=1) for end in ends)
        longest.append((outward + inward).max())
    first = int(np.floor(min(shortest) / grid.range_resolution_m)) - 1
    last = int(np.ceil(max(longest) / grid.range_resolution_m)) + 1
    return first, _in_steps(last - first + 1, grid.num_subcarriers)


def delay_bins(scene: Scene) -> np.ndarray:
    """These bins of a Fourier transform over the subcarriers, ascending delay, [number of bins]."""
    first, count = delay_window(scene)
    return (first + np.arange(count)) % scene.grid.num_subcarriers


def _in_steps(count: int, most: int) -> int:
    return min(-(-count // BINS_STEP) * BINS_STEP, most)


def transmit_tensor(frame: Signal) -> np.ndarray:
    """The transmit signal X of all antennas, scaled to unit power (CF section III-C).

    Returns [2, num_tx_ant, num_subcarriers, num_symbols], float32.
    """
    signals = [
        frame.toward(index, np.eye(part.stop - part.start, dtype=np.complex64))
        for index, part in enumerate(frame.antennas)
    ]
    signal = np.concatenate(signals, axis=1).transpose(1, 0, 2)
    power = np.mean(signal.real**2 + signal.imag**2)
    return real_channels(signal[None] / np.sqrt(np.maximum(power, np.finfo(np.float32).tiny)))


def real_channels(signals: np.ndarray) -> np.ndarray:
    """[count, ...], complex, as channels [2 count, ...], float32: real parts, then imaginary
    parts.
    """
    return np.concatenate([signals.real, signals.imag]).astype(np.float32)


def _network_echo(scene: Scene, echo: np.ndarray) -> np.ndarray:
    """The echo in units of the noise, antennas in reverse order.

    The networks were trained on the mirrored receive steering of CF eqs. 1-2; for a uniform linear
    array that is the physical one with its elements counted from the other end.
    """
    return echo[::-1] * np.float32(scene.propagation.noise_power_w**-0.5)

"""Inputs of networks from echoes and frames, scaled to order one."""

from __future__ import annotations

from itertools import product

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.signal import Signal

# Noise power of a sum over half of the samples, whose Fourier transform has noise of unit power.
HALF_NOISE_POWER = 0.5
# Channels of a transmitter in a spectrum: power, and offsets from the bin of beam, delay and
# Doppler shift.
CHANNELS = 4
# Sign of the phase from the first to the second half of antennas, subcarriers and symbols where a
# peak is beyond the center of its bin.
OFFSET_SIGNS = (1, -1, 1)
# Numbers of bins are multiples of this, so that axes can be halved twice.
BINS_STEP = 4
# Name of demodulated inputs in caches and in the description of a run.
SPECTRUM = "demodulated, by transmitter"


def observation_shape(scene: Scene, receiver: Site, kind: str) -> tuple[int, int, int, int]:
    """Shape of an observation: channels, space, frequency (or delay), time (or Doppler shift).

    kind: raw | demodulated
    """
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
    """Real and imaginary parts of the echo in units of the noise (CF section III-A).

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    Returns [2, num_rx_ant, num_subcarriers, num_symbols], float32.
    """
    return real_channels(_network_echo(scene, echo)[None])


def demodulated_observation(scene: Scene, echo: np.ndarray, frame: Signal) -> np.ndarray:
    """Spectrum of the demodulated echo over beams, delays and Doppler shifts.

    The echo is multiplied by the conjugate symbols of each stream (y s_k^*), where a path becomes a
    peak of the Fourier transforms. Precoders change from group to group of subcarriers, which would
    spread a peak over delays; streams are therefore combined as each transmitter sends them in each
    of its beams of departure.

    The four channels of a transmitter are those of its beam of departure with the most power: the
    log of power over noise, and the offset of the peak from the bin in beam, delay and Doppler
    shift, sin(pi offset), smaller in noise.

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    Returns observation_shape, float32.
    """
    # Demodulate each stream: [num_streams, num_rx_ant, num_subcarriers, num_symbols].
    symbols = frame.streams.conj().transpose(1, 0, 2)[:, None]
    demodulated = _network_echo(scene, echo) * symbols

    # Transform over symbols: whole frame, and difference of its halves,
    # [2, num_streams, num_rx_ant, num_subcarriers, num_shifts].
    beam_transforms, delay_transforms, doppler_transforms = _transforms(scene, len(echo))
    over_shifts = np.stack([demodulated @ transform.T for transform in doppler_transforms])

    channels: list[np.ndarray] = []
    for transmitter in range(len(frame.antennas)):
        # Combine streams into beams of departure. Axes: n subcarrier, b beam of departure,
        # k stream, h whole or halves, r receive antenna, t Doppler shift.
        weights = _departure_weights(frame, transmitter)
        whole, shift_halves = np.einsum("nbk,hkrnt->hbrnt", weights, over_shifts, optimize=True)

        # Transform over subcarriers and antennas; in one axis at a time the halves' difference.
        # Index 0 of the transforms is the whole transform, index 1 the halves' difference.
        over_delays = delay_transforms[0] @ whole
        spectrum = _over_beams(beam_transforms[0], over_delays)
        beam_halves = _over_beams(beam_transforms[1], over_delays)
        delay_halves = _over_beams(beam_transforms[0], delay_transforms[1] @ whole)
        doppler_halves = _over_beams(beam_transforms[0], delay_transforms[0] @ shift_halves)

        # Keep the strongest beam of departure.
        channels += _strongest_departure(spectrum, (beam_halves, delay_halves, doppler_halves))
    return np.stack(channels)


def _departure_weights(frame: Signal, transmitter: int) -> np.ndarray:
    """Conjugate weights of the streams in each beam of departure; noise keeps its power.

    Returns [num_subcarriers, num_beams, num_streams], complex.
    """
    # Beams of departure: as many as antennas, the rows of the unscaled Fourier matrix.
    part = frame.antennas[transmitter]
    num_ant = part.stop - part.start
    steering = np.fft.ifft(np.eye(num_ant), norm="forward")

    # Matched weights [num_groups, num_beams, num_streams] of each group's precoder.
    weights = frame.stream_gains(transmitter, steering).conj()

    # Unit norm of each beam's weights, on the mean over groups; a beam without power stays zero.
    by_group = np.sum(np.abs(weights) ** 2, axis=2)
    power = np.mean(by_group, axis=0)
    norm = np.sqrt(np.maximum(power, np.finfo(np.float32).tiny))
    weights /= norm[:, None]

    # All subcarriers of a group have its weights.
    return np.repeat(weights, frame.group_size, axis=0)


def _strongest_departure(spectrum: np.ndarray, halves: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """The channels of one transmitter, each [num_rx_ant, num_delays, num_shifts], float32.

    spectrum: [num_beams, num_rx_ant, num_delays, num_shifts], complex64
    halves: same shape, differences of halves of antennas, subcarriers and symbols
    """
    # Gather the beam of departure with the most power.
    power = spectrum.real**2 + spectrum.imag**2
    strongest = power.argmax(axis=0)[None]
    peak_power = np.take_along_axis(power, strongest, 0)[0]
    whole = np.take_along_axis(spectrum, strongest, 0)[0]

    # Log power (log 2 is that of noise alone), and offsets from the bin.
    channels = [np.log1p(peak_power) - np.float32(np.log(2))]
    for sign, half in zip(OFFSET_SIGNS, halves):
        difference = np.take_along_axis(half, strongest, 0)[0]
        channels.append(sign * _bin_offset(whole, difference))
    return channels


def _transforms(scene: Scene, num_ant: int) -> tuple[np.ndarray, ...]:
    """Fourier transforms over antennas, subcarriers and symbols, and their half differences.

    Returns for beams, delays and Doppler shifts [2, num_bins, num_samples], complex64: a unitary
    transform, and the same with its first half of samples negative.
    """
    grid = scene.grid
    beams = np.arange(-(num_ant // 2), num_ant - num_ant // 2)
    return (
        _transform(num_ant, beams, -1),
        _transform(grid.num_subcarriers, delay_bins(scene), 1),
        _transform(grid.num_symbols, doppler_bins(scene), -1),
    )


def _transform(size: int, bins: np.ndarray, sign: int) -> np.ndarray:
    """One transform of _transforms; sign is that of its exponent."""
    # Unitary discrete Fourier transform at the bins.
    samples = np.arange(size)
    products = np.outer(bins, samples)
    turn = 2j * np.pi * sign / size
    phasors = np.exp(turn * products)
    transform = phasors / np.sqrt(size)

    # The same with opposite signs of both halves of the samples.
    half_signs = np.where(samples < size / 2, -1, 1)
    difference = transform * half_signs
    return np.stack([transform, difference]).astype(np.complex64)


def _over_beams(transform: np.ndarray, streams: np.ndarray) -> np.ndarray:
    """Transform [num_beams, num_rx_ant] over the second axis of streams."""
    return np.tensordot(transform, streams, (1, 1)).swapaxes(0, 1)


def _bin_offset(whole: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Sine of the phase from the first half to the second, smaller in noise.

    whole, difference: sum and difference of the second and the first half, complex64
    """
    first = (whole - difference) / 2
    second = (whole + difference) / 2
    return (first.conj() * second).imag / (np.abs(first) * np.abs(second) + HALF_NOISE_POWER)


def num_doppler_bins(scene: Scene) -> int:
    """Number of Doppler bins for the scene's fastest targets, a multiple of BINS_STEP or all."""
    grid = scene.grid
    max_doppler_hz = 2 * scene.sensing.max_speed_mps / grid.wavelength_m
    max_bins = max_doppler_hz * grid.num_symbols * grid.symbol_period_s
    return _in_steps(2 * int(np.ceil(max_bins)), grid.num_symbols)


def doppler_bins(scene: Scene) -> np.ndarray:
    """These bins of a Fourier transform over the symbols, ascending Doppler, [num_doppler_bins]."""
    count = num_doppler_bins(scene)
    return np.arange(-(count // 2), count - count // 2) % scene.grid.num_symbols


def delay_window(scene: Scene) -> tuple[int, int]:
    """First delay bin and number of bins of every path over the scene's box.

    The number is a multiple of BINS_STEP, or all. There is one more bin on either side, to which
    peaks between bins leak.
    """
    grid = scene.grid
    box = scene.box
    corners = np.array(list(product(*zip(box.low_m, box.high_m))))

    # Shortest and longest path of each link.
    shortest_m = []
    longest_m = []
    for transmitter, receiver in product(scene.transmitters, scene.receivers):
        shortest_m.append(np.linalg.norm(transmitter.position_m - receiver.position_m))
        outward_m = np.linalg.norm(corners - transmitter.position_m, axis=1)
        inward_m = np.linalg.norm(corners - receiver.position_m, axis=1)
        longest_m.append((outward_m + inward_m).max())

    # Their bins, with one more on either side.
    first = int(np.floor(min(shortest_m) / grid.range_resolution_m)) - 1
    last = int(np.ceil(max(longest_m) / grid.range_resolution_m)) + 1
    return first, _in_steps(last - first + 1, grid.num_subcarriers)


def delay_bins(scene: Scene) -> np.ndarray:
    """These bins of a Fourier transform over the subcarriers, ascending delay, [number of bins]."""
    first, count = delay_window(scene)
    return (first + np.arange(count)) % scene.grid.num_subcarriers


def _in_steps(count: int, most: int) -> int:
    """A count, rounded up to a multiple of BINS_STEP, at most `most`."""
    return min(-(-count // BINS_STEP) * BINS_STEP, most)


def transmit_tensor(frame: Signal) -> np.ndarray:
    """Transmit signal X of all antennas, scaled to unit power (CF section III-C).

    Returns [2, num_tx_ant, num_subcarriers, num_symbols], float32.
    """
    # Signal of each antenna, [num_subcarriers, num_ant, num_symbols] for each transmitter: with the
    # identity as steering vectors a "direction" is one antenna.
    signals = []
    for index, part in enumerate(frame.antennas):
        identity = np.eye(part.stop - part.start, dtype=np.complex64)
        signals.append(frame.toward(index, identity))

    # Antennas of all transmitters first, at a mean power of one.
    signal = np.concatenate(signals, axis=1).transpose(1, 0, 2)
    power = np.mean(signal.real**2 + signal.imag**2)
    amplitude = np.sqrt(np.maximum(power, np.finfo(np.float32).tiny))
    return real_channels(signal[None] / amplitude)


def real_channels(signals: np.ndarray) -> np.ndarray:
    """Complex signals [count, ...] as channels [2 count, ...], float32: real, then imaginary."""
    return np.concatenate([signals.real, signals.imag]).astype(np.float32)


def _network_echo(scene: Scene, echo: np.ndarray) -> np.ndarray:
    """The echo in units of the noise, antennas in reverse order.

    The networks were trained on the mirrored receive steering of CF eqs. 1-2; for a uniform linear
    array that is the physical one with its elements counted from the other end.
    """
    return echo[::-1] * np.float32(scene.propagation.noise_power_w**-0.5)

"""The echo at a receiver: propagation paths applied to the transmitted signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets, apparent_paths, clock_phasors
from cooperative_isac.channel.paths import PathKind, PathSet
from cooperative_isac.channel.static import static_echo
from cooperative_isac.scene.arrays import phasors, steering_vectors
from cooperative_isac.scene.band import OfdmGrid, Propagation
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.signal import Signal, Transmission

# Path signals of the static world that are held at once, in resource elements times paths of 8 byte
# each: as much as stays in a processor's cache.
MOST_SIGNALS = 2**19


@dataclass(frozen=True)
class Echo:
    """The echo that one station received on one band in one frame.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    noise_power_w: thermal noise and residual self-interference per antenna, subcarrier and symbol,
    W
    """

    station: str
    band: str
    frame_number: int
    samples: np.ndarray
    noise_power_w: float


def path_phases(
    grid: OfdmGrid, delay_s: np.ndarray, doppler_hz: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Phase ramps of delays over subcarriers, and of Doppler shifts over symbols.

    delay_s: [num_paths], float64, s
    doppler_hz: [num_paths], float64, Hz
    Returns [num_subcarriers, num_paths] and [num_paths, num_symbols], complex64.
    Source: CF eq. (6).
    """
    over_subcarriers = np.exp(-2j * np.pi * grid.subcarrier_offsets_hz[:, None] * delay_s)
    over_symbols = np.exp(2j * np.pi * doppler_hz[:, None] * grid.symbol_times_s)
    return over_subcarriers.astype(np.complex64), over_symbols.astype(np.complex64)


def with_delay_rates(scene: Scene, paths: PathSet) -> PathSet:
    """Paths whose delays change within a frame, where the echoes of a scene have range migration.

    A path that shortens by a share s of the speed of light has a Doppler shift of s times each
    subcarrier's own frequency: s f_c at the carrier, and s f_k more at the offset f_k.

    paths: without clock offsets, which shift the carrier alone
    Source: DC section III-B.
    """
    if not scene.propagation.range_migration:
        return paths
    return replace(paths, delay_rate=delay_rates(scene.grid, paths.doppler_hz))


def delay_rates(grid: OfdmGrid, doppler_hz: np.ndarray) -> np.ndarray:
    """Changes of the delays of paths within a frame, from their Doppler shifts at the carrier.

    doppler_hz: [num_paths], float64, Hz
    Returns [num_paths], float64, s/s.
    """
    return -doppler_hz / grid.carrier_hz


def migration_phases(grid: OfdmGrid, delay_rate: np.ndarray) -> np.ndarray:
    """Phases of the change of delays within a frame, over subcarriers and symbols.

    delay_rate: [num_paths], float64, s/s
    Returns [num_subcarriers, num_paths, num_symbols], complex64.
    """
    rates_hz = np.multiply.outer(grid.subcarrier_offsets_hz, delay_rate)
    return phasors(-rates_hz[..., None] * grid.symbol_times_s)


def path_signals(scene: Scene, signal: Transmission, paths: PathSet) -> np.ndarray:
    """Each path's signal without its receive steering, beta sqrt(PL) exp(-j phi) a_t^T x.

    Returns [num_subcarriers, num_paths, num_symbols], complex64, sqrt(W).
    Source: CF eq. (6), signs as in scene.arrays.
    """
    grid = signal.grid
    signals = np.empty((grid.num_subcarriers, len(paths.delay_s), grid.num_symbols), np.complex64)

    # Transmitted signal along each path.
    for index, site in enumerate(scene.transmitters):
        chosen = paths.transmitter == index
        steering = steering_vectors(site.elements_m, paths.aod[chosen], scene.grid.wavelength_m)
        signals[:, chosen] = signal.toward(index, steering)

    # Amplitude, delay and Doppler shift.
    over_subcarriers, over_symbols = path_phases(grid, paths.delay_s, paths.doppler_hz)
    signals *= (paths.amplitude.astype(np.complex64) * over_subcarriers)[:, :, None]
    signals *= over_symbols
    if paths.delay_rate is not None:
        signals *= migration_phases(grid, paths.delay_rate)
    return signals


def clock_phases(
    propagation: Propagation, grid: OfdmGrid, num_transmitters: int, generator: np.random.Generator
) -> np.ndarray:
    """Phasors of the residual clock offsets, new in each symbol.

    The equation draws offsets as CN(0, sigma^2); a phase needs a real number, so that the real part
    is drawn, N(0, sigma^2). The phase of a timing offset is that over one subcarrier spacing, the
    same on all subcarriers, as in the equation.

    propagation: with the standard deviations of the offsets
    grid: of the frame
    num_transmitters: number of links to the receiver
    generator: of the offsets
    Returns [num_transmitters, num_symbols], complex64.
    Source: CF eq. (30).
    """
    shape = (num_transmitters, grid.num_symbols)
    timing_s = propagation.timing_offset_std_s * generator.standard_normal(shape)
    frequency_hz = propagation.frequency_offset_std_hz * generator.standard_normal(shape)

    # Over one OFDM symbol, with its cyclic prefix: the grid may use every n-th symbol only.
    symbol_s = grid.symbol_period_s / grid.symbol_stride
    cycles = frequency_hz * symbol_s - timing_s * grid.subcarrier_spacing_hz
    return np.exp(2j * np.pi * cycles).astype(np.complex64)


def thermal_noise(
    shape: tuple[int, ...], power_w: float, generator: np.random.Generator
) -> np.ndarray:
    """Receiver noise CN(0, power_w).

    Returns an array of that shape, complex64, sqrt(W).
    """
    parts = generator.standard_normal((*shape, 2), np.float32)
    parts *= np.float32(np.sqrt(power_w / 2))
    return parts.view(np.complex64)[..., 0]


@dataclass(frozen=True)
class DrawnNoise:
    """Receiver noise of a frame that was drawn before its paths were known.

    state: of the generator before the noise was drawn
    power_w: W, per antenna, subcarrier and symbol
    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    """

    state: Mapping[str, Any]
    power_w: float
    samples: np.ndarray


def noise_or_drawn(
    shape: tuple[int, ...],
    power_w: float,
    generator: np.random.Generator,
    drawn: DrawnNoise | None,
) -> np.ndarray:
    """Receiver noise from a generator: the stored draw, where its state and settings are equal.

    Returns an array of that shape, complex64, sqrt(W), for the caller to write to.
    """
    if drawn is None or drawn.state != generator.bit_generator.state:
        return thermal_noise(shape, power_w, generator)
    if (drawn.samples.shape, drawn.power_w) != (shape, power_w):
        return thermal_noise(shape, power_w, generator)
    return drawn.samples.copy()


def draw_noise(
    scene: Scene, grid: OfdmGrid, receiver: Site, generator: np.random.Generator
) -> DrawnNoise:
    """The noise that `apply_paths` would draw next."""
    clock_jitter(scene, grid, receiver, generator)
    state = generator.bit_generator.state
    power_w = receiver_noise_w(scene, receiver)
    shape = (receiver.num_ant, grid.num_subcarriers, grid.num_symbols)
    return DrawnNoise(state, power_w, thermal_noise(shape, power_w, generator))


def clock_jitter(
    scene: Scene, grid: OfdmGrid, receiver: Site, generator: np.random.Generator
) -> np.ndarray | None:
    """Phasors of the residual clock offsets of all links to one receiver.

    A station that receives its own signal has one clock, and no offset.

    Returns [num_transmitters, num_symbols], complex64; None: the scene has no such offsets.
    """
    propagation = scene.propagation
    if not propagation.timing_offset_std_s and not propagation.frequency_offset_std_hz:
        return None
    phasors = clock_phases(propagation, grid, len(scene.transmitters), generator)
    is_monostatic = [site.name == receiver.name for site in scene.transmitters]
    phasors[is_monostatic] = 1
    return phasors


def link_phasors(
    grid: OfdmGrid,
    offsets: ClockOffsets | None,
    jitter: np.ndarray | None,
) -> np.ndarray | None:
    """Phasors of all clock offsets of each link, by which its static echo is multiplied.

    jitter: [num_transmitters, num_symbols], complex64, from clock_phases
    Returns [num_transmitters, num_subcarriers or 1, num_symbols], complex64; None: no offsets.
    """
    of_jitter = None if jitter is None else jitter[:, None, :]
    if offsets is None:
        return of_jitter
    of_offsets = clock_phasors(grid, offsets)
    return of_offsets if of_jitter is None else of_jitter * of_offsets


def apply_paths(
    scene: Scene,
    signal: Signal,
    receiver: Site,
    paths: PathSet,
    generator: np.random.Generator,
    static: np.ndarray | None = None,
    offsets: ClockOffsets | None = None,
    drawn: DrawnNoise | None = None,
) -> np.ndarray:
    """The echo y of all paths at one receiver, with noise and clock offsets.

    generator: of jitter and noise
    static: [num_rx_ant, num_subcarriers, num_tx_ant], complex64, channel matrix of the static world
    (channel.static); clock offsets apply to it, too; None: no static world
    offsets: of the stations' clocks (channel.clocks), beside the residual ones; None: none
    drawn: noise that was drawn before (draw_noise); None: none was
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    Source: CF eq. (6), with clutter (29) and residual clock offsets (30).
    """
    grid = signal.grid
    paths = apparent_paths(with_delay_rates(scene, paths), offsets)
    jitter = clock_jitter(scene, grid, receiver, generator)

    # Noise.
    shape = (receiver.num_ant, grid.num_subcarriers, grid.num_symbols)
    echo = noise_or_drawn(shape, receiver_noise_w(scene, receiver), generator, drawn)

    # Echoes of paths with Doppler shifts.
    for block in path_blocks(paths, grid):
        echo += paths_echo(scene, signal, receiver, block, jitter)

    # Echo of the static world over links at rest.
    if static is not None:
        echo += static_echo(signal, static, link_phasors(grid, offsets, jitter))
    return echo


def path_blocks(paths: PathSet, grid: OfdmGrid) -> list[PathSet]:
    """Blocks of paths that are applied one after another, to bound the memory.

    Targets and clutter are one block; a driving station has thousands of paths of the static world.
    """
    if paths.kind is None:
        return [paths]
    of_world = paths.kind >= PathKind.LINE_OF_SIGHT
    if not of_world.any():
        return [paths]

    static = paths.chosen(of_world)
    most_paths = max(1, MOST_SIGNALS // (grid.num_subcarriers * grid.num_symbols))
    begins = range(0, len(static.delay_s), most_paths)
    blocks = [static.chosen(slice(begin, begin + most_paths)) for begin in begins]
    return [paths.chosen(~of_world), *blocks]


def paths_echo(
    scene: Scene,
    signal: Transmission,
    receiver: Site,
    paths: PathSet,
    jitter: np.ndarray | None = None,
) -> np.ndarray:
    """Echo of paths with Doppler shifts, [num_rx_ant, num_subcarriers, num_symbols], complex64.

    jitter: [num_transmitters, num_symbols], complex64, residual clock offsets; None: none
    """
    signals = path_signals(scene, signal, paths)
    if jitter is not None:
        signals *= jitter[paths.transmitter]
    steering = steering_vectors(receiver.elements_m, paths.aoa, scene.grid.wavelength_m)
    return np.matmul(steering.astype(np.complex64).T, signals).transpose(1, 0, 2)

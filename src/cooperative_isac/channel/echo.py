"""Paths applied to a frame: the echo at a receiver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets, apparent_paths, clock_phasors
from cooperative_isac.channel.paths import PathKind, PathSet
from cooperative_isac.channel.static import static_echo
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import OfdmGrid, Propagation, Scene, Site
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.waveform.signal import Signal

# Resource elements times paths of the static world whose signals are held at once, 8 byte each: as
# much as stays in a processor's cache.
MOST_SIGNALS = 2**19


@dataclass(frozen=True)
class Echo:
    """What one station received on one band in one frame.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    noise_power_w: per antenna, subcarrier and symbol, W: thermal, and what is left of the station's
    own signal
    """

    station: str
    band: str
    frame_number: int
    samples: np.ndarray
    noise_power_w: float


def path_phases(
    grid: OfdmGrid, delay_s: np.ndarray, doppler_hz: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Phase ramps of CF eq. 6: over subcarriers [num_subcarriers, num_paths] and symbols
    [num_paths, num_symbols].
    """
    over_subcarriers = np.exp(-2j * np.pi * grid.subcarrier_offsets_hz[:, None] * delay_s)
    over_symbols = np.exp(2j * np.pi * doppler_hz[:, None] * grid.symbol_times_s)
    return over_subcarriers.astype(np.complex64), over_symbols.astype(np.complex64)


def path_signals(scene: Scene, frame: Signal, paths: PathSet) -> np.ndarray:
    """Each path's signal without its receive steering, [num_subcarriers, num_paths, num_symbols],
    complex64.

    The scalar beta sqrt(PL) exp(-j phi) a_t^T x (CF eq. 6, signs as in scene.arrays).
    """
    over_subcarriers, over_symbols = path_phases(frame.grid, paths.delay_s, paths.doppler_hz)
    shape = (frame.grid.num_subcarriers, len(paths.delay_s), frame.grid.num_symbols)
    signals = np.empty(shape, np.complex64)
    for index, site in enumerate(scene.transmitters):
        chosen = paths.transmitter == index
        steering = steering_vectors(site.elements_m, paths.aod[chosen], scene.grid.wavelength_m)
        signals[:, chosen] = frame.toward(index, steering)
    signals *= (paths.amplitude.astype(np.complex64) * over_subcarriers)[:, :, None]
    signals *= over_symbols
    return signals


def clock_phases(
    propagation: Propagation, grid: OfdmGrid, num_transmitters: int, generator: np.random.Generator
) -> np.ndarray:
    """Residual clock offset phases of CF eq. 30, [num_transmitters, num_symbols], complex64, new in
    each symbol.

    The equation draws offsets as CN(0, sigma^2); a phase needs a real number, so the real part is
    drawn, N(0, sigma^2).
    """
    shape = (num_transmitters, grid.num_symbols)
    timing = propagation.timing_offset_std_s * generator.standard_normal(shape)
    frequency = propagation.frequency_offset_std_hz * generator.standard_normal(shape)
    cycles = (
        frequency * grid.symbol_period_s / grid.symbol_stride - timing * grid.subcarrier_spacing_hz
    )
    return np.exp(2j * np.pi * cycles).astype(np.complex64)


def thermal_noise(shape, power_w: float, generator: np.random.Generator) -> np.ndarray:
    """Receiver noise CN(0, power_w), complex64 of that shape."""
    real = generator.standard_normal((*shape, 2), np.float32)
    real *= np.float32(np.sqrt(power_w / 2))
    return real.view(np.complex64)[..., 0]


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
    """Receiver noise of a generator: what was drawn before, where it was drawn in the same state.

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
    """Residual clock offset phases of all links to one receiver, where the scene has such offsets.

    A station that receives its own signal has one clock, and none of them.

    Returns [num_transmitters, num_symbols], complex64; None: all are 1.
    """
    air = scene.propagation
    if not air.timing_offset_std_s and not air.frequency_offset_std_hz:
        return None
    phases = clock_phases(air, grid, len(scene.transmitters), generator)
    own = [site.name == receiver.name for site in scene.transmitters]
    phases[own] = 1
    return phases


def link_phasors(
    grid: OfdmGrid,
    offsets: ClockOffsets | None,
    jitter: np.ndarray | None,
) -> np.ndarray | None:
    """Phasors by which clocks turn the static echoes of each link.

    jitter: [num_transmitters, num_symbols], complex64, from clock_phases
    Returns [num_transmitters, num_subcarriers or 1, num_symbols], complex64; None: nothing.
    """
    turns = None if jitter is None else jitter[:, None, :]
    if offsets is None:
        return turns
    steady = clock_phasors(grid, offsets)
    return steady if turns is None else turns * steady


def apply_paths(
    scene: Scene,
    frame: Signal,
    receiver: Site,
    paths: PathSet,
    generator: np.random.Generator,
    static: np.ndarray | None = None,
    offsets: ClockOffsets | None = None,
    drawn: DrawnNoise | None = None,
) -> np.ndarray:
    """The echo y of CF eq. 6 with clutter (29) and clock offsets (30), and noise.

    static: channel matrix of the static world (channel.static), or None; clock offsets turn its
    paths as all others
    offsets: of the stations' clocks (channel.clocks), beside the residual ones of CF eq. 30; None:
    none
    drawn: noise that was drawn before (draw_noise); None: none was
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    grid = frame.grid
    paths = apparent_paths(paths, offsets)

    jitter = clock_jitter(scene, grid, receiver, generator)

    # Noise, then the echoes of paths with Doppler shifts.
    shape = (receiver.num_ant, grid.num_subcarriers, grid.num_symbols)
    echo = noise_or_drawn(shape, receiver_noise_w(scene, receiver), generator, drawn)
    for part in path_blocks(paths, grid):
        echo += _moving_echo(scene, frame, receiver, part, jitter)

    # What stands still between stations that stand.
    if static is not None:
        echo += static_echo(frame, static, link_phasors(grid, offsets, jitter))
    return echo


def path_blocks(paths: PathSet, grid: OfdmGrid) -> list[PathSet]:
    """Paths in blocks that are applied one after another: targets and clutter first, in one.

    A driving station has thousands of paths of the static world.
    """
    if paths.kind is None:
        return [paths]
    of_world = paths.kind >= PathKind.LINE_OF_SIGHT
    if not of_world.any():
        return [paths]
    static = paths.chosen(of_world)
    most = max(1, MOST_SIGNALS // (grid.num_subcarriers * grid.num_symbols))
    begins = range(0, len(static.delay_s), most)
    blocks = [static.chosen(slice(begin, begin + most)) for begin in begins]
    return [paths.chosen(~of_world), *blocks]


def _moving_echo(
    scene: Scene, frame: Signal, receiver: Site, paths: PathSet, jitter: np.ndarray | None
) -> np.ndarray:
    """Echo of paths with Doppler shifts, [num_rx_ant, num_subcarriers, num_symbols], complex64."""
    signals = path_signals(scene, frame, paths)
    if jitter is not None:
        signals *= jitter[paths.transmitter]
    steering = steering_vectors(receiver.elements_m, paths.aoa, scene.grid.wavelength_m).astype(
        np.complex64
    )
    return np.matmul(steering.T, signals).transpose(1, 0, 2)

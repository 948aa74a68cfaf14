"""Clocks of the stations: delays, Doppler shifts and phases of a link with their offsets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site


@dataclass(frozen=True)
class ClockOffsets:
    """Offsets of the links from all transmitters to one receiver, constant over a frame.

    The signs: a clock is ahead where its offset is positive. A receiver whose clock is ahead by dt
    begins to receive dt too early, so that delays look LONGER by dt; a transmitter whose clock is
    ahead sends too early, so that they look shorter. A transmitter whose carrier is df too high
    makes Doppler shifts look larger by df, a receiver whose carrier is too high makes them look
    smaller. The phase of the carrier is that of the transmitter's less that of the receiver's; the
    timing offset does not turn it.

    timing_s: [num_transmitters], float64, s, added to the delays
    frequency_hz: [num_transmitters], float64, Hz, added to the Doppler shifts
    phase_rad: [num_transmitters], float64, rad, common phase at the frame's first symbol
    """

    timing_s: np.ndarray
    frequency_hz: np.ndarray
    phase_rad: np.ndarray


def link_offsets(scene: Scene, receiver: Site, time_s: float) -> ClockOffsets | None:
    """Clock offsets of all links to one receiver at a time after the scene's start.

    A station that receives its own signal has one clock: no offset.

    Returns None where all clocks are those of the network.
    """
    if scene.layout is None or all(station.clock.is_ideal for station in scene.stations):
        return None
    own = scene.station(receiver.name).clock
    clocks = [scene.station(site.name).clock for site in scene.transmitters]
    return ClockOffsets(
        np.array([own.timing_s(time_s) - clock.timing_s(time_s) for clock in clocks]),
        np.array([clock.frequency_hz(time_s) - own.frequency_hz(time_s) for clock in clocks]),
        np.array([clock.phase_rad(time_s) - own.phase_rad(time_s) for clock in clocks]),
    )


def apparent_paths(paths: PathSet, offsets: ClockOffsets | None) -> PathSet:
    """Paths as a receiver measures them: delays, Doppler shifts and phases with clock offsets."""
    if offsets is None:
        return paths
    return replace(
        paths,
        delay_s=paths.delay_s + offsets.timing_s[paths.transmitter],
        doppler_hz=paths.doppler_hz + offsets.frequency_hz[paths.transmitter],
        amplitude=paths.amplitude * np.exp(1j * offsets.phase_rad[paths.transmitter]),
    )


def clock_phasors(grid: OfdmGrid, offsets: ClockOffsets) -> np.ndarray:
    """Phasors by which clock offsets turn the echoes of each transmitter.

    Returns [num_transmitters, num_subcarriers, num_symbols], complex64.
    """
    over_subcarriers = np.outer(offsets.timing_s, grid.subcarrier_offsets_hz)
    over_symbols = np.outer(offsets.frequency_hz, grid.symbol_times_s)
    cycles = over_symbols[:, None, :] - over_subcarriers[:, :, None]
    turns = np.exp(2j * np.pi * cycles + 1j * offsets.phase_rad[:, None, None])
    return turns.astype(np.complex64)

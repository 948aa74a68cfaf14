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
    """Clock offsets of the links from all transmitters to one receiver, constant over a frame.

    Signs: a positive offset is a clock that is ahead. A receiver whose clock is ahead by dt begins
    to receive dt too early, so that it measures delays that are LONGER by dt; a transmitter whose
    clock is ahead transmits too early, which makes them shorter. A carrier that is df too high adds
    df to the measured Doppler shifts at the transmitter, and -df at the receiver. The phase is that
    of the transmitter's carrier less that of the receiver's; the timing offset does not change it.

    timing_s: [num_transmitters], float64, s, added to the delays
    frequency_hz: [num_transmitters], float64, Hz, added to the Doppler shifts
    phase_rad: [num_transmitters], float64, rad, common phase at the frame's first symbol
    """

    timing_s: np.ndarray
    frequency_hz: np.ndarray
    phase_rad: np.ndarray


def link_offsets(scene: Scene, receiver: Site, time_s: float) -> ClockOffsets | None:
    """Clock offsets of all links to one receiver at a time after the scene's start.

    A station that receives its own signal has one clock, and no offset.

    time_s: after the scene's start, s
    Returns None if all clocks are ideal.
    """
    if scene.layout is None or all(station.clock.is_ideal for station in scene.stations):
        return None

    # State of the receiver's clock, and of those of all transmitters.
    rx = scene.station(receiver.name).clock
    transmitters = [scene.station(site.name).clock for site in scene.transmitters]
    tx_timing_s = np.array([tx.timing_s(time_s) for tx in transmitters])
    tx_frequency_hz = np.array([tx.frequency_hz(time_s) for tx in transmitters])
    tx_phase_rad = np.array([tx.phase_rad(time_s) for tx in transmitters])

    # A receiver that is ahead measures longer delays; a carrier that is too high at the receiver
    # lowers Doppler shift and phase.
    return ClockOffsets(
        timing_s=rx.timing_s(time_s) - tx_timing_s,
        frequency_hz=tx_frequency_hz - rx.frequency_hz(time_s),
        phase_rad=tx_phase_rad - rx.phase_rad(time_s),
    )


def apparent_paths(paths: PathSet, offsets: ClockOffsets | None) -> PathSet:
    """Paths as a receiver measures them: delays, Doppler shifts and phases with clock offsets.

    paths: true ones
    offsets: of the links to the receiver; None: ideal clocks
    """
    if offsets is None:
        return paths
    timing_s = offsets.timing_s[paths.transmitter]
    frequency_hz = offsets.frequency_hz[paths.transmitter]
    phase_rad = offsets.phase_rad[paths.transmitter]
    return replace(
        paths,
        delay_s=paths.delay_s + timing_s,
        doppler_hz=paths.doppler_hz + frequency_hz,
        amplitude=paths.amplitude * np.exp(1j * phase_rad),
    )


def clock_phasors(grid: OfdmGrid, offsets: ClockOffsets) -> np.ndarray:
    """Phasors of the clock offsets, by which the echoes of each transmitter are multiplied.

    At subcarrier offset f and time t they are exp(j (phase + 2 pi (frequency t - timing f))).

    Returns [num_transmitters, num_subcarriers, num_symbols], complex64.
    """
    over_subcarriers = np.outer(offsets.timing_s, grid.subcarrier_offsets_hz)
    over_symbols = np.outer(offsets.frequency_hz, grid.symbol_times_s)
    cycles = over_symbols[:, None, :] - over_subcarriers[:, :, None]
    phasors = np.exp(2j * np.pi * cycles + 1j * offsets.phase_rad[:, None, None])
    return phasors.astype(np.complex64)

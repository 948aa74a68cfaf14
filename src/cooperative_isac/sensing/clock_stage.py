"""Stage of a scheme that synchronizes the links to one receiver (sensing.synchronization)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets, clock_phasors
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.canceled_paths import CanceledPaths
from cooperative_isac.sensing.offset_history import offset_history
from cooperative_isac.sensing.synchronization import LinkOffset, static_offsets
from cooperative_isac.waveform.offset_signal import with_clock_offsets
from cooperative_isac.waveform.signal import Component


@dataclass(frozen=True)
class Synchronized:
    """An echo with the clock offsets of its links.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), without known static
        paths where there are offsets
    offsets: None where the stations count as synchronous
    canceled: static paths that were canceled one by one; None: none
    """

    samples: np.ndarray
    offsets: ClockOffsets | None = None
    canceled: CanceledPaths | None = None


class ClockStage:
    """Clock offsets of the links to one receiver, where its echoes are processed.

    The mode is a parameter of the scene. With `line_of_sight` the offsets of each frame are
    estimated from the known static paths in its echo, which are then subtracted. A link without
    such a path in a frame has the offsets that its last ones predict. With all other modes the
    echo stays as it is: stations count as synchronous, or targets give the offsets.
    """

    def __init__(self, scene: Scene):
        self._mode = scene.sensing.synchronization
        self._histories = [offset_history(scene) for _ in scene.transmitters]

    def estimate(
        self,
        scene: Scene,
        receiver: Site,
        signal: Component,
        echo: np.ndarray,
        time_s: float | None,
    ) -> Synchronized:
        """The echo without known static paths, and the clock offsets of the links.

        scene: seen on the band, with the poses of the frame
        receiver: receiving station
        signal: known symbols of the frame
        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
        time_s: of the frame, s; None where frames are independent draws
        """
        if self._mode != "line_of_sight":
            return Synchronized(echo)
        static = static_offsets(scene, receiver, signal, echo)
        found = static.offsets

        # Timing, frequency and phase offset of each link: of this frame, or the predicted ones,
        # which have no phase.
        num_links = len(scene.transmitters)
        offsets = np.zeros((num_links, 3))
        for index in range(num_links):
            if index in found:
                clock = found[index].clock
                offsets[index] = clock.delay_s, clock.frequency_hz, found[index].phase_rad
            elif time_s is not None:
                predicted = self._histories[index].predicted(time_s)
                if predicted is not None:
                    offsets[index, :2] = predicted.delay_s, predicted.frequency_hz
        if time_s is not None:
            self._remember(found, time_s)
        return Synchronized(static.remaining, ClockOffsets(*offsets.T), static.canceled)

    def _remember(self, found: dict[int, LinkOffset], time_s: float) -> None:
        """Keep the estimates of a frame."""
        for index, offset in found.items():
            self._histories[index].add(time_s, offset.clock)


def synchronized(signal: Component, offsets: ClockOffsets | None) -> Component:
    """The signal as a receiver observes it; the same object without clock offsets."""
    if offsets is None:
        return signal
    return with_clock_offsets(signal, clock_phasors(signal.grid, offsets))

"""Stage of a scheme that synchronizes the links to one receiver (sensing.synchronization)."""

from __future__ import annotations

from collections import deque

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets, clock_phasors
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.synchronization import LinkOffset, static_offsets
from cooperative_isac.waveform.offset_signal import with_clock_offsets
from cooperative_isac.waveform.signal import Component

# Estimates of a link that are kept, for frames in which it has none: enough for its drift, and over
# so short a time that the drift is constant.
KEPT_ESTIMATES = 8


class ClockStage:
    """Clock offsets of the links to one receiver, where its echoes are processed.

    The mode is a parameter of the scene. `none`: stations count as synchronous. `line_of_sight`:
    the offsets of each frame are estimated from the known static paths in its echo, which are then
    subtracted. A link without such a path in a frame has the offsets that its last ones predict.
    """

    def __init__(self, scene: Scene):
        self._mode = scene.sensing.synchronization
        self._estimates: dict[int, deque[tuple[float, LinkOffset]]] = {}

    def estimate(
        self,
        scene: Scene,
        receiver: Site,
        signal: Component,
        echo: np.ndarray,
        time_s: float | None,
    ) -> tuple[np.ndarray, ClockOffsets | None]:
        """The echo without known static paths, and the clock offsets of the links.

        Where the stations count as synchronous it is the same echo, and the offsets are None.

        scene: seen on the band, with the poses of the frame
        receiver: receiving station
        signal: known symbols of the frame
        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
        time_s: of the frame, s; None where frames are independent draws
        """
        if self._mode == "none":
            return echo, None
        found, remaining = static_offsets(scene, receiver, signal, echo)

        # Offsets of this frame, or the predicted ones.
        num_links = len(scene.transmitters)
        offsets = np.zeros((num_links, 3))
        for index in range(num_links):
            if index in found:
                clock = found[index].clock
                offsets[index] = clock.delay_s, clock.frequency_hz, found[index].phase_rad
            elif time_s is not None:
                offsets[index, :2] = self._predicted(index, time_s)
        if time_s is not None:
            self._remember(found, time_s)
        return remaining, ClockOffsets(*offsets.T)

    def _remember(self, found: dict[int, LinkOffset], time_s: float) -> None:
        """Keep the estimates of a frame; those after it, of an earlier run, are dropped."""
        for index, offset in found.items():
            kept = self._estimates.setdefault(index, deque(maxlen=KEPT_ESTIMATES))
            if kept and kept[-1][0] >= time_s:
                kept.clear()
            kept.append((time_s, offset))

    def _predicted(self, index: int, time_s: float) -> np.ndarray:
        """Timing (s) and carrier offset (Hz) of a link on a line through its last estimates.

        Returns [2], float64; zeros where it has none before this time.
        """
        kept = self._estimates.get(index, deque())
        if not kept or kept[-1][0] >= time_s:
            return np.zeros(2)
        elapsed_s = np.array([time for time, _ in kept]) - time_s
        values = np.array([[one.clock.delay_s, one.clock.frequency_hz] for _, one in kept])
        if len(kept) == 1:
            return values[0]
        return np.polynomial.polynomial.polyfit(elapsed_s, values, 1)[0]


def synchronized(signal: Component, offsets: ClockOffsets | None) -> Component:
    """The signal as a receiver observes it; the same object without clock offsets."""
    if offsets is None:
        return signal
    return with_clock_offsets(signal, clock_phasors(signal.grid, offsets))

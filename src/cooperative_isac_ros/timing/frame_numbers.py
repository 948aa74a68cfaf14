"""Numbers of frames from their stamps, so that a gap of time is a gap of numbers."""

from __future__ import annotations

# [s] A clock that goes further from one frame to the next was set, and numbers go on without a gap.
LONGEST_GAP_S = 10.0


class FrameNumbers:
    """Frame k of a run is stamped k periods after frame 0.

    rate_hz: frames per second; start_ns: stamp of frame 0, None where the run has not begun.
    """

    def __init__(self, rate_hz: float, start_ns: int | None = None):
        self._rate_hz = rate_hz
        self._start_ns = start_ns
        self._last: int | None = None

    @property
    def start_ns(self) -> int | None:
        """Stamp of frame 0 [ns]; None before the first frame."""
        return self._start_ns

    def at(self, stamp_ns: int) -> int:
        """Number of the frame at a stamp [ns]; numbers grow, also where the clock is set."""
        if self._start_ns is None or (self._last is None and stamp_ns < self._start_ns):
            self._start_ns = stamp_ns
        number = self._count(stamp_ns - self._start_ns)

        # The clock went back, or further ahead than frames can be missing
        if self._last is not None:
            longest = max(self._count(LONGEST_GAP_S * 1e9), 1)
            if not 0 < number - self._last <= longest:
                number = self._last + 1
                self._start_ns = stamp_ns - round(number * 1e9 / self._rate_hz)

        self._last = number
        return number

    def _count(self, elapsed_ns: float) -> int:
        return round(elapsed_ns * 1e-9 * self._rate_hz)

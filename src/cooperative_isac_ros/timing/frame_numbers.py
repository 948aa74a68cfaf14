"""Frame numbers from stamps: a gap in time is a gap in the numbers."""

from __future__ import annotations

# Longest step of the clock from one frame to the next, s: after a larger one, or a step back, the
# clock was set, and numbers continue without a gap.
LONGEST_GAP_S = 10.0


class FrameNumbers:
    """Numbers of the frames of a run; frame k is stamped k periods after frame 0.

    rate_hz: frames per second
    start_ns: stamp of frame 0, ns; None where the run has not begun
    """

    def __init__(self, rate_hz: float, start_ns: int | None = None):
        self._rate_hz = rate_hz
        self._start_ns = start_ns
        self._last: int | None = None

    @property
    def start_ns(self) -> int | None:
        """Stamp of frame 0, ns; None before the first frame."""
        return self._start_ns

    def at(self, stamp_ns: int) -> int:
        """Number of the frame with a stamp in ns; numbers grow even where the clock is set."""
        if self._start_ns is None or (self._last is None and stamp_ns < self._start_ns):
            self._start_ns = stamp_ns
        number = self._periods(stamp_ns - self._start_ns)

        # the clock was set: the frame takes the next number, and frame 0 moves with the clock
        if self._last is not None:
            longest_gap = max(self._periods(LONGEST_GAP_S * 1e9), 1)
            if not 0 < number - self._last <= longest_gap:
                number = self._last + 1
                self._start_ns = stamp_ns - round(number * 1e9 / self._rate_hz)

        self._last = number
        return number

    def _periods(self, elapsed_ns: float) -> int:
        """Number of frame periods in a time in ns."""
        return round(elapsed_ns * 1e-9 * self._rate_hz)

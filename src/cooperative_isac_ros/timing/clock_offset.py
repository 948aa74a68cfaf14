"""How far the stamps of a robot are from the clock of the node that receives them."""

from __future__ import annotations

from collections import deque

import numpy as np

SAMPLES_KEPT = 20  # two seconds of the slowest odometry that is followed well
SAMPLES_NEEDED = 5
# Beyond it a robot's clock is off rather than its network slow: at 10 m/s a target is 3 m away.
LARGEST_OFFSET_S = 0.3
# Beyond it the clock is another one: simulation time on one side only.
ANOTHER_CLOCK_S = 5.0


class ClockOffset:
    """Offset of the stamps of one topic, from its latest samples.

    The sample with the least delay says how far the clocks are apart; the others waited in a queue.
    """

    def __init__(self) -> None:
        self._ahead_s: deque[float] = deque(maxlen=SAMPLES_KEPT)

    def add(self, stamp_ns: int, now_ns: int) -> None:
        """Take in the stamp of a sample and the time at which it was received, both in ns."""
        self._ahead_s.append((stamp_ns - now_ns) * 1e-9)

    @property
    def ahead_s(self) -> float:
        """How far stamps are ahead of the clock, s; 0 before there are samples enough."""
        return max(self._ahead_s) if len(self._ahead_s) >= SAMPLES_NEEDED else 0.0

    @property
    def jitter_s(self) -> float:
        """Standard deviation of the offset from sample to sample, s."""
        return float(np.std(self._ahead_s)) if self._ahead_s else 0.0

    def fault(self) -> tuple[str, str] | None:
        """Event and reason where the latest stamp, or all of them, are off; else None."""
        latest_s = self._ahead_s[-1] if self._ahead_s else 0.0
        if abs(latest_s) > ANOTHER_CLOCK_S:
            return "odometry_stale", (
                f"stamps are {abs(latest_s):.1f} s {_side(latest_s)} the node's clock; set "
                "use_sim_time on all nodes or on none, or synchronize the clocks"
            )
        if abs(self.ahead_s) <= LARGEST_OFFSET_S:
            return None
        event = "odometry_early" if self.ahead_s > 0 else "odometry_late"
        return event, (
            f"stamps are {abs(self.ahead_s):.2f} s {_side(self.ahead_s)} the clock (jitter "
            f"{self.jitter_s:.3f} s); synchronize the clocks or set odometry_offsets"
        )


def _side(ahead_s: float) -> str:
    return "ahead of" if ahead_s > 0 else "behind"

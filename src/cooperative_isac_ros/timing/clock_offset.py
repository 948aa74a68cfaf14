"""Offset between the stamps of a publisher and the clock of the node that receives them."""

from __future__ import annotations

from collections import deque

import numpy as np

# Latest samples from which the offset is estimated: 2 s at 10 Hz, the slowest useful odometry.
SAMPLES_KEPT = 20
# Samples without which there is no estimate.
SAMPLES_NEEDED = 5
# Offset above which the publisher's clock is off rather than its network slow, s: at 10 m/s a
# target is 3 m away from where its stamp puts it.
LARGEST_OFFSET_S = 0.3
# Offset above which the clock is a different one, s: simulation time on one side only.
OTHER_CLOCK_S = 5.0


class ClockOffset:
    """Offset of the stamps of one topic, from the latest samples.

    The estimate is that of the sample with the least delay; the others waited in a queue.
    """

    def __init__(self) -> None:
        self._ahead_s: deque[float] = deque(maxlen=SAMPLES_KEPT)

    def add(self, stamp_ns: int, now_ns: int) -> None:
        """Add the stamp of a sample and the time of its reception, both in ns."""
        self._ahead_s.append((stamp_ns - now_ns) * 1e-9)

    @property
    def ahead_s(self) -> float:
        """Estimated time by which stamps are ahead of the clock, s; 0 before SAMPLES_NEEDED."""
        return max(self._ahead_s) if len(self._ahead_s) >= SAMPLES_NEEDED else 0.0

    @property
    def jitter_s(self) -> float:
        """Standard deviation of the offset over the latest samples, s."""
        return float(np.std(self._ahead_s)) if self._ahead_s else 0.0

    def fault(self) -> tuple[str, str] | None:
        """Diagnostics counter and reason where the clocks disagree; None where they agree."""
        # the latest stamp alone shows that the clock is a different one
        latest_s = self._ahead_s[-1] if self._ahead_s else 0.0
        if abs(latest_s) > OTHER_CLOCK_S:
            return "odometry_stale", (
                f"stamps are {abs(latest_s):.1f} s {_side(latest_s)} the node's clock; set "
                "use_sim_time on all nodes or on none, or synchronize the clocks"
            )

        # several show that it is not synchronized
        if abs(self.ahead_s) <= LARGEST_OFFSET_S:
            return None
        event = "odometry_early" if self.ahead_s > 0 else "odometry_late"
        return event, (
            f"stamps are {abs(self.ahead_s):.2f} s {_side(self.ahead_s)} the clock (jitter "
            f"{self.jitter_s:.3f} s); synchronize the clocks or set odometry_offsets"
        )


def _side(ahead_s: float) -> str:
    return "ahead of" if ahead_s > 0 else "behind"

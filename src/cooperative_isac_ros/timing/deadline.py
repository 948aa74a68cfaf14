"""How long the center waits for the packets of a frame."""

from __future__ import annotations

from collections import OrderedDict

from cooperative_isac_ros.messages.records import FrameStamp

FRAMES_REMEMBERED = 64
# After skipped frames a frame may take as many periods longer, up to so many deadlines in all.
MOST_AFTER_SKIPPED = 20
# Packets that came late lately are waited for, with this margin and up to so many deadlines: a busy
# machine is slow for all receivers, and a frame without packets is worth less than a late one.
MARGIN, MOST_FOR_LATE = 1.5, 5
# What a packet took counts less by this factor with each further packet.
FORGETTING = 0.95


class PacketDeadline:
    """The wait for packets after the announcement of a frame.

    nominal_s: deadline of a network that follows, s. Times are of a steady clock, s.
    """

    def __init__(self, nominal_s: float):
        self._nominal_s = nominal_s
        self._announced_s: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._last: FrameStamp | None = None
        self._latency_s = 0.0

    def announce(self, frame: FrameStamp, now_s: float) -> float:
        """How long the packets of a frame that is announced now are waited for, s."""
        self._announced_s[frame.run, frame.number] = now_s
        if len(self._announced_s) > FRAMES_REMEMBERED:
            self._announced_s.popitem(last=False)

        # Longer by the frames that were skipped before it
        last, self._last = self._last, frame
        passed = 1
        if last is not None and last.run == frame.run:
            passed = max(frame.number - last.number, 1)
        after_skipped_s = self._nominal_s * min(passed, MOST_AFTER_SKIPPED)

        # Longer where packets took longer lately
        for_late_s = min(MARGIN * self._latency_s, MOST_FOR_LATE * self._nominal_s)
        return max(after_skipped_s, for_late_s)

    def receive(self, frame: FrameStamp, now_s: float) -> None:
        """A packet of a frame has arrived, in time or not."""
        began_s = self._announced_s.get((frame.run, frame.number))
        if began_s is not None:
            self._latency_s = max(FORGETTING * self._latency_s, now_s - began_s)

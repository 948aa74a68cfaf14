"""Deadline for the packets of a frame at the fusion center."""

from __future__ import annotations

from collections import OrderedDict

from cooperative_isac_ros.messages.records import FrameStamp

# Announced frames whose time of announcement is kept.
FRAMES_REMEMBERED = 64
# After skipped frames the deadline grows by one nominal deadline per skipped frame, up to this
# many in all: the frames were skipped because the network was slow.
MAX_DEADLINES_AFTER_SKIPPED = 20
# The deadline grows to the recent latency of packets times this margin: a busy machine is slow for
# all receivers, and a frame without packets is worth less than a late one.
LATENCY_MARGIN = 1.5
# ... up to this many nominal deadlines.
MAX_DEADLINES_FOR_LATE = 5
# Factor by which an earlier latency decays per packet.
PACKET_LATENCY_DECAY = 0.95


class PacketDeadline:
    """Adaptive deadline for packets after the announcement of a frame.

    nominal_s: deadline of a network that keeps up, s

    Times are of a steady clock, in s.
    """

    def __init__(self, nominal_s: float):
        self._nominal_s = nominal_s
        self._announced_s: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._last: FrameStamp | None = None
        self._latency_s = 0.0

    def announce(self, frame: FrameStamp, now_s: float) -> float:
        """Time to wait for the packets of a frame that is announced now, s."""
        self._announced_s[frame.run, frame.number] = now_s
        if len(self._announced_s) > FRAMES_REMEMBERED:
            self._announced_s.popitem(last=False)

        # longer by the frames that were skipped before it
        last = self._last
        self._last = frame
        num_periods = 1
        if last is not None and last.run == frame.run:
            num_periods = max(frame.number - last.number, 1)
        after_skipped_s = self._nominal_s * min(num_periods, MAX_DEADLINES_AFTER_SKIPPED)

        # longer where recent packets were late
        longest_s = MAX_DEADLINES_FOR_LATE * self._nominal_s
        for_late_s = min(LATENCY_MARGIN * self._latency_s, longest_s)
        return max(after_skipped_s, for_late_s)

    def receive(self, frame: FrameStamp, now_s: float) -> None:
        """Update the latency with a packet of a frame, in time or late."""
        began_s = self._announced_s.get((frame.run, frame.number))
        if began_s is not None:
            self._latency_s = max(PACKET_LATENCY_DECAY * self._latency_s, now_s - began_s)

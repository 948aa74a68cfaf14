"""Passes of a recorded clock, which jumps when a simulation restarts or the clock is first set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

# Largest step back of a topic's time within a pass, ns: jitter of reception, clock corrections.
STEP_BACK_NS = 500_000_000
# Largest step ahead of the time within a pass, ns: a day.
LONGEST_GAP_NS = 86_400_000_000_000
# Time below which a clock was not set, ns, where the next time is beyond the longest gap.
UNSET_BELOW_NS = 1_000_000_000
# Jumps of the clock that a remark lists.
SHOWN_JUMPS = 3


@dataclass(frozen=True)
class ClockPass:
    """Messages between two jumps of the clock; times in ns since the epoch."""

    start_ns: int
    end_ns: int
    num_messages: int

    @property
    def duration_s(self) -> float:
        """Time from its first message to its last, s."""
        return (self.end_ns - self.start_ns) * 1e-9


class PassCounter:
    """Assigns messages to passes, in the order of their reception."""

    def __init__(self):
        self._number = 0
        self._highest_ns: int | None = None
        self._last_ns: dict[str, int] = {}

    def number(self, topic: str, log_ns: int) -> int:
        """Number of the pass of the next message, beginning at 0."""
        if self._begins_pass(topic, log_ns):
            self._number += 1
            self._highest_ns = None
            self._last_ns.clear()
        self._last_ns[topic] = log_ns
        self._highest_ns = max(log_ns, self._highest_ns or 0)
        return self._number

    def _begins_pass(self, topic: str, log_ns: int) -> bool:
        """Return whether the clock has jumped before a message."""
        if self._highest_ns is None:
            return False
        is_set_now = self._highest_ns == 0 and log_ns > 0
        is_far = abs(log_ns - self._highest_ns) > LONGEST_GAP_NS

        # a file may hold one topic after the other: a step back shows in the topic's own times
        goes_back = log_ns < self._last_ns.get(topic, 0) - STEP_BACK_NS
        return is_set_now or is_far or goes_back


def extended(passes: Sequence[ClockPass], number: int, log_ns: int) -> ClockPass:
    """Pass with an additional message; a new one where there is none of that number."""
    if number == len(passes):
        return ClockPass(log_ns, log_ns, 1)
    known = passes[number]
    return replace(
        known,
        start_ns=min(known.start_ns, log_ns),
        end_ns=max(known.end_ns, log_ns),
        num_messages=known.num_messages + 1,
    )


def is_unset(passes: Sequence[ClockPass], number: int) -> bool:
    """Return whether the clock was not set in a pass: its times are zero or close to it."""
    known = passes[number]
    if known.end_ns >= UNSET_BELOW_NS:
        return False
    following = passes[number + 1 : number + 2]
    return known.end_ns == 0 or any(item.start_ns > LONGEST_GAP_NS for item in following)


def pass_remarks(passes: Sequence[ClockPass]) -> list[str]:
    """Lines about messages without a time, and about jumps of the clock."""
    # messages from before the clock was set
    unset = [number for number in range(len(passes)) if is_unset(passes, number)]
    remarks = []
    if unset:
        number = sum(passes[index].num_messages for index in unset)
        remarks.append(
            f"{number} messages have the time 0, from before the first /clock; they are played at "
            "once"
        )

    # jumps between times that were set
    jumps = []
    for index in range(len(passes) - 1):
        if index not in unset and index + 1 not in unset:
            number = sum(item.num_messages for item in passes[: index + 1])
            step_s = (passes[index + 1].start_ns - passes[index].end_ns) * 1e-9
            direction = "back" if step_s < 0 else "ahead"
            jumps.append(f"{direction} by {abs(step_s):.1f} s after {number} messages")
    if jumps:
        more = f" and {len(jumps) - SHOWN_JUMPS} times more" if len(jumps) > SHOWN_JUMPS else ""
        remarks.append(
            f"its clock jumps {', '.join(jumps[:SHOWN_JUMPS])}{more}; the passes are played one "
            "after the other, in the order of their arrival"
        )
    return remarks

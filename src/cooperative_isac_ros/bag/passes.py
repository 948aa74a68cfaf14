"""Passes of a recorded clock: a simulation that begins again, a clock that was not set at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

# ns that a topic's time may go back without a new pass: jitter of arrival, small steps of a clock
STEP_BACK_NS = 500_000_000
# ns that the time may go ahead within a pass; nobody waits a day for a message
LONGEST_GAP_NS = 86_400_000_000_000
# ns below which a time is one of a clock that was not set, if the next one is further than a gap
UNSET_BELOW_NS = 1_000_000_000
SHOWN_JUMPS = 3


@dataclass(frozen=True)
class ClockPass:
    """Messages between two jumps of the clock; times are [ns] since the epoch."""

    start_ns: int
    end_ns: int
    num_messages: int

    @property
    def duration_s(self) -> float:
        """From its first message to its last."""
        return (self.end_ns - self.start_ns) * 1e-9


class PassCounter:
    """Numbers the passes while messages come in the order of their arrival."""

    def __init__(self):
        self._number = 0
        self._highest_ns: int | None = None
        self._last_ns: dict[str, int] = {}

    def number(self, topic: str, log_ns: int) -> int:
        """Number of the pass that the next message belongs to, from 0 on."""
        if self._begins_anew(topic, log_ns):
            self._number += 1
            self._highest_ns = None
            self._last_ns.clear()
        self._last_ns[topic] = log_ns
        self._highest_ns = max(log_ns, self._highest_ns or 0)
        return self._number

    def _begins_anew(self, topic: str, log_ns: int) -> bool:
        if self._highest_ns is None:
            return False
        is_set_now = self._highest_ns == 0 and log_ns > 0
        is_far = abs(log_ns - self._highest_ns) > LONGEST_GAP_NS
        # Files may hold one topic after the other: only its own time shows that the clock went back
        goes_back = log_ns < self._last_ns.get(topic, 0) - STEP_BACK_NS
        return is_set_now or is_far or goes_back


def extended(passes: Sequence[ClockPass], number: int, log_ns: int) -> ClockPass:
    """A pass with one message more; a new one if there is none of that number."""
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
    """Whether the clock was not set in a pass: its times are zero or next to it."""
    known = passes[number]
    if known.end_ns >= UNSET_BELOW_NS:
        return False
    following = passes[number + 1 : number + 2]
    return known.end_ns == 0 or any(item.start_ns > LONGEST_GAP_NS for item in following)


def pass_remarks(passes: Sequence[ClockPass]) -> list[str]:
    """A line about times that are not set, and one about jumps of the clock."""
    unset = [number for number in range(len(passes)) if is_unset(passes, number)]
    remarks = []
    if unset:
        number = sum(passes[index].num_messages for index in unset)
        remarks.append(
            f"{number} messages have the time 0, from before the first /clock; they are played at "
            "once"
        )

    # Jumps between times that were set
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

"""Bookkeeping of a live run: which frames came in time, what stages took, what the fronthaul
carried.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque

import numpy as np

PERCENTILES = {"p50": 50, "p99": 99}
TIMES_KEPT = 36_000  # of each stage: its percentiles are over the latest
FRAMES_OPEN = 256  # older frames have had their period, and no timing comes any more


class RunLedger:
    """Announced frames, latencies and bits of one run of any length; a frame is late after one
    period.
    """

    def __init__(self, period_s: float):
        self._period_s = period_s
        self._first: int | None = None
        self._last_closed: int | None = None
        self._stamps_ns: OrderedDict[int, int] = OrderedDict()
        self._decoded_ms: OrderedDict[int, float] = OrderedDict()
        self._closed_decoded = self._closed_slow = 0
        self._stages_ms: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=TIMES_KEPT))
        self._bits: dict[str, int] = defaultdict(int)
        self._downlink_bits = 0
        self._skipped = self._unseen = 0
        self._resumed = False

    def state(self) -> dict:
        """All of it, as JSON can hold it."""
        return {
            "first": self._first,
            "last_closed": self._last_closed,
            "stamps_ns": list(self._stamps_ns.items()),
            "decoded_ms": list(self._decoded_ms.items()),
            "closed_decoded": self._closed_decoded,
            "closed_slow": self._closed_slow,
            "stages_ms": {stage: list(times_ms) for stage, times_ms in self._stages_ms.items()},
            "bits": dict(self._bits),
            "downlink_bits": self._downlink_bits,
            "skipped": self._skipped,
            "unseen": self._unseen,
        }

    def restore(self, state: dict) -> None:
        """Go on from a state; frames up to the next announcement are unseen, not lost."""
        self._first = state["first"]
        self._last_closed = state["last_closed"]
        self._stamps_ns = OrderedDict((int(number), stamp) for number, stamp in state["stamps_ns"])
        self._decoded_ms = OrderedDict(
            (int(number), latency_ms) for number, latency_ms in state["decoded_ms"]
        )
        self._closed_decoded = state["closed_decoded"]
        self._closed_slow = state["closed_slow"]
        for stage, times_ms in state["stages_ms"].items():
            self._stages_ms[stage].extend(times_ms)
        self._bits.update(state["bits"])
        self._downlink_bits = state["downlink_bits"]
        self._skipped = state["skipped"]
        self._unseen = state["unseen"]
        self._resumed = True

    def skip(self, num_frames: int) -> None:
        """So many frames were announced to nobody, because the network could not follow."""
        self._skipped += num_frames

    def announce(self, number: int, stamp_ns: int, downlink_bits: int) -> None:
        """A frame is on the air, a later one each time; downlink_bits tell ONE access point what is
        sent.
        """
        if self._first is None:
            self._first = number
        if self._resumed:
            self._count_unseen(number)
        self._stamps_ns[number] = stamp_ns
        self._downlink_bits += downlink_bits
        if len(self._stamps_ns) > FRAMES_OPEN:
            self._last_closed, _ = self._stamps_ns.popitem(last=False)

    def _count_unseen(self, number: int) -> None:
        """Before the first announcement after a restart: frames that nobody was there to count."""
        assert self._first is not None  # a frame was announced
        self._resumed = False
        last = next(reversed(self._stamps_ns), self._first)
        newest = max(self._decoded_ms, default=-1)
        undecoded = sum(opened > newest for opened in self._stamps_ns)
        self._unseen += max(number - last - 1, 0) + undecoded

    def hear_packet(self, site: str, num_bytes: int) -> None:
        """An access point's packet went over the fronthaul."""
        self._bits[site] += 8 * num_bytes

    def time_stage(self, number: int, stage: str, duration_ms: float, latency_ms: float) -> None:
        """A stage (encode, decode, track) took duration_ms and ended latency_ms after the frame's
        stamp.
        """
        self._stages_ms[stage].append(duration_ms)
        if stage == "track":
            self._stages_ms["end_to_end"].append(latency_ms)
        if stage == "decode":
            self._decoded_ms[number] = latency_ms
            if len(self._decoded_ms) > FRAMES_OPEN:
                decoded, slow = self._judge([self._decoded_ms.popitem(last=False)])
                self._closed_decoded += decoded
                self._closed_slow += slow

    def summary(self, now_ns: int) -> dict:
        """Counts, rates and percentiles so far, of the frames that had their period.

        Frames whose announcement was lost are frames too; those that were never decoded are lost
        and late, unless they were skipped, or there was no ledger to see them.
        """
        due = [
            number
            for number, stamp in self._stamps_ns.items()
            if stamp + self._period_s * 1e9 < now_ns
        ]
        last = max(due, default=self._last_closed)
        counted: list[tuple[int, float]] = []
        frames = 0
        if last is not None and self._first is not None:
            frames = last - self._first + 1
            counted = [item for item in self._decoded_ms.items() if frames and item[0] <= last]
        decoded, slow = self._judge(counted)
        lost = max(frames - self._closed_decoded - decoded - self._skipped - self._unseen, 0)
        late = lost + self._closed_slow + slow
        duration_s = frames * self._period_s
        # Bits were counted in the frames that were seen only.
        seen_s = max(frames - self._unseen, 0) * self._period_s
        return {
            "frames": frames,
            "frames_late": late,
            "frames_lost": lost,
            "frames_skipped": self._skipped,
            "frames_unseen": self._unseen,
            "duration_s": duration_s,
            "fronthaul_bits_per_s": {
                site: _rate(bits, seen_s) for site, bits in sorted(self._bits.items())
            },
            "fronthaul_downlink_bits_per_s": _rate(self._downlink_bits, seen_s),
            "latency_ms": {
                stage: _percentiles(self._stages_ms[stage])
                for stage in ("encode", "decode", "track", "end_to_end")
            },
        }

    def _judge(self, decoded: list[tuple[int, float]]) -> tuple[int, int]:
        """How many of decoded frames (number, latency) belong to the run, and how many of these
        were slow.
        """
        known = [
            latency_ms
            for number, latency_ms in decoded
            if self._first is not None and number >= self._first
        ]
        return len(known), sum(latency_ms > 1e3 * self._period_s for latency_ms in known)


def _rate(bits: int, duration_s: float) -> float | None:
    return round(bits / duration_s, 1) if duration_s else None


def _percentiles(values: deque[float]) -> dict[str, float | None]:
    if not values:
        return dict.fromkeys(PERCENTILES)
    return {name: round(float(np.percentile(values, q)), 3) for name, q in PERCENTILES.items()}

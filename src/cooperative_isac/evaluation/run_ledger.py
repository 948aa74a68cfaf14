"""Bookkeeping of a live run: which frames came in time, what stages took, what the fronthaul carried."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

PERCENTILES = {"p50": 50, "p99": 99}


class RunLedger:
    """Announced frames, latencies and bits of one run; a frame is late after one period."""

    def __init__(self, period_s: float):
        self._period_s = period_s
        self._stamps_ns: dict[int, int] = {}
        self._decoded_ms: dict[int, float] = {}
        self._stages_ms: dict[str, list[float]] = defaultdict(list)
        self._end_to_end_ms: list[float] = []
        self._bits: dict[str, int] = defaultdict(int)
        self._downlink_bits = 0

    def announce(self, number: int, stamp_ns: int, downlink_bits: int) -> None:
        """A frame is on the air; downlink_bits tell ONE access point what is sent."""
        self._stamps_ns[number] = stamp_ns
        self._downlink_bits += downlink_bits

    def hear_packet(self, site: str, num_bytes: int) -> None:
        """An access point's packet went over the fronthaul."""
        self._bits[site] += 8 * num_bytes

    def time_stage(self, number: int, stage: str, duration_ms: float, latency_ms: float) -> None:
        """A stage (encode, decode, track) took duration_ms and ended latency_ms after the frame's stamp."""
        self._stages_ms[stage].append(duration_ms)
        if stage == "decode":
            self._decoded_ms[number] = latency_ms
        if stage == "track":
            self._end_to_end_ms.append(latency_ms)

    def frames(self, now_ns: int) -> list[int]:
        """Numbers of the frames that had their period, those whose announcement was lost included."""
        due = [number for number, stamp in self._stamps_ns.items() if stamp + self._period_s * 1e9 < now_ns]
        return list(range(min(due), max(due) + 1)) if due else []

    def summary(self, now_ns: int) -> dict:
        """Counts, rates and percentiles so far."""
        frames = self.frames(now_ns)
        lost = [number for number in frames if number not in self._decoded_ms]
        slow = [number for number in frames if self._decoded_ms.get(number, 0.0) > 1e3 * self._period_s]
        duration_s = len(frames) * self._period_s
        stages = {**{stage: self._stages_ms[stage] for stage in ("encode", "decode", "track")},
                  "end_to_end": self._end_to_end_ms}
        uplink = {site: _rate(bits, duration_s) for site, bits in sorted(self._bits.items())}
        return {"frames": len(frames), "frames_late": len(lost) + len(slow), "frames_lost": len(lost),
                "duration_s": duration_s, "fronthaul_bits_per_s": uplink,
                "fronthaul_downlink_bits_per_s": _rate(self._downlink_bits, duration_s),
                "latency_ms": {stage: _percentiles(values) for stage, values in stages.items()}}


def _rate(bits: int, duration_s: float) -> float | None:
    return round(bits / duration_s, 1) if duration_s else None


def _percentiles(values: list[float]) -> dict[str, float | None]:
    if not values:
        return dict.fromkeys(PERCENTILES)
    return {name: round(float(np.percentile(values, q)), 3) for name, q in PERCENTILES.items()}

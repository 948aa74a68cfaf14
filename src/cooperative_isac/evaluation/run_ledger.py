"""Frame counts, latencies and fronthaul load of a live run."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# Percentiles of the stages' times, by their keys in the summary.
LATENCY_PERCENTILES = {"p50": 50, "p99": 99}
# Stages of a frame, in the order of the summary.
LATENCY_STAGES = ("encode", "decode", "track", "end_to_end")
# Times kept for each stage: an hour of one station at 10 frames/s. Percentiles are over these.
TIMES_KEPT = 36_000
# Latest frames whose timing may still arrive. Nodes take up to 100 frames/s, at which the oldest of
# them is 2.5 s old: its period has ended, and its decoder has long finished.
FRAMES_OPEN = 256
# Share of late and skipped frames from which a run is not real time.
MOST_MISSED_SHARE = 0.5


class RunLedger:
    """Announced frames, latencies and fronthaul bits of a run of any length.

    A frame is late if its detections take longer than one frame period. It is lost if it is never
    decoded.

    period_s: time between two frames, s
    """

    def __init__(self, period_s: float):
        self._period_s = period_s
        # Frame numbers: the first one announced, and the last one that is no longer open.
        self._first: int | None = None
        self._last_closed: int | None = None
        # Stamps and decoding latencies of the open frames, by frame number.
        self._stamps_ns: OrderedDict[int, int] = OrderedDict()
        self._decoded_ms: OrderedDict[int, float] = OrderedDict()
        # Counts of the frames that are no longer open.
        self._closed_decoded = 0
        self._closed_slow = 0
        self._stages_ms: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=TIMES_KEPT))
        self._bits: dict[str, int] = defaultdict(int)
        self._downlink_bits = 0
        self._skipped = 0
        self._undelivered = 0
        self._fused_at: dict[str, int] = {}
        self._unseen = 0
        self._resumed = False

    def state(self) -> dict:
        """Return the whole state, in types that JSON can hold."""
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
            "undelivered": self._undelivered,
            "fused_at": dict(self._fused_at),
            "unseen": self._unseen,
        }

    def restore(self, state: dict) -> None:
        """Continue from a state. Frames up to the next announcement are unseen, not lost."""
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
        self._undelivered = state["undelivered"]
        self._fused_at.update(state["fused_at"])
        self._unseen = state["unseen"]
        self._resumed = True

    def skip(self, num_frames: int) -> None:
        """Count frame numbers that were not transmitted, as the network was overloaded."""
        self._skipped += num_frames

    def lose_packets(self, num_packets: int) -> None:
        """Count packets that were out of range of the fusion center."""
        self._undelivered += num_packets

    def fuse(self, station: str, num_frames: int) -> None:
        """Count frames that a station has fused."""
        if num_frames:
            self._fused_at[station] = self._fused_at.get(station, 0) + num_frames

    def announce(self, number: int, stamp_ns: int, downlink_bits: int) -> None:
        """Count a transmitted frame. Frame numbers rise from call to call.

        downlink_bits: side information of the frame for a single access point
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
        """Count the frames between the restored state and the first announcement after it."""
        assert self._first is not None, "a frame was announced"
        self._resumed = False
        last_announced = next(reversed(self._stamps_ns), self._first)
        missed = max(number - last_announced - 1, 0)

        # Frames whose detections may have come while no ledger received them.
        newest_decoded = max(self._decoded_ms, default=-1)
        undecoded = sum(announced > newest_decoded for announced in self._stamps_ns)
        self._unseen += missed + undecoded

    def add_packet(self, site: str, num_bytes: int) -> None:
        """Count an uplink packet of an access point."""
        self._bits[site] += 8 * num_bytes

    def time_stage(self, number: int, stage: str, duration_ms: float, latency_ms: float) -> None:
        """Add the time of one stage of a frame.

        number: number of the frame
        stage: encode, decode or track
        duration_ms: time that the stage took, ms
        latency_ms: time from the stamp of the frame to the end of the stage, ms
        """
        self._stages_ms[stage].append(duration_ms)
        if stage == "track":
            self._stages_ms["end_to_end"].append(latency_ms)
        if stage == "decode":
            self._decoded_ms[number] = latency_ms
            if len(self._decoded_ms) > FRAMES_OPEN:
                decoded, slow = self._counts([self._decoded_ms.popitem(last=False)])
                self._closed_decoded += decoded
                self._closed_slow += slow

    def summary(self, now_ns: int) -> dict:
        """Counts, rates and percentiles of all frames whose period has ended.

        Frames whose announcement was lost are counted, too. Frames that were never decoded are
        lost and late, unless they were skipped or unseen.
        """
        # Frames that are due: their period has ended.
        due = [
            number
            for number, stamp_ns in self._stamps_ns.items()
            if stamp_ns + self._period_s * 1e9 < now_ns
        ]
        last = max(due, default=self._last_closed)
        frames = 0
        decoded_frames: list[tuple[int, float]] = []
        if last is not None and self._first is not None:
            frames = last - self._first + 1
            if frames:
                decoded_frames = [
                    (number, latency_ms)
                    for number, latency_ms in self._decoded_ms.items()
                    if number <= last
                ]

        # Decoded, lost and late frames.
        decoded, slow = self._counts(decoded_frames)
        decoded += self._closed_decoded
        slow += self._closed_slow
        lost = max(frames - decoded - self._skipped - self._unseen, 0)

        # Bits were counted in the frames that were seen only.
        seen_s = max(frames - self._unseen, 0) * self._period_s
        refresh_s = seen_s / decoded if decoded else None
        uplink = {site: _rate(bits, seen_s) for site, bits in sorted(self._bits.items())}
        return {
            "frames": frames,
            "frames_late": lost + slow,
            "frames_lost": lost,
            "frames_skipped": self._skipped,
            "frames_unseen": self._unseen,
            "duration_s": frames * self._period_s,
            "refresh_s": refresh_s,
            "fronthaul_bits_per_s": uplink,
            "packets_undelivered": self._undelivered,
            "frames_fused_at": dict(sorted(self._fused_at.items())),
            "fronthaul_downlink_bits_per_s": _rate(self._downlink_bits, seen_s),
            "latency_ms": {stage: _percentiles(self._stages_ms[stage]) for stage in LATENCY_STAGES},
        }

    def _counts(self, decoded_frames: Iterable[tuple[int, float]]) -> tuple[int, int]:
        """Numbers of decoded frames of this run, and of those that were late.

        decoded_frames: frame number and decoding latency, ms
        """
        latencies_ms = [
            latency_ms
            for number, latency_ms in decoded_frames
            if self._first is not None and number >= self._first
        ]
        num_slow = sum(latency_ms > 1e3 * self._period_s for latency_ms in latencies_ms)
        return len(latencies_ms), num_slow


def _rate(bits: int, duration_s: float) -> float | None:
    """Bits per second; None without any duration."""
    return round(bits / duration_s, 1) if duration_s else None


def _percentiles(values: deque[float]) -> dict[str, float | None]:
    """Percentiles of the times of a stage; None without any."""
    if not values:
        return dict.fromkeys(LATENCY_PERCENTILES)
    return {
        name: round(float(np.percentile(values, q)), 3) for name, q in LATENCY_PERCENTILES.items()
    }


def lateness(summary: Mapping[str, Any]) -> str | None:
    """Stages and the period that they exceed, of a run that is not real time; None: it is.

    summary: as RunLedger.summary returns it; files of earlier versions lack some of its keys
    """
    frames = summary["frames"]
    missed = min(summary.get("frames_late", 0) + summary.get("frames_skipped", 0), frames)
    if not frames or missed < MOST_MISSED_SHARE * frames:
        return None

    # Longest times of the stages, beside the time that they have.
    period_ms = 1e3 * summary["duration_s"] / frames
    times = summary.get("latency_ms", {})
    longest_ms = {stage: times.get(stage, {}).get("p99") for stage in ("encode", "decode", "track")}
    stages = [
        f"{stage} takes {longest:.0f} ms"
        for stage, longest in longest_ms.items()
        if longest is not None
    ]
    taken = f" (99 %: {', '.join(stages)})" if stages else ""
    return (
        f"{missed} of {frames} frames are late or skipped{taken}, and the period is "
        f"{period_ms:.0f} ms: lower the rate, or choose another scheme"
    )

"""Back pressure: frames are skipped for all stations while some nodes cannot keep up."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

# Time after a skipped frame in which only one frame at a time is processed, s: consecutive frames
# would share the processors, and all of them would be late. Leaving this state costs some frames
# where it is too early, so the time doubles with every failed attempt, up to the longest.
CONGESTION_S = 5.0
LONGEST_CONGESTION_S = 40.0
# An attempt to leave congestion has failed where a frame must be skipped within this time, s.
ATTEMPT_S = 5.0
# Latest announced frames that are kept.
FRAMES_REMEMBERED = 64
# Nodes that are waited for. Every node of the network may publish timings; further ones are
# ignored.
MAX_WORKERS = 256
# A slow node is not a dead one: it is waited for up to this multiple of its recent latency, ...
TIMEOUT_LATENCIES = 4.0
# ... but no longer than this, s.
LONGEST_TIMEOUT_S = 5.0
# Factor by which an earlier latency decays per finished frame.
FRAME_LATENCY_DECAY = 0.8


@dataclass(frozen=True)
class _AnnouncedFrame:
    """An announced frame.

    began_s: time of the announcement, s
    idle: names of the nodes that have nothing to do in it
    """

    number: int
    began_s: float
    idle: frozenset[str]


@dataclass
class _Worker:
    """Progress of a node.

    last: number of the last frame that it finished
    reported_s: time of its last report, s
    latency_s: decaying maximum of the time from announcement to report, s
    is_awaited: it reports, and has not timed out
    """

    last: int
    reported_s: float
    latency_s: float = 0.0
    is_awaited: bool = True


class BackPressure:
    """Announced frames, and how many of them each node has not finished.

    limit: number of announced frames that may be unfinished; 0: any number
    timeout_s: a node that finishes no frame for this time, or for several times its latency, is not
        waited for until it reports again

    Times are of a steady clock, in s.
    """

    def __init__(self, limit: int, timeout_s: float):
        self._limit = limit
        self._timeout_s = timeout_s
        self._announced: deque[_AnnouncedFrame] = deque(maxlen=FRAMES_REMEMBERED)
        self._workers: dict[str, _Worker] = {}
        self._congested_until_s = -math.inf
        self._congestion_s = CONGESTION_S
        self._newest = -1

    def announce(self, number: int, now_s: float, idle: frozenset[str] = frozenset()) -> None:
        """Count a frame as announced.

        idle: names of the nodes that have nothing to do in it
        """
        self._announced.append(_AnnouncedFrame(number, now_s, idle))
        self._newest = number

    def finish(self, worker: str, number: int, now_s: float) -> None:
        """Count a frame and all before it as finished by a node."""
        is_new = worker not in self._workers
        is_announced = number <= self._newest
        if not is_announced or (is_new and len(self._workers) >= MAX_WORKERS):
            return

        # latency of this frame against the decayed maximum
        known = self._workers.get(worker, _Worker(number, now_s))
        began_s = next(
            (frame.began_s for frame in self._announced if frame.number == number), now_s
        )
        latency_s = max(FRAME_LATENCY_DECAY * known.latency_s, now_s - began_s)
        self._workers[worker] = _Worker(max(known.last, number), now_s, latency_s)

    def behind(self, now_s: float) -> tuple[str, ...]:
        """Names of the nodes that are too far behind for another frame; empty where all keep up."""
        is_congested = now_s < self._congested_until_s
        limit = min(1, self._limit) if is_congested else self._limit
        if limit == 0:
            return ()
        late = sorted(
            name
            for name, worker in self._workers.items()
            if self._is_behind(name, worker, limit, now_s)
        )

        # congestion begins, longer where the last attempt to leave it has failed
        if late and not is_congested:
            has_failed = now_s - self._congested_until_s < ATTEMPT_S
            doubled_s = min(2 * self._congestion_s, LONGEST_CONGESTION_S)
            self._congestion_s = doubled_s if has_failed else CONGESTION_S
            self._congested_until_s = now_s + self._congestion_s
        return tuple(late)

    def _is_behind(self, name: str, worker: _Worker, limit: int, now_s: float) -> bool:
        """Return whether an awaited node has too many unfinished frames; it may time out here."""
        # times at which the frames that it has not finished were announced, oldest first
        announced_s = [
            frame.began_s
            for frame in self._announced
            if frame.number > worker.last and name not in frame.idle
        ]

        # no longer awaited after a time without a finished frame; idle time does not count
        latency_timeout_s = min(TIMEOUT_LATENCIES * worker.latency_s, LONGEST_TIMEOUT_S)
        timeout_s = max(self._timeout_s, latency_timeout_s)
        if announced_s and now_s - max(announced_s[0], worker.reported_s) > timeout_s:
            worker.is_awaited = False
        return worker.is_awaited and len(announced_s) >= limit

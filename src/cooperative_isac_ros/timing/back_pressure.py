"""Whether the network can follow: frames are skipped for all rather than lost by some."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

# [s] After a skipped frame the network works on one frame at a time for so long: frames in a row
# would share the processors and all come too late. Each attempt to end this costs some frames, so
# the time doubles while attempts fail, up to the longest.
CONGESTION_S, LONGEST_CONGESTION_S = 5.0, 40.0
# [s] An attempt has failed when frames must be skipped again within so long.
ATTEMPT_S = 5.0
FRAMES_REMEMBERED = 64
# Every robot of the network may report timings: names beyond these are not waited for.
MAX_WORKERS = 256
# A node that has become slow is not dead: it may take so many times what its frames took lately,
# but no more than so long [s]. What it took long ago counts less by this factor a frame.
LATENCIES, LONGEST_TIMEOUT_S, FORGETTING = 4.0, 5.0, 0.8


@dataclass(frozen=True)
class _Announced:
    """A frame, when it was announced, and the nodes that have nothing to do in it."""

    number: int
    began_s: float
    idle: frozenset[str]


@dataclass
class _Worker:
    """The last frame that a node finished, when, how long its frames took, whether it answers."""

    last: int
    heard_s: float
    latency_s: float = 0.0
    awaited: bool = True


class BackPressure:
    """Announced frames and what nodes have finished of them.

    limit: so many announced frames may be unfinished, 0: any number; timeout_s: a node that does
    not finish a frame for so long, or several times as long as its frames take, is not waited for
    until it reports again. Times are of a steady clock, s.
    """

    def __init__(self, limit: int, timeout_s: float):
        self._limit = limit
        self._timeout_s = timeout_s
        self._announced: deque[_Announced] = deque(maxlen=FRAMES_REMEMBERED)
        self._workers: dict[str, _Worker] = {}
        self._congested_until_s = -math.inf
        self._congestion_s = CONGESTION_S
        self._newest = -1

    def announce(self, number: int, now_s: float, idle: frozenset[str] = frozenset()) -> None:
        """A frame is on the air.

        idle: names of the nodes that have nothing to do in it
        """
        self._announced.append(_Announced(number, now_s, idle))
        self._newest = number

    def finish(self, worker: str, number: int, now_s: float) -> None:
        """A node has finished a frame, and with it all before; none that is still to come."""
        is_new = worker not in self._workers
        if number > self._newest or (is_new and len(self._workers) >= MAX_WORKERS):
            return
        known = self._workers.get(worker, _Worker(number, now_s))
        began_s = next((f.began_s for f in self._announced if f.number == number), now_s)
        latency_s = max(FORGETTING * known.latency_s, now_s - began_s)
        self._workers[worker] = _Worker(max(known.last, number), now_s, latency_s)

    def behind(self, now_s: float) -> tuple[str, ...]:
        """The nodes for whose sake no frame should be announced now; none where all follow."""
        congested = now_s < self._congested_until_s
        limit = min(1, self._limit) if congested else self._limit
        if limit == 0:
            return ()
        late = tuple(
            sorted(
                name
                for name, worker in self._workers.items()
                if self._is_behind(name, worker, limit, now_s)
            )
        )
        if late and not congested:
            failed = now_s - self._congested_until_s < ATTEMPT_S
            longer_s = min(2 * self._congestion_s, LONGEST_CONGESTION_S)
            self._congestion_s = longer_s if failed else CONGESTION_S
            self._congested_until_s = now_s + self._congestion_s
        return late

    def _is_behind(self, name: str, worker: _Worker, limit: int, now_s: float) -> bool:
        """Whether an awaited node has too many frames to finish."""
        unfinished = [
            frame.began_s
            for frame in self._announced
            if frame.number > worker.last and name not in frame.idle
        ]
        timeout_s = max(self._timeout_s, min(LATENCIES * worker.latency_s, LONGEST_TIMEOUT_S))
        if unfinished and now_s - max(unfinished[0], worker.heard_s) > timeout_s:
            worker.awaited = False
        return worker.awaited and len(unfinished) >= limit

"""Ctrl-C and SIGTERM: the first asks a process to end, later ones change nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# After a request, s between looks at whether the process has overrun what it was allowed.
LOOK_EVERY_S = 0.05
# Put before a command, so that its signals are blocked before its interpreter starts.
BLOCKING_PREFIX = ("env", "--block-signal=INT", "--block-signal=TERM")


class Stopped(Exception):
    """Work that was left because a signal has asked this process to end."""


class StopRequest:
    """Whether a signal has asked this process to end.

    The signals are blocked and a thread waits for them: no call of Python, rclpy or the middleware
    is ever interrupted, from here to the end of the process. Threads that are created later, and
    processes that are started, begin with the same signals blocked.
    """

    def __init__(self, allowed_s: float | None = None):
        self._requested = threading.Event()
        self._closed = False
        self._released = threading.Event()
        self._wake: Callable[[], object] | None = None
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.allow(allowed_s)
        self._thread = threading.Thread(target=self._live, name="signals", daemon=True)
        self._thread.start()

    @property
    def requested(self) -> bool:
        """Whether the process is to end."""
        return self._requested.is_set()

    def check(self) -> None:
        """Raise Stopped if the process is to end; for loops that have nothing to save."""
        if self.requested:
            raise Stopped

    def allow(self, seconds: float | None) -> None:
        """How long the process may take to end by itself, from a request or from now on, s.

        None: as long as it needs. A process that takes longer ends at once, with exit code 0.
        """
        self._allowed = (seconds, time.monotonic())

    def wakes(self, wake: Callable[[], object] | None) -> None:
        """Call `wake` from another thread when the request comes; None: no longer call anything."""
        self._wake = wake

    def close(self) -> None:
        """Give the signals back to whoever had them before."""
        self._closed = True
        assert self._thread.ident is not None  # it was started
        signal.pthread_kill(self._thread.ident, signal.SIGTERM)
        self._released.set()
        self._thread.join()

        # Signals that came meanwhile must not reach the handlers of before.
        while signal.sigtimedwait(SIGNALS, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def _live(self) -> None:
        self._wait()
        # A signal may be sent to this thread until then.
        self._released.wait()

    def _wait(self) -> None:
        signal.sigwait(SIGNALS)
        requested_s = time.monotonic()
        if self._closed:
            return

        # Wake whoever waits for messages.
        self._requested.set()
        wake = self._wake
        if wake is not None:
            wake()

        # Later signals are taken and forgotten.
        while not self._closed:
            allowed_s, since_s = self._allowed
            if allowed_s is not None and time.monotonic() - max(requested_s, since_s) >= allowed_s:
                os._exit(0)
            signal.sigtimedwait(SIGNALS, LOOK_EVERY_S)


_of_the_process: StopRequest | None = None


def take_signals(allowed_s: float | None = 0.0) -> StopRequest:
    """The request of the whole process: its signals are taken from here to its end.

    allowed_s: as in StopRequest.allow; 0: until the next call of allow a signal ends the process at
    once
    """
    global _of_the_process
    if _of_the_process is None:
        _of_the_process = StopRequest(allowed_s)
    return _of_the_process


@contextmanager
def stop_request() -> Generator[StopRequest, None, None]:
    """The request of the process; where nobody has taken the signals yet, of this block."""
    if _of_the_process is not None:
        yield _of_the_process
        return
    request = StopRequest()
    try:
        yield request
    finally:
        request.close()

"""SIGINT and SIGTERM: the first one requests the end of the process, later ones are ignored."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Interval at which a requested process is checked for having exceeded its time, s.
TIMEOUT_CHECK_S = 0.05
# Prefix of a command that blocks its signals before the Python interpreter starts.
BLOCKING_PREFIX = ("env", "--block-signal=INT", "--block-signal=TERM")


class Stopped(Exception):
    """Work was abandoned because a signal has requested the end of the process."""


class StopRequest:
    """Request to end the process, made by SIGINT or SIGTERM.

    The signals are blocked, and a thread waits for them: no call of Python, rclpy or the middleware
    is ever interrupted. Threads and processes that are started later inherit the blocked signals.

    allowed_s: see allow
    """

    def __init__(self, allowed_s: float | None = None):
        self._requested = threading.Event()
        self._closed = False
        self._released = threading.Event()
        self._callback: Callable[[], object] | None = None
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.allow(allowed_s)
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
        self._thread.start()

    @property
    def requested(self) -> bool:
        """Return whether the end of the process was requested."""
        return self._requested.is_set()

    def check(self) -> None:
        """Raise Stopped where the end was requested; for loops that have nothing to save."""
        if self.requested:
            raise Stopped

    def allow(self, seconds: float | None) -> None:
        """Limit the time in which the process must end by itself.

        A process that exceeds it exits at once, with exit code 0.

        seconds: from the request or from now on, whichever is later, s; None: no limit
        """
        self._allowed = (seconds, time.monotonic())

    def on_request(self, callback: Callable[[], object] | None) -> None:
        """Set the callback of the request, called from another thread; None: no callback."""
        self._callback = callback

    def close(self) -> None:
        """Restore the signal mask that the process had before."""
        self._closed = True
        assert self._thread.ident is not None  # it was started
        signal.pthread_kill(self._thread.ident, signal.SIGTERM)
        self._released.set()
        self._thread.join()

        # drop pending signals: the former handlers must not receive them
        while signal.sigtimedwait(SIGNALS, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def _run(self) -> None:
        self._wait()
        # close() sends this thread a signal, so it must not end before.
        self._released.wait()

    def _wait(self) -> None:
        """Wait for the first signal, then enforce the allowed time."""
        signal.sigwait(SIGNALS)
        requested_s = time.monotonic()
        if self._closed:
            return

        self._requested.set()
        callback = self._callback
        if callback is not None:
            callback()

        # later signals are ignored
        while not self._closed:
            allowed_s, since_s = self._allowed
            if allowed_s is not None and time.monotonic() - max(requested_s, since_s) >= allowed_s:
                os._exit(0)
            signal.sigtimedwait(SIGNALS, TIMEOUT_CHECK_S)


_of_the_process: StopRequest | None = None


def take_signals(allowed_s: float | None = 0.0) -> StopRequest:
    """Block the signals from here to the end of the process. Returns its request.

    allowed_s: see StopRequest.allow; with 0, a signal ends the process at once until the next call
        of allow
    """
    global _of_the_process
    if _of_the_process is None:
        _of_the_process = StopRequest(allowed_s)
    return _of_the_process


@contextmanager
def stop_request() -> Generator[StopRequest, None, None]:
    """Request of the process; where take_signals was not called, one for this block."""
    if _of_the_process is not None:
        yield _of_the_process
        return
    request = StopRequest()
    try:
        yield request
    finally:
        request.close()

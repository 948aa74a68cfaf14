"""Ctrl-C and SIGTERM: the first ends what runs, later ones must not cut the end short."""

from __future__ import annotations

import signal
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def first_interrupt_only():
    """In this block the first SIGINT or SIGTERM raises KeyboardInterrupt, and later ones do nothing."""
    def interrupt(*_) -> None:
        ignore_interrupts()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interrupts() -> None:
    """From now on SIGINT and SIGTERM do nothing, to the end of the block around."""
    for number in SIGNALS:
        # SIG_IGN would be inherited by children, and Python complains when rclpy puts its old handler back.
        signal.signal(number, _nothing)


def _nothing(*_) -> None:
    pass

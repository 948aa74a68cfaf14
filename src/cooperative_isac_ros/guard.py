"""Guarded callbacks: an exception is counted and reported, and its node keeps running."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from pathlib import Path

from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer

# Packages of this project: a fault is located at their innermost line, not at that of a library.
PACKAGES = ("cooperative_isac", "cooperative_isac_ros")


class GuardedNode(Node):
    """Node whose subscriptions and timers survive exceptions of their callbacks.

    KeyboardInterrupt, SystemExit and ExternalShutdownException still end the process. An exception
    of a callback during which the context was shut down is ignored.
    """

    def create_subscription(
        self, msg_type, topic: str, callback: Callable, qos_profile, **options
    ) -> Subscription:
        """Subscription with a guarded callback; see rclpy.node.Node."""
        guarded = self.guarded(callback, topic)
        return super().create_subscription(msg_type, topic, guarded, qos_profile, **options)

    def create_timer(self, timer_period_sec: float, callback: Callable, *args, **options) -> Timer:
        """Timer with a guarded callback; see rclpy.node.Node."""
        guarded = self.guarded(callback, "timer")
        return super().create_timer(timer_period_sec, guarded, *args, **options)

    def guarded(self, callback: Callable, place: str) -> Callable:
        """Wrap a callback: its exceptions are passed to `callback_failed`.

        place: topic or stage of the callback, which the report of an exception names
        """

        @functools.wraps(callback)
        def call(*args):
            try:
                return callback(*args)
            except ExternalShutdownException:
                raise
            except Exception as error:
                if self.context.ok():
                    self.callback_failed(place, error)
                return None

        return call

    def callback_failed(self, place: str, error: Exception) -> None:
        """Report an exception of a callback.

        place: its topic or stage
        """
        raise NotImplementedError


def described(error: Exception) -> str:
    """One line with the type, the text and the place in the code of an exception."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{text} ({code_place(error)})"


def code_place(error: Exception) -> str:
    """Innermost line of this project in a traceback, as `file.py:line in function`."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "place unknown"
    own_frames = [frame for frame in frames if _is_own(frame.filename)]
    frame = (own_frames or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _is_own(filename: str) -> bool:
    """Return whether a file is of this project, other than this one."""
    path = Path(filename)
    is_guard = path.name == Path(__file__).name
    return not is_guard and any(package in path.parts for package in PACKAGES)

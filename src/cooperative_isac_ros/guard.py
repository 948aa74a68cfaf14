"""Callbacks that cannot end their node: an exception is counted and named, and the node goes on."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from pathlib import Path

from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer

# Where a fault is looked for: the innermost line of the product, not of a library that it calls.
PACKAGES = ("cooperative_isac", "cooperative_isac_ros")


class GuardedNode(Node):
    """A node whose subscriptions and timers outlive exceptions of their callbacks.

    What ends a process passes: KeyboardInterrupt, SystemExit and ExternalShutdownException. When
    the context is shut down in the middle of a callback, that callback ends quietly.
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
        """The callback, with its exceptions given to `callback_failed`.

        place: topic or stage that the callback belongs to
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
        """An exception left a callback or a stage; place: its topic or name."""
        raise NotImplementedError


def described(error: Exception) -> str:
    """Type, text and place in the code of an exception, in one line."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{text} ({code_place(error)})"


def code_place(error: Exception) -> str:
    """Innermost line of the product that an exception came through: `file.py:line in function`."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)]
    if not frames:
        return "place unknown"
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _is_own(filename: str) -> bool:
    path = Path(filename)
    is_guard = path.name == Path(__file__).name
    return not is_guard and any(package in path.parts for package in PACKAGES)

"""Start of ROS 2, also where its log folder is not writable, and preparation of its loggers."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from cooperative_isac.output.files import OutputError, check_folder

# ROS arguments that disable the log file; messages still go to standard error.
NO_LOG_FILE = ("--ros-args", "--disable-external-lib-logs")


def start_ros(
    args: Sequence[str] | None = None, signals: SignalHandlerOptions = SignalHandlerOptions.ALL
) -> None:
    """Initialize rclpy, without a log file where its folder is not writable.

    args: command line with ROS arguments; None: that of the process
    signals: signals that rclpy handles
    """
    given = sys.argv if args is None else args
    rclpy.init(args=with_log_place(given), signal_handler_options=signals)


def prepare_loggers() -> None:
    """Do what the first message of a process would cost, 70 ms, ahead of it.

    A logger names the place in the code that it is called from; inspect maps the files of all
    loaded modules for that, and keeps the map. Forked processes share it.
    """
    inspect.getframeinfo(sys._getframe())


def with_log_place(args: Sequence[str]) -> list[str]:
    """Command line, with NO_LOG_FILE where the log folder is not writable."""
    return [*args] if _log_folder_is_writable() else [*args, *NO_LOG_FILE]


def _log_folder_is_writable() -> bool:
    folder = log_folder(os.environ)
    if folder is None:
        return False
    try:
        check_folder(folder)
    except OutputError:
        return False
    return True


def log_folder(variables) -> Path | None:
    """Folder of ROS 2's log files, by the rules of rcl_logging_interface.

    variables: environment variables by name

    Returns None where no variable determines it.
    """
    if variables.get("ROS_LOG_DIR"):
        return _expanded(variables["ROS_LOG_DIR"], variables)
    if variables.get("ROS_HOME"):
        return _expanded(variables["ROS_HOME"], variables, "log")
    if variables.get("HOME"):
        return Path(variables["HOME"]) / ".ros" / "log"
    return None


def _expanded(text: str, variables, *parts: str) -> Path | None:
    """Path with a leading ~ replaced by HOME; None where HOME is not set."""
    if not text.startswith("~"):
        return Path(text, *parts)
    if not variables.get("HOME"):
        return None
    return Path(variables["HOME"] + text[1:], *parts)

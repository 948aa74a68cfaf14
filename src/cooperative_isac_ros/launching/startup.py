"""ROS 2 started also where its log folder cannot be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from cooperative_isac.output.files import OutputError, check_folder

# Messages go to standard error as ever; there is no file of them beside.
NO_LOG_FILE = ("--ros-args", "--disable-external-lib-logs")


def start_ros(
    args: Sequence[str] | None = None, signals: SignalHandlerOptions = SignalHandlerOptions.ALL
) -> None:
    """Initialize rclpy; without a log folder that can be written, it keeps no log file.

    args: command line with ROS arguments; that of the process when None
    signals: which signals rclpy handles
    """
    given = sys.argv if args is None else args
    rclpy.init(args=with_log_place(given), signal_handler_options=signals)


def with_log_place(args: Sequence[str]) -> list[str]:
    """A command line with the ROS arguments that it needs where no log file can be written."""
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
    """Where ROS 2 writes its log files (rcl_logging_interface); None where no variable says it.

    variables: environment variables by name
    """
    if variables.get("ROS_LOG_DIR"):
        return _expanded(variables["ROS_LOG_DIR"], variables)
    if variables.get("ROS_HOME"):
        return _expanded(variables["ROS_HOME"], variables, "log")
    if variables.get("HOME"):
        return Path(variables["HOME"]) / ".ros" / "log"
    return None


def _expanded(text: str, variables, *parts: str) -> Path | None:
    """A path whose leading ~ stands for HOME; None where there is none."""
    if not text.startswith("~"):
        return Path(text, *parts)
    if not variables.get("HOME"):
        return None
    return Path(variables["HOME"] + text[1:], *parts)

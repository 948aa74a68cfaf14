"""Validation of the options of a scene, before the first process starts."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import rclpy
import yaml
from rclpy.context import Context
from rclpy.exceptions import InvalidNamespaceException
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_namespace import validate_namespace

from cooperative_isac.output.files import OutputError, check_folder
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.file.physics import rate_fault
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import check_scheme
from cooperative_isac.tracking.filters import make_filters
from cooperative_isac_ros.inputs.front_ends import FRONT_ENDS
from cooperative_isac_ros.inputs.target_watch import class_fault, offset_fault
from cooperative_isac_ros.launching.graph import LOG_LEVELS, GraphOptions
from cooperative_isac_ros.processes.startup import with_log_place

# Range of the nodes' parameter rate_hz, Hz.
LOWEST_RATE_HZ = 0.1
HIGHEST_RATE_HZ = 100.0
# Free space that an output folder needs, bytes: that of a report of one minute. A recording takes
# more, but its duration is not known.
LEAST_FREE_BYTES = 50_000_000


class ChoiceError(ValueError):
    """Invalid value of an option, with the reason.

    option: field of GraphOptions, or "scene"
    """

    def __init__(self, option: str, reason: str):
        super().__init__(reason)
        self.option = option


def chosen(scene: str, options: GraphOptions) -> tuple[Scene, GraphOptions]:
    """Load a scene and validate the options for it.

    scene: name of a shipped scene, or file

    Returns the scene, and the options with absolute paths.
    Raises ChoiceError where a value is invalid.
    """
    try:
        loaded = load_scene(scene)
    except ValueError as error:
        raise ChoiceError("scene", str(error)) from None
    return loaded, chosen_for(loaded, options)


def chosen_for(loaded: Scene, options: GraphOptions) -> GraphOptions:
    """Validate the options for a scene.

    Returns the options with absolute paths.
    Raises ChoiceError where a value is invalid.
    """
    faults = (
        ("scene", _scene_rate_fault(loaded, options.rate_hz)),
        ("scene", _filter_fault(loaded)),
        ("rate_hz", _rate_fault(loaded, options.rate_hz)),
        ("namespace", _namespace_fault(options.namespace)),
        ("scheme", _scheme_fault(loaded, options.scheme)),
        ("front_end", _word_fault(options.front_end, tuple(FRONT_ENDS))),
        ("log_level", _word_fault(options.log_level, ("", *LOG_LEVELS))),
        ("target_classes", _first_fault(class_fault, options.target_classes)),
        ("odometry_offsets", _first_fault(offset_fault, options.odometry_offsets)),
        ("params_file", _params_file_fault(options.params_file)),
        ("bag", _bag_fault(options.bag)),
        ("out", _out_fault(options.out)),
    )

    # only the first fault is reported
    for option, fault in faults:
        if fault is not None:
            raise ChoiceError(option, fault)

    return replace(
        options,
        params_file=absolute(options.params_file),
        bag=absolute(options.bag),
        out=absolute(options.out),
    )


def ros_fault(*arguments: str, node: str = "") -> str | None:
    """Try to start ROS with arguments, in a context of its own.

    node: name of a node that is created, too, which shows faults of the middleware; empty: none

    Returns the reason why it fails; None where it starts.
    """
    context = Context()
    try:
        rclpy.init(
            args=with_log_place(["--ros-args", *arguments]),
            context=context,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        if node:
            rclpy.create_node(node, context=context).destroy_node()
    except Exception as error:
        # in one line, without the place in the C code that rcl adds
        reason, _, _ = str(error).partition(", at ")
        return " ".join(reason.split())
    finally:
        if context.ok():
            rclpy.shutdown(context=context, uninstall_handlers=False)
    return None


def absolute(path: str) -> str:
    """Absolute path with `~` expanded; an empty path stays empty."""
    return str(Path(os.path.expanduser(path)).resolve()) if path else ""


def _rate_fault(scene: Scene, rate_hz: float) -> str | None:
    """Fault of a rate; 0 stands for that of the scene."""
    if not rate_hz:
        return None
    if not math.isfinite(rate_hz) or not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        return (
            f"must be {LOWEST_RATE_HZ:g} to {HIGHEST_RATE_HZ:g} frames a second, or 0 for those of "
            "the scene"
        )

    # the fault "is RATE; must be ..." without its first part: the option repeats the rate
    fault = rate_fault(scene, rate_hz)
    if fault is None:
        return None
    _, _, allowed = fault.partition("; ")
    return f"{allowed}; leave it out"


def _scene_rate_fault(scene: Scene, rate_hz: float) -> str | None:
    """Fault of the scene's own rate, where no other is chosen."""
    scene_hz = scene.update_rate_hz
    if rate_hz or LOWEST_RATE_HZ <= scene_hz <= HIGHEST_RATE_HZ:
        return None
    return (
        f"update_rate_hz is {scene_hz:g}; nodes take {LOWEST_RATE_HZ:g} to {HIGHEST_RATE_HZ:g} "
        "frames a second: choose another rate for them"
    )


def _filter_fault(scene: Scene) -> str | None:
    """Fault of the scene's motion filter, found by constructing it as the tracker does."""
    try:
        make_filters(scene.tracking, scene.dimension)
    except ValueError as error:
        return str(error)
    return None


def _namespace_fault(namespace: str) -> str | None:
    try:
        validate_namespace(f"/{namespace.strip('/')}")
    except InvalidNamespaceException as error:
        return " ".join(str(error).split())
    return None


def _scheme_fault(scene: Scene, name: str) -> str | None:
    """Fault of a scheme or its weights, found by constructing it as every node does."""
    name = name or scene.sensing.scheme
    try:
        check_scheme(name, scene)
    except (ValueError, ImportError, OSError) as error:
        return str(error)
    return None


def _word_fault(word: str, words: tuple[str, ...]) -> str | None:
    return None if word in words else f"must be one of {', '.join(filter(None, words))}"


def _first_fault(fault: Callable[[str], str | None], pairs: tuple[str, ...]) -> str | None:
    return next(filter(None, map(fault, pairs)), None)


def _params_file_fault(path: str) -> str | None:
    """Fault of a parameter file."""
    if not path:
        return None

    # what rcl refuses
    if not Path(absolute(path)).is_file():
        return "no such file"
    fault = ros_fault("--params-file", absolute(path))
    if fault is not None:
        return f"is no parameter file: {fault}"

    # what rcl accepts, but ignores
    if not _has_parameters(yaml.safe_load(Path(absolute(path)).read_bytes())):
        return "is no parameter file: there are no 'ros__parameters' below the name of a node"
    return None


def _has_parameters(tree) -> bool:
    """Return whether a mapping holds parameters, at any depth of namespaces."""
    if not isinstance(tree, dict):
        return False
    return "ros__parameters" in tree or any(map(_has_parameters, tree.values()))


def _bag_fault(bag: str) -> str | None:
    if not bag:
        return None
    if Path(absolute(bag)).exists():
        return "exists; name a folder that does not"
    return _folder_fault(absolute(bag))


def _out_fault(out: str) -> str | None:
    if out and Path(absolute(out)).exists() and not Path(absolute(out)).is_dir():
        return "is a file; name a folder"
    return _folder_fault(absolute(out)) if out else None


def _folder_fault(path: str) -> str | None:
    """Fault of a folder that cannot be created or written to."""
    try:
        check_folder(Path(path), LEAST_FREE_BYTES)
    except OutputError as error:
        return str(error)
    return None

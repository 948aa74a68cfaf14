"""Parameters of the nodes: their description, range and validation."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

# Bits of a random run number: the largest that a signed integer parameter of ROS holds.
RUN_BITS = 63
# Names of the types in an error message.
KINDS = {
    bool: "a bool",
    int: "an integer",
    float: "a double (5.0, not 5)",
    str: "a string",
    list: "a list of strings",
}


class ParameterError(ValueError):
    """A node was started with an invalid parameter."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node.

    low, high: closed range of a number
    choices: allowed words; empty: any
    live: it may be changed while the node runs
    check: returns what is wrong with a value, or None
    """

    name: str
    default: bool | int | float | str | list
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    check: Callable[[object], str | None] | None = None

    def fault(self, value) -> str | None:
        """Fault of a value, in words; None where it is valid."""
        # numbers
        said = f"parameter '{self.name}' is"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{said} {value}; it must be finite"
        has_limits = self.low is not None and self.high is not None
        if has_limits and not self.low <= value <= self.high:
            return f"{said} {value}; allowed: {self.low} to {self.high}"

        # choices, and a check of the parameter's own
        if self.choices and value not in self.choices:
            return f"{said} '{value}'; allowed: {', '.join(self.choices)}"
        return self.check(value) if self.check is not None else None

    def descriptor(self) -> ParameterDescriptor:
        """Descriptor for `ros2 param describe`."""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            read_only=not self.live,
            additional_constraints=_words(self.choices),
        )

        # range
        if self.low is None or self.high is None:
            return descriptor
        if isinstance(self.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
            ]
        return descriptor


SCENE = Parameter(
    "scene",
    "campus",
    "scene file, or the name of a shipped scene; the same for all nodes of a run",
)
SCHEME = Parameter(
    "scheme",
    "",
    "sensing scheme, by which access points encode echoes and the fusion center decodes features; "
    "the same for all nodes of a run that have this parameter; empty: the scene's",
)


ODOMETRY_WAIT = Parameter(
    "odometry_wait_s",
    0.06,
    "longest wait of a frame for odometry of targets and stations from its stamp or later [s]",
    0.001,
    1.0,
)


def rate_parameter(description: str) -> Parameter:
    """Parameter `rate_hz`, which overrides the scene's update rate where it is not 0."""
    return Parameter("rate_hz", 0.0, f"{description} [Hz]; 0: the scene's update rate", 0.0, 100.0)


class Settings:
    """Current parameter values of a node, by name."""

    def __init__(self, node: Node, parameters: Sequence[Parameter]):
        self._known = {parameter.name: parameter for parameter in parameters}
        self._values = {parameter.name: _declare(node, parameter) for parameter in parameters}
        node.add_on_set_parameters_callback(self._on_set)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def path(self, name: str) -> Path | None:
        """Path in a parameter, with `~` and `~user` expanded; None where it is empty."""
        text = self._values[name]
        return Path(os.path.expanduser(text)) if text else None

    def _on_set(self, changes) -> SetParametersResult:
        """Accept or refuse changed parameters, all together."""
        for change in changes:
            known = self._known.get(change.name)
            fault = known.fault(change.value) if known is not None else None
            if fault is not None:
                return SetParametersResult(successful=False, reason=fault)

        # all are valid
        self._values.update(
            {change.name: change.value for change in changes if change.name in self._known}
        )
        return SetParametersResult(successful=True)


def _declare(node: Node, parameter: Parameter):
    """Declare a parameter. Returns its value; raises ParameterError where it is invalid."""
    default = parameter.default

    # type and range, checked by rclpy
    try:
        value = node.declare_parameter(parameter.name, default, parameter.descriptor()).value
    except InvalidParameterTypeException:
        raise ParameterError(
            f"parameter '{parameter.name}' must be {KINDS[type(default)]}"
        ) from None
    except InvalidParameterValueException as error:
        raise ParameterError(
            f"parameter '{parameter.name}' is refused: {error}; allowed: "
            f"{parameter.low} to {parameter.high}"
        ) from None

    # choices and checks of this project
    fault = parameter.fault(value)
    if fault is not None:
        raise ParameterError(fault)
    return value


def _words(choices: tuple[str, ...]) -> str:
    return f"one of {', '.join(choices)}" if choices else ""

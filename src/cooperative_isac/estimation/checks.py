"""Checks of the arguments of public estimators.

Each returns the argument in the form that the estimator computes with, or raises ValueError with
the argument's name, its fault and a remedy. Inner functions do without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

# Asymmetry of a covariance, over its largest entry, from which it counts as not Hermitian: far
# above the rounding of single precision.
LARGEST_ASYMMETRY = 1e-4

# Deviation of a position from a whole number up to which it is rounding error.
WHOLE_TOLERANCE = 1e-6


def number(name: str, value: object) -> float:
    """A finite number."""
    if not isinstance(value, int | float | np.integer | np.floating):
        raise ValueError(f"{name} is {_shown(value)}: pass one real number")
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{name} is {found:g}: pass a finite number")
    return found


def positive(name: str, value: object, remedy: str = "") -> float:
    """A finite number above zero.

    remedy: what to pass, in addition to the sign
    """
    found = number(name, value)
    if found <= 0:
        raise ValueError(f"{name} is {found:g}: pass a number above zero{_added(remedy)}")
    return found


def not_negative(name: str, value: object, remedy: str = "") -> float:
    """A finite number of at least zero.

    remedy: what to pass, in addition to the sign
    """
    found = number(name, value)
    if found < 0:
        raise ValueError(f"{name} is {found:g}: pass zero or more{_added(remedy)}")
    return found


def probability(name: str, value: object) -> float:
    """A number between zero and one, both excluded."""
    found = number(name, value)
    if not 0 < found < 1:
        raise ValueError(f"{name} is {found:g}: pass a probability above 0 and below 1, as 0.01")
    return found


def whole(name: str, value: object, least: int = 1) -> int:
    """A whole number from a least one."""
    found = number(name, value)
    if not found.is_integer() or found < least:
        raise ValueError(f"{name} is {found:g}: pass a whole number of at least {least}")
    return int(found)


def array(name: str, values: object, axes: str, remedy: str = "") -> np.ndarray:
    """A finite array that is not empty.

    axes: names of the axes, separated by commas; `...` at the end stands for any further ones
    remedy: how to make such an array, for the error of a wrong shape
    """
    found = _numeric(name, values)

    # Number of axes.
    least = axes.count(",") + 1
    fits = found.ndim >= least - 1 if axes.endswith("...") else found.ndim == least
    if not fits:
        raise ValueError(f"{name} has the shape {found.shape}: pass [{axes}]{_added(remedy)}")

    # Entries.
    if found.size == 0:
        raise ValueError(f"{name} is empty, of shape {found.shape}: pass at least one entry")
    if not np.isfinite(found).all():
        faulty = np.argwhere(~np.isfinite(found))
        first = ", ".join(str(index) for index in faulty[0])
        raise ValueError(
            f"{name} has {len(faulty)} entries that are infinite or NaN, the first at [{first}]: "
            "remove them, or set them to zero and exclude them by a mask"
        )
    return found


def reals(name: str, values: object, axes: str, remedy: str = "") -> np.ndarray:
    """A finite array of real numbers, float64; arguments as of `array`."""
    found = array(name, values, axes, remedy)
    if np.iscomplexobj(found):
        raise ValueError(f"{name} is complex: pass real numbers{_added(remedy)}")
    return found.astype(float, copy=False)


def positives(name: str, values: object, axes: str) -> np.ndarray:
    """A finite array of numbers above zero, float64; arguments as of `array`."""
    found = reals(name, values, axes)
    if found.min() <= 0:
        raise ValueError(f"{name} has the entry {found.min():g}: pass numbers above zero")
    return found


def not_negatives(name: str, values: object, axes: str) -> np.ndarray:
    """A finite array of numbers of at least zero, float64; arguments as of `array`."""
    found = reals(name, values, axes)
    if found.min() < 0:
        raise ValueError(f"{name} has the entry {found.min():g}: pass numbers of at least zero")
    return found


def element_positions(positions: object) -> np.ndarray:
    """Positions of sensors in whole multiples of a unit, [num_sensors], int64."""
    found = reals("positions", positions, "num_sensors")
    rounded = np.rint(found)
    off = np.abs(found - rounded)
    if off.max() > WHOLE_TOLERANCE:
        raise ValueError(
            f"positions have the entry {found[off.argmax()]:g}: pass whole numbers, positions over "
            "the unit of which all distances are multiples"
        )
    return rounded.astype(int)


def covariance(values: object, name: str = "covariance") -> np.ndarray:
    """A Hermitian matrix that is not zero, [num_sensors, num_sensors]."""
    remedy = "that is sample_covariance(snapshots) of snapshots [num_sensors, num_snapshots]"
    found = array(name, values, "num_sensors, num_sensors", remedy)
    if found.shape[0] != found.shape[1]:
        raise ValueError(
            f"{name} has the shape {found.shape}: pass [num_sensors, num_sensors], {remedy}"
        )
    largest = np.abs(found).max()
    if largest == 0:
        raise ValueError(f"{name} is zero: pass one of snapshots that contain a signal")
    if np.abs(found - found.conj().T).max() > LARGEST_ASYMMETRY * largest:
        raise ValueError(f"{name} is not Hermitian: pass the mean of x x^H, {remedy}")
    return found


def mask(name: str, values: object) -> np.ndarray:
    """Resource elements in use, [num_subcarriers, num_symbols], bool, at least one of them."""
    found = np.asarray(values)
    if found.dtype != bool:
        raise ValueError(f"{name} has the type {found.dtype}: pass {name}.astype(bool)")
    if found.ndim != 2:
        raise ValueError(f"{name} has the shape {found.shape}: pass [num_subcarriers, num_symbols]")
    if not found.any():
        raise ValueError(f"{name} has no resource element: at least one must be used")
    return found


def window(name: str, values: object) -> tuple[float, float]:
    """Least and greatest value of a search."""
    found = reals(name, values, "2", "the least and the greatest value")
    if len(found) != 2:
        raise ValueError(f"{name} has {len(found)} values: pass two, the least and the greatest")
    least, greatest = found.tolist()
    if greatest < least:
        raise ValueError(f"{name} is empty, a window from {least:g} to {greatest:g}: swap its ends")
    return least, greatest


def sequence(name: str, values: object, kind: type, remedy: str) -> list:
    """Objects of a class, at least one.

    remedy: how to make such an object
    """
    if isinstance(values, kind):
        raise ValueError(f"{name} is a single {kind.__name__}: pass a list of it, [...]")
    if not isinstance(values, Iterable):
        raise ValueError(f"{name} is {_shown(values)}: pass a list of {kind.__name__}, {remedy}")
    found = list(values)
    if not found:
        raise ValueError(f"{name} is empty: pass at least one {kind.__name__}, {remedy}")
    for one in found:
        instance(f"an entry of {name}", one, kind, remedy)
    return found


def instance(name: str, value: object, kind: type, remedy: str) -> None:
    """An object of a class.

    remedy: how to make such an object
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {_shown(value)}: pass a {kind.__name__}, {remedy}")


def shape(name: str, values: np.ndarray, expected: tuple[int, ...], origin: str) -> None:
    """The shape that another argument implies.

    origin: that argument, as `the mask` or `positions`
    """
    if values.shape != expected:
        raise ValueError(
            f"{name} has the shape {values.shape}, but by {origin} it is {expected}: pass both of "
            "the same sensors or elements"
        )


def _numeric(name: str, values: object) -> np.ndarray:
    """An array of numbers."""
    try:
        found = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} is {_shown(values)}: pass rows of the same length") from None
    if not np.issubdtype(found.dtype, np.number) and found.dtype != bool:
        raise ValueError(f"{name} is {_shown(values)}: pass an array of numbers")
    return found


def _shown(value: object) -> str:
    """A value in an error message: itself if short, its type and shape otherwise."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    text = repr(value)
    if isinstance(value, int | float | complex | str | None) and len(text) <= 40:
        return text
    return f"of type {type(value).__name__}"


def _added(remedy: str) -> str:
    return f", {remedy}" if remedy else ""

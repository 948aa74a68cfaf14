"""Faulty values of arguments, for the tests of what public functions refuse."""

import numpy as np
import pytest


def faults(value):
    """Faulty values in place of a valid one, by their description."""
    if isinstance(value, bool):
        return {}
    if isinstance(value, int | float):
        return {"NaN": np.nan, "an array": np.ones(3), "a word": "three", "nothing": None}
    if isinstance(value, list):
        return {
            "empty": [],
            "not in a list": value[0],
            "of arrays": [np.ones((2, 2))],
            "a number": 1.0,
        }
    if isinstance(value, tuple):
        return {"NaN": (np.nan, 1.0), "empty": (), "of three": (0.0, 1e-7, 1.0), "a number": 1.0}
    if not isinstance(value, np.ndarray):
        return {"an array": np.ones((2, 2)), "nothing": None}
    if value.dtype == bool:
        return {"of numbers": value.astype(int), "empty": value[:0], "wrong shape": value[0]}
    broken = value.astype(np.result_type(value, float))
    broken.flat[-1] = np.nan
    found = {"NaN": broken, "empty": value[:0], "words": np.full(value.shape, "x")}
    return found | {"wrong shape": np.float64(1.0) if value.ndim == 3 else np.stack([value, value])}


def fault_cases(valid, allowed):
    """Parameters of a test for each function, argument and faulty value.

    valid: valid arguments by name, by function or its name
    allowed: (function, argument, description) of values that are no faults
    """
    return [
        pytest.param(
            function,
            argument,
            fault,
            id=f"{getattr(function, '__name__', function)}-{argument}-{description}",
        )
        for function, arguments in valid.items()
        for argument, value in arguments.items()
        for description, fault in faults(value).items()
        if (function, argument, description) not in allowed
    ]

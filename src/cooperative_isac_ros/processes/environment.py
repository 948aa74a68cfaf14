"""Environment variables of the nodes that libraries read when they are loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Variables that limit a library to one thread: the nodes share the processors.
SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Thresholds and padding of glibc's malloc in bytes, at which it keeps freed memory: new pages for
# the arrays of each frame would cost a tenth of the time.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "16777216",
}


def library_variables() -> dict[str, str]:
    """Variables for one thread, memory that malloc keeps, and unbuffered output."""
    variables = {**dict.fromkeys(SINGLE_THREAD, "1"), **KEEP_MEMORY, "PYTHONUNBUFFERED": "1"}
    return unset_variables(variables)


def unset_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that have a value and are not set in the environment of this process."""
    return {name: value for name, value in variables.items() if value and name not in os.environ}

"""What libraries read from the environment of a node when they are loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# glibc keeps what arrays of a frame leave: fresh pages for each would cost a tenth of the time.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "16777216",
}


def library_variables() -> dict[str, str]:
    """One thread each, memory that stays, and output that is written at once."""
    wanted = {**dict.fromkeys(SINGLE_THREAD, "1"), **KEEP_MEMORY, "PYTHONUNBUFFERED": "1"}
    return unset_variables(wanted)


def unset_variables(wanted: Mapping[str, str]) -> dict[str, str]:
    """Those of the wanted variables that have a value and that the user has not set."""
    return {name: value for name, value in wanted.items() if value and name not in os.environ}

"""Computing time of sparse recovery over the holes of reference signals.

python benchmarks/sparse_recovery.py [--frames N]

The table has the processor time of each method of `isac figures dc --fig reference_signals` on one
core, over that of the fast Fourier transform that zero filling takes.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.deep_cooperation.holes import (
    METHODS,
    two_targets,
    union_dictionary,
)

# SNR of the strong target on one resource element, dB: with more, matching pursuit takes more
# atoms.
SNRS_DB = (0.0, 5.0, 10.0, 15.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20, help="frames at each SNR")
    num_frames = parser.parse_args().frames
    Console().print(time_table(num_frames))


def time_table(num_frames: int) -> Table:
    """Time of each method over that of the transform, by SNR."""
    dictionary = union_dictionary()
    names = ("transform (ms)", *METHODS)
    table = Table(title="Time over that of the transform", box=SIMPLE_HEAD)
    table.add_column("SNR (dB)", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for snr_db in SNRS_DB:
        generator = np.random.default_rng(0)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(num_frames):
            matrix, _ = two_targets(snr_db, generator)
            transform = processor_time(dictionary.correlate, matrix.values)
            seconds["transform (ms)"].append(transform)
            for name, recover in METHODS.items():
                seconds[name].append(processor_time(recover, matrix))
        medians = {name: float(np.median(values)) for name, values in seconds.items()}
        transform_s = medians.pop("transform (ms)")
        ratios = (f"{value / transform_s:.1f}" for value in medians.values())
        table.add_row(f"{snr_db:g}", f"{1e3 * transform_s:.2f}", *ratios)
    return table


def processor_time(function: Callable, argument: object) -> float:
    """Least processor time of three calls, s."""
    times = []
    for _ in range(3):
        start = time.process_time()
        function(argument)
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()

"""Computing time of sparse recovery over the holes of reference signals.

python benchmarks/sparse_recovery.py [--frames N]

The table has the processor time of each method of `isac figures dc --fig reference_signals` on one
core, over that of the fast Fourier transform that zero filling takes: the median of the ratios of
the frames, in each of which the transform and all methods take turns.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping

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
    table = Table(title="Time over that of the transform", box=SIMPLE_HEAD)
    for name in ("SNR (dB)", "transform (ms)", *METHODS):
        table.add_column(name, justify="right")
    for snr_db in SNRS_DB:
        generator = np.random.default_rng(0)
        transform_s = []
        ratios: dict[str, list[float]] = {name: [] for name in METHODS}
        for _ in range(num_frames):
            matrix, _ = two_targets(snr_db, generator)
            seconds = interleaved_times(
                {"": lambda m: dictionary.correlate(m.values), **METHODS}, matrix
            )
            transform_s.append(seconds.pop(""))
            for name, value in seconds.items():
                ratios[name].append(value / transform_s[-1])
        cells = (f"{np.median(values):.1f}" for values in ratios.values())
        table.add_row(f"{snr_db:g}", f"{1e3 * np.median(transform_s):.2f}", *cells)
    return table


def interleaved_times(functions: Mapping[str, Callable], argument: object) -> dict[str, float]:
    """Least processor time of three calls of each function, which take turns, s."""
    least = dict.fromkeys(functions, np.inf)
    for _ in range(3):
        for name, function in functions.items():
            start = time.process_time()
            function(argument)
            least[name] = min(least[name], time.process_time() - start)
    return least


if __name__ == "__main__":
    main()

"""Side lobes of reference signals, and computing time of sparse recovery over their holes.

python benchmarks/sparse_recovery.py [--frames N]

The first table has the side lobes and unambiguous spans of the masks of `isac figures dc --fig
reference_signals`, the second one the processor time of each of its methods on one core, over that
of the fast Fourier transform that zero filling takes.
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

from cooperative_isac.estimation import (
    sidelobes,
    unambiguous_delay_cells,
    unambiguous_doppler_cells,
)
from cooperative_isac.evaluation.deep_cooperation.holes import (
    METHODS,
    masks,
    two_targets,
    union_dictionary,
)

# SNR of the strong target on one resource element, dB: with more, matching pursuit takes more
# atoms.
SNRS_DB = (0.0, 5.0, 10.0, 15.0)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20, help="frames at each SNR")
    num_frames = parser.parse_args().frames
    console = Console()
    console.print(sidelobe_table())
    console.print(time_table(num_frames))


def sidelobe_table() -> Table:
    """Side lobes of each mask with zero filling."""
    table = Table(title="Side lobes with zero filling", box=SIMPLE_HEAD)
    columns = ("signal", "share of elements", "peak (dB)", "integrated (dB)", "delay", "Doppler")
    for column in columns:
        table.add_column(column, justify="left" if column == "signal" else "right")
    for name, mask in masks().items():
        levels = sidelobes(mask)
        table.add_row(
            name,
            f"{mask.mean():.1%}",
            f"{levels.peak_db:.1f}",
            f"{levels.integrated_db:.1f}",
            f"{unambiguous_delay_cells(mask)} of {mask.shape[0]}",
            f"{unambiguous_doppler_cells(mask)} of {mask.shape[1]}",
        )
    return table


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

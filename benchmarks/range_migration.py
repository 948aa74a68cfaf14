"""What long frames bring where targets migrate through range cells.

A variant of the scene cell_free_compact has a band of 184 MHz, and frames of 64 symbols (4.7 ms) or
of 1024 (75 ms), in which a target at the largest speed moves through 2.6 range cells (5.2 with
twice the subcarriers). Receivers ignore or compensate the migration (sensing.range_migration); a
twin has the same draws in echoes without it.

python benchmarks/range_migration.py [--frames N] [--seed S] [--workers W] [--subcarriers 64|128]
"""

import argparse

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from variants import ACCURACY, accuracy, add_numbers, changed

from cooperative_isac.api import evaluate

SCENE = "cell_free_compact"
SCHEME = "local_ml"

# 64 subcarriers over 184 MHz: delays are unambiguous over 104 m, and speeds within 34 m/s.
NUM_SUBCARRIERS = 64
WIDE_BAND = (
    ("subcarrier_stride: 4", "subcarrier_stride: 12"),
    ("symbol_stride: 4", "symbol_stride: 14"),
    ("num_users: 4", "num_users: 1"),
)
NUM_SYMBOLS = "num_symbols: 64"
LONG = (NUM_SYMBOLS, "num_symbols: 1024")
COMPENSATED = ("  min_speed_mps", "  range_migration: compensate\n  min_speed_mps")
CONSTANT = ("  reference_gain_db", "  range_migration: false\n  reference_gain_db")

# Powers about the threshold of detection, and one well above it; at the same energy of a frame a
# long one has 12 dB less.
SHORT_POWERS_DBM = (15.0, 18.0, 21.0, 27.0)
LONG_POWERS_DBM = (3.0, 6.0, 9.0, 15.0)
VARIANTS = {
    "64 symbols": ((), SHORT_POWERS_DBM),
    "1024 symbols, ignored": ((LONG,), LONG_POWERS_DBM),
    "1024 symbols, compensated": ((LONG, COMPENSATED), LONG_POWERS_DBM),
    "1024 symbols, echoes without migration": ((LONG, CONSTANT), LONG_POWERS_DBM[-1:]),
}
# Share of targets that are found at the power to which variants are compared.
COMPARED_SHARE = 0.5


def wide(changes, num_subcarriers=NUM_SUBCARRIERS):
    """The scene with a wide band and changed keys."""
    band = (f"num_subcarriers: {NUM_SUBCARRIERS}", f"num_subcarriers: {num_subcarriers}")
    return changed(SCENE, (band, *WIDE_BAND, *changes))


def power_of_share(powers_dbm, shares):
    """Power at which COMPARED_SHARE of the targets are found, between measured powers, or None."""
    powers_dbm, shares = np.transpose(sorted(zip(powers_dbm, shares)))
    shares = np.maximum.accumulate(shares)
    if not shares.min() <= COMPARED_SHARE <= shares.max():
        return None
    return float(np.interp(COMPARED_SHARE, shares, powers_dbm))


def main():
    """Measures the variants and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--subcarriers", type=int, default=NUM_SUBCARRIERS, choices=(64, 128))
    options = parser.parse_args()

    table = Table(title="Range migration", box=SIMPLE_HEAD, title_justify="left")
    table.add_column("variant")
    add_numbers(table, ("dBm", *ACCURACY, "vel. RMSE m/s", "bound m/s", "vel. median m/s"))
    compared = {}
    for label, (changes, powers_dbm) in VARIANTS.items():
        result = evaluate(
            wide(changes, options.subcarriers),
            frames=options.frames,
            seed=options.seed,
            powers_dbm=powers_dbm,
            workers=options.workers,
        )
        shares = []
        for at_power in result.powers:
            figures = at_power.schemes[SCHEME]
            shares.append(figures.detection_rate)
            table.add_row(
                label,
                f"{at_power.power_dbm:g}",
                *accuracy(at_power, SCHEME),
                f"{figures.rmse_velocity_mps:.3f}",
                f"{at_power.bound.root_mean_velocity_mps:.3f}",
                f"{figures.median_velocity_mps:.3f}",
            )
        if len(powers_dbm) > 1:
            compared[label] = power_of_share(powers_dbm, shares)

    console = Console(width=150)
    console.print(table)
    for label, power_dbm in compared.items():
        reached = "outside of the powers" if power_dbm is None else f"{power_dbm:.1f} dBm"
        console.print(f"{label}: {COMPARED_SHARE:.0%} found at {reached}")


if __name__ == "__main__":
    main()

"""What the station of another network does to targets, and what coding and nulls do against it.

The scene multi_bs with an interferer beside it, on subcarriers of its own, with symbols of its own,
or with those of the scene (DC section IV-A), and receive beams with nulls at it (DC section III-A).

python benchmarks/interference.py [--frames N] [--seed S] [--workers W] [--levels DB,DB,...]
"""

import argparse
import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from variants import ACCURACY, accuracy, add_numbers, changed

from cooperative_isac.api import evaluate
from cooperative_isac.evaluation.interference_report import levels_db

SCENE = "multi_bs"
SCHEME = "local_ml"
POSITION_M = [150, -40, 20]
LEVELS_DB = (-10.0, 0.0, 10.0, 20.0, 30.0, 40.0)

# The same comb of 64 subcarriers when a second network takes turns on them.
SHARED = (
    ("num_subcarriers: 64 ", "num_subcarriers: 128"),
    ("subcarrier_stride: 6", "subcarrier_stride: 3"),
)


def with_interferer(power_dbm, signal, mode, changes=()):
    """The scene with one interferer."""
    entry = f"{{name: other, position_m: {POSITION_M}, power_dbm: {power_dbm}, signal: {signal}}}"
    return changed(
        SCENE,
        [
            ("\npropagation:", f"\npropagation:\n  interferers: [{entry}]"),
            ("\nsensing:", f"\nsensing:\n  interference: {mode}"),
            *changes,
        ],
    )


def highest_level_db(scene):
    """Level of the interferer over the noise of an antenna at the receiver that has most of it."""
    return max(levels_db(scene)["other"].values())


def add_row(table, label, level, scene, options):
    """Measure one variant."""
    print(label, level, file=sys.stderr, flush=True)
    result = evaluate(
        scene,
        frames=options.frames,
        seed=options.seed,
        schemes=[SCHEME],
        workers=options.workers,
    ).powers[0]
    table.add_row(label, level, *accuracy(result, SCHEME))


def main():
    """Measures all variants and prints their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--levels", default=",".join(f"{level:g}" for level in LEVELS_DB))
    options = parser.parse_args()

    table = Table(title=f"Interferer beside {SCENE}", box=SIMPLE_HEAD, title_justify="left")
    table.add_column("variant")
    add_numbers(table, ("dB", *ACCURACY))

    # Without interference.
    add_row(table, "none", "", changed(SCENE, []), options)
    add_row(table, "orthogonal", "", with_interferer(33, "orthogonal", "noise", SHARED), options)

    # At levels over the noise of the receiver that has most of it.
    at_0_dbm = highest_level_db(with_interferer(0, "coded", "noise"))
    for level_db in map(float, options.levels.split(",")):
        power_dbm = round(level_db - at_0_dbm, 3)
        for label, signal, mode in (
            ("coded, counted as noise", "coded", "noise"),
            ("coded, nulled", "coded", "nulls"),
            ("same symbols", "same", "noise"),
        ):
            scene = with_interferer(power_dbm, signal, mode)
            add_row(table, label, f"{level_db:g}", scene, options)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

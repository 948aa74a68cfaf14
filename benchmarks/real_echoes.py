"""Detections and tracks in ray-traced echoes, over several seeds of symbols and noise.

    python benchmarks/real_echoes.py --yard yard.npz --canyon canyon.npz [--seeds 1 2 3]

The files are path files (docs/path_files.md) with the sites of examples/traced_yard.yaml and
examples/traced_canyon.yaml.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.sequence import SequenceFigures, measure_sequence
from cooperative_isac.pipeline import frame_count
from cooperative_isac.scene.file.config import load_scene

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DIRECT = ("line_of_sight", "clutter", "targets")
EVERYTHING = (*DIRECT, "multi_bounce")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    place: yard or canyon, whose path file is used
    kinds: kinds of paths that are used
    static_paths: handling of static paths, as in a scene file
    scheme: name of the scheme
    multi_bounce_db: level of paths by way of target and wall, relative to the traced level, dB
    """

    place: str
    kinds: tuple[str, ...]
    static_paths: str
    scheme: str
    multi_bounce_db: float = 0.0


ROWS = (
    Row("yard", EVERYTHING, "keep", "local_ml"),
    Row("yard", EVERYTHING, "project", "local_ml"),
    Row("yard", EVERYTHING, "learn", "local_ml"),
    Row("yard", EVERYTHING, "project", "raw_ml"),
    Row("yard", EVERYTHING, "project", "dvqvae"),
    Row("canyon", DIRECT, "project", "local_ml"),
    Row("canyon", EVERYTHING, "project", "local_ml"),
    Row("canyon", EVERYTHING, "project", "local_ml", -10.0),
    Row("canyon", EVERYTHING, "project", "local_ml", -20.0),
)


def measure(task: tuple[Row, int, str]) -> SequenceFigures:
    """Figures of one row with one seed.

    task: row, seed and path file
    """
    row, seed, file_name = task
    os.environ["ISAC_PATHS"] = file_name
    scene = load_scene(EXAMPLES / f"traced_{row.place}.yaml")
    sensing = replace(scene.sensing, static_paths=row.static_paths)

    # Kinds of paths, and level of the paths by way of target and wall.
    paths = scene.propagation.paths
    amplitude_factor = 10 ** (row.multi_bounce_db / 20)
    factors = np.where(paths.multi_bounce, amplitude_factor, 1.0)
    moving = replace(paths.moving, gain=factors * paths.moving.gain)
    propagation = replace(
        scene.propagation, path_kinds=row.kinds, paths=replace(paths, moving=moving)
    )

    scene = replace(scene, seed=seed, sensing=sensing, propagation=propagation)
    return measure_sequence(scene, [row.scheme], frame_count(scene, None))[row.scheme]


def spread(values: list[float], digits: str) -> str:
    """Smallest and largest value over the seeds, or one value if they agree."""
    low, high = (format(value, digits) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def main() -> None:
    """Measure all rows whose path file is given, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--yard", help="path file of the yard")
    parser.add_argument("--canyon", help="path file of the canyon")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    files = {
        place: str(Path(file).resolve())
        for place, file in (("yard", arguments.yard), ("canyon", arguments.canyon))
        if file
    }
    if not files:
        parser.error("name a path file with --yard or --canyon")

    rows = [row for row in ROWS if row.place in files]
    keys = list(product(rows, arguments.seeds))
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        tasks = [(row, seed, files[row.place]) for row, seed in keys]
        results = dict(zip(keys, pool.map(measure, tasks)))

    table = Table(
        "paths",
        "static",
        "scheme",
        "found",
        "within\n3 m",
        "false\na frame",
        "location\nmedian (m)",
        "velocity\nmedian (m/s)",
        "continuity",
        "switches",
        "false\ntracks",
        box=SIMPLE_HEAD,
    )
    for row in rows:
        seeds = [results[row, seed] for seed in arguments.seeds]
        kinds = "all" if row.kinds == EVERYTHING else "without multi-bounce"
        if row.multi_bounce_db:
            kinds = f"multi-bounce {row.multi_bounce_db:+.0f} dB"
        continuity = ", ".join(
            f"{name} {spread([figures.continuity[name] or 0.0 for figures in seeds], '.2f')}"
            for name in seeds[0].continuity
        )
        table.add_row(
            f"{row.place}, {kinds}",
            row.static_paths,
            row.scheme,
            spread([100 * figures.found_held for figures in seeds], ".0f") + " %",
            spread([100 * figures.found for figures in seeds], ".0f") + " %",
            spread([figures.false_per_frame for figures in seeds], ".2f"),
            f"{np.median([figures.median_location_m for figures in seeds]):.2f}",
            f"{np.median([figures.median_velocity_mps for figures in seeds]):.2f}",
            continuity,
            spread([figures.identity_switches for figures in seeds], "d"),
            spread([figures.false_tracks for figures in seeds], "d"),
        )
    console = Console(width=160)
    console.print(
        "found: within 1 m, vehicles within 2 m; smallest and largest value of the seeds "
        f"{', '.join(map(str, arguments.seeds))}"
    )
    console.print(table)


if __name__ == "__main__":
    main()

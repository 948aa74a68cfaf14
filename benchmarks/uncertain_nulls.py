"""Nulls at an interferer from receivers whose positions are uncertain.

The cars of bs_ue with an interferer beside their way, at levels over the noise of an antenna of the
car that has most of it in frame 0, and at deviations of the positions that they report.

python benchmarks/uncertain_nulls.py [--frames N] [--seeds S [S ...]] [--levels DB [DB ...]]
    [--deviations M [M ...]]
"""

import argparse
import re
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import cooperative_isac as isac
from cooperative_isac.evaluation.interference_report import levels_db
from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.file.config import parse_scene, scene_path

SCENE = "bs_ue"
POSITION_M = [250, 60, 12]
STARTUP_FRAMES = 2  # frames in which a search may not have found all targets
FOUND_M = 3.0  # largest distance of a detection from its target


@dataclass
class Figures:
    """Figures of a variant; errors and bounds in m, of the targets that are found, by name."""

    num_targets: int = 0
    num_false: int = 0
    num_frames: int = 0
    errors_m: dict[str, list[float]] = field(default_factory=dict)
    bounds_m: dict[str, list[float]] = field(default_factory=dict)
    process_s: float = 0.0

    def add(self, snapshot, bound):
        """Add a frame."""
        found_m = np.array([one.position_m for one in snapshot.detections]).reshape(-1, 3)
        true_m = np.array([one.position_m for one in snapshot.targets])
        pairs = match_within(pairwise_distances(true_m, found_m), FOUND_M)
        self.num_frames += 1
        self.num_targets += len(true_m)
        self.num_false += len(found_m) - len(pairs)
        for target, detection in pairs:
            name = snapshot.targets[target].name
            error_m = float(np.linalg.norm(found_m[detection] - true_m[target]))
            self.errors_m.setdefault(name, []).append(error_m)
            self.bounds_m.setdefault(name, []).append(float(bound.location_m[target]))

    def cells(self, names):
        """Cells of a row: found, false, and RMSE and root bound of each target."""
        # Shares of all targets.
        num_found = sum(len(values) for values in self.errors_m.values())
        found = num_found / self.num_targets
        false = self.num_false / self.num_frames
        cells = [f"{found:.1%}", f"{false:.2f}"]

        # Accuracy of each target, NaN where it was never found.
        for name in names:
            for values_m in (self.errors_m, self.bounds_m):
                squares = np.square(values_m.get(name, [np.nan]))
                cells.append(f"{np.sqrt(squares.mean()):.3f}")

        # Processor time.
        frame_ms = 1e3 * self.process_s / self.num_frames
        return [*cells, f"{frame_ms:.0f}"]


def variant(deviation_m, power_dbm):
    """The scene with other deviations and an interferer; None: none."""
    text = scene_path(SCENE).read_text()
    text = re.sub(r"position_std_m: [0-9.]+", f"position_std_m: {deviation_m}", text)
    if power_dbm is not None:
        entry = f"{{name: other, position_m: {POSITION_M}, power_dbm: {power_dbm}}}"
        text = text.replace("\npropagation:", f"\npropagation:\n  interferers: [{entry}]", 1)
        text = text.replace("\nsensing:", "\nsensing:\n  interference: nulls", 1)
    return parse_scene(text, Path(f"{SCENE}.yaml"))


def measured(scene, seeds, num_frames):
    """Figures of a variant over the frames of all seeds."""
    figures = Figures()
    for seed in seeds:
        seeded = replace(scene, seed=seed)
        began_s = time.process_time()
        snapshots = list(isac.run(seeded, num_frames))
        figures.process_s += time.process_time() - began_s
        for snapshot in snapshots[STARTUP_FRAMES:]:
            frame = make_frame(seeded, snapshot.number, snapshot.time_s)
            figures.add(snapshot, network_bound(seeded, frame, snapshot.targets))
    return figures


def main():
    """Measure all variants and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[301, 302, 303, 304])
    parser.add_argument("--levels", type=float, nargs="+", default=[20, 30, 40, 46])
    parser.add_argument("--deviations", type=float, nargs="+", default=[0.05, 0.2, 0.5])
    options = parser.parse_args()

    names = [target.name for target in variant(0.2, None).targets]
    table = Table(title=f"Interferer beside the cars of {SCENE}", box=SIMPLE_HEAD)
    columns = [f"{name}: {figure}" for name in names for figure in ("RMSE m", "bound m")]
    for title in ("deviation m", "dB", "found", "false", *columns, "ms a frame"):
        table.add_column(title, justify="right")

    at_0_dbm = max(levels_db(variant(0.2, 0.0))["other"].values())
    for deviation_m in options.deviations:
        for level_db in (None, *options.levels):
            print(deviation_m, level_db, file=sys.stderr, flush=True)
            power_dbm = None if level_db is None else round(level_db - at_0_dbm, 3)
            figures = measured(variant(deviation_m, power_dbm), options.seeds, options.frames)
            level = "none" if level_db is None else f"{level_db:g}"
            table.add_row(f"{deviation_m:g}", level, *figures.cells(names))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

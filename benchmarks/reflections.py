"""What known reflectors bring in the scene side_street (DC section III-E).

Two targets move in a side street that buildings hide from both base stations, once with
`sensing.reflections: ignore` and once with `use`. The bound is that of all paths that one surface
reflects before and behind a target, of every frame with a detection.

python benchmarks/reflections.py [--scene SCENE] [--frames N] [--seeds S [S ...]]
"""

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.fusion.detection import complete
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.consistency import nees
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M, RunScore
from cooperative_isac.pipeline import make_frame, run_scheme
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.registry import make_scheme

KEYS = ("ignore", "use")


@dataclass
class Measured:
    """Figures of the runs with one value of the key, of each target by its name.

    errors_m, bounds_m, nees: of its detections within DETECTION_CUTOFF_M
    num_frames: of all runs
    num_false: other detections
    continuity: of each run
    num_false_tracks: of all runs
    frame_s: processor time of a frame with its echoes, of each run
    """

    errors_m: dict = field(default_factory=lambda: defaultdict(list))
    bounds_m: dict = field(default_factory=lambda: defaultdict(list))
    nees: dict = field(default_factory=lambda: defaultdict(list))
    num_frames: int = 0
    num_false: int = 0
    continuity: dict = field(default_factory=lambda: defaultdict(list))
    num_false_tracks: int = 0
    frame_s: list = field(default_factory=list)


def measure(scene, num_frames, measured):
    """Add a run to the figures."""
    score = RunScore(scene.continuity_threshold_m, scene.tracking, scene.dimension)
    began_s = time.process_time()
    snapshots = list(run_scheme(make_scheme("local_ml", scene), num_frames))
    measured.frame_s.append((time.process_time() - began_s) / num_frames)
    for snapshot in snapshots:
        score.add(snapshot.time_s, snapshot.targets, snapshot.detections, snapshot.tracks)
        add_errors(scene, snapshot, measured)

    summary = score.summary()
    measured.num_frames += num_frames
    measured.num_false_tracks += summary.false_tracks
    for name, target in summary.targets.items():
        measured.continuity[name].append(target.continuity)


def add_errors(scene, snapshot, measured):
    """Add the detections of one frame, with the bounds of their targets."""
    targets = snapshot.targets
    detections = complete(snapshot.detections)
    truths_m = np.array([target.position_m for target in targets])
    found_m = np.array([one.position_m for one in detections]).reshape(-1, 3)
    pairs = match_within(pairwise_distances(truths_m, found_m), DETECTION_CUTOFF_M)
    measured.num_false += len(detections) - len(pairs)
    if not pairs:
        return

    frame = make_frame(scene, snapshot.number, snapshot.time_s)
    with_walls = replace(scene, sensing=replace(scene.sensing, reflections="use"))
    bound = network_bound(with_walls, frame, targets)
    for index, place in pairs:
        target = targets[index]
        detection = detections[place]
        location_error_m = detection.position_m - target.position_m
        velocity_error_mps = detection.velocity_mps - target.velocity_mps
        error = np.concatenate([location_error_m, velocity_error_mps])
        measured.errors_m[target.name].append(float(np.linalg.norm(location_error_m)))
        measured.bounds_m[target.name].append(float(bound.location_m[index]))
        measured.nees[target.name].append(float(nees(error[None], detection.covariance[None])[0]))


def table_of(results):
    """Table with a row for each value of the key and target."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("reflections", "target"):
        table.add_column(name)
    for name in (
        *("found", "false a frame", "location (m): median", "r.m.s.", "bound"),
        *("NEES", "continuity", "false tracks", "ms a frame"),
    ):
        table.add_column(name, justify="right")
    for key, measured in results.items():
        for name in sorted(measured.continuity):
            cells = ["-"] * 4
            errors_m = np.array(measured.errors_m[name])
            bounds_m = np.array(measured.bounds_m[name])
            if len(errors_m):
                figures = (np.median(errors_m), root_mean(errors_m), root_mean(bounds_m))
                cells = [f"{value:.3f}" for value in figures]
                cells.append(f"{np.mean(measured.nees[name]):.1f}")
            table.add_row(
                key,
                name,
                f"{len(errors_m) / measured.num_frames:.0%}",
                f"{measured.num_false / measured.num_frames:.3f}",
                *cells,
                ", ".join(f"{value:.3f}" for value in measured.continuity[name]),
                str(measured.num_false_tracks),
                f"{1e3 * np.mean(measured.frame_s):.0f}",
            )
    return table


def root_mean(values):
    """Root mean square of the finite values."""
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(finite**2)))


def main():
    """Print the figures of both values of the key."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="side_street")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202])
    arguments = parser.parse_args()

    scene = load_scene(arguments.scene)
    results = {}
    for key in KEYS:
        results[key] = Measured()
        for seed in arguments.seeds:
            sensing = replace(scene.sensing, reflections=key)
            measure(replace(scene, sensing=sensing, seed=seed), arguments.frames, results[key])
    Console(width=160).print(table_of(results))


if __name__ == "__main__":
    main()

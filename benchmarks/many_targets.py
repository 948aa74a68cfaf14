"""What an access point spends on many targets, and how well they are tracked.

python benchmarks/many_targets.py [--scene campus] [--targets 3 6 12] [--frames 60] [--seed 1]

Live: consecutive frames at the scene's rate; targets fly or drive closed loops that are drawn with
the seed. Drawn: independent frames, as `isac evaluate` has them. Times are of one core.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.monte_carlo import Ends, make_ends
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M, RunScore
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import draw_targets, frame_generator, scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene, Target, TargetClass, TargetState
from cooperative_isac.scene.motion.waypoints import waypoints_at_speed
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.tracker import Tracker

STAGES = ("hear", "encode", "after sending", "encode + after")
TRACK_THRESHOLD_M = 1.0  # within which a track holds its target
NUM_CORNERS = 4  # of a target's loop
INSIDE_M = 8.0  # of loops to the border of the box
SPARE_REPORTS = 2  # of a receiver, beyond one for each target and scatterer of clutter
CLASSES = (TargetClass.UAV, TargetClass.VEHICLE)


@dataclass
class Score:
    """Detections of a run beside the truth.

    squared_errors: of the location of each detected target, m^2; num_targets, num_detections: over
    all frames
    """

    squared_errors: list[float]
    num_targets: int = 0
    num_detections: int = 0

    def add(self, targets: Sequence[TargetState], detections: Sequence[Detection]) -> None:
        """Count one frame."""
        truths = np.array([target.position_m for target in targets])
        found = np.array([item.position_m for item in detections]).reshape(-1, 3)
        distances = pairwise_distances(truths, found)
        pairs = match_within(distances, DETECTION_CUTOFF_M)
        self.squared_errors += [float(distances[pair]) ** 2 for pair in pairs]
        self.num_targets += len(truths)
        self.num_detections += len(found)


def with_targets(scene: Scene, num_targets: int, seed: int) -> Scene:
    """The scene with targets on closed loops through corners drawn in its box.

    Raises ValueError for a scene whose echoes come from a path file.
    """
    if scene.propagation.paths is not None:
        raise ValueError("the targets of a path file cannot be replaced")
    generator = np.random.default_rng([num_targets, seed])
    low_m, high_m = loop_limits(scene)
    targets = []
    for index in range(num_targets):
        corners_m = generator.uniform(low_m, high_m, (NUM_CORNERS, 3))
        if scene.dimension == 2:
            corners_m[:, 2] = scene.plane_height_m
        speed_mps = generator.uniform(0.4, 1.0) * scene.draw.max_speed_mps
        motion = waypoints_at_speed(corners_m, speed_mps, loop=True)
        targets.append(Target(f"target_{index}", CLASSES[index % len(CLASSES)], motion))
    draw = replace(scene.draw, num_targets=num_targets)

    # Receivers report clutter, too; the center tells it from targets.
    clutter = scene.propagation.clutter
    num_clutter = (
        clutter.num_scatterers if clutter.positions_m is None else len(clutter.positions_m)
    )
    max_targets = max(scene.sensing.max_targets, num_targets + num_clutter + SPARE_REPORTS)
    sensing = replace(scene.sensing, max_targets=max_targets)
    return replace(scene, targets=tuple(targets), draw=draw, sensing=sensing, seed=seed)


def loop_limits(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner [3] of targets' loops, m."""
    low_m = scene.box.low_m + INSIDE_M
    high_m = scene.box.high_m - INSIDE_M
    if scene.draw.height_m is not None:
        low_m[2], high_m[2] = scene.draw.height_m
    return low_m, high_m


def run(scene: Scene, ends: Ends, num_frames: int, live: bool) -> tuple[dict, dict]:
    """Times of each stage [ms], one for each frame and receiver, and figures of accuracy.

    The first frame, in which tables are made, is not timed.
    """
    times_ms = {stage: [] for stage in STAGES}
    score = Score([])
    run_score = RunScore(TRACK_THRESHOLD_M, scene.tracking, scene.dimension)
    tracker = Tracker(scene.tracking, scene.dimension)

    for number in range(num_frames + 1):
        time_s = number / scene.update_rate_hz
        if live:
            targets = scene_targets(scene, time_s)
        else:
            targets = draw_targets(scene, frame_generator(scene.seed, number, "targets"))
        frame = make_frame(scene, number, time_s if live else None)

        # Each receiver's echo, its packet, and what it does afterwards.
        packets = {}
        for station, encoder in ends.encoders.items():
            began_s = time.process_time()
            echoes = receive(scene, frame, station, targets)
            heard_s = time.process_time()
            packets[station] = encoder.encode(echoes, frame)
            encoded_s = time.process_time()
            encoder.idle()
            ended_s = time.process_time()
            if number:
                times_ms["hear"].append(1e3 * (heard_s - began_s))
                times_ms["encode"].append(1e3 * (encoded_s - heard_s))
                times_ms["after sending"].append(1e3 * (ended_s - encoded_s))
                times_ms["encode + after"].append(1e3 * (ended_s - heard_s))

        # What the center makes of the packets.
        detections = ends.decoder.decode(packets, frame)
        score.add(targets, detections)
        if live:
            tracks = tracker.update(time_s, detections)
            run_score.add(time_s, targets, detections, tracks)
    return times_ms, figures(score, run_score if live else None, num_frames + 1)


def figures(score: Score, run_score: RunScore | None, num_frames: int) -> dict[str, float]:
    """Accuracy of a run by name."""
    num_found = len(score.squared_errors)
    named = {
        "detected": num_found / score.num_targets,
        "RMSE (m)": float(np.sqrt(np.mean(score.squared_errors))) if num_found else float("nan"),
        "false a frame": (score.num_detections - num_found) / num_frames,
    }
    if run_score is not None:
        summary = run_score.summary()
        held = [target.continuity for target in summary.targets.values()]
        held = [share for share in held if share is not None]
        named["continuity"] = float(np.mean(held)) if held else float("nan")
        named["GOSPA (m)"] = float("nan") if summary.gospa_m is None else summary.gospa_m
        named["false tracks"] = summary.false_tracks
    return named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="campus", help="scene file, or name of a shipped scene")
    parser.add_argument("--targets", type=int, nargs="+", default=[3, 6, 12])
    parser.add_argument("--frames", type=int, default=60, help="frames to time (default: 60)")
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--mode", choices=("live", "drawn"), default="live")
    parser.add_argument("--scheme", help="instead of the scene's")
    options = parser.parse_args()

    table = Table(title=f"{options.scene}, {options.mode}", title_justify="left", box=SIMPLE_HEAD)
    rows = []
    for num_targets in options.targets:
        for seed in options.seed:
            scene = with_targets(load_scene(options.scene), num_targets, seed)
            ends = make_ends(make_scheme(options.scheme or scene.sensing.scheme, scene))
            times_ms, named = run(scene, ends, options.frames, options.mode == "live")
            columns = {"targets": str(num_targets), "seed": str(seed)}
            for stage in STAGES:
                median, high = np.percentile(times_ms[stage], [50, 99])
                columns[f"{stage} (ms)"] = f"{median:.1f} / {high:.1f}"
            columns |= {name: f"{value:.3f}" for name, value in named.items()}
            rows.append(columns)
    for header in rows[0]:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    console = Console(width=180)
    console.print(table)
    console.print("times: median / 99 % of a receiver's frame")


if __name__ == "__main__":
    main()

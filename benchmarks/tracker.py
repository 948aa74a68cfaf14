"""Processing time of the tracker for a frame, with filters in arrays and with filterpy objects.

python benchmarks/tracker.py [--tracks N ...] [--frames N]

Targets move on a plane with 15 m x 15 m for each of them. In every frame 97 % of them are detected,
at 10 frames per second. The times are processor times of the whole `Tracker.update` on one core:
with the IMM filters in arrays, and with `examples/filterpy_imm.py`, which gives the same tracks.
"history": time with filters in arrays over that of a tracker without a history of lists, in frames
that both process in turns. "late list": time to replace the detections of a frame half a second
ago, over that of a frame.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.measurement import DetectionList
from cooperative_isac.tracking.tracker import MAX_TRACKS, Tracker

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MODELS = {"arrays": "imm", "objects": "filterpy_imm:make_filter"}
# Time between two frames, s; mean distance of the targets, m; and their probability of detection.
PERIOD_S = 0.1
SPACING_M = 15.0
DETECTED = 0.97
# Standard deviations of positions and velocities of detections, m and m/s.
STDS = np.repeat([0.15, 0.5], 3)
# Frames that are not timed: tracks are confirmed in them.
FIRST_FRAMES = 4
# Frames that both trackers process before one with a history is compared with one without.
HISTORY_FRAMES = 12
# Timed frames of this comparison over those of the others: its differences are small.
HISTORY_SHARE = 10
# Frames before the newest one for which a list is late.
LATE_FRAMES = 5
# Timed frames with filterpy objects, each of which takes seconds.
OBJECT_FRAMES = 3


def scene_frames(num_targets: int, num_frames: int) -> list[list[Detection]]:
    """Detections of moving targets in each frame, in random order."""
    rng = np.random.default_rng(0)

    # Positions and velocities of the targets.
    width_m = SPACING_M * np.sqrt(num_targets)
    states = np.zeros((num_targets, 6))
    states[:, :2] = rng.uniform(0, width_m, (num_targets, 2))
    states[:, 2] = rng.uniform(0, 20, num_targets)
    states[:, 3:5] = rng.normal(0, 5, (num_targets, 2))

    frames = []
    for _ in range(num_frames):
        states[:, :3] += PERIOD_S * states[:, 3:]
        detected = rng.permutation(num_targets)[rng.random(num_targets) < DETECTED]
        values = states[detected] + STDS * rng.standard_normal((len(detected), 6))
        frames.append(
            [
                Detection(value[:3], value[3:], np.diag(STDS**2), 20.0, ("rx1",), 2)
                for value in values
            ]
        )
    return frames


def frame_ms(model: str, frames: list[list[Detection]]) -> float:
    """Median processor time of a frame, ms, without the first frames."""
    tracker = Tracker(Tracking(model=model), 3)
    times_ms = []
    for number, detections in enumerate(frames):
        start_s = time.process_time()
        tracker.update(number * PERIOD_S, detections)
        times_ms.append(1e3 * (time.process_time() - start_s))
    return float(np.median(times_ms[FIRST_FRAMES:]))


class WithoutHistory(Tracker):
    """Tracker that keeps no history."""

    def _remember(self, given: DetectionList) -> None:
        """Keep nothing."""


def history_ratios(frames: list[list[Detection]]) -> tuple[float, float]:
    """Time of a frame with a history over that without, and of a late list over a frame."""
    settings = Tracking(model=MODELS["arrays"])
    trackers = {"kept": Tracker(settings, 3), "none": WithoutHistory(settings, 3)}
    times_s = dict.fromkeys(trackers, 0.0)
    for number, detections in enumerate(frames):
        # The one that comes second finds warm caches: each in turn.
        names = list(trackers) if number % 2 else [*reversed(trackers)]
        for name in names:
            start_s = time.process_time()
            trackers[name].update(number * PERIOD_S, detections)
            if number >= HISTORY_FRAMES:
                times_s[name] += time.process_time() - start_s

    # Half of the detections of a frame again, late.
    late = len(frames) - 1 - LATE_FRAMES
    start_s = time.process_time()
    trackers["kept"].revise(late * PERIOD_S, frames[late][::2])
    late_s = time.process_time() - start_s
    frame_s = times_s["kept"] / (len(frames) - HISTORY_FRAMES)
    return times_s["kept"] / times_s["none"], late_s / frame_s


def report(counts: list[int], num_frames: int) -> Table:
    """Table of the times and their ratios, for each number of tracks."""
    table = Table(title="processor time of a frame", title_justify="left", box=SIMPLE_HEAD)
    headers = ("tracks", "arrays (ms)", "filterpy objects (ms)", "ratio", "history", "late list")
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for count in counts:
        frames = scene_frames(count, HISTORY_FRAMES + HISTORY_SHARE * num_frames)
        arrays_ms = frame_ms(MODELS["arrays"], frames[: FIRST_FRAMES + num_frames])
        objects_ms = frame_ms(MODELS["objects"], frames[: FIRST_FRAMES + OBJECT_FRAMES])
        ratio = objects_ms / arrays_ms
        history, late = history_ratios(frames)
        table.add_row(
            str(count),
            f"{arrays_ms:.1f}",
            f"{objects_ms:.0f}",
            f"{ratio:.0f}",
            f"{history:.3f}",
            f"{late:.1f}",
        )
    return table


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument(
        "--frames", type=int, default=20, help="number of timed frames (default: 20)"
    )
    options = parser.parse_args()
    if options.frames < 1 or not all(1 <= count <= MAX_TRACKS for count in options.tracks):
        parser.error(f"--frames must be at least 1, --tracks from 1 to {MAX_TRACKS}")
    sys.path.insert(0, str(EXAMPLES))
    Console().print(report(options.tracks, options.frames))


if __name__ == "__main__":
    main()

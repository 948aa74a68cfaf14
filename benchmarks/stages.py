"""Processing times of the stages of a scene on one core, beside the frame period.

python benchmarks/stages.py SCENE [--scheme NAME] [--frames N]
"""

import argparse
import os
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.monte_carlo import Ends, make_ends
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.tracker import Tracker
from cooperative_isac.waveform.frame import Frame

STAGES = {
    "transmit": "once",
    "receive": "per receiver",
    "encode": "per receiver",
    "after sending": "per receiver",
    "decode": "once",
    "track": "once",
}


class Stopwatch:
    """Processor times of the stages, ms."""

    def __init__(self):
        self.times_ms = {stage: [] for stage in STAGES}

    def measure(self, stage, function, *arguments):
        """Call a function, and add its processor time to a stage. Returns its result."""
        start_s = time.process_time()
        result = function(*arguments)
        self.times_ms[stage].append(1e3 * (time.process_time() - start_s))
        return result


def time_stages(scene: Scene, scheme_name: str, num_frames: int) -> Stopwatch:
    """Process frames of the live targets. The first one, which computes tables, is not timed."""
    ends = make_ends(make_scheme(scheme_name, scene))
    scene = ends.scheme.scene
    tracker = Tracker(scene.tracking, scene.dimension)
    watch = Stopwatch()
    run_frame(scene, ends, tracker, 0, Stopwatch())
    for number in range(1, num_frames + 1):
        run_frame(scene, ends, tracker, number, watch)
    return watch


def run_frame(scene: Scene, ends: Ends, tracker: Tracker, number: int, watch: Stopwatch) -> None:
    """Process one frame from the transmitters to the tracks."""
    time_s = number / scene.update_rate_hz
    targets = scene_targets(scene, time_s)
    frame = watch.measure("transmit", transmitted, scene, number, time_s)

    # Stations.
    packets = {}
    for station, encoder in ends.encoders.items():
        echoes = watch.measure("receive", receive, scene, frame, station, targets)
        packets[station] = watch.measure("encode", encoder.encode, echoes, frame)
        watch.measure("after sending", encoder.idle)

    # Fusion center and tracker.
    detections = watch.measure("decode", ends.decoder.decode, packets, frame)
    watch.measure("track", tracker.update, time_s, detections)


def transmitted(scene: Scene, number: int, time_s: float) -> Frame:
    """A frame with the signals of all bands drawn."""
    frame = make_frame(scene, number, time_s)
    for band in frame.bands:
        frame.on(band)
    return frame


def report(scene: Scene, watch: Stopwatch) -> Table:
    """Table of the median and longest time of each stage, and its share of the frame period."""
    period_ms = 1e3 / scene.update_rate_hz
    title = f"{scene.name}: a frame every {period_ms:.0f} ms"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for header, side in (
        ("stage", "left"),
        ("", "left"),
        ("median (ms)", "right"),
        ("worst (ms)", "right"),
        ("of the period", "right"),
    ):
        table.add_column(header, justify=side, no_wrap=True)
    for stage, often in STAGES.items():
        median_ms = np.median(watch.times_ms[stage])
        worst_ms = np.max(watch.times_ms[stage])
        share = median_ms / period_ms
        table.add_row(stage, often, f"{median_ms:.1f}", f"{worst_ms:.1f}", f"{share:.1%}")

    # All stages of all receivers.
    total_ms = sum(sum(times_ms) for times_ms in watch.times_ms.values())
    frame_ms = total_ms / len(watch.times_ms["transmit"])
    table.add_row("all", "mean of a frame", f"{frame_ms:.1f}", "", f"{frame_ms / period_ms:.1%}")
    return table


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", help="scene file, or the name of a shipped scene")
    parser.add_argument("--scheme", help="scheme (default: that of the scene)")
    parser.add_argument(
        "--frames", type=int, default=20, help="number of timed frames (default: 20)"
    )
    options = parser.parse_args()
    if options.frames < 1:
        parser.error("--frames must be at least 1")
    try:
        scene = load_scene(options.scene)
        watch = time_stages(scene, options.scheme or scene.sensing.scheme, options.frames)
    except ValueError as error:
        parser.error(str(error))
    Console().print(report(scene, watch))


if __name__ == "__main__":
    main()

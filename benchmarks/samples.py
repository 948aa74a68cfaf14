"""Processor time of a station's search and fit by the samples of an echo, and by a correlation.

    python benchmarks/samples.py [SCENE] [--times 20]

With clock offsets each transmitter has streams of its own. The targets of one frame are fitted, and
its echo searched, with the samples and with the correlation of all streams, in turn.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from cooperative_isac.channel.clocks import clock_phasors, link_offsets
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.waveform.offset_signal import with_clock_offsets

WAYS = {"correlation": False, "samples": True}


def main() -> None:
    """Print the median times of both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="?", default="multi_bs_clocks")
    parser.add_argument("--times", type=int, default=20)
    chosen = parser.parse_args()
    scene = load_scene(chosen.scene).views[0]
    receiver = scene.receivers[0]

    # One frame, with the streams of all transmitters as they arrive.
    frame = make_frame(scene, 3, 3 / scene.update_rate_hz)
    targets = scene_targets(scene, frame.time_s)
    echo = receive(scene, frame, receiver.name, targets)[scene.band].samples
    sent = frame.on(scene.band)
    offsets = link_offsets(scene, receiver, frame.time_s)
    streams = with_clock_offsets(sent, clock_phasors(sent.grid, offsets))

    # The paths of all targets from all transmitters.
    num_sites = len(scene.transmitters)
    owner = np.repeat(np.arange(len(targets)), num_sites)
    transmitter = np.tile(np.arange(num_sites), len(targets))
    points_m = np.array([target.position_m for target in targets])
    state = PathState(points_m, owner, transmitter, np.zeros(len(owner)))

    # Cells of the search are computed once.
    plain = LocalMl(scene, receiver, sent.grid)
    cells = plain.search.of(range(num_sites))
    sensors = {
        way: LocalMl(scene, receiver, sent.grid, cells=cells, by_samples=by_samples)
        for way, by_samples in WAYS.items()
    }

    # Both ways in turn.
    times_ms: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for _ in range(chosen.times):
        for way, sensor in sensors.items():
            joint = sensor.correlate(echo, streams)
            stages = (
                partial(sensor.correlate, echo, streams),
                partial(joint.match, state),
                partial(sensor.surface, joint, joint.correlation),
            )
            times_ms[way].append([spent_ms(stage) for stage in stages])

    medians = {way: np.median(values, axis=0) for way, values in times_ms.items()}
    for place, stage in enumerate(("correlation", "fit", "search")):
        before_ms = medians["correlation"][place]
        after_ms = medians["samples"][place]
        ratio = before_ms / after_ms
        print(f"{stage:12} {before_ms:6.2f} ms, {after_ms:6.2f} ms by samples: {ratio:.1f} times")


def spent_ms(function: Callable[[], object]) -> float:
    """Processor time of a call, ms."""
    start_s = time.process_time()
    function()
    return 1e3 * (time.process_time() - start_s)


if __name__ == "__main__":
    main()

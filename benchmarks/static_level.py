"""Targets found over the level of static paths, with and without suppression of these paths.

    python benchmarks/static_level.py [--scene yard] [--world yard] [--frames 30] [--out
    docs/images/static_level.png]

Prints a table and draws a figure. The static paths, of the scene or of another scene with the same
stations, are scaled to each level. Targets, noise and symbols do not change. The level is the power
of all static paths at a receiver over the power of the path from one transmitter by way of a target
(median over targets and frames).
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.channel.echo import Echo, apply_paths
from cooperative_isac.channel.static import static_echo
from cooperative_isac.evaluation.monte_carlo import make_ends
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.pipeline import make_frame, paths_to, static_channel, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.registry import make_scheme

# Levels of the static paths, dB.
LEVELS_DB = (-20, -10, 0, 10, 20, 30, 40, 50, 60, 70)
# Handling of static paths, as in a scene file.
MODES = ("keep", "project", "learn")
# Number of frames on which the level of the scene is measured.
LEVEL_FRAMES = 5
# Noise power that is negligible, W.
NO_NOISE_W = 1e-30
# Color, marker and name of each curve.
CURVES = {
    "keep": ("tab:red", "s", "kept"),
    "project": ("tab:blue", "o", "projected out"),
    "learn": ("tab:green", "^", "learned background"),
}


def power_w(echo: np.ndarray) -> float:
    """Mean power of the samples of an echo."""
    return float(np.mean(np.abs(echo) ** 2))


def scene_level(scene, world) -> float:
    """Level of the static paths of a scene without scaling, a power ratio.

    world: scene with the static paths
    """
    quiet = replace(scene, propagation=replace(scene.propagation, noise_power_w=NO_NOISE_W))
    static_w = []
    target_w = []
    for number in range(LEVEL_FRAMES):
        signal = transmit(scene, number)
        targets = scene_targets(scene, number / scene.update_rate_hz)
        for site in scene.receivers:
            static_w.append(power_w(static_echo(signal, static_channel(world, site))))
            for target in targets:
                paths, generator = paths_to(quiet, number, site, [target])
                echo = apply_paths(quiet, signal, site, paths, generator)
                target_w.append(power_w(echo) / len(scene.transmitters))
    return float(np.mean(static_w) / np.median(target_w))


def measure(task: tuple[str, str, int, float, str]) -> dict[str, float]:
    """Detections at one level of static paths, with one handling of them.

    task: scene, scene of the static paths, number of frames, amplitude factor, and mode

    Returns the share of targets found, false detections per frame, and the location RMSE in m.
    """
    name, world_name, num_frames, scale, mode = task
    scene = load_scene(name)
    world = load_scene(world_name)
    scene = replace(scene, sensing=replace(scene.sensing, static_paths=mode))
    ends = make_ends(make_scheme("local_ml", scene))

    num_found = 0
    num_targets = 0
    num_false = 0
    squared_errors = []
    for number in range(num_frames):
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        signal = frame.on(scene.band)
        noise_power_w = scene.propagation.noise_power_w
        targets = scene_targets(scene, time_s)

        # Stations: echoes with static paths of the given level.
        packets = {}
        for site in scene.receivers:
            paths, generator = paths_to(scene, number, site, targets)
            samples = apply_paths(scene, signal, site, paths, generator)
            samples += np.float32(scale) * static_echo(signal, static_channel(world, site))
            echo = Echo(site.name, scene.band, number, samples, noise_power_w)
            packets[site.name] = ends.encoders[site.name].encode({scene.band: echo}, frame)
            ends.encoders[site.name].idle()

        # Fusion center: detections beside the truth.
        detections = ends.decoder.decode(packets, frame)
        truth = np.array([target.position_m for target in targets])
        places = np.array([detection.position_m for detection in detections]).reshape(-1, 3)
        distances = pairwise_distances(truth, places)
        pairs = match_within(distances, DETECTION_CUTOFF_M)
        num_found += len(pairs)
        num_targets += len(targets)
        num_false += len(detections) - len(pairs)
        squared_errors += [distances[pair] ** 2 for pair in pairs]

    return {
        "found": num_found / num_targets,
        "false": num_false / num_frames,
        "rmse_m": float(np.sqrt(np.mean(squared_errors))) if squared_errors else float("nan"),
    }


def draw(
    results: dict[tuple[str, int], dict[str, float]], modes: tuple[str, ...], name: str, path: str
) -> None:
    """Draw the share of targets found, and the location error, over the level."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        ("found", f"share of targets found within {DETECTION_CUTOFF_M:g} m"),
        ("rmse_m", "location RMSE of targets found (m)"),
    )
    for axes, (key, label) in zip(figure.subplots(1, 2), panels):
        for mode in modes:
            color, marker, legend = CURVES[mode]
            values = [results[mode, level][key] for level in LEVELS_DB]
            axes.plot(LEVELS_DB, values, color=color, marker=marker, label=legend)
        axes.set(
            xlabel="power of static paths over a target's path (dB)", ylabel=label, ylim=(0, None)
        )
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", title="static paths")
    figure.suptitle(f"Scene {name}, simulated")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure all levels on all processors, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="yard")
    parser.add_argument(
        "--world", help="scene whose static paths are used (default: the scene itself)"
    )
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--out", default="docs/images/static_level.png")
    arguments = parser.parse_args()

    world = arguments.world or arguments.scene
    own_db = 10 * np.log10(scene_level(load_scene(arguments.scene), load_scene(world)))
    keys = list(product(arguments.modes, LEVELS_DB))
    tasks = [
        (arguments.scene, world, arguments.frames, 10 ** ((level - own_db) / 20), mode)
        for mode, level in keys
    ]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = dict(zip(keys, pool.map(measure, tasks)))

    console = Console(width=110)
    console.print(
        f"{arguments.scene}: static paths of {world} as they are: {own_db:.0f} dB over a target's "
        "path"
    )
    table = Table(
        "level (dB)",
        *(f"{mode}\n{what}" for mode in arguments.modes for what in ("found", "false", "RMSE (m)")),
        box=SIMPLE_HEAD,
    )
    for level in LEVELS_DB:
        cells = []
        for mode in arguments.modes:
            result = results[mode, level]
            cells += [f"{result['found']:.1%}", f"{result['false']:.2f}", f"{result['rmse_m']:.3f}"]
        table.add_row(str(level), *cells)
    console.print(table)
    draw(results, tuple(arguments.modes), arguments.scene, arguments.out)
    console.print(f"figure: {arguments.out}")


if __name__ == "__main__":
    main()

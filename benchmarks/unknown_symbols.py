"""Value of known symbols: bounds with and without them, and locations from angles in raw echoes.

python benchmarks/unknown_symbols.py [--scene NAME] [--frames N] [--targets Q] [--seed N]
"""

import argparse
from dataclasses import replace
from itertools import product

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from cooperative_isac.bounds.crlb import crlb
from cooperative_isac.bounds.unknown_symbols import crlb_unknown_symbols
from cooperative_isac.evaluation.live_bound import true_paths
from cooperative_isac.evaluation.monte_carlo import draw_frame
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.arrival_angles import arrival_cosines
from cooperative_isac.sensing.path_parameters import arrival_direction

BOUNDS = {"CRLB, symbols known": crlb, "CRLB, not known": crlb_unknown_symbols}
# Row of the locations from raw echoes. MUSIC does not resolve which crossings of directions are
# targets, so the crossing nearest to each target counts.
ANGLES = "MUSIC, nearest crossing"


def crossings(scene, echoes) -> np.ndarray:
    """Points at which directions of arrival at the first two receivers cross.

    echoes: samples of each receiver, by its name

    Returns [num_crossings, 2], float64, m.
    """
    if len(scene.receivers) < 2:
        raise SystemExit(f"scene '{scene.name}' has one receiver; directions cross from two on")

    # Directions of arrival at each receiver.
    sites = scene.receivers[:2]
    directions = []
    for site in sites:
        snapshots = echoes[site.name].reshape(site.num_ant, -1)
        wavelength_m = scene.grid.wavelength_m
        cosines = arrival_cosines(snapshots, site, wavelength_m, "music", "aic")
        directions.append(arrival_direction(site, cosines)[:, :2])

    # Rays that cross in front of both receivers.
    between_m = (sites[1].position_m - sites[0].position_m)[:2]
    points_m = []
    for first, second in product(*directions):
        lengths_m = np.linalg.lstsq(np.column_stack([first, -second]), between_m)[0]
        if np.all(lengths_m > 0):
            points_m.append(sites[0].position_m[:2] + lengths_m[0] * first)
    return np.array(points_m).reshape(-1, 2)


def measure(scene, num_frames):
    """Bounds and location errors of random frames.

    Returns the root bounds of location, m, and velocity, m/s, of all targets by name of the bound;
    and the distance of each target from the nearest crossing, m.
    """
    location_bounds_m = {name: [] for name in BOUNDS}
    velocity_bounds_mps = {name: [] for name in BOUNDS}
    distances_m = []
    for number in track(range(num_frames), "frames"):
        draw = draw_frame(scene, number)

        # Bounds with known and with unknown symbols.
        paths = true_paths(scene, number, draw.targets)
        for name, bound_of in BOUNDS.items():
            bound = bound_of(scene, draw.frame.on(scene.band), draw.targets, paths)
            location_bounds_m[name] += list(bound.location_m)
            velocity_bounds_mps[name] += list(bound.velocity_mps)

        # Locations from angles of arrival.
        echoes = {name: bands[scene.band].samples for name, bands in draw.echoes.items()}
        points_m = crossings(scene, echoes)
        for target in draw.targets:
            errors_m = np.linalg.norm(points_m - target.position_m[:2], axis=1)
            distances_m.append(errors_m.min(initial=np.inf))
    return location_bounds_m, velocity_bounds_mps, distances_m


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scene",
        default="cell_free_compact",
        help="scene in a plane (default: cell_free_compact)",
    )
    parser.add_argument("--frames", type=int, default=50, help="number of frames (default: 50)")
    parser.add_argument("--targets", type=int, default=2, help="targets per frame (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    options = parser.parse_args()

    scene = load_scene(options.scene)
    scene = replace(scene, seed=options.seed, draw=replace(scene.draw, num_targets=options.targets))
    location_bounds_m, velocity_bounds_mps, distances_m = measure(scene, options.frames)

    cutoffs_m = (DETECTION_CUTOFF_M, scene.continuity_threshold_m)
    headers = ("location", "velocity", *(f"within {cutoff:g} m" for cutoff in cutoffs_m))
    columns = [Column(name, no_wrap=True, justify="right") for name in headers]
    table = Table("medians, m and m/s", *columns, box=SIMPLE_HEAD)
    for name in BOUNDS:
        location = f"{np.median(location_bounds_m[name]):.3g}"
        velocity = f"{np.median(velocity_bounds_mps[name]):.3g}"
        table.add_row(name, location, velocity)
    shares = [np.mean(np.array(distances_m) <= cutoff) for cutoff in cutoffs_m]
    location = f"{np.median(distances_m):.3g}"
    table.add_row(ANGLES, location, "", *(f"{share:.0%}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()

"""What symbols are worth: bounds with and without them, and how far the angles in raw echoes lead.

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
from cooperative_isac.sensing.music import music_cosines
from cooperative_isac.sensing.path_parameters import arrival_direction

BOUNDS = {"CRLB, symbols known": crlb, "CRLB, not known": crlb_unknown_symbols}
# Of raw echoes; MUSIC does not say which crossings of directions are targets.
ANGLES = "MUSIC, crossings told"


def crossings(scene, echoes) -> np.ndarray:
    """Where directions from the first two receivers cross, [num_crossings, 2], m."""
    if len(scene.receivers) < 2:
        raise SystemExit(f"scene '{scene.name}' has one receiver; directions cross from two on")
    sites, rays = scene.receivers[:2], []
    for site in sites:
        cosines = music_cosines(
            echoes[site.name].reshape(site.num_ant, -1), site, scene.grid.wavelength_m
        )
        rays.append(arrival_direction(site, cosines)[:, :2])
    apart, points = (sites[1].position_m - sites[0].position_m)[:2], []
    for first, second in product(*rays):
        lengths = np.linalg.lstsq(np.column_stack([first, -second]), apart)[0]
        if np.all(lengths > 0):
            points.append(sites[0].position_m[:2] + lengths[0] * first)
    return np.array(points).reshape(-1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scene", default="cell_free_compact", help="a plane (default: cell_free_compact)"
    )
    parser.add_argument("--frames", type=int, default=50, help="random frames (default: 50)")
    parser.add_argument("--targets", type=int, default=2, help="in each frame (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the frames (default: 1)")
    options = parser.parse_args()
    scene = load_scene(options.scene)
    scene = replace(scene, seed=options.seed, draw=replace(scene.draw, num_targets=options.targets))
    bounds, misses = {name: ([], []) for name in BOUNDS}, []
    for number in track(range(options.frames), "frames"):
        draw = draw_frame(scene, number)
        paths = true_paths(scene, number, draw.targets)
        for name, bound_of in BOUNDS.items():
            bound = bound_of(scene, draw.frame.on(scene.band), draw.targets, paths)
            for kept, new in zip(bounds[name], (bound.location_m, bound.velocity_mps)):
                kept += list(new)
        points = crossings(
            scene, {name: own[scene.band].samples for name, own in draw.echoes.items()}
        )
        misses += [
            np.linalg.norm(points - target.position_m[:2], axis=1).min(initial=np.inf)
            for target in draw.targets
        ]
    cutoffs_m = DETECTION_CUTOFF_M, scene.continuity_threshold_m
    headers = "location", "velocity", *(f"within {cutoff:g} m" for cutoff in cutoffs_m)
    table = Table(
        "medians, m and m/s",
        *(Column(name, no_wrap=True, justify="right") for name in headers),
        box=SIMPLE_HEAD,
    )
    for name, both in bounds.items():
        table.add_row(name, *(f"{np.median(values):.3g}" for values in both))
    shares = (np.mean(np.array(misses) <= cutoff) for cutoff in cutoffs_m)
    table.add_row(ANGLES, f"{np.median(misses):.3g}", "", *(f"{share:.0%}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()

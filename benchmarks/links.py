"""Accuracy of the detections of each target with active links, passive links, and both.

python benchmarks/links.py [SCENE] [--frames 120] [--links active passive active-passive]

Errors are medians of the found targets of consecutive frames. NEES is the mean normalized
estimation error squared of all of them, location and velocity together.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
from clock_offsets import detection_error
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac import pipeline
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import LinkMode


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="?", default="multi_bs")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--links", nargs="+", type=LinkMode, default=list(LinkMode))
    chosen = parser.parse_args()
    scene = load_scene(chosen.scene)
    names = [target.name for target in scene_targets(scene, 0.0)]

    table = Table(title=f"{chosen.scene}, {chosen.frames} frames", box=SIMPLE_HEAD)
    table.add_column("links")
    for header in (*(f"{name} (m)" for name in names), "found", "NEES"):
        table.add_column(header, justify="right")
    for mode in chosen.links:
        errors_m, normalized = measured(replace(scene, link_mode=mode), chosen.frames)
        medians_m = [f"{np.median(errors_m[name]):.3f}" for name in names]
        share = len(normalized) / (chosen.frames * len(names))
        table.add_row(mode, *medians_m, f"{share:.1%}", f"{np.mean(normalized):.1f}")
    Console(width=130).print(table)


def measured(scene: Scene, num_frames: int) -> tuple[dict[str, list[float]], list[float]]:
    """Location errors of each target where it is found, m, and the NEES of all of them."""
    errors_m: dict[str, list[float]] = defaultdict(list)
    normalized = []
    for snapshot in pipeline.run(scene, num_frames):
        # Errors of the nearest detection of each target.
        for target in snapshot.targets:
            errors = detection_error(target, snapshot.detections)
            if errors is not None:
                error_m, _, nees = errors
                errors_m[target.name].append(error_m)
                normalized.append(nees)
    return errors_m, normalized


if __name__ == "__main__":
    main()

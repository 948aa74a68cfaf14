"""Targets of moving stations with and without a line of sight in the echoes.

    python benchmarks/line_of_sight.py --scenes bs_ue --frames 8 --seeds 11 12 13 14

For a scene without a world, and with one at several deviations of the reported positions: share of
the targets that are found, median error of their locations, normalized estimation error squared (3
at consistent covariances), false detections, and processor time of a frame.
"""

import argparse
import re
import time
from pathlib import Path

import numpy as np

import cooperative_isac as isac
from cooperative_isac.scene.file.config import parse_scene, scene_path

WORLDS = ("", "{}", "{ground: {material: {scattering: 0}}}", "{ground: {}}")
STARTUP_FRAMES = 2  # frames in which a search may not have found all targets
FOUND_M = 3.0  # largest distance of a detection from its target


def variant(name: str, world: str, position_std_m: float | None) -> isac.Scene:
    """A shipped scene with another world, and with another deviation of reported positions."""
    text = re.sub(r"^world:.*$", "", scene_path(name).read_text(), flags=re.MULTILINE)
    if position_std_m is not None:
        text = re.sub(r"position_std_m: [0-9.]+", f"position_std_m: {position_std_m}", text)
    if world:
        text += f"\nworld: {world}\n"
    return parse_scene(text, Path(f"{name}.yaml"))


def measure(scene: isac.Scene, seeds: list[int], num_frames: int) -> str:
    """Figures of a scene in words."""
    errors: dict[str, list[float]] = {}
    squares: dict[str, list[float]] = {}
    num_false = 0
    begin_s = time.process_time()
    for seed in seeds:
        for snapshot in isac.run(scene, num_frames, seed=seed):
            if snapshot.number < STARTUP_FRAMES:
                continue
            for target in snapshot.targets:
                found_m = [one.position_m - target.position_m for one in snapshot.detections]
                distances_m = [float(np.linalg.norm(one)) for one in found_m] or [np.inf]
                best = int(np.argmin(distances_m))
                errors.setdefault(target.name, []).append(distances_m[best])
                if distances_m[best] < FOUND_M:
                    covariance = snapshot.detections[best].covariance[:3, :3]
                    square = found_m[best] @ np.linalg.solve(covariance, found_m[best])
                    squares.setdefault(target.name, []).append(float(square))
            for detection in snapshot.detections:
                away_m = [
                    np.linalg.norm(detection.position_m - target.position_m)
                    for target in snapshot.targets
                ]
                num_false += min(away_m) > FOUND_M
    frame_s = (time.process_time() - begin_s) / (num_frames * len(seeds))

    parts = []
    for name, values in errors.items():
        found = [value for value in values if value < FOUND_M]
        median_m = np.median(found) if found else np.nan
        mean = np.mean(squares.get(name, [np.nan]))
        parts.append(f"{name} {len(found)} of {len(values)}, {median_m:.3f} m, NEES {mean:.1f}")
    return f"{'; '.join(parts)}; false {num_false}; {1e3 * frame_s:.0f} ms"


def main() -> None:
    """Print a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", nargs="+", default=["bs_ue", "bs_ue_zones"])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--deviations", nargs="+", type=float, help="m; by default the scene's")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--seeds", nargs="+", type=int, default=[11, 12, 13, 14])
    options = parser.parse_args()
    for name in options.scenes:
        for world in options.worlds:
            for position_std_m in options.deviations or [None]:
                scene = variant(name, world, position_std_m)
                figures = measure(scene, options.seeds, options.frames)
                print(
                    f"{name} | {world or 'none'} | {position_std_m or ''} | {figures}", flush=True
                )


if __name__ == "__main__":
    main()

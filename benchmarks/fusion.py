"""Fusion of the reports of many targets: time of one frame, and of its stages.

python benchmarks/fusion.py [--targets N] [--stations M] [--frames K]
"""

import argparse
import time
from dataclasses import replace

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.fusion.points import fuse_reports
from cooperative_isac.fusion.reports import reports_of
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Box
from cooperative_isac.sensing.report import EchoReport, PathReport

LOCATION_STD_M = 0.1
SNR = 1e3


def city(num_stations):
    """The scene campus over one square kilometer, with as many receivers around it."""
    campus = load_scene("campus")
    box = Box(np.array([0.0, 0.0, 0.5]), np.array([1000.0, 1000.0, 60.0]))
    middle = (box.low_m + box.high_m) / 2
    angles = 2 * np.pi * np.arange(num_stations) / num_stations
    receivers = []
    for index, angle in enumerate(angles):
        place = middle + 900 * np.array([np.cos(angle), np.sin(angle), 0.0])
        towards = np.array([-np.cos(angle), -np.sin(angle), 0.0])
        rotation = np.column_stack([towards, [-towards[1], towards[0], 0.0], [0.0, 0.0, 1.0]])
        base = campus.receivers[0]
        receivers.append(replace(base, name=f"rx{index}", position_m=place, rotation=rotation))
    return replace(campus, box=box, receivers=tuple(receivers))


def reports_in(scene, num_targets, seed):
    """What every receiver reports of targets anywhere in the area, one path of each target."""
    generator = np.random.default_rng(seed)
    points = generator.uniform(scene.box.low_m, scene.box.high_m, (num_targets, 3))
    velocities = generator.uniform(-8, 8, (num_targets, 3))
    velocities[:, 2] /= 10
    reports = []
    for receiver in scene.receivers:
        for point, velocity in zip(points, velocities):
            index = int(generator.integers(len(scene.transmitters)))
            site = scene.transmitters[index]
            path = bistatic_geometry(
                site.position_m, receiver.position_m, point, velocity, scene.grid.wavelength_m
            )
            located = point + LOCATION_STD_M * generator.standard_normal(3)
            shift_hz = float(path.doppler_hz) + 0.5 * generator.standard_normal()
            snr = SNR * generator.uniform(0.5, 2)
            told = PathReport(index, shift_hz, snr, np.eye(3) / LOCATION_STD_M**2)
            reports.append(EchoReport(receiver.name, located, (told,)))
    return reports


def median_ms(function, frames):
    """Median process time of a function over the arguments of some frames."""
    times = []
    for arguments in frames:
        began_s = time.process_time()
        function(*arguments)
        times.append(1e3 * (time.process_time() - began_s))
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=1000, help="in a frame (default: 1000)")
    parser.add_argument("--stations", type=int, default=4, help="receivers (default: 4)")
    parser.add_argument("--frames", type=int, default=5, help="frames (default: 5)")
    options = parser.parse_args()

    scene = city(options.stations)
    objects = [reports_in(scene, options.targets, seed) for seed in range(options.frames)]
    arrays = [reports_of(scene, reports) for reports in objects]
    found = [len(fuse_reports(scene, reports)) for reports in arrays]
    rows = {
        "objects to arrays": median_ms(reports_of, [(scene, one) for one in objects]),
        "arrays to detections": median_ms(fuse_reports, [(scene, one) for one in arrays]),
        "objects to detections": median_ms(fuse, [(scene, one) for one in objects]),
    }
    title = f"{options.targets} targets x {options.stations} reports, {np.mean(found):.0f} found"
    table = Table("stage", "median (ms)", title=title, title_justify="left", box=SIMPLE_HEAD)
    for stage, value in rows.items():
        table.add_row(stage, f"{value:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()

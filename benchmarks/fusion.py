"""Time of the fusion of many targets: a whole frame, and its stages.

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
from cooperative_isac.scene.box import Box
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.report import EchoReport, PathReport

# Standard deviation of a reported location in each direction, m.
LOCATION_STD_M = 0.1
# Mean SNR of a reported path, a power ratio.
REPORT_SNR = 1e3
# Standard deviation of a reported Doppler shift, Hz.
DOPPLER_STD_HZ = 0.5
# Largest horizontal and vertical speed of a target along each axis, m/s.
MAX_SPEED_MPS = 8.0
MAX_CLIMB_MPS = 0.8
# Distance of the receivers from the middle of the box, m.
RECEIVER_RANGE_M = 900.0


def city(num_stations):
    """The scene `campus`, enlarged to one square kilometer, with receivers around it."""
    campus = load_scene("campus")
    box = Box(np.array([0.0, 0.0, 0.5]), np.array([1000.0, 1000.0, 60.0]))
    middle_m = (box.low_m + box.high_m) / 2
    template = campus.receivers[0]
    angles = 2 * np.pi * np.arange(num_stations) / num_stations
    receivers = []
    for index, angle in enumerate(angles):
        outward = np.array([np.cos(angle), np.sin(angle), 0.0])
        position_m = middle_m + RECEIVER_RANGE_M * outward

        # The boresight points to the middle.
        boresight = -outward
        left = [-boresight[1], boresight[0], 0.0]
        up = [0.0, 0.0, 1.0]
        rotation = np.column_stack([boresight, left, up])
        receivers.append(
            replace(template, name=f"rx{index}", position_m=position_m, rotation=rotation)
        )
    return replace(campus, box=box, receivers=tuple(receivers))


def reports_in(scene, num_targets, seed):
    """Reports of every receiver of random targets in the box, one path for each target."""
    # Targets.
    generator = np.random.default_rng(seed)
    points = generator.uniform(scene.box.low_m, scene.box.high_m, (num_targets, 3))
    velocities = generator.uniform(-MAX_SPEED_MPS, MAX_SPEED_MPS, (num_targets, 3))
    velocities[:, 2] *= MAX_CLIMB_MPS / MAX_SPEED_MPS

    # Their paths from a random transmitter, with measurement errors.
    reports = []
    for receiver in scene.receivers:
        for point, velocity in zip(points, velocities):
            index = int(generator.integers(len(scene.transmitters)))
            site = scene.transmitters[index]
            path = bistatic_geometry(
                site.position_m, receiver.position_m, point, velocity, scene.grid.wavelength_m
            )
            location_m = point + LOCATION_STD_M * generator.standard_normal(3)
            doppler_hz = float(path.doppler_hz) + DOPPLER_STD_HZ * generator.standard_normal()
            snr = REPORT_SNR * generator.uniform(0.5, 2)
            information = np.eye(3) / LOCATION_STD_M**2
            path_report = PathReport(index, doppler_hz, snr, information)
            reports.append(EchoReport(receiver.name, location_m, (path_report,)))
    return reports


def median_ms(function, frames):
    """Median processor time of a function, ms.

    frames: arguments of the function in each frame
    """
    times_ms = []
    for arguments in frames:
        start_s = time.process_time()
        function(*arguments)
        times_ms.append(1e3 * (time.process_time() - start_s))
    return float(np.median(times_ms))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--targets", type=int, default=1000, help="targets per frame (default: 1000)"
    )
    parser.add_argument("--stations", type=int, default=4, help="number of receivers (default: 4)")
    parser.add_argument("--frames", type=int, default=5, help="number of frames (default: 5)")
    options = parser.parse_args()

    # Reports of each frame: as objects, which packets are read into, and as arrays.
    scene = city(options.stations)
    objects = [reports_in(scene, options.targets, seed) for seed in range(options.frames)]
    arrays = [reports_of(scene, reports) for reports in objects]

    # Times of the stages.
    with_objects = [(scene, reports) for reports in objects]
    with_arrays = [(scene, reports) for reports in arrays]
    rows = {
        "objects to arrays": median_ms(reports_of, with_objects),
        "arrays to detections": median_ms(fuse_reports, with_arrays),
        "objects to detections": median_ms(fuse, with_objects),
    }

    found = [len(fuse_reports(scene, reports)) for reports in arrays]
    title = f"{options.targets} targets x {options.stations} reports, {np.mean(found):.0f} found"
    table = Table("stage", "median (ms)", title=title, title_justify="left", box=SIMPLE_HEAD)
    for stage, value in rows.items():
        table.add_row(stage, f"{value:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()

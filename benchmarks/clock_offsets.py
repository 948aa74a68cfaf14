"""Residual clock offsets of the links between stations, beside their bound.

    python benchmarks/clock_offsets.py SCENE [--scheme NAME] [--frames 32] [--seed 7 ...]

The scene has stations with clocks of their own, and `synchronization: active_observation` or
`both_directions`. Errors are those of the offsets at the center, from the twelfth frame on. The
bound is the deviation that the Fisher information of the paths leaves. NEES is the normalized
estimation error squared of the detections, location and velocity together. Processor times are
those of all stations together and of the center, for a frame.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from cooperative_isac.channel.clocks import link_offsets
from cooperative_isac.evaluation.monte_carlo import make_ends
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.consistency import nees
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.pipeline import make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.registry import make_scheme

# Frames before all links are synchronized, which do not count.
FIRST_FRAME = 12


def main() -> None:
    """Print the residual offsets of a sequence of frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("--scheme", default="local_ml")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--seed", type=int, nargs="+", default=[7])
    chosen = parser.parse_args()
    runs = [
        run(replace(load_scene(chosen.scene), seed=seed), chosen.scheme, chosen.frames)
        for seed in chosen.seed
    ]
    offsets = np.concatenate([one.offsets for one in runs])
    detections = np.concatenate([one.detections for one in runs])
    times_ms = np.concatenate([one.times_ms for one in runs])

    # Root mean squares of the offsets, and medians and means of the detections.
    rms = np.sqrt(np.mean(np.square(offsets), axis=0))
    location_m, velocity_mps, _ = np.median(detections, axis=0)
    num_links = len(offsets) / len(times_ms)
    stations_ms, center_ms = times_ms.mean(axis=0)
    print(
        f"{num_links:.1f} links: {rms[0]:.3f} m (bound {rms[2]:.3f} m), "
        f"{rms[1]:.2f} Hz (bound {rms[3]:.2f} Hz)\n"
        f"{len(detections)} detections: median {location_m:.3f} m and {velocity_mps:.3f} m/s, "
        f"NEES {detections[:, 2].mean():.1f} (6 is consistent)\n"
        f"processor time of a frame: stations {stations_ms:.0f} ms, center {center_ms:.0f} ms"
    )


@dataclass(frozen=True)
class Run:
    """Frames of one seed, from the twelfth on.

    offsets: [n, 4], float64, errors of path lengths in m and carriers in Hz, and their deviations
    detections: [n, 3], float64, errors of location in m and velocity in m/s, and NEES
    times_ms: [num_frames, 2], float64, processor time of the stations and of the center
    """

    offsets: np.ndarray
    detections: np.ndarray
    times_ms: np.ndarray


def run(scene: Scene, scheme: str, num_frames: int) -> Run:
    """Frames of a scene, from the echoes to the detections."""
    ends = make_ends(make_scheme(scheme, scene))
    offsets: list[list[float]] = []
    detections: list[tuple[float, float, float]] = []
    times_ms: list[tuple[float, float]] = []
    for number in range(num_frames):
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        frame = make_frame(scene, number, time_s)
        received = receive_all(scene, frame, targets)

        # Stations, with the search after sending, and center.
        began_s = time.process_time()
        packets = {}
        for station, echoes in received.items():
            packets[station] = ends.encoders[station].encode(echoes, frame)
            ends.encoders[station].idle()
        sent_s = time.process_time()
        found = ends.decoder.decode(packets, frame)
        done_s = time.process_time()
        if number < FIRST_FRAME:
            continue
        times_ms.append((1e3 * (sent_s - began_s), 1e3 * (done_s - sent_s)))
        errors = [detection_error(target, found) for target in targets]
        detections += [one for one in errors if one is not None]

        # Offsets at the center beside the true ones.
        for station, links in ends.decoder.clocks.predicted(time_s).items():
            true = link_offsets(scene, scene.receiver(station), time_s)
            for index, offset in links.items():
                error_m = SPEED_OF_LIGHT_MPS * (offset.delay_s - true.timing_s[index])
                error_hz = offset.frequency_hz - true.frequency_hz[index]
                deviations = np.sqrt(np.diag(offset.covariance)) * [SPEED_OF_LIGHT_MPS, 1.0]
                offsets.append([error_m, error_hz, *deviations])
    return Run(np.array(offsets), np.array(detections), np.array(times_ms))


def detection_error(
    target: TargetState, detections: Sequence[Detection]
) -> tuple[float, float, float] | None:
    """Errors of the nearest detection of a target, see Run; None where it is not found."""
    if not detections:
        return None
    distances_m = [np.linalg.norm(one.position_m - target.position_m) for one in detections]
    nearest = int(np.argmin(distances_m))
    if distances_m[nearest] > DETECTION_CUTOFF_M:
        return None

    # Its error in location and velocity, over its own covariance.
    detection = detections[nearest]
    location_error_m = detection.position_m - target.position_m
    velocity_error_mps = detection.velocity_mps - target.velocity_mps
    error = np.concatenate([location_error_m, velocity_error_mps])
    normalized = float(nees(error[None], detection.covariance[None])[0])
    velocity_mps = float(np.linalg.norm(velocity_error_mps))
    return float(distances_m[nearest]), velocity_mps, normalized


if __name__ == "__main__":
    main()

"""Residual clock offsets of the links between stations, beside their bound.

    python benchmarks/clock_offsets.py SCENE [--scheme NAME] [--frames 32] [--seed 7]

The scene has stations with clocks of their own, and `synchronization: active_observation` or
`both_directions`. Errors are those of the offsets at the center, from the twelfth frame on. The
bound is the deviation that the Fisher information of the paths leaves. NEES is the normalized
estimation error squared of the detections, location and velocity together.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

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
from cooperative_isac.scene.model import TargetState
from cooperative_isac.schemes.registry import make_scheme

# Frames before all links are synchronized, which do not count.
FIRST_FRAME = 12


def main() -> None:
    """Print the residual offsets of a sequence of frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("--scheme", default="local_ml")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    scene = replace(load_scene(chosen.scene), seed=chosen.seed)
    ends = make_ends(make_scheme(chosen.scheme, scene))

    errors = []
    variances = []
    normalized_errors = []
    for number in range(chosen.frames):
        # One frame from the echoes to the detections.
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        frame = make_frame(scene, number, time_s)
        packets = {
            station: ends.encoders[station].encode(echoes, frame)
            for station, echoes in receive_all(scene, frame, targets).items()
        }
        detections = ends.decoder.decode(packets, frame)
        if number < FIRST_FRAME:
            continue
        normalized_errors += [normalized_error(target, detections) for target in targets]

        # Offsets at the center beside the true ones.
        for station, links in ends.decoder.clocks.predicted(time_s).items():
            true = link_offsets(scene, scene.receiver(station), time_s)
            for index, offset in links.items():
                error_s = offset.delay_s - true.timing_s[index]
                error_hz = offset.frequency_hz - true.frequency_hz[index]
                errors.append([error_s, error_hz])
                variances.append(np.diag(offset.covariance))

    # Root mean squares: path lengths in m, carriers in Hz.
    units = np.array([SPEED_OF_LIGHT_MPS, 1.0])
    length_m, carrier_hz = units * np.sqrt(np.mean(np.square(errors), axis=0))
    length_bound_m, carrier_bound_hz = units * np.sqrt(np.mean(variances, axis=0))
    num_links = len(errors) / (chosen.frames - FIRST_FRAME)
    found = [value for value in normalized_errors if value is not None]

    print(
        f"{num_links:.1f} links: {length_m:.3f} m (bound {length_bound_m:.3f} m), "
        f"{carrier_hz:.2f} Hz (bound {carrier_bound_hz:.2f} Hz); "
        f"NEES {np.mean(found):.1f} of {len(found)} detections (6 is consistent)"
    )


def normalized_error(target: TargetState, detections: Sequence[Detection]) -> float | None:
    """NEES of the nearest detection of a target; None where it is not found."""
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
    return float(nees(error[None], detection.covariance[None])[0])


if __name__ == "__main__":
    main()

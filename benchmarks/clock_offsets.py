"""Residual clock offsets of the links between stations, beside their bound.

    python benchmarks/clock_offsets.py SCENE [--scheme NAME] [--frames 32] [--seed 7]

The scene has stations with clocks of their own, and `synchronization: active_observation` or
`both_directions`. Errors are those of the offsets at the center, from the twelfth frame on. The
bound is the deviation that the Fisher information of the paths leaves. NEES is the normalized
estimation error squared of the detections, location and velocity together.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from cooperative_isac.channel.clocks import link_offsets
from cooperative_isac.evaluation.monte_carlo import make_ends
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
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
    nees = []
    for number in range(chosen.frames):
        # One frame from the echoes to the detections.
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        frame = make_frame(scene, number, time_s)
        packets = {}
        for station, encoder in ends.encoders.items():
            packets[station] = encoder.encode(receive(scene, frame, station, targets), frame)
            encoder.idle()
        detections = ends.decoder.decode(packets, frame)
        if number < FIRST_FRAME:
            continue
        nees += [normalized_error(target, detections) for target in targets]

        # Offsets at the center beside the true ones.
        for station, links in ends.decoder.clocks.predicted(time_s).items():
            true = link_offsets(scene, scene.receiver(station), time_s)
            for index, offset in links.items():
                error_s = offset.delay_s - true.timing_s[index]
                error_hz = offset.frequency_hz - true.frequency_hz[index]
                errors.append([error_s, error_hz])
                variances.append(np.diag(offset.covariance))

    # Path lengths in m, carriers in Hz.
    units = np.array([SPEED_OF_LIGHT_MPS, 1.0])
    found = units * np.sqrt(np.mean(np.square(errors), axis=0))
    bound = units * np.sqrt(np.mean(variances, axis=0))
    num_links = len(errors) / (chosen.frames - FIRST_FRAME)
    print(f"{num_links:.1f} links: {found[0]:.3f} m (bound {bound[0]:.3f} m), ", end="")
    print(f"{found[1]:.2f} Hz (bound {bound[1]:.2f} Hz); ", end="")
    found_nees = [value for value in nees if value is not None]
    print(f"NEES {np.mean(found_nees):.1f} of {len(found_nees)} detections (6 is consistent)")


def normalized_error(target, detections):
    """Normalized squared error of the nearest detection of a target; None where it is not found."""
    errors = [
        np.concatenate([one.position_m - target.position_m, one.velocity_mps - target.velocity_mps])
        for one in detections
    ]
    distances_m = [np.linalg.norm(error[:3]) for error in errors]
    if not errors or min(distances_m) > DETECTION_CUTOFF_M:
        return None
    nearest = int(np.argmin(distances_m))
    return float(errors[nearest] @ np.linalg.solve(detections[nearest].covariance, errors[nearest]))


if __name__ == "__main__":
    main()

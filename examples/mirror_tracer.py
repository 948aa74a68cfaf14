"""A ray tracer of a page: stations, ground, and targets that are points. Writes a path file.

    python examples/mirror_tracer.py examples/traced_yard.yaml yard.npz
    ISAC_PATHS=$PWD/yard.npz isac run examples/traced_yard.yaml

It stands for a real ray tracer in docs/tutorials/7_ray_tracer.md: its arrays have the layout of
Sionna RT, and examples/sionna_paths.py converts them. Reflections are found by mirrors: the path
by way of the ground is the straight one to the mirror image of its end.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import yaml
from sionna_paths import DIFFUSE, NO_INTERACTION, frame_arrays, path_file_arrays

from cooperative_isac.scene.model import TargetClass

SPEED_OF_LIGHT_MPS = 299_792_458.0
# Number of a specular reflection among the interactions of Sionna RT.
SPECULAR = 1
# Identities of objects, as a ray tracer numbers them; targets follow the ground.
GROUND = 1
FIRST_TARGET = 2
# Reflection of the ground: concrete at a slanting angle of incidence.
GROUND_REFLECTION = -0.4
# Targets: class, radar cross section in m^2, and a circle of center [3] and radius in m at a speed
# in m/s.
TARGETS = (
    (TargetClass.UAV, 0.1, (40.0, 55.0, 18.0), 20.0, 8.0),
    (TargetClass.UAV, 0.1, (62.0, 45.0, 30.0), 16.0, 7.0),
    (TargetClass.VEHICLE, 10.0, (50.0, 40.0, 1.0), 25.0, 9.0),
)


def main() -> None:
    """Trace the stations of a scene file with the targets above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path, help="scene file with transmitters and receivers")
    parser.add_argument("out", type=Path, help="path file to write, .npz")
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()

    # Keys of the scene file that a ray tracer needs.
    scene = yaml.safe_load(options.scene.read_text(encoding="utf-8"))
    tx = np.array([site["position_m"] for site in scene["transmitters"]], float)
    rx = np.array([site["position_m"] for site in scene["receivers"]], float)
    carrier_hz = float(scene["waveform"]["carrier_hz"])
    period_s = 1 / float(scene["update_rate_hz"])

    # One scene of the ray tracer for each frame, as with Sionna RT.
    positions_m, velocities_mps = motion(np.arange(options.frames) * period_s)
    identities = {FIRST_TARGET + index: index for index in range(len(TARGETS))}
    frames = [
        frame_arrays(**trace(tx, rx, places_m, speeds_mps, carrier_hz), targets=identities)
        for places_m, speeds_mps in zip(positions_m, velocities_mps)
    ]
    arrays = path_file_arrays(
        frames,
        tx=tx,
        rx=rx,
        positions_m=positions_m,
        velocities_mps=velocities_mps,
        kinds=[kind.value for kind, *_ in TARGETS],
        carrier_hz=carrier_hz,
        period_s=period_s,
    )
    np.savez_compressed(options.out, **arrays)
    print(
        f"{options.out}: {options.frames} frames, {len(arrays['dyn_tau'])} paths by way of targets"
    )


def motion(times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities of the targets on their circles.

    times_s: [num_frames], float64, s
    Returns [num_frames, num_targets, 3] each, m and m/s.
    """
    positions_m = []
    velocities_mps = []
    for _, _, center_m, radius_m, speed_mps in TARGETS:
        angles = speed_mps / radius_m * times_s
        outward = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=-1)
        along = np.stack([-np.sin(angles), np.cos(angles), np.zeros_like(angles)], axis=-1)
        positions_m.append(np.asarray(center_m) + radius_m * outward)
        velocities_mps.append(speed_mps * along)
    return np.stack(positions_m, axis=1), np.stack(velocities_mps, axis=1)


def trace(
    tx: np.ndarray,
    rx: np.ndarray,
    positions_m: np.ndarray,
    velocities_mps: np.ndarray,
    carrier_hz: float,
) -> dict[str, np.ndarray]:
    """All paths of one frame in the layout of sionna.rt.Paths: static ones, then those of targets.

    tx, rx: [num_sites, 3], float64, m
    positions_m, velocities_mps: [num_targets, 3], float64, m and m/s
    Returns the arguments of sionna_paths.frame_arrays without targets.
    """
    wavelength_m = SPEED_OF_LIGHT_MPS / carrier_hz
    links = [
        [link_paths(start, end, positions_m, velocities_mps, wavelength_m) for start in tx]
        for end in rx
    ]
    names = links[0][0][0]
    arrays = {
        name: np.array([[[path[name] for path in paths] for paths in row] for row in links])
        for name in names
    }

    # Interactions stand first, antennas of a site in between.
    for name in ("interactions", "objects"):
        arrays[name] = np.moveaxis(arrays[name], -1, 0)
    arrays["a"] = arrays["a"][:, None, :, None, :]
    return arrays


def link_paths(
    start: np.ndarray,
    end: np.ndarray,
    positions_m: np.ndarray,
    velocities_mps: np.ndarray,
    wavelength_m: float,
) -> list[dict]:
    """The paths from a transmitter to a receiver: direct, ground, and of each target four.

    Those by way of a target may meet the ground before it, behind it, or both.
    """
    mirror = np.array([1.0, 1.0, -1.0])
    paths = []

    # Static paths: free space, and the mirror image of the receiver.
    for image, reflection, kind in (
        (end, 1.0, NO_INTERACTION),
        (end * mirror, GROUND_REFLECTION, SPECULAR),
    ):
        length_m = np.linalg.norm(image - start)
        arrival = (start - image) if kind == NO_INTERACTION else (start - image) * mirror
        paths.append(
            described(
                reflection * wavelength_m / (4 * np.pi * length_m),
                length_m,
                image - start,
                arrival,
                0.0,
                [(kind, GROUND), (NO_INTERACTION, 0), (NO_INTERACTION, 0)],
            )
        )

    # Paths by way of targets: the radar equation, each leg direct or by way of the ground.
    for index, (place, velocity) in enumerate(zip(positions_m, velocities_mps)):
        cross_section_m2 = TARGETS[index][1]
        for before, behind in itertools.product((False, True), repeat=2):
            first = place * mirror if before else place
            last = place * mirror if behind else place
            out = first - start
            back = last - end
            out_m = np.linalg.norm(out)
            back_m = np.linalg.norm(back)
            gain = (
                wavelength_m
                * np.sqrt(cross_section_m2 / (4 * np.pi))
                / (4 * np.pi * out_m * back_m)
            )
            reflection = GROUND_REFLECTION ** (before + behind)

            # Both legs change with the target's velocity, mirrored where the leg is.
            rate_mps = out @ (velocity * mirror if before else velocity) / out_m
            rate_mps += back @ (velocity * mirror if behind else velocity) / back_m
            steps = [(DIFFUSE, FIRST_TARGET + index)]
            steps = [(SPECULAR, GROUND)] * before + steps + [(SPECULAR, GROUND)] * behind
            steps += [(NO_INTERACTION, 0)] * (3 - len(steps))
            paths.append(
                described(
                    gain * reflection, out_m + back_m, out, back, -rate_mps / wavelength_m, steps
                )
            )
    return paths


def described(
    amplitude: float,
    length_m: float,
    departure: np.ndarray,
    arrival: np.ndarray,
    doppler_hz: float,
    steps: list[tuple[int, int]],
) -> dict:
    """One path under the names of sionna.rt.Paths.

    departure, arrival: [3], directions from the transmitter and from the receiver along the path
    steps: kind and object of its interactions, three
    """
    theta_t, phi_t = angles(departure)
    theta_r, phi_r = angles(arrival)
    return {
        "a": complex(amplitude),
        "tau": length_m / SPEED_OF_LIGHT_MPS,
        "theta_t": theta_t,
        "phi_t": phi_t,
        "theta_r": theta_r,
        "phi_r": phi_r,
        "doppler": doppler_hz,
        "valid": True,
        "interactions": [kind for kind, _ in steps],
        "objects": [name for _, name in steps],
    }


def angles(direction: np.ndarray) -> tuple[float, float]:
    """Zenith and azimuth of a direction [3], rad."""
    x, y, z = direction / np.linalg.norm(direction)
    return float(np.arccos(z)), float(np.arctan2(y, x))


if __name__ == "__main__":
    main()

"""Converts paths of Sionna RT to a path file (docs/path_files.md).

The PathSolver of Sionna RT (sionna.rt 1.0 and newer) returns a Paths object. Trace with isotropic
arrays of one element and a synthetic array, so that the paths are those of the sites. Move the
targets and trace again for each frame:

    from sionna_paths import frame_of, path_file_arrays

    array = PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    scene.tx_array = scene.rx_array = array
    targets = {scene.get("uav").object_id: 0, scene.get("car").object_id: 1}
    frames = []
    for position, velocity in motion:
        scene.get("uav").position, scene.get("uav").velocity = position, velocity     # and the car
        paths = PathSolver()(scene, max_depth=3, diffuse_reflection=True, synthetic_array=True)
        frames.append(frame_of(paths, targets))
    arrays = path_file_arrays(
        frames, tx=..., rx=..., positions_m=..., velocities_mps=..., kinds=[1, 2], carrier_hz=30e9,
        period_s=0.2)
    numpy.savez_compressed("yard.npz", **arrays)

Sionna RT has the conventions of path files. Coefficients `a` are those of the passband: its
documentation multiplies them by exp(-j 2 pi f tau), as the reader of path files does. Angles are
zenith and azimuth of the directions from the sites along the path, in the frame of the scene. The
Doppler shift is positive when the path shortens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# Values of sionna.rt.constants.InteractionType.
NO_INTERACTION = 0
DIFFUSE = 2
VALUES = ("tau", "theta_t", "phi_t", "theta_r", "phi_r")
GROUPS = ("los", "spec", "diff", "dyn")


def frame_of(paths, targets: Mapping[int, int]) -> dict[str, np.ndarray]:
    """Arrays of one frame, as frame_arrays returns them.

    paths: a sionna.rt.Paths object
    targets: index of each target by the object_id of its object
    """
    real, imaginary = (_numpy(part) for part in paths.a)
    values = {
        name: _numpy(getattr(paths, name))
        for name in (*VALUES, "doppler", "valid", "interactions", "objects")
    }
    return frame_arrays(
        real + 1j * imaginary, **values, targets={int(key): value for key, value in targets.items()}
    )


def frame_arrays(
    a: np.ndarray,
    tau: np.ndarray,
    theta_t: np.ndarray,
    phi_t: np.ndarray,
    theta_r: np.ndarray,
    phi_r: np.ndarray,
    doppler: np.ndarray,
    valid: np.ndarray,
    interactions: np.ndarray,
    objects: np.ndarray,
    targets: Mapping[int, int],
) -> dict[str, np.ndarray]:
    """Arrays of one frame: los_*, spec_*, diff_* and dyn_*, without dyn_f.

    a: [num_rx, 1, num_tx, 1, num_paths], complex, amplitudes
    tau: [num_rx, num_tx, num_paths] or the shape of a, float, s, delays
    theta_t, phi_t: same shape, float, rad, zenith and azimuth of departure
    theta_r, phi_r: same shape, float, rad, zenith and azimuth of arrival
    doppler: same shape, float, Hz
    valid: same shape, bool
    interactions: [max_depth, ...], int, kind of each interaction along a path
    objects: [max_depth, ...], int, id of the object of each interaction
    targets: index of each target by the id of its object

    Raises ValueError: the arrays have more than one element
    """
    # All values with one shape, in the units of the file.
    num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths = a.shape
    if (num_rx_ant, num_tx_ant) != (1, 1):
        raise ValueError(
            f"a has {num_rx_ant} receive and {num_tx_ant} transmit antennas a site; trace with "
            "arrays of one element: the scene file has the positions of the others"
        )
    links = (num_rx, num_tx, num_paths)
    flat = {
        name: np.asarray(value).reshape(links)
        for name, value in (
            ("a", a),
            ("tau", tau),
            ("theta_t", theta_t),
            ("phi_t", phi_t),
            ("theta_r", theta_r),
            ("phi_r", phi_r),
            ("nu", doppler),
        )
    }
    flat["rx"], flat["tx"], _ = np.indices(links)
    flat["tau"] = flat["tau"] * 1e9

    # First target of each path, and number of its interactions with anything else.
    kinds = np.asarray(interactions).reshape(-1, *links)
    names = np.asarray(objects).reshape(-1, *links)
    who = np.full(links, -1)
    others = np.zeros(links, int)
    for kind, name in zip(kinds, names):
        met = np.full(links, -1)
        for identity, index in targets.items():
            met[(name == identity) & (kind != NO_INTERACTION)] = index
        is_other = (met < 0) | ((who >= 0) & (met != who))
        others += (kind != NO_INTERACTION) & is_other
        who = np.where(who < 0, met, who)
    flat["who"] = who
    flat["multi"] = others > 0

    # Group of each path in the file.
    usable = np.asarray(valid, bool).reshape(links) & (flat["tau"] >= 0) & (flat["a"] != 0)
    met_something = (kinds != NO_INTERACTION).any(axis=0)
    rough = (kinds == DIFFUSE).any(axis=0)
    still = who < 0
    chosen = {
        "los": still & ~met_something,
        "spec": still & met_something & ~rough,
        "diff": still & met_something & rough,
        "dyn": ~still,
    }

    # Usable paths of each group.
    arrays = {}
    for group in GROUPS:
        for name, values in flat.items():
            if group == "dyn" or name not in ("who", "multi", "nu"):
                arrays[f"{group}_{name}"] = values[chosen[group] & usable]
    return arrays


def path_file_arrays(
    frames: Sequence[Mapping[str, np.ndarray]],
    tx: np.ndarray,
    rx: np.ndarray,
    positions_m: np.ndarray,
    velocities_mps: np.ndarray,
    kinds: Sequence[int],
    carrier_hz: float,
    period_s: float,
) -> dict[str, np.ndarray]:
    """Arrays of a path file. Static paths are those of the first frame.

    frames: arrays of each frame, as frame_arrays returns them
    tx: [num_tx, 3], float, m, positions of the transmitters in the order of Sionna's scene
    rx: [num_rx, 3], float, m, positions of the receivers in the same order
    positions_m: [num_frames, num_targets, 3], float, m
    velocities_mps: [num_frames, num_targets, 3], float, m/s
    kinds: [num_targets], int, 0 unknown, 1 UAV, 2 vehicle
    carrier_hz: carrier frequency, Hz
    period_s: time between two frames, s

    Returns the arrays by their names in the file.
    """
    # Static paths, and the paths by way of targets of all frames.
    arrays = {name: value for name, value in frames[0].items() if not name.startswith("dyn_")}
    for name in (name for name in frames[0] if name.startswith("dyn_")):
        arrays[name] = np.concatenate([frame[name] for frame in frames])
    counts = [len(frame["dyn_tau"]) for frame in frames]
    arrays["dyn_f"] = np.repeat(np.arange(len(frames)), counts)
    return arrays | {
        "tx": np.asarray(tx, float),
        "rx": np.asarray(rx, float),
        "pos": np.asarray(positions_m, float),
        "vel": np.asarray(velocities_mps, float),
        "kind": np.asarray(kinds, int),
        "fc": np.float64(carrier_hz),
        "period_s": np.float64(period_s),
    }


def _numpy(value) -> np.ndarray:
    """Convert a tensor of Dr.Jit, or anything that numpy reads."""
    return value.numpy() if hasattr(value, "numpy") else np.asarray(value)

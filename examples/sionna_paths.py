"""Paths of Sionna RT as a path file (docs/path_files.md).

Sionna RT (sionna.rt 1.0 and newer) gives a Paths object for every call of its PathSolver. Trace
with isotropic arrays of one element and a synthetic array, so that the paths are those of the
sites; move the targets, trace again for each frame:

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

Sionna's coefficients `a` are those of the passband: its documentation multiplies them by
exp(-j 2 pi f tau) itself, as the reader of path files does. Its angles are zenith and azimuth of
the directions from the sites along the path, in the frame of its scene, and its Doppler shift is
positive when the path shortens: all as in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# sionna.rt.constants.InteractionType and INVALID_SHAPE.
NO_INTERACTION = 0
DIFFUSE = 2
VALUES = ("tau", "theta_t", "phi_t", "theta_r", "phi_r")
GROUPS = ("los", "spec", "diff", "dyn")


def frame_of(paths, targets: Mapping[int, int]) -> dict[str, np.ndarray]:
    """Arrays of one frame from a sionna.rt.Paths object.

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
    """Arrays los_*, spec_*, diff_* and dyn_* (without dyn_f) of one frame.

    a: [num_rx, 1, num_tx, 1, num_paths], complex
    tau: [num_rx, num_tx, num_paths] or as a, s; theta_t, phi_t, theta_r, phi_r: the same, rad;
    doppler: the same, Hz
    valid: the same, bool
    interactions, objects: [max_depth, ...], int, kind of each interaction and id of the object it
    is with
    targets: index of each target by its object's id
    Raises ValueError for arrays of more than one element.
    """
    num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths = a.shape
    if (num_rx_ant, num_tx_ant) != (1, 1):
        raise ValueError(
            f"a has {num_rx_ant} receive and {num_tx_ant} transmit antennas a site; trace with "
            "arrays of one element: the scene file says where the others are"
        )
    links = num_rx, num_tx, num_paths
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

    # Which target a path goes by first, and what else is in it.
    kinds = np.asarray(interactions).reshape(-1, *links)
    names = np.asarray(objects).reshape(-1, *links)
    who = np.full(links, -1)
    others = np.zeros(links, int)
    for kind, name in zip(kinds, names):
        met = np.full(links, -1)
        for identity, index in targets.items():
            met[(name == identity) & (kind != NO_INTERACTION)] = index
        others += (kind != NO_INTERACTION) & ((met < 0) | ((who >= 0) & (met != who)))
        who = np.where(who < 0, met, who)
    flat["who"] = who
    flat["multi"] = others > 0

    # Groups of the file.
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
    """All arrays of a path file. Static paths are those of the first frame.

    frames: of frame_arrays, one a frame
    tx, rx: [num, 3], m, in the order of Sionna's scene
    positions_m, velocities_mps: [num_frames, num_targets, 3], m, m/s
    kinds: [num_targets], 1 UAV, 2 vehicle
    """
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
    """A tensor of Dr.Jit, or whatever numpy reads."""
    return value.numpy() if hasattr(value, "numpy") else np.asarray(value)

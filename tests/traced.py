"""A path file in a few lines: one car among the sites of the tiny scene."""

from pathlib import Path

import numpy as np
import yaml

TINY = Path(__file__).parent / "scenes" / "tiny.yaml"
TRANSMITTERS = np.array([[15.0, -2, 0], [45, -2, 0]])
RECEIVERS = np.array([[15.0, 62, 0], [45, 62, 0]])
CARRIER_HZ = 30e9
PERIOD_S = 0.1
WAVELENGTH_M = 299_792_458.0 / CARRIER_HZ


def angles(vector):
    """Zenith and azimuth of a vector [3]."""
    x, y, z = vector / np.linalg.norm(vector)
    return np.arccos(z), np.arctan2(y, x)


def path_by_way_of(point, velocity, receiver, transmitter, gain):
    """One path transmitter - point - receiver, by the names of its arrays."""
    to_tx, to_rx = point - TRANSMITTERS[transmitter], point - RECEIVERS[receiver]
    towards = to_tx / np.linalg.norm(to_tx) + to_rx / np.linalg.norm(to_rx)
    theta_t, phi_t = angles(to_tx)
    theta_r, phi_r = angles(to_rx)
    length = np.linalg.norm(to_tx) + np.linalg.norm(to_rx)
    return {
        "rx": receiver,
        "tx": transmitter,
        "tau": length / 0.299792458,
        "theta_t": theta_t,
        "phi_t": phi_t,
        "theta_r": theta_r,
        "phi_r": phi_r,
        "nu": -towards @ velocity / WAVELENGTH_M,
        "a": gain,
    }


def grouped(group, paths):
    """Arrays of a group from its paths."""
    whole = ("rx", "tx", "f", "who")
    return {
        f"{group}_{name}": np.array(
            [path[name] for path in paths],
            int if name in whole else bool if name == "multi" else None,
        )
        for name in paths[0]
    }


def car_arrays(num_frames=8, car_gain=4e-6, period_s=PERIOD_S):
    """All arrays of the file: a car, a wall in sight of all sites, and a path by way of both."""
    start, velocity = np.array([28.0, 26, 0]), np.array([3.0, 5, 0])
    positions = start + np.arange(num_frames)[:, None] * period_s * velocity
    links = [(receiver, transmitter) for receiver in range(2) for transmitter in range(2)]
    still = np.zeros(3)
    moving = []
    for frame, place in enumerate(positions):
        for link in links:
            truth = {"f": frame, "who": 0}
            moving.append(
                {**path_by_way_of(place, velocity, *link, car_gain), **truth, "multi": False}
            )
            # Its length is that of a detour by another point: the test needs a path, not a
            # plausible one.
            moving.append(
                {
                    **path_by_way_of(place + [9.0, 7, 0], -velocity, *link, 3e-7j),
                    **truth,
                    "multi": True,
                }
            )
    wall = [
        path_by_way_of(np.array([50.0, 45, 0]), still, *link, (2 - 1j) * 1e-6) for link in links
    ]
    rough = [
        path_by_way_of(np.array([8.0, 40 + step, 0]), still, *link, 1e-7)
        for step in range(3)
        for link in links
    ]
    # A line of sight is a path by way of the middle between both sites.
    direct = [
        path_by_way_of((RECEIVERS[link[0]] + TRANSMITTERS[link[1]]) / 2, still, *link, 5e-6)
        for link in links
    ]
    return {
        "tx": TRANSMITTERS,
        "rx": RECEIVERS,
        "fc": CARRIER_HZ,
        "period_s": period_s,
        "kind": np.array([2]),
        "pos": positions[:, None],
        "vel": np.broadcast_to(velocity, (num_frames, 1, 3)),
        **grouped("los", direct),
        **grouped("spec", wall),
        **grouped("diff", rough),
        **grouped("dyn", moving),
    }


def write_scene(folder, arrays, rate_hz=1 / PERIOD_S, **propagation):
    """A scene file beside its path file; its path."""
    np.savez(folder / "car.npz", **arrays)
    content = yaml.safe_load(TINY.read_text())
    del content["targets"]
    content["update_rate_hz"] = rate_hz
    content["propagation"] |= {"paths": "car.npz", **propagation}
    path = folder / "traced.yaml"
    path.write_text(yaml.safe_dump(content))
    return path

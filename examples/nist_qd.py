"""Output of NIST's Q-D realization software as a path file (docs/path_files.md).

    python examples/nist_qd.py SCENARIO_FOLDER out.npz --tx 0 --rx 1 2 --every 25 --kind 1 2

reads `Output/Ns3/QdFiles/qdOutput.json` and `qdTargetOutput.json` (`outputFormat json`,
`enablePhaseOutput 1`), and of `Input` the `NodePosition*.dat`, `TargetBase*.dat` and
`paraCfgCurrent.txt`. A frame is every n-th of its time steps.

Each line of the JSON files is a record of one pair of nodes (and one target): `tx`, `rx`, `paaTx`,
`paaRx`, `target`, and by time step lists with a value for each path: `delay` (s), `gain` (dB),
`phase` (rad), `aodEl`, `aodAz`, `aoaEl`, `aoaAz` (deg; elevations are zenith angles). Some versions
write the same names in capitals (`TX`, `Delay`, `AODEL`). As the example scenarios show,

- angles are in the axes of the nodes, so that nodes that are rotated are refused here;
- the phase grows with delay, 2 pi fc tau, plus pi for each reflection: the complex conjugate of
  what the file wants;
- delays are lengths over 3e8 m/s: they are lengthened by 0.07 %;
- there is no Doppler shift: it is taken from the delays of neighboring steps;
- qdOutput.json has the paths by way of targets, too: static paths are those that are the same in
  all frames.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

LENGTHENED = (
    3e8 / 299_792_458
)  # the software's speed of light is 3e8 m/s: its delays are too short by 0.07 %
# A tenth of a wavelength at 30 GHz is 3e-12 s; single precision of 100 ns is 7e-15 s.
SAME_DELAY_S = 1e-14
# Cosine of the angle between a line of sight and the direction of the other node: 0.03 degrees.
DIRECT_COSINE = 1 - 1e-7
PATH_KEYS = ("delay", "gain", "phase", "aodel", "aodaz", "aoael", "aoaaz")


def records(text: str) -> list[dict]:
    """Records of a JSON file, one a line, with names in lower case and without underscores."""
    return [
        {name.lower().replace("_", ""): value for name, value in json.loads(line).items()}
        for line in text.splitlines()
        if line.strip()
    ]


def path_file_arrays(
    environment: Iterable[Mapping],
    by_target: Iterable[Mapping],
    tx_nodes: Sequence[int],
    rx_nodes: Sequence[int],
    nodes_m: Mapping[int, np.ndarray],
    targets_m: np.ndarray,
    step_s: float,
    every: int,
    kinds: Sequence[int],
    carrier_hz: float,
) -> dict[str, np.ndarray]:
    """All arrays of a path file; only the first antenna array of each node is used.

    environment, by_target: records of qdOutput.json and qdTargetOutput.json
    tx_nodes, rx_nodes: numbers of the nodes that are transmitters and receivers, in the order of
    the scene file
    nodes_m: position of each node, [3], m
    targets_m: [num_steps, num_targets, 3], m
    step_s: time of a step, s; every: steps of a frame
    kinds: [num_targets], 1 UAV, 2 vehicle
    """
    steps = np.arange(0, len(targets_m), every)
    links = {
        (tx, rx): (row, column)
        for row, tx in enumerate(tx_nodes)
        for column, rx in enumerate(rx_nodes)
    }

    # Paths that are the same in all frames.
    static = {"los": [], "spec": []}
    for record in filter(_first_array, environment):
        link = links.get((record["tx"], record["rx"]))
        if link is None:
            continue
        between_m = nodes_m[record["rx"]] - nodes_m[record["tx"]]
        for index in range(len(record["delay"][0])):
            path = _path(record, 0, index, link, carrier_hz)
            if all(
                np.any(
                    np.abs(np.subtract(record["delay"][step], record["delay"][0][index]))
                    < SAME_DELAY_S
                )
                for step in steps
            ):
                static["los" if _is_direct(path, between_m) else "spec"].append(path)

    # Paths by way of targets, with the Doppler shift that their delays have.
    moving = []
    for record in filter(_first_array, by_target):
        link = links.get((record["tx"], record["rx"]))
        if link is None:
            continue
        delays = np.array([values[0] if values else np.nan for values in record["delay"]])
        doppler = -carrier_hz * LENGTHENED * np.gradient(delays, step_s)
        for frame, step in enumerate(steps):
            if np.isfinite(doppler[step]):
                path = _path(record, step, 0, link, carrier_hz)
                moving.append({**path, "nu": doppler[step], "f": frame, "who": record["target"]})

    truth = {
        "pos": targets_m[steps],
        "vel": np.gradient(targets_m, step_s, axis=0)[steps],
        "kind": np.array(kinds, int),
        "tx": np.array([nodes_m[node] for node in tx_nodes], float),
        "rx": np.array([nodes_m[node] for node in rx_nodes], float),
        "fc": np.float64(carrier_hz),
        "period_s": np.float64(every * step_s),
    }
    return (
        truth
        | _grouped("los", static["los"])
        | _grouped("spec", static["spec"])
        | _grouped("dyn", moving)
    )


def _first_array(record: Mapping) -> bool:
    return record["paatx"] == 0 and record["paarx"] == 0


def _path(record: Mapping, step: int, index: int, link: tuple[int, int], carrier_hz: float) -> dict:
    """One path in the terms of the file."""
    delay, gain_db, phase, *angles = (record[name][step][index] for name in PATH_KEYS)
    rest = phase - 2 * np.pi * (carrier_hz * delay % 1)
    zenith_t, azimuth_t, zenith_r, azimuth_r = np.radians(angles)
    return {
        "tx": link[0],
        "rx": link[1],
        "tau": delay * 1e9 * LENGTHENED,
        "a": 10 ** (gain_db / 20) * np.exp(-1j * rest),
        "theta_t": zenith_t,
        "phi_t": azimuth_t,
        "theta_r": zenith_r,
        "phi_r": azimuth_r,
    }


def _is_direct(path: Mapping, between_m: np.ndarray) -> bool:
    """Whether a path leaves towards the receiver and comes from the transmitter."""
    away = between_m / np.linalg.norm(between_m)
    return (
        away @ _direction(path["theta_t"], path["phi_t"]) > DIRECT_COSINE
        and -away @ _direction(path["theta_r"], path["phi_r"]) > DIRECT_COSINE
    )


def _direction(zenith_rad: float, azimuth_rad: float) -> np.ndarray:
    across = np.sin(zenith_rad)
    return np.array(
        [across * np.cos(azimuth_rad), across * np.sin(azimuth_rad), np.cos(zenith_rad)]
    )


def _grouped(group: str, paths: Sequence[Mapping]) -> dict[str, np.ndarray]:
    return {
        f"{group}_{name}": np.array([path[name] for path in paths])
        for name in (paths[0] if paths else ())
    }


def _table(path: Path) -> np.ndarray:
    return np.atleast_2d(np.loadtxt(path, delimiter=","))


def _settings(path: Path) -> dict[str, str]:
    return dict(line.split()[:2] for line in path.read_text().splitlines() if len(line.split()) > 1)


def read_scenario(
    folder: Path, tx_nodes: Sequence[int], rx_nodes: Sequence[int], every: int, kinds: Sequence[int]
) -> dict[str, np.ndarray]:
    """All arrays of a path file from a scenario's folder."""
    inputs, outputs = folder / "Input", folder / "Output" / "Ns3" / "QdFiles"
    settings = _settings(inputs / "paraCfgCurrent.txt")
    num_steps = int(settings["numberOfTimeDivisions"])

    nodes = {}
    for node in (*tx_nodes, *rx_nodes):
        rotation = inputs / f"NodeRotation{node}.dat"
        if rotation.is_file() and np.any(_table(rotation)):
            raise SystemExit(
                f"error: {rotation}: node {node} is rotated, and its angles are in its axes; set "
                "the rotation to 0, the scene file turns the array"
            )
        nodes[node] = _table(inputs / f"NodePosition{node}.dat")[0, :3]

    targets = np.stack(
        [_table(inputs / f"TargetBase{index}.dat")[:num_steps, :3] for index in range(len(kinds))],
        1,
    )
    environment, by_target = (
        records((outputs / name).read_text()) for name in ("qdOutput.json", "qdTargetOutput.json")
    )
    step_s = float(settings["totalTimeDuration"]) / num_steps
    carrier_hz = float(settings.get("carrierFrequency", 60e9))
    return path_file_arrays(
        environment, by_target, tx_nodes, rx_nodes, nodes, targets, step_s, every, kinds, carrier_hz
    )


def main() -> None:
    """Convert one scenario."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--tx", type=int, nargs="+", required=True, help="nodes that are transmitters"
    )
    parser.add_argument("--rx", type=int, nargs="+", required=True, help="nodes that are receivers")
    parser.add_argument("--every", type=int, default=1, help="time steps of a frame")
    parser.add_argument(
        "--kind",
        type=int,
        nargs="+",
        required=True,
        help="of each target: 0 unknown, 1 UAV, 2 vehicle",
    )
    options = parser.parse_args()
    try:
        arrays = read_scenario(options.folder, options.tx, options.rx, options.every, options.kind)
        np.savez_compressed(options.out, **arrays)
    except OSError as error:
        parser.error(
            f"{error.filename}: {error.strerror}; folder is that of a scenario, with "
            "Input and Output in it"
        )
    except (ValueError, KeyError, IndexError) as error:
        parser.error(f"{options.folder}: cannot be converted ({error})")
    print(f"{options.out}: {len(arrays['pos'])} frames, {arrays['period_s']:g} s apart")


if __name__ == "__main__":
    main()

"""Converts output of NIST's Q-D realization software to a path file (docs/path_files.md).

    python examples/nist_qd.py SCENARIO_FOLDER out.npz --tx 0 --rx 1 2 --every 25 --kind 1 2

reads `qdOutput.json` and `qdTargetOutput.json` in `Output/Ns3/QdFiles` (`outputFormat json`,
`enablePhaseOutput 1`), and `NodePosition*.dat`, `TargetBase*.dat` and `paraCfgCurrent.txt` in
`Input`. Every n-th time step becomes a frame.

Each line of the JSON files is a record of one pair of nodes (and one target): `tx`, `rx`, `paaTx`,
`paaRx`, `target`, and for each time step lists with a value for each path: `delay` (s), `gain`
(dB), `phase` (rad), `aodEl`, `aodAz`, `aoaEl`, `aoaAz` (deg; elevations are zenith angles). Some
versions write the names in capitals (`TX`, `Delay`, `AODEL`). As the example scenarios show,

- angles are in the axes of the nodes, so this converter refuses rotated nodes;
- the phase rises with the delay, 2 pi fc tau, plus pi for each reflection: it is the complex
  conjugate of the phase in a path file;
- delays are lengths over 3e8 m/s, so they are increased by 0.07 %;
- there is no Doppler shift, so it is computed from the delays of neighboring steps;
- qdOutput.json also has the paths by way of targets, so only paths that are equal in all frames are
  static paths.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

# Correction of delays: the software uses 3e8 m/s as the speed of light.
DELAY_FACTOR = 3e8 / 299_792_458
# Delays of a static path differ by less than this, s. It exceeds rounding, as 100 ns in single
# precision have 7e-15 s, and is far below a tenth of a wavelength at 30 GHz, which is 3e-12 s.
SAME_DELAY_S = 1e-14
# Least cosine of the angle between a line of sight and the direction to the other node: 0.03
# degrees.
DIRECT_COSINE = 1 - 1e-7
PATH_KEYS = ("delay", "gain", "phase", "aodel", "aodaz", "aoael", "aoaaz")


def records(text: str) -> list[dict]:
    """Parse records, one in each line. Names become lower case, without underscores."""
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
    """Arrays of a path file. Only the first antenna array of each node is used.

    environment: records of qdOutput.json
    by_target: records of qdTargetOutput.json
    tx_nodes, rx_nodes: numbers of the nodes that are transmitters and receivers, in the order of
        the scene file
    nodes_m: [3], float64, m, position of each node
    targets_m: [num_steps, num_targets, 3], float64, m
    step_s: time between two steps, s
    every: number of steps between two frames
    kinds: [num_targets], int, 0 unknown, 1 UAV, 2 vehicle
    carrier_hz: carrier frequency, Hz

    Returns the arrays by their names in the file.
    """
    # Steps that become frames, and indices of the links in the file.
    steps = np.arange(0, len(targets_m), every)
    links = {
        (tx, rx): (row, column)
        for row, tx in enumerate(tx_nodes)
        for column, rx in enumerate(rx_nodes)
    }

    # Static paths: those that are equal in all frames.
    static = {"los": [], "spec": []}
    for record in filter(_first_array, environment):
        link = links.get((record["tx"], record["rx"]))
        if link is None:
            continue
        between_m = nodes_m[record["rx"]] - nodes_m[record["tx"]]
        for index in range(len(record["delay"][0])):
            if not _is_static(record, index, steps):
                continue
            path = _path(record, 0, index, link, carrier_hz)
            static["los" if _is_direct(path, between_m) else "spec"].append(path)

    # Paths by way of targets. Their Doppler shifts are the slopes of their delays.
    moving = []
    for record in filter(_first_array, by_target):
        link = links.get((record["tx"], record["rx"]))
        if link is None:
            continue
        delays = np.array([values[0] if values else np.nan for values in record["delay"]])
        doppler = -carrier_hz * DELAY_FACTOR * np.gradient(delays, step_s)
        for frame, step in enumerate(steps):
            if np.isfinite(doppler[step]):
                path = _path(record, step, 0, link, carrier_hz)
                moving.append({**path, "nu": doppler[step], "f": frame, "who": record["target"]})

    # Positions and velocities of targets and stations.
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


def _is_static(record: Mapping, index: int, steps: np.ndarray) -> bool:
    """Return whether a path of the first step has a path of the same delay in all other steps."""
    delay_s = record["delay"][0][index]
    for step in steps:
        differences_s = np.abs(np.subtract(record["delay"][step], delay_s))
        if not np.any(differences_s < SAME_DELAY_S):
            return False
    return True


def _first_array(record: Mapping) -> bool:
    """Return whether a record is that of the first antenna arrays of both nodes."""
    return record["paatx"] == 0 and record["paarx"] == 0


def _path(record: Mapping, step: int, index: int, link: tuple[int, int], carrier_hz: float) -> dict:
    """One path, with the names and units of the file."""
    delay, gain_db, phase, *angles = (record[name][step][index] for name in PATH_KEYS)
    # Phase without that of the delay, which readers of the file add.
    rest = phase - 2 * np.pi * (carrier_hz * delay % 1)
    zenith_t, azimuth_t, zenith_r, azimuth_r = np.radians(angles)
    return {
        "tx": link[0],
        "rx": link[1],
        "tau": delay * 1e9 * DELAY_FACTOR,
        "a": 10 ** (gain_db / 20) * np.exp(-1j * rest),
        "theta_t": zenith_t,
        "phi_t": azimuth_t,
        "theta_r": zenith_r,
        "phi_r": azimuth_r,
    }


def _is_direct(path: Mapping, between_m: np.ndarray) -> bool:
    """Return whether a path is the line of sight between two nodes.

    between_m: [3], vector from the transmitter to the receiver, m
    """
    to_receiver = between_m / np.linalg.norm(between_m)
    departure = _direction(path["theta_t"], path["phi_t"])
    arrival = _direction(path["theta_r"], path["phi_r"])
    return to_receiver @ departure > DIRECT_COSINE and -to_receiver @ arrival > DIRECT_COSINE


def _direction(zenith_rad: float, azimuth_rad: float) -> np.ndarray:
    """Unit vector [3] with these angles."""
    horizontal = np.sin(zenith_rad)
    x = horizontal * np.cos(azimuth_rad)
    y = horizontal * np.sin(azimuth_rad)
    z = np.cos(zenith_rad)
    return np.array([x, y, z])


def _grouped(group: str, paths: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Arrays of the paths of one group of the file."""
    return {
        f"{group}_{name}": np.array([path[name] for path in paths])
        for name in (paths[0] if paths else ())
    }


def _table(path: Path) -> np.ndarray:
    """Rows of numbers of a file."""
    return np.atleast_2d(np.loadtxt(path, delimiter=","))


def _settings(path: Path) -> dict[str, str]:
    """Values of the settings of a file by their names."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def read_scenario(
    folder: Path, tx_nodes: Sequence[int], rx_nodes: Sequence[int], every: int, kinds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Arrays of a path file from the folder of a scenario, as path_file_arrays returns them."""
    inputs = folder / "Input"
    outputs = folder / "Output" / "Ns3" / "QdFiles"
    settings = _settings(inputs / "paraCfgCurrent.txt")
    num_steps = int(settings["numberOfTimeDivisions"])

    # Nodes.
    nodes = {}
    for node in (*tx_nodes, *rx_nodes):
        rotation = inputs / f"NodeRotation{node}.dat"
        if rotation.is_file() and np.any(_table(rotation)):
            raise SystemExit(
                f"error: {rotation}: node {node} is rotated, and its angles are in its axes; set "
                "the rotation to 0, the scene file turns the array"
            )
        nodes[node] = _table(inputs / f"NodePosition{node}.dat")[0, :3]

    # Targets and paths.
    routes = [_table(inputs / f"TargetBase{index}.dat") for index in range(len(kinds))]
    targets = np.stack([route[:num_steps, :3] for route in routes], axis=1)
    environment = records((outputs / "qdOutput.json").read_text())
    by_target = records((outputs / "qdTargetOutput.json").read_text())
    step_s = float(settings["totalTimeDuration"]) / num_steps
    carrier_hz = float(settings.get("carrierFrequency", 60e9))
    return path_file_arrays(
        environment, by_target, tx_nodes, rx_nodes, nodes, targets, step_s, every, kinds, carrier_hz
    )


def main() -> None:
    """Convert a scenario."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--tx",
        type=int,
        nargs="+",
        required=True,
        help="numbers of the nodes that are transmitters",
    )
    parser.add_argument(
        "--rx", type=int, nargs="+", required=True, help="numbers of the nodes that are receivers"
    )
    parser.add_argument("--every", type=int, default=1, help="time steps between two frames")
    parser.add_argument(
        "--kind",
        type=int,
        nargs="+",
        required=True,
        help="class of each target: 0 unknown, 1 UAV, 2 vehicle",
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

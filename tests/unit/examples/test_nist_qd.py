"""Converter of NIST's Q-D output: a scenario of two nodes, a ceiling and a moving point."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.path_file import read_path_file

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "nist_qd.py"
CARRIER_HZ = 60e9
STEPS, STEP_S, EVERY = 21, 0.01, 5
NODES = np.array([[-4.0, 0, 3], [3, 0.5, 2.5]])
TARGET = np.array([-1.0, -1, 1]) + np.arange(STEPS)[:, None] * STEP_S * np.array([1.5, 2, 0.5])
CEILING_M = 5.0


def record_of(points, gain_db, reflections):
    """Lists of one path by way of a point in every step, as the software writes them."""
    found = {name: [] for name in ("delay", "gain", "phase", "aodEl", "aodAz", "aoaEl", "aoaAz")}
    for point in points:
        away, back = (NODES[1] - NODES[0], NODES[0] - NODES[1]) if point is None else point - NODES
        length = (
            np.linalg.norm(away) if point is None else np.linalg.norm(away) + np.linalg.norm(back)
        )
        delay = length / 3e8
        found["delay"].append(delay)
        found["gain"].append(gain_db)
        found["phase"].append((2 * np.pi * CARRIER_HZ * delay + np.pi * reflections) % (2 * np.pi))
        for name, vector in (("aod", away), ("aoa", back)):
            found[f"{name}El"].append(np.degrees(np.arccos(vector[2] / np.linalg.norm(vector))))
            found[f"{name}Az"].append(np.degrees(np.arctan2(vector[1], vector[0])) % 360)
    return found


@pytest.fixture
def scenario(tmp_path):
    """A scenario's folder."""
    share = (CEILING_M - NODES[0, 2]) / (2 * CEILING_M - NODES[:, 2].sum())
    ceiling = np.array([*(NODES[0] + share * (NODES[1] - NODES[0]))[:2], CEILING_M])
    still = [record_of([None] * STEPS, -80.0, 0), record_of([ceiling] * STEPS, -92.0, 1)]
    moving = record_of(TARGET, -110.0, 0)
    head = {"tx": 0, "rx": 1, "paaTx": 0, "paaRx": 0}
    environment = head | {
        name: [list(step) for step in zip(*(part[name] for part in (*still, moving)))]
        for name in moving
    }
    by_target = (
        head | {"target": 0} | {name: [[value] for value in moving[name]] for name in moving}
    )
    other = environment | {"tx": 1, "rx": 0}
    folders = tmp_path / "Input", tmp_path / "Output" / "Ns3" / "QdFiles"
    for folder in folders:
        folder.mkdir(parents=True)
    for node, place in enumerate(NODES):
        (folders[0] / f"NodePosition{node}.dat").write_text(",".join(map(str, place)) + "\n")
        (folders[0] / f"NodeRotation{node}.dat").write_text("0,0,0\n")
    np.savetxt(folders[0] / "TargetBase0.dat", TARGET, delimiter=",")
    (folders[0] / "paraCfgCurrent.txt").write_text(
        "ParameterName\tParameterValue\n"
        f"numberOfTimeDivisions\t{STEPS}\ntotalTimeDuration\t{STEPS * STEP_S}\n"
        "carrierFrequency\t60e9\n"
    )
    (folders[1] / "qdOutput.json").write_text(
        "\n".join(map(json.dumps, (environment, other))) + "\n"
    )
    (folders[1] / "qdTargetOutput.json").write_text(json.dumps(by_target) + "\n")
    return tmp_path


def convert(folder):
    """The file that the command writes, or its error message."""
    command = [
        sys.executable,
        EXAMPLE,
        folder,
        folder / "out.npz",
        "--tx",
        "0",
        "--rx",
        "1",
        "--every",
        str(EVERY),
        "--kind",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return read_path_file(folder / "out.npz") if done.returncode == 0 else done.stderr


def assert_is_the_scenario(file):
    assert (file.num_frames, file.names) == (5, ("uav1",)) and file.period_s == pytest.approx(
        EVERY * STEP_S
    )
    assert np.allclose(file.positions_m[:, 0], TARGET[::EVERY]) and np.allclose(
        file.velocities_mps, [1.5, 2, 0.5]
    )
    truth = bistatic_geometry(
        file.transmitters_m[0],
        file.receivers_m[0],
        file.positions_m[:, 0],
        file.velocities_mps[:, 0],
        299_792_458 / CARRIER_HZ,
    )
    assert np.allclose(file.moving.delay_s, truth.delay_s, rtol=1e-9)
    # At the ends of the recording the difference of delays has one side only.
    assert np.allclose(file.moving.doppler_hz[1:-1], truth.doppler_hz[1:-1], atol=0.5)
    assert np.allclose(file.moving.departure, truth.aod) and np.allclose(
        file.moving.arrival, truth.aoa
    )
    assert np.allclose(file.moving.gain, 10 ** (-110 / 20), atol=1e-9)
    direct = file.static["line_of_sight"]
    ceiling = file.static["clutter"]
    assert np.allclose(direct.delay_s, np.linalg.norm(NODES[1] - NODES[0]) / 299_792_458)
    assert np.allclose(direct.gain, 1e-4, atol=1e-8)
    assert len(ceiling) == 1 and np.allclose(ceiling.gain, -(10 ** (-92 / 20)), atol=1e-8)


def test_a_scenario_becomes_a_path_file(scenario):
    assert_is_the_scenario(convert(scenario))


def test_names_in_capitals_are_accepted(scenario):
    path = scenario / "Output" / "Ns3" / "QdFiles" / "qdOutput.json"
    capitals = {
        "tx": "TX",
        "rx": "RX",
        "paaTx": "PAA_TX",
        "paaRx": "PAA_RX",
        "delay": "Delay",
        "gain": "Gain",
        "phase": "Phase",
        "aodEl": "AODEL",
        "aodAz": "AODAZ",
        "aoaEl": "AOAEL",
        "aoaAz": "AOAAZ",
    }
    lines = [
        {capitals[name]: value for name, value in json.loads(line).items()}
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert_is_the_scenario(convert(scenario))


def test_rotated_nodes_are_refused(scenario):
    (scenario / "Input" / "NodeRotation1.dat").write_text("0,0,3.1416\n")
    assert "NodeRotation1.dat: node 1 is rotated" in convert(scenario)

"""The ray tracer of the examples: its paths have the lengths and shifts of their geometry."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import cooperative_isac as isac

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
CARRIER_HZ = 30e9
SPEED_OF_LIGHT_MPS = 299_792_458.0


@pytest.fixture(scope="module")
def tracer():
    sys.path.insert(0, str(EXAMPLES))
    try:
        spec = spec_from_file_location("mirror_tracer", EXAMPLES / "mirror_tracer.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    return module


def traced(tracer, time_s):
    """Paths of one link at a time, and where its ends are."""
    start, end = np.array([-3.0, -3, 10]), np.array([103.0, 90, 25])
    positions_m, velocities_mps = tracer.motion(np.array([time_s]))
    arrays = tracer.trace(start[None], end[None], positions_m[0], velocities_mps[0], CARRIER_HZ)
    return {name: np.squeeze(values) for name, values in arrays.items()}, start, end


def test_the_ground_path_meets_the_ground_where_angles_are_equal(tracer):
    paths, start, end = traced(tracer, 0.0)
    # The point of the ground that divides the way in proportion to the heights.
    share = start[2] / (start[2] + end[2])
    point = start + share * (end - start)
    point[2] = 0.0
    length_m = np.linalg.norm(point - start) + np.linalg.norm(end - point)
    assert paths["tau"][1] * SPEED_OF_LIGHT_MPS == pytest.approx(length_m)
    for angle, place in (("t", start), ("r", end)):
        direction = (point - place) / np.linalg.norm(point - place)
        assert np.cos(paths[f"theta_{angle}"][1]) == pytest.approx(direction[2])
        assert np.tan(paths[f"phi_{angle}"][1]) == pytest.approx(direction[1] / direction[0])


def test_doppler_shifts_are_those_of_the_changing_lengths(tracer):
    step_s = 1e-4
    before, after = (traced(tracer, time_s)[0]["tau"] for time_s in (2 - step_s, 2 + step_s))
    shifts_hz = -CARRIER_HZ * (after - before) / (2 * step_s)
    assert np.allclose(traced(tracer, 2.0)[0]["doppler"], shifts_hz, atol=1e-2)
    assert np.abs(shifts_hz).max() > 100


def test_a_path_by_way_of_the_ground_is_longer_and_weaker(tracer):
    paths, _, _ = traced(tracer, 1.0)
    for first in (2, 6, 10):
        direct, *others = range(first, first + 4)
        assert all(paths["tau"][direct] < paths["tau"][other] for other in others)
        assert all(abs(paths["a"][direct]) > abs(paths["a"][other]) for other in others)


def test_the_command_writes_a_file_that_a_scene_takes(tmp_path, monkeypatch):
    out = tmp_path / "yard.npz"
    command = [sys.executable, EXAMPLES / "mirror_tracer.py", EXAMPLES / "traced_yard.yaml", out]
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent / "src"))
    subprocess.run([*command, "--frames", "3"], check=True, timeout=60)
    monkeypatch.setenv("ISAC_PATHS", str(out))
    scene = isac.load_scene(EXAMPLES / "traced_yard.yaml")
    assert scene.num_frames == 3 and [target.name for target in scene.targets] == [
        "uav1",
        "uav2",
        "car1",
    ]

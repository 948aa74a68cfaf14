"""Converter of Sionna RT's paths: arrays with the shapes that Sionna documents."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cooperative_isac.scene.path_file import read_path_file

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "sionna_paths.py"
INVALID = 0xFFFFFFFF
UAV, CAR, WALL = 7, 9, 3


@pytest.fixture(scope="module")
def sionna_paths():
    spec = spec_from_file_location("sionna_paths", EXAMPLE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Kind of interaction and object, in the order of the path: what it is in the file.
PATHS = [
    ([(0, INVALID), (0, INVALID)], "los", None, None),
    ([(1, WALL), (0, INVALID)], "spec", None, None),
    ([(1, WALL), (2, WALL)], "diff", None, None),
    ([(1, UAV), (0, INVALID)], "dyn", 0, False),
    ([(2, CAR), (0, INVALID)], "dyn", 1, False),
    ([(1, CAR), (1, CAR)], "dyn", 1, False),
    ([(1, WALL), (2, CAR)], "dyn", 1, True),
    ([(1, UAV), (1, WALL)], "dyn", 0, True),
    ([(1, UAV), (2, CAR)], "dyn", 0, True),
    ([(1, UAV), (0, INVALID)], None, None, None),  # not valid
]


def arrays_of(num_rx=2, num_tx=1, seed=0):
    """Arrays as Sionna gives them for a synthetic array: only coefficients have antenna axes."""
    generator = np.random.default_rng(seed)
    links = num_rx, num_tx, len(PATHS)
    inside = {
        name: generator.uniform(0.1, 1.5, links)
        for name in ("theta_t", "phi_t", "theta_r", "phi_r")
    }
    kinds, names = (
        np.array([[step[part] for step in path] for path, *_ in PATHS]) for part in (0, 1)
    )
    spread = np.broadcast_to
    valid = np.ones(links, bool)
    valid[..., -1] = False
    tau = generator.uniform(1e-7, 9e-7, links)
    tau[~valid] = -1
    return {
        "a": (
            generator.normal(size=(num_rx, 1, num_tx, 1, len(PATHS)))
            + 1j * generator.normal(size=(num_rx, 1, num_tx, 1, len(PATHS)))
        ),
        "tau": tau,
        **inside,
        "doppler": generator.normal(0, 500, links),
        "valid": valid,
        "interactions": spread(kinds.T[:, None, None], (2, *links)),
        "objects": spread(names.T[:, None, None], (2, *links)),
    }


def test_paths_are_grouped_by_their_interactions(sionna_paths):
    source = arrays_of()
    frame = sionna_paths.frame_arrays(**source, targets={UAV: 0, CAR: 1})
    for group in ("los", "spec", "diff", "dyn"):
        own = [index for index, path in enumerate(PATHS) if path[1] == group]
        expected = [(rx, index) for rx in range(2) for index in own]
        assert frame[f"{group}_rx"].tolist() == [rx for rx, _ in expected]
        assert np.allclose(
            frame[f"{group}_tau"], [1e9 * source["tau"][rx, 0, index] for rx, index in expected]
        )
        assert np.allclose(
            frame[f"{group}_a"], [source["a"][rx, 0, 0, 0, index] for rx, index in expected]
        )
        assert np.allclose(
            frame[f"{group}_phi_r"], [source["phi_r"][rx, 0, index] for rx, index in expected]
        )
    moving = [path for path in PATHS if path[1] == "dyn"] * 2
    assert frame["dyn_who"].tolist() == [path[2] for path in moving]
    assert frame["dyn_multi"].tolist() == [path[3] for path in moving]


def test_arrays_with_antenna_axes_are_accepted(sionna_paths):
    """Without a synthetic array every array of Sionna has antenna axes."""
    short = arrays_of()
    long = {
        name: value if name == "a" else value[..., :, None, :, None, :]
        for name, value in short.items()
    }
    one, other = (
        sionna_paths.frame_arrays(**source, targets={UAV: 0, CAR: 1}) for source in (short, long)
    )
    assert one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


def test_larger_arrays_are_refused(sionna_paths):
    source = arrays_of()
    source["a"] = np.repeat(source["a"], 4, axis=1)
    with pytest.raises(ValueError, match="a has 4 receive and 1 transmit antennas a site"):
        sionna_paths.frame_arrays(**source, targets={})


class Tensor:
    """Stands for a tensor of Dr.Jit."""

    def __init__(self, value):
        self._value = value

    def numpy(self):
        return self._value


def test_frames_become_a_path_file(sionna_paths, tmp_path):
    frames = []
    for seed in range(3):
        source = arrays_of(seed=seed)
        values = {name: Tensor(value) for name, value in source.items() if name != "a"}
        paths = SimpleNamespace(a=(Tensor(source["a"].real), Tensor(source["a"].imag)), **values)
        frames.append(sionna_paths.frame_of(paths, {np.uint32(UAV): 0, np.uint32(CAR): 1}))
    truth = {"positions_m": np.zeros((3, 2, 3)), "velocities_mps": np.ones((3, 2, 3))}
    arrays = sionna_paths.path_file_arrays(
        frames,
        tx=[[0, 0, 10]],
        rx=[[50, 0, 5], [0, 50, 5]],
        **truth,
        kinds=[1, 2],
        carrier_hz=30e9,
        period_s=0.1,
    )
    np.savez_compressed(tmp_path / "out.npz", **arrays)
    file = read_path_file(tmp_path / "out.npz")
    assert (file.num_frames, file.period_s, file.names) == (3, 0.1, ("uav1", "car1"))
    assert (
        len(file.static["line_of_sight"]) == 2
        and len(file.static["clutter"]) == 4
        and len(file.moving) == 36
    )
    assert np.bincount(file.frames).tolist() == [12, 12, 12]
    assert np.allclose(file.moving.gain[12:18], arrays_of(seed=1)["a"][0, 0, 0, 0, 3:9])
    assert np.allclose(file.moving.doppler_hz[12:18], arrays_of(seed=1)["doppler"][0, 0, 3:9])

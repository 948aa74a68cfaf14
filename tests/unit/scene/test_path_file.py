"""Path files: their content, faults in one line, and the scene built from them."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from traced import PERIOD_S, car_arrays, write_scene

from cooperative_isac.scene.describe import describe
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.path_file import PathFileError, direction, read_path_file

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "traced"


def fault(tmp_path, arrays):
    """Message of a file with these arrays, without the file's name."""
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(PathFileError) as error:
        read_path_file(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text.removeprefix(f"{path}: ")


def with_value(name, place, value):
    """The arrays with one value changed."""
    arrays = car_arrays()
    arrays[name] = np.array(arrays[name])
    arrays[name][place] = value
    return arrays


WRONG = [
    ("dyn_tau", 3, -1.0, "dyn_tau[3]: is -1; a delay must be 0 or more"),
    ("spec_phi_r", 1, np.nan, "spec_phi_r[1]: is nan; must be finite"),
    ("los_a", 2, np.inf, "los_a[2]: is inf+0j; must be finite"),
    ("pos", (2, 0, 1), np.inf, "pos[2, 0, 1]: is inf; must be finite"),
    ("dyn_rx", 5, 2, "dyn_rx[5]: is 2; must be within 0 and 1"),
    ("diff_tx", 0, -1, "diff_tx[0]: is -1; must be within 0 and 1"),
    ("dyn_f", 0, 8, "dyn_f[0]: is 8; must be within 0 and 7"),
    ("dyn_who", 9, 1, "dyn_who[9]: is 1; must be within 0 and 0"),
    ("kind", 0, 3, "kind[0]: is 3; must be within 0 and 2: 0 unknown, 1 UAV, 2 vehicle"),
    (
        "spec_nu",
        0,
        40.0,
        "spec_nu[0]: is 40; must be 0: static paths have no Doppler shift, moving ones belong in "
        "dyn_*",
    ),
]


@pytest.mark.parametrize(("name", "place", "value", "message"), WRONG)
def test_a_wrong_value_is_named_with_its_place(tmp_path, name, place, value, message):
    assert fault(tmp_path, with_value(name, place, value)) == message


@pytest.mark.parametrize(
    "name", ["tx", "rx", "pos", "vel", "kind", "fc", "dyn_tau", "dyn_f", "dyn_nu", "spec_a"]
)
def test_a_missing_array_is_named(tmp_path, name):
    arrays = car_arrays()
    del arrays[name]
    assert fault(tmp_path, arrays) == f"{name}: is missing; docs/path_files.md lists the arrays"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("vel", np.zeros((8, 2, 3)), "vel: has shape [8, 2, 3]; must be [8, 1, 3]"),
        ("tx", np.zeros(3), "tx: has shape [3]; must be [any, 3]"),
        ("pos", np.zeros((0, 1, 3)), "pos: has no frames; needs at least one"),
        ("dyn_phi_t", np.zeros(3), "dyn_phi_t: has shape [3]; must be [64]"),
        ("dyn_a", np.zeros(64, int), "dyn_a: has type int64; must be real or complex numbers"),
        ("dyn_f", np.zeros(64), "dyn_f: has type float64; must be whole numbers"),
        ("dyn_multi", np.zeros(64, int), "dyn_multi: has type int64; must be booleans"),
        ("fc", 0.0, "fc: is 0; must be above 0"),
        ("period_s", -0.2, "period_s: is -0.2; must be above 0"),
        (
            "names",
            np.array(["Car 1"]),
            "names: has 'Car 1'; allowed: lower-case letters, digits and '_', beginning with "
            "a letter",
        ),
    ],
)
def test_a_wrong_array_is_named(tmp_path, name, value, message):
    assert fault(tmp_path, {**car_arrays(), name: value}) == message


def test_pickled_objects_are_not_read(tmp_path):
    message = fault(tmp_path, {**car_arrays(), "names": np.array([{"a": 1}], object)})
    assert message.startswith("names: cannot be read (Object arrays cannot be loaded")


def test_damaged_files_are_refused_in_one_line(tmp_path):
    """A byte anywhere in the compressed data: headers, code tables and checksums break
    differently.
    """
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, **car_arrays())
    content = path.read_bytes()
    for place in range(100, len(content), 151):
        spoiled = bytearray(content)
        spoiled[place] ^= 0xFF
        path.write_bytes(spoiled)
        try:
            read_path_file(path)
        except PathFileError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_what_is_no_npz_file_is_refused(tmp_path):
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    with pytest.raises(
        PathFileError, match=r"text\.npz: is no NPZ file; write it with numpy\.savez"
    ):
        read_path_file(text)
    with pytest.raises(PathFileError, match=r"nothing\.npz: no such path file"):
        read_path_file(tmp_path / "nothing.npz")


def test_optional_arrays_have_defaults(tmp_path):
    arrays = {
        name: value
        for name, value in car_arrays().items()
        if not name.startswith(("diff_", "los_"))
    }
    for name in ("period_s", "dyn_multi", "dyn_who", "spec_nu"):
        del arrays[name]
    np.savez(tmp_path / "short.npz", **arrays)
    file = read_path_file(tmp_path / "short.npz")
    assert file.period_s == 0.2 and file.names == ("car1",)
    assert not file.multi_bounce.any() and not file.targets.any()
    assert len(file.static["line_of_sight"]) == 0 and len(file.static["clutter"]) == 4


def test_targets_are_named_by_kind_or_by_the_file(tmp_path):
    arrays = car_arrays(2)
    arrays |= {
        "kind": np.array([1, 2, 1, 0]),
        "pos": np.zeros((2, 4, 3)),
        "vel": np.zeros((2, 4, 3)),
    }
    np.savez(tmp_path / "four.npz", **arrays)
    assert read_path_file(tmp_path / "four.npz").names == ("uav1", "car1", "uav2", "target1")
    np.savez(tmp_path / "named.npz", **arrays, names=np.array(["a", "b", "c", "d4"]))
    assert read_path_file(tmp_path / "named.npz").names == ("a", "b", "c", "d4")


def test_zenith_and_azimuth_are_those_of_map():
    assert np.allclose(
        direction(np.array([0, np.pi / 2, np.pi / 2]), np.array([1.0, 0, np.pi / 2])),
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    )


def test_links_without_a_wall_are_counted(tmp_path):
    arrays = car_arrays(2)
    arrays["dyn_multi"] = np.array(arrays["dyn_multi"])
    arrays["dyn_multi"][0] = True
    np.savez(tmp_path / "links.npz", **arrays)
    file = read_path_file(tmp_path / "links.npz")
    assert file.links(0).tolist() == [3] and file.links(1).tolist() == [4]


def test_the_targets_of_the_scene_are_those_of_the_file(tmp_path):
    arrays = car_arrays()
    scene = load_scene(write_scene(tmp_path, arrays))
    for number in range(8):
        (car,) = scene_targets(scene, number / scene.update_rate_hz)
        assert (car.name, car.target_class) == ("car1", TargetClass.VEHICLE)
        assert np.allclose(car.position_m, arrays["pos"][number, 0], atol=1e-9)
        assert np.allclose(car.velocity_mps, arrays["vel"][number, 0], atol=1e-9)
    assert scene.num_frames == 8 and not scene_targets(scene, 8.5 * PERIOD_S)


def test_the_file_is_described(tmp_path):
    path = write_scene(tmp_path, car_arrays(), path_kinds=["targets", "clutter"])
    rows = dict(describe(load_scene(path)))
    message = "8 frames, 0.8 s; 20 static, 64 by way of targets"
    assert rows["paths"] == f"{tmp_path / 'car.npz'}: {message}"
    assert rows["path kinds"] == "clutter, targets"


def test_between_frames_a_target_moves_on_a_cubic(tmp_path):
    arrays = car_arrays(2)
    arrays["pos"], arrays["vel"] = np.zeros((2, 1, 3)), np.zeros((2, 1, 3))
    arrays["pos"][1, 0] = [0.1, 0, 0]
    arrays["pos"] += [20, 20, 0]
    car = load_scene(write_scene(tmp_path, arrays)).targets[0].motion
    for share in (0.2, 0.5, 0.9):
        position, velocity = car.state(share * PERIOD_S)
        assert position[0] - 20 == pytest.approx(0.1 * share**2 * (3 - 2 * share))
        assert velocity[0] == pytest.approx(0.1 * 6 * share * (1 - share) / PERIOD_S)


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    arrays = car_arrays()
    path = write_scene(tmp_path, arrays)
    before = load_scene(path).fingerprint
    assert load_scene(write_scene(tmp_path, arrays)).fingerprint == before
    assert (
        load_scene(write_scene(tmp_path, {**arrays, "dyn_a": 2 * arrays["dyn_a"]})).fingerprint
        != before
    )
    assert load_scene(write_scene(tmp_path, arrays, path_kinds=["targets"])).fingerprint != before


def test_the_name_of_the_file_may_hold_a_variable(tmp_path, monkeypatch):
    path = write_scene(tmp_path, car_arrays(), paths="${ISAC_TEST_PATHS}")
    with pytest.raises(
        SceneError, match=r"propagation\.paths: environment variable ISAC_TEST_PATHS is not set"
    ):
        load_scene(path)
    monkeypatch.setenv("ISAC_TEST_PATHS", str(tmp_path / "car.npz"))
    assert load_scene(path).num_frames == 8


def scene_faults(path):
    with pytest.raises(SceneError) as error:
        load_scene(path)
    return [f"{problem.key}: {problem.text}" for problem in error.value.problems]


def test_a_file_of_another_scene_is_refused(tmp_path):
    arrays = car_arrays()
    arrays["rx"] = arrays["rx"] + [[0.02, 0, 0], [0.004, 0, 0]]
    arrays |= {"fc": 28e9, "period_s": 0.2}
    file = tmp_path / "car.npz"
    assert scene_faults(write_scene(tmp_path, arrays)) == [
        f"update_rate_hz: is 10; must be 5, since the frames of {file} are 0.2 s apart",
        f"propagation.paths: {file}: fc: is 2.8e+10 Hz, waveform.carrier_hz is 3e+10; trace the "
        "paths at the scene's "
        "carrier",
        f"propagation.paths: {file}: rx[0]: is 0.02 m from receivers[0] ('rx1'); at most 0.01 m: "
        "both must list the "
        "same sites in the same order",
    ]
    more = {**car_arrays(), "tx": np.vstack([arrays["tx"], [[0, 0, 0]]])}
    assert scene_faults(write_scene(tmp_path, more)) == [
        f"propagation.paths: {file}: tx: has 3 sites, the scene has 2 transmitters; both must "
        "list the same sites in "
        "the same order"
    ]


def test_targets_stay_in_the_area_in_all_frames(tmp_path):
    arrays = car_arrays()
    arrays["pos"] = arrays["pos"] + [0, 31, 0]
    message, *numbers = scene_faults(write_scene(tmp_path, arrays))
    assert numbers and all("dyn_" in number for number in numbers)
    assert message.startswith(
        "propagation.paths: target 'car1': is outside the area at 0.70 s (30.10, 60.50, 0.00)"
    )


def test_one_source_of_targets_and_clutter(tmp_path):
    path = write_scene(tmp_path, car_arrays(), clutter={"num_scatterers": 3})
    content = yaml.safe_load(path.read_text())
    content["targets"] = [
        {
            "name": "x",
            "motion": {"kind": "constant_velocity", "position_m": [1, 1], "velocity_mps": [0, 0]},
        }
    ]
    path.write_text(yaml.safe_dump(content))
    assert scene_faults(path) == [
        "targets: lists targets, but those of a scene with propagation.paths come from that "
        "file; leave one of the two "
        "keys out",
        "propagation.clutter: draws scatterers, but with propagation.paths all paths come "
        "from that file; leave one of "
        "the two keys out",
    ]


def test_a_world_beside_a_file_is_refused(tmp_path):
    path = write_scene(tmp_path, car_arrays())
    content = yaml.safe_load(path.read_text())
    content["world"] = {"ground": {}}
    path.write_text(yaml.safe_dump(content))
    assert (
        "world: places surfaces, but with propagation.paths all paths come from that file; leave "
        "one of the two keys out"
    ) in scene_faults(path)


def test_kinds_need_a_file_and_differ(tmp_path):
    path = write_scene(tmp_path, car_arrays(), path_kinds=["targets", "targets"])
    assert scene_faults(path) == ["propagation.path_kinds: lists 'targets' twice"]
    content = yaml.safe_load(path.read_text())
    del content["propagation"]["paths"]
    path.write_text(yaml.safe_dump(content))
    assert scene_faults(path) == [
        "propagation.path_kinds: goes with propagation.paths only; leave it out"
    ]


@pytest.mark.skipif(not DATA.is_dir(), reason="the traced channels are not part of this repository")
@pytest.mark.parametrize(
    ("name", "frames", "names"),
    [("yard", 50, ("uav1", "uav2", "car1")), ("canyon", 51, ("uav1", "car1"))],
)
def test_traced_channels_are_read(name, frames, names):
    file = read_path_file(DATA / f"{name}.npz")
    assert (file.num_frames, file.names, file.period_s) == (frames, names, 0.2)
    assert abs(np.linalg.norm(file.moving.departure, axis=1) - 1).max() < 1e-9
    # A path without walls is as long as the way by the target's skin, at most its size away from
    # its middle; a few
    # in ten thousand of the ray tracer's are not.
    chosen = ~file.multi_bounce
    middle = file.positions_m[file.frames[chosen], file.targets[chosen]]
    sites = (
        file.transmitters_m[file.moving.transmitter[chosen]],
        file.receivers_m[file.moving.receiver[chosen]],
    )
    lengths = sum(np.linalg.norm(middle - place, axis=1) for place in sites)
    assert np.mean(abs(file.moving.delay_s[chosen] * 299_792_458 - lengths) < 4.5) > 0.998


def scaled(factor, *names):
    """The arrays with some of them multiplied."""
    arrays = car_arrays()
    return arrays | {name: np.array(arrays[name]) * factor for name in names}


ANGLES = ["los_phi_t", "los_theta_t", "los_phi_r", "los_theta_r"]
WRONG_UNITS = [
    (1e-9, ["los_tau", "spec_tau", "diff_tau", "dyn_tau"], ["los_tau[", "dyn_tau:"]),
    (180 / np.pi, ANGLES, ["los_theta_t, los_phi_t:", "los_theta_r, los_phi_r:"]),
    (-1, ["dyn_nu"], ["dyn_nu:"]),
    (2.5, ["vel"], ["vel:", "dyn_nu:"]),
    (1e7, ["dyn_a"], ["dyn_a:"]),
]


@pytest.mark.parametrize(("factor", "names", "found"), WRONG_UNITS)
def test_wrong_units_and_signs_are_named_by_their_array(tmp_path, factor, names, found):
    lines = scene_faults(write_scene(tmp_path, scaled(factor, *names)))
    start = f"propagation.paths: {tmp_path / 'car.npz'}: "
    assert len(lines) == len(found)
    for line, name in zip(lines, found):
        assert line.startswith(start + name)


def test_paths_by_way_of_a_wall_may_have_any_length(tmp_path):
    arrays = car_arrays()
    arrays["dyn_tau"] = np.where(arrays["dyn_multi"], 2.0, 1.0) * arrays["dyn_tau"]
    load_scene(write_scene(tmp_path, arrays))


def test_a_kind_of_paths_that_is_none_is_refused_with_those_that_are(tmp_path):
    assert scene_faults(write_scene(tmp_path, car_arrays(), path_kinds=["los"])) == [
        "propagation.path_kinds[0]: is 'los'; allowed: line_of_sight, clutter, targets, "
        "multi_bounce"
    ]

"""Scenes of files: shipped ones, named ones, with environment variables."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.scene.file.build import w_to_dbm
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path, with_power
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.file.schema import TrackingEntry
from cooperative_isac.scene.model import TargetClass, Tracking

ROOT = Path(__file__).resolve().parents[4]
DATA = ROOT.parent / "shared" / "data"
SHIPPED = sorted(path.stem for path in (ROOT / "config" / "scenes").glob("*.yaml"))
TRAJECTORIES = {
    "ISAC_UAV_TRAJECTORY": "euroc_v102_uav.tum",
    "ISAC_CAR_TRAJECTORY": "kitti_00_vehicle.tum",
}


@pytest.fixture(autouse=True)
def no_trajectories(monkeypatch):
    for variable in TRAJECTORIES:
        monkeypatch.delenv(variable, raising=False)


def good_text():
    return Path(__file__).with_name("good_scene.yaml").read_text()


def test_the_shipped_scenes_are_those_of_the_documentation():
    assert SHIPPED == [
        "bs_ue",
        "bs_ue_zones",
        "campus",
        "cell_free_compact",
        "cell_free_table1",
        "indoor_uav",
        "macro_micro",
        "multi_bs",
        "multi_bs_clocks",
        "nr_uav",
        "one_pair",
        "side_street",
        "street",
        "two_bands",
        "yard",
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_scene_loads_by_name_and_by_path(name):
    scene = load_scene(name)
    assert scene.name == name and len(scene.fingerprint) == 16
    again = load_scene(ROOT / "config" / "scenes" / f"{name}.yaml")
    assert (again.source, again.fingerprint) == (scene.source, scene.fingerprint)


def test_the_table1_scene_is_that_of_the_paper():
    scene = load_scene("cell_free_table1")
    grid = scene.grid
    air = scene.propagation
    # CF section V and Table I.
    assert [site.position_m.tolist() for site in scene.transmitters] == [[25, 0, 0], [75, 0, 0]]
    assert [site.position_m.tolist() for site in scene.receivers] == [[25, 100, 0], [75, 100, 0]]
    assert {site.num_ant for site in scene.transmitters + scene.receivers} == {16}
    assert (grid.carrier_hz, grid.subcarrier_spacing_hz, grid.cyclic_prefix_s) == (
        30e9,
        240e3,
        1.04e-6,
    )
    assert (grid.num_subcarriers, grid.num_symbols) == (256, 256)
    assert (air.reference_gain, air.reference_distance_m, air.pathloss_exponent) == (1e-6, 1, 2)
    assert air.reflection_variance == 1 and math.isclose(air.noise_power_w, 1e-12)
    assert scene.waveform.modulation_order == 16 and math.isclose(scene.waveform.power_w, 1.0)
    assert (scene.users.num_users, scene.draw.num_targets, scene.draw.max_speed_mps) == (4, 2, 20)


def test_the_compact_scene_is_that_of_the_paper_on_less_data():
    compact = load_scene("cell_free_compact")
    paper = load_scene("cell_free_table1")
    for small, large in zip(
        compact.transmitters + compact.receivers, paper.transmitters + paper.receivers
    ):
        assert np.array_equal(small.position_m, large.position_m) and small.num_ant == 8
    assert (compact.draw, compact.users, compact.propagation) == (
        paper.draw,
        paper.users,
        paper.propagation,
    )
    assert (
        compact.grid.num_subcarriers * compact.grid.subcarrier_stride == paper.grid.num_subcarriers
    )
    assert compact.grid.num_symbols * compact.grid.symbol_stride == paper.grid.num_symbols
    # The echo's energy over all samples: every symbol radiates P, of which a direction gets 1 / N_t
    # on average.
    energies = [
        scene.grid.num_symbols * scene.waveform.power_w / scene.transmitters[0].num_ant
        for scene in (compact, paper)
    ]
    assert energies[0] == pytest.approx(energies[1], rel=0.01)


def test_the_campus_scene_has_the_resolution_of_the_paper():
    campus = load_scene("campus").grid
    paper = load_scene("cell_free_table1").grid

    def bandwidth(grid):
        return grid.num_subcarriers * grid.subcarrier_stride * grid.subcarrier_spacing_hz

    def observation(grid):
        return grid.num_symbols * grid.symbol_period_s

    assert bandwidth(campus) >= bandwidth(paper) and observation(campus) >= 0.999 * observation(
        paper
    )


def test_the_campus_targets_keep_apart():
    targets = load_scene("campus").targets
    classes = [target.target_class for target in targets]
    assert classes.count(TargetClass.UAV) >= 2 and classes.count(TargetClass.VEHICLE) >= 2
    tracks = np.array(
        [[target.motion.state(t)[0] for t in np.arange(0, 120, 0.25)] for target in targets]
    )
    gaps = np.linalg.norm(tracks[:, None] - tracks[None], axis=-1)
    assert gaps[np.triu_indices(len(targets), 1)].min() > 6


def test_the_fingerprint_follows_the_content_not_its_layout():
    text = good_text()
    path = Path("x.yaml")
    first = parse_scene(text, path).fingerprint
    other_layout = "# another comment\n" + text.replace("30.0e9", "30000000000")
    assert parse_scene(other_layout, path).fingerprint == first
    assert parse_scene(text.replace("seed: 1", "seed: 2"), path).fingerprint != first


def test_another_power_is_another_scene():
    scene = load_scene("cell_free_table1")
    louder = with_power(scene, 40.0)
    assert math.isclose(louder.waveform.power_w, 10.0) and louder.fingerprint != scene.fingerprint
    assert (
        louder.fingerprint
        == with_power(scene, 40.0).fingerprint
        != with_power(scene, 20.0).fingerprint
    )
    assert with_power(scene, w_to_dbm(scene.waveform.power_w)) is scene


def test_another_power_keeps_the_differences_between_bands():
    scene = load_scene("macro_micro")
    weaker = with_power(scene, w_to_dbm(scene.waveform.power_w) - 12)
    for before, after in zip(scene.bands, weaker.bands, strict=True):
        change_db = w_to_dbm(after.waveform.power_w) - w_to_dbm(before.waveform.power_w)
        assert math.isclose(change_db, -12, abs_tol=1e-9)


def test_defaults_of_the_file_are_those_of_the_model():
    assert Tracking(**TrackingEntry().model_dump()) == Tracking()
    scene = parse_scene(good_text(), Path("x.yaml"))
    assert scene.tracking == Tracking()
    assert scene.sensing.deadline_s == pytest.approx(0.8 / scene.update_rate_hz)


def test_users_stand_in_the_plane_or_at_head_height():
    text = good_text().replace("height_m: 1.5, ", "")
    assert parse_scene(text, Path("x.yaml")).users.height_m == 1.5
    assert load_scene("cell_free_table1").users.height_m == 0.0


def test_an_unknown_name_suggests_a_shipped_scene():
    with pytest.raises(SceneError) as error:
        scene_path("capus")
    assert str(error.value) == (
        "capus: no scene of that name; did you mean 'campus'? known: "
        "bs_ue, bs_ue_zones, campus, cell_free_compact, cell_free_table1, indoor_uav, macro_micro, "
        "multi_bs, multi_bs_clocks, nr_uav, one_pair, side_street, street, two_bands, yard"
    )


def test_a_path_with_a_typo_suggests_a_file(tmp_path, monkeypatch):
    (tmp_path / "parking.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SceneError, match=r"no such scene file; did you mean 'parking\.yaml'\?$"):
        scene_path("parkign.yaml")
    with pytest.raises(SceneError, match=r"no such scene file; did you mean 'campus'\?$"):
        scene_path("campus.yaml")
    with pytest.raises(SceneError, match="is a folder; name a scene file"):
        scene_path(tmp_path)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(SceneError, match=r"/nowhere/x\.yaml: no such scene file"):
        load_scene("/nowhere/x.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SceneError, match=r"x\.yaml:1: cannot be read as text"):
        load_scene(tmp_path / "x.yaml")


def test_scenes_of_a_ros_prefix_are_found(tmp_path, monkeypatch):
    folder = tmp_path / "share" / "cooperative_isac" / "config" / "scenes"
    folder.mkdir(parents=True)
    (folder / "elsewhere.yaml").write_text(good_text())
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(["/nowhere", str(tmp_path)]))
    assert load_scene("elsewhere").name == "elsewhere"


def trajectory_scene(file, more=""):
    """The good scene without its own targets, with one that follows a file."""
    text = good_text()
    return text[: text.index("\ntargets:")] + (
        "\ntargets:\n  - name: robot\n    class: uav\n"
        + more
        + f'    motion: {{kind: trajectory, file: "{file}"}}\n'
    )


def test_a_trajectory_is_looked_for_beside_the_scene(tmp_path, monkeypatch):
    (tmp_path / "a.tum").write_text("0 10 10 5 0 0 0 1\n1 11 10 5 0 0 0 1\n2 12 10 5 0 0 0 1\n")
    (tmp_path / "x.yaml").write_text(trajectory_scene("a.tum"))
    (target,) = load_scene(tmp_path / "x.yaml").targets
    assert np.allclose(target.motion.state(1.0)[0], [11, 10, 5]) and target.motion.duration_s == 2.0
    monkeypatch.setenv("ISAC_UAV_TRAJECTORY", str(tmp_path / "a.tum"))
    for file in (
        "${ISAC_UAV_TRAJECTORY}",
        "${ISAC_UAV_TRAJECTORY:-b.tum}",
        "${ISAC_NO_SUCH_THING:-a.tum}",
    ):
        (tmp_path / "x.yaml").write_text(trajectory_scene(file))
        assert len(load_scene(tmp_path / "x.yaml").targets) == 1


def test_a_trajectory_with_poor_heights_is_put_at_one(tmp_path):
    (tmp_path / "a.csv").write_text("time_s,x_m,y_m,z_m\n0,10,10,5\n1,11,10,99\n")
    text = trajectory_scene("a.csv").replace("kind: trajectory", "kind: trajectory, height_m: 2")
    (target,) = parse_scene(text, tmp_path / "x.yaml").targets
    assert [target.motion.state(t)[0][2] for t in (0.0, 0.5, 1.0)] == [2, 2, 2]


def test_a_later_target_appears_later(tmp_path):
    (tmp_path / "a.csv").write_text("time_s,x_m,y_m,z_m\n0,10,10,5\n1,11,10,5\n")
    (target,) = parse_scene(
        trajectory_scene("a.csv", "    appears_s: 7\n"), tmp_path / "x.yaml"
    ).targets
    assert target.motion.start_s == 7 and np.allclose(target.motion.state(7.5)[0], [10.5, 10, 5])


def test_a_missing_trajectory_names_the_path_looked_for(tmp_path):
    with pytest.raises(SceneError) as error:
        parse_scene(trajectory_scene("lost.tum"), tmp_path / "x.yaml")
    assert str(error.value) == (
        f"{tmp_path}/x.yaml:69: targets[0].motion: {tmp_path}/lost.tum: no such trajectory file"
    )


def test_an_unset_variable_is_an_error_or_an_absent_optional_target(monkeypatch):
    text = trajectory_scene("${ISAC_UAV_TRAJECTORY}")
    with pytest.raises(SceneError) as error:
        parse_scene(text, Path("x.yaml"))
    assert str(error.value) == (
        "x.yaml:69: targets[0].motion.file: environment variable ISAC_UAV_TRAJECTORY "
        "is not "
        "set; set it, give a default (${ISAC_UAV_TRAJECTORY:-FILE}), or mark the "
        "target optional: true"
    )
    optional = trajectory_scene("${ISAC_UAV_TRAJECTORY}", "    optional: true\n")
    assert parse_scene(optional, Path("x.yaml")).targets == ()
    monkeypatch.setenv("ISAC_UAV_TRAJECTORY", "/nowhere/a.tum")
    with pytest.raises(SceneError, match=r"/nowhere/a\.tum: no such trajectory file"):
        parse_scene(optional, Path("x.yaml"))


@pytest.mark.skipif(not DATA.is_dir(), reason="no real trajectories beside the repository")
@pytest.mark.parametrize(
    ("name", "seconds", "target_class"),
    [("indoor_uav", math.inf, TargetClass.UAV), ("street", 30.4, TargetClass.VEHICLE)],
)
def test_scenes_of_real_machines(name, seconds, target_class, monkeypatch):
    assert load_scene(name).targets == ()
    for variable, file in TRAJECTORIES.items():
        monkeypatch.setenv(variable, str(DATA / file))
    (target,) = load_scene(name).targets
    assert target.target_class is target_class
    assert target.motion.duration_s == pytest.approx(seconds, abs=0.1)

"""Nodes of a scene, for every option."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.launching.graph import (
    RADIO_FRAMES_AHEAD,
    GraphOptions,
    NodeSpec,
    node_variables,
    profile_variable,
    scene_nodes,
    shared_file,
)
from cooperative_isac_ros.nodes import fusion_center

NODES = [
    "access_point",
    "access_point",
    "fusion_center",
    "tracker",
    "evaluator",
    "scene_markers",
    "target_simulator",
    "transmit_controller",
]


def by_name(scene, **options):
    return {spec.full_name: spec for spec in scene_nodes(scene, GraphOptions(**options))}


def test_a_scene_is_its_sites_and_the_chain_behind_them(tiny):
    specs = scene_nodes(tiny)
    assert [spec.executable for spec in specs] == NODES
    assert [spec.full_name for spec in specs[:2]] == ["/rx1/access_point", "/rx2/access_point"]
    assert all(Path(spec.parameters["scene"]) == Path(tiny.source).resolve() for spec in specs)
    assert all(find_spec(f"cooperative_isac_ros.nodes.{spec.executable}") for spec in specs)


def test_the_controller_waits_for_all_others(tiny):
    *others, controller = scene_nodes(tiny)
    assert controller.parameters["wait_for_nodes"] == [spec.full_name[1:] for spec in others]


@pytest.mark.parametrize(
    ("options", "absent"),
    [({"markers": False}, "/scene_markers"), ({"simulate_targets": False}, "/target_simulator")],
)
def test_parts_can_be_left_out(tiny, options, absent):
    assert absent in by_name(tiny) and absent not in by_name(tiny, **options)


@pytest.mark.parametrize("simulated", [True, False])
def test_targets_are_waited_for_where_they_are_simulated(tiny, simulated):
    specs = by_name(tiny, simulate_targets=simulated)
    for name in ("/rx1/access_point", "/rx2/access_point", "/evaluator", "/scene_markers"):
        assert specs[name].parameters["wait_for_targets"] is simulated


def test_a_scene_without_targets_needs_no_simulator(tiny):
    assert "/target_simulator" not in by_name(replace(tiny, targets=()))


def test_a_slower_rate_stretches_the_deadline(tiny):
    specs = by_name(tiny, rate_hz=2.0)
    assert specs["/transmit_controller"].parameters["rate_hz"] == 2.0
    assert all(
        specs[name].parameters["rate_hz"] == 2.0
        for name in ("/evaluator", "/fusion_center", "/target_simulator")
    )
    assert specs["/fusion_center"].parameters["deadline_s"] == pytest.approx(
        5 * tiny.sensing.deadline_s
    )
    assert by_name(tiny)["/fusion_center"].parameters["deadline_s"] == tiny.sensing.deadline_s
    patient = replace(tiny, sensing=replace(tiny.sensing, deadline_s=900.0))
    longest_s = by_name(patient)["/fusion_center"].parameters["deadline_s"]
    allowed = next(item for item in fusion_center.PARAMETERS if item.name == "deadline_s")
    assert longest_s == allowed.high


def test_options_reach_the_nodes(tiny):
    specs = by_name(tiny, scheme="music", out="/o", bag="/b", use_sim_time=True, namespace="north/")
    assert all(
        name.startswith("/north/") and spec.parameters["use_sim_time"]
        for name, spec in specs.items()
    )
    for name in (
        "rx1/access_point",
        "fusion_center",
        "evaluator",
        "scene_markers",
        "transmit_controller",
    ):
        assert specs[f"/north/{name}"].parameters["scheme"] == "music"
    assert specs["/north/evaluator"].parameters["out"] == "/o"
    assert specs["/north/bag_recorder"].parameters["directory"] == "/b"


def test_the_delay_of_radios_is_no_reason_to_skip_frames(tiny):
    controller = by_name(tiny, front_end="topic")["/transmit_controller"]
    assert controller.parameters["max_frames_ahead"] == RADIO_FRAMES_AHEAD
    assert "max_frames_ahead" not in by_name(tiny)["/transmit_controller"].parameters


def test_nodes_that_are_started_again_have_their_state(tiny, tmp_path):
    specs = by_name(tiny, state=str(tmp_path), run=7)
    assert specs["/transmit_controller"].parameters["run"] == 7
    for name, owner in (
        ("tracker", "tracker"),
        ("transmit_controller", "transmit_controller"),
        ("target_simulator", "transmit_controller"),
    ):
        assert specs[f"/{name}"].parameters["state_file"] == str(tmp_path / f"{owner}.json")
        assert by_name(tiny)[f"/{name}"].parameters["state_file"] == ""


def test_a_scheme_has_its_own_sites():
    specs = by_name(load_scene("cell_free_compact"), scheme="monostatic")
    assert [name for name in specs if name.endswith("access_point")] == ["/bs/access_point"]
    assert specs["/tracker"].parameters["num_receivers"] == 1


@pytest.mark.parametrize(
    "name",
    ["campus", "cell_free_compact", "cell_free_table1", "indoor_uav", "one_pair", "street", "yard"],
)
def test_every_shipped_scene_has_a_graph(name):
    scene = load_scene(name)
    assert len(scene_nodes(scene)) >= len(scene.receivers) + 5


def test_full_names():
    assert NodeSpec("a", "a").full_name == "/a" and NodeSpec("a", "b", "/x/y").full_name == "/x/y/b"


def test_the_users_environment_has_priority(monkeypatch):
    monkeypatch.delenv(profile_variable(), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    variables = node_variables()
    assert "OMP_NUM_THREADS" not in variables
    assert Path(variables[profile_variable()]).is_file()
    assert node_variables("access_point") == variables
    small = node_variables("tracker")[profile_variable()]
    assert Path(small).is_file() and small != variables[profile_variable()]
    assert shared_file("no_such_file") is None

"""Parameters: invalid ones are refused with a reason, and a running node is not affected."""

import math
from pathlib import Path

import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter

from cooperative_isac_ros.base import run_node
from cooperative_isac_ros.launching import choices
from cooperative_isac_ros.nodes.access_point import AccessPoint
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.target_simulator import TargetSimulator
from cooperative_isac_ros.nodes.tracker import TrackerNode
from cooperative_isac_ros.nodes.transmit_controller import TransmitController
from cooperative_isac_ros.parameters import ParameterError


@pytest.mark.parametrize(
    ("node_class", "parameters", "reason"),
    [
        (TransmitController, {"rate_hz": 1000.0}, "'rate_hz'.*allowed: 0.0 to 100.0"),
        (TransmitController, {"rate_hz": math.nan}, "'rate_hz'"),
        (TransmitController, {"rate_hz": 5}, "'rate_hz' must be a double"),
        (TransmitController, {"announce_payload": "yes"}, "'announce_payload' must be a bool"),
        (FusionCenter, {"patience_frames": 0}, "'patience_frames'.*allowed: 1 to 1000"),
        (AccessPoint, {"front_end": "sonar"}, "'front_end' is 'sonar'; allowed: simulated, topic"),
        (AccessPoint, {"target_classes": ["car1"]}, "'car1' must be name:class"),
        (AccessPoint, {"target_classes": ["car1:boat"]}, "'boat' is unknown"),
        (TargetSimulator, {"odometry_rate_hz": -1.0}, "'odometry_rate_hz'.*allowed: 0.0 to 1000.0"),
    ],
)
def test_a_node_does_not_start_with_a_wrong_parameter(bench, node_class, parameters, reason):
    with pytest.raises(ParameterError, match=reason):
        bench.start(node_class, below="/rx1", **parameters)


def test_an_unknown_site_names_those_there_are(bench):
    with pytest.raises(
        ValueError, match=r"no receiver 'rx7'.*\['rx1', 'rx2'\]; set parameter 'site'"
    ):
        bench.start(AccessPoint, below="/rx7")


def test_a_live_parameter_changes_and_a_fixed_one_does_not(bench):
    node = bench.start(SceneMarkers)
    changes = [Parameter("enabled", value=False), Parameter("trail_length", value=7)]
    changed, fixed = node.set_parameters(changes)
    assert changed.successful and node.settings["enabled"] is False
    assert (
        not fixed.successful
        and "read-only" in fixed.reason
        and node.settings["trail_length"] == 100
    )
    (wrong,) = node.set_parameters([Parameter("enabled", value="maybe")])
    assert not wrong.successful and wrong.reason
    bench.spin(0.1)


def test_a_path_of_a_home_that_is_not_there_is_taken_as_it_is(bench, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for text, path in (("~/o", "/home/me/o"), ("~nobody_of_this_name/o", "~nobody_of_this_name/o")):
        node = bench.start(TrackerNode, state_file=text)
        assert node.settings.path("state_file") == Path(path)
    assert bench.start(TrackerNode).settings.path("state_file") is None
    assert choices.absolute("~nobody_of_this_name/o") == str(Path.cwd() / "~nobody_of_this_name/o")


def test_parameters_describe_themselves(bench):
    node = bench.start(AccessPoint, below="/rx1")
    wait, front_end = node.describe_parameters(["odometry_wait_s", "front_end"])
    assert wait.type == ParameterType.PARAMETER_DOUBLE and wait.read_only
    assert (wait.floating_point_range[0].from_value, wait.floating_point_range[0].to_value) == (
        0.001,
        1.0,
    )
    assert (
        "[s]" in wait.description and front_end.additional_constraints == "one of simulated, topic"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "scene:=/nowhere.yaml"], "error: /nowhere.yaml: no such scene file"),
        (["-p", "rate_hz:=-1.0"], "error: parameter 'rate_hz'"),
    ],
)
def test_a_wrong_start_is_one_line_and_an_exit_code(capsys, arguments, message):
    assert run_node(TransmitController, ["--ros-args", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)

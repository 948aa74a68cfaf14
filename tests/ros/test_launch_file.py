"""The launch file asks for the nodes of the graph; stand-ins for `launch` take its calls."""

import sys
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from cooperative_isac_ros.graph import GraphOptions, scene_nodes

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "scene.launch.py"
TINY = str(Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml")


@dataclass
class Action:
    """Any launch action: what it was made with."""

    kind: str
    values: tuple
    options: dict = field(default_factory=dict)


def action(kind):
    return lambda *values, **options: Action(kind, values, options)


class LaunchConfiguration:
    def __init__(self, name):
        self.name = name

    def perform(self, context):
        return context[self.name]


@pytest.fixture
def launch_file(monkeypatch):
    """The launch file, loaded against stand-ins for launch and launch_ros."""
    actions = ("DeclareLaunchArgument", "LogInfo", "OpaqueFunction", "SetEnvironmentVariable", "Shutdown")
    members = {"launch": {"LaunchDescription": list},
               "launch.actions": {name: action(name) for name in actions},
               "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration},
               "launch_ros": {}, "launch_ros.actions": {"Node": action("Node")}}
    for name, content in members.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    spec = spec_from_file_location("scene_launch", LAUNCH_FILE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nodes(launch_file, **arguments):
    """Node actions of a launch with these arguments, the others at their defaults."""
    *declared, opaque = launch_file.generate_launch_description()
    context = {item.values[0]: item.options["default_value"] for item in declared}
    actions = opaque.options["function"]({**context, "scene": TINY, **arguments})
    return [item.options for item in actions if item.kind == "Node"]


def test_every_argument_is_described(launch_file):
    *declared, _ = launch_file.generate_launch_description()
    names = {item.values[0] for item in declared}
    assert {"scene", "scheme", "rate", "rviz", "bag", "use_sim_time", "out"} <= names
    assert all(item.options["description"] for item in declared)


def test_the_nodes_are_those_of_the_graph(launch_file, tiny):
    asked = [(n["executable"], n["name"], n["namespace"], n["parameters"]) for n in nodes(launch_file)]
    assert asked == [(s.executable, s.name, s.namespace, [s.parameters]) for s in scene_nodes(tiny)]


def test_arguments_are_the_graphs_options(launch_file, tiny):
    given = nodes(launch_file, scheme="music", rate="2", namespace="/n", out="/o", bag="/b", use_sim_time="true",
                  markers="false", simulate_targets="false")
    options = GraphOptions("music", 2.0, "/n", "/o", "/b", True, False, False)
    assert [n["parameters"] for n in given] == [[spec.parameters] for spec in scene_nodes(tiny, options)]


def test_a_node_that_ends_by_itself_ends_the_scene_and_is_named(launch_file):
    for node in nodes(launch_file, namespace="/n"):
        below = f"{node['namespace']}/{node['name']}"
        said, shutdown = node["on_exit"](SimpleNamespace(returncode=-9), SimpleNamespace(is_shutdown=False))
        assert f"node {below} ended by itself with exit code -9" in said.options["msg"]
        assert shutdown.kind == "Shutdown" and below in shutdown.options["reason"]
        assert not node["on_exit"](SimpleNamespace(returncode=0), SimpleNamespace(is_shutdown=True))


def test_rviz_opens_on_request(launch_file, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert "rviz2" not in [n["executable"] for n in nodes(launch_file)]
    rviz = nodes(launch_file, rviz="true", namespace="/n")[-1]
    (flag, view), package = rviz["arguments"], rviz["package"]
    assert (package, flag) == ("rviz2", "-d") and "/n/markers" in Path(view).read_text()

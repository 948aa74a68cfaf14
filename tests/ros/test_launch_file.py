"""The launch file starts the nodes of the graph, with stand-ins for `launch`."""

import re
import sys
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from cooperative_isac_ros.launching.graph import GraphOptions, node_variables, scene_nodes

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "scene.launch.py"
TINY = str(Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml")


@dataclass
class Action:
    """Stand-in for a launch action, with its arguments."""

    kind: str
    values: tuple
    options: dict = field(default_factory=dict)


def action(kind):
    return lambda *values, **options: Action(kind, values, options)


class LaunchConfiguration:
    def __init__(self, name):
        self.name = name

    def perform(self, context):
        return context.launch_configurations[self.name]


@pytest.fixture
def launch_file(monkeypatch, tmp_path):
    """The launch file, loaded against stand-ins for launch and launch_ros."""
    actions = (
        "DeclareLaunchArgument",
        "EmitEvent",
        "LogInfo",
        "OpaqueFunction",
        "RegisterEventHandler",
    )
    members = {
        "launch": {
            "LaunchDescription": list,
            "Event": object,
            "EventHandler": action("EventHandler"),
        },
        "launch.actions": {name: action(name) for name in actions},
        "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration},
        "launch_ros": {},
        "launch_ros.actions": {"Node": action("Node")},
    }
    for name, content in members.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spec = spec_from_file_location("scene_launch", LAUNCH_FILE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.cleaned = []
    module.clean_shared_memory = lambda: module.cleaned.append("/dev/shm")
    return module


def actions(launch_file, configurations=None, **arguments):
    """Actions of a launch with these arguments, the others at their defaults."""
    *declared, opaque = launch_file.generate_launch_description()
    defaults = {item.values[0]: item.options["default_value"] for item in declared}
    given = {**defaults, "scene": TINY, **arguments, **(configurations or {})}
    return opaque.options["function"](SimpleNamespace(launch_configurations=given))


def nodes(launch_file, configurations=None, **arguments):
    """Node actions of a launch."""
    return [
        item.options
        for item in actions(launch_file, configurations, **arguments)
        if item.kind == "Node"
    ]


def parameters(node, place=0):
    """Content of a parameter file of a node action."""
    return yaml.safe_load(Path(node["parameters"][place]).read_text())["/**"]["ros__parameters"]


def refusal(launch_file, **arguments):
    """The message of a launch that is refused: an event, whose handler raises it; no process."""
    handler, event = actions(launch_file, **arguments)
    assert (handler.kind, event.kind) == ("RegisterEventHandler", "EmitEvent")
    (made,) = handler.values
    assert made.options["matcher"](event.options["event"]) and not made.options["matcher"](object())
    with pytest.raises(ValueError, match=r".") as error:
        made.options["entities"][0].options["function"](None)
    return str(error.value)


def drawn(given):
    """State folder and number of the run, which a launch chooses."""
    (tracker,) = (parameters(node) for node in given if node["executable"] == "tracker")
    (controller,) = (
        parameters(node) for node in given if node["executable"] == "transmit_controller"
    )
    assert controller["run"] > 0
    return {"state": str(Path(tracker["state_file"]).parent), "run": controller["run"]}


def test_every_argument_is_described(launch_file):
    *declared, _ = launch_file.generate_launch_description()
    names = {item.values[0] for item in declared}
    assert {
        "scene",
        "scheme",
        "rate",
        "rviz",
        "bag",
        "use_sim_time",
        "out",
        "params_file",
        "log_level",
        "respawn",
        "front_end",
        "target_classes",
    } <= names
    assert all(item.options["description"] for item in declared)


def test_the_nodes_are_those_of_the_graph(launch_file, tiny):
    given = nodes(launch_file)
    asked = [(n["executable"], n["name"], n["namespace"], parameters(n)) for n in given]
    specs = scene_nodes(tiny, GraphOptions(namespace="", **drawn(given)))
    assert asked == [(s.executable, s.name, s.namespace, s.parameters) for s in specs]
    assert not any(n["namespace"].startswith("/") for n in nodes(launch_file))


def test_arguments_are_the_graphs_options(launch_file, tiny, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**: {ros__parameters: {target_timeout_s: 2.0}}")
    out, bag = str(tmp_path / "o"), str(tmp_path / "b")
    given = nodes(
        launch_file,
        scheme="music",
        rate="2",
        namespace="/n",
        out=out,
        bag=bag,
        use_sim_time="true",
        markers="false",
        simulate_targets="false",
        front_end="topic",
        target_classes="a:uav, b:vehicle",
        odometry_offsets="a:2.0",
        params_file=str(mine),
        log_level="debug",
    )
    options = GraphOptions(
        "music",
        2.0,
        "/n",
        out,
        bag,
        True,
        False,
        False,
        "topic",
        ("a:uav", "b:vehicle"),
        ("a:2.0",),
        str(mine),
        "debug",
        **drawn(given),
    )
    assert [parameters(n) for n in given] == [
        spec.parameters for spec in scene_nodes(tiny, options)
    ]
    assert all(n["parameters"][1:] == [str(mine)] for n in given)
    assert all(n["ros_arguments"][:3] == ["--log-level", "debug", "--enclave"] for n in given)
    assert parameters(given[0])["target_classes"] == ["a:uav", "b:vehicle"]
    assert parameters(given[0])["odometry_offsets"] == ["a:2.0"]


def test_what_killed_nodes_left_is_cleaned_before_a_start(launch_file):
    actions(launch_file, rate="abc")
    assert not launch_file.cleaned
    actions(launch_file)
    assert launch_file.cleaned == ["/dev/shm"]


def test_the_environment_is_the_nodes_own(launch_file):
    asked = actions(launch_file)
    assert {item.kind for item in asked} == {"Node"}
    for item in asked:
        assert item.options["additional_env"] == node_variables(item.options["executable"])


def test_a_node_that_ends_by_itself_is_named_and_starts_again(launch_file):
    for respawn, words in (
        ("true", "starts again in 1 s (1 of 10)"),
        ("false", "is not started again; the others go on"),
    ):
        for node in nodes(launch_file, namespace="/n", respawn=respawn):
            assert node["respawn"] is (respawn == "true") and node["respawn_delay"] == 1.0
            (logged,) = node["on_exit"](
                SimpleNamespace(returncode=-9), SimpleNamespace(is_shutdown=False)
            )
            below = f"{node['namespace']}/{node['name']}"
            assert (
                logged.options["msg"]
                == f"node {below} ended by itself with exit code -9 and {words}"
            )
            assert not node["on_exit"](
                SimpleNamespace(returncode=0), SimpleNamespace(is_shutdown=True)
            )


def test_a_node_that_ends_too_often_is_left(launch_file):
    on_exit = nodes(launch_file)[0]["on_exit"]
    for _ in range(launch_file.MAX_RESPAWNS + 1):
        (logged,) = on_exit(SimpleNamespace(returncode=1), SimpleNamespace(is_shutdown=False))
    assert "is not started again" in logged.options["msg"]


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("rate", "abc", "must be a number"),
        ("rate", "-1", "must be 0.1 to 100 frames a second"),
        ("rate", "nan", "must be 0.1 to 100 frames a second"),
        ("scheme", "dvqvae", "has no weights for scene 'tiny'"),
        ("scheme", "none", "is not known"),
        ("scene", "nosuch", "no scene of that name"),
        ("front_end", "x", "must be simulated or topic"),
        ("respawn", "maybe", "must be true or false"),
        ("log_level", "x", "must be debug or info"),
        ("target_classes", "car:boat", "must be name:class"),
        ("odometry_offsets", "robot", "must be name:seconds"),
        ("namespace", "a-b", "must not contain"),
        ("params_file", "nofile", "no such file"),
        ("params_file", TINY, "no parameter file"),
        ("bag", str(LAUNCH_FILE.parent), "exists"),
        ("out", TINY, "is a file"),
        ("out", f"{TINY}/below", "Not a directory; name another place"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_argument(launch_file, argument, value, reason):
    message = refusal(launch_file, **{argument: value})
    assert (
        message.startswith(f"{argument}:={value}: ") and reason in message and "\n" not in message
    )


def test_rviz_is_looked_up_before_anything_starts(launch_file, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", sys.prefix)
    assert "install rviz2" not in str(nodes(launch_file))
    assert "package rviz2 is not installed; install it" in refusal(launch_file, rviz="true")


@pytest.mark.parametrize(
    ("pushed", "namespace", "topic"),
    [
        ("", "/n", "/n/markers"),
        ("/a", "", "/a/markers"),
        ("/a", "n", "/a/n/markers"),
        ("/a", "/n", "/n/markers"),
    ],
)
def test_rviz_opens_on_request_and_looks_at_the_namespace(
    launch_file, monkeypatch, pushed, namespace, topic
):
    monkeypatch.setattr(launch_file, "check_rviz", lambda: None)
    rviz = nodes(launch_file, {"ros_namespace": pushed}, rviz="true", namespace=namespace)[-1]
    (flag, view), package = rviz["arguments"], rviz["package"]
    shown = re.findall(r"Value: (\S*/markers)$", Path(view).read_text(), re.MULTILINE)
    assert (package, flag, set(shown)) == ("rviz2", "-d", {topic})


def test_files_of_a_launch_end_with_it(launch_file, monkeypatch, tmp_path):
    ended = []
    monkeypatch.setattr(
        launch_file.atexit, "register", lambda *call, **options: ended.append((call, options))
    )
    nodes(launch_file)
    (remove, folder), options = ended[0]
    assert folder.parent == tmp_path and any(folder.iterdir())
    remove(folder, **options)
    assert not folder.exists()


def test_a_users_prefix_is_kept(launch_file):
    assert nodes(launch_file, {"launch-prefix": "gdb"})[0]["prefix"] is None
    assert "--block-signal=INT" in nodes(launch_file)[0]["prefix"]

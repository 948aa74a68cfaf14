"""Imports go one way: ROS 2 stays at the border, the folders of the science import only down the
signal chain, and those of the ROS package only from below.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
SCIENCE = SOURCE / "cooperative_isac"
ROS = SOURCE / "cooperative_isac_ros"
ROS_ROOTS = {"rclpy", "launch", "launch_ros", "ament_index_python", "tf2_ros", "rosidl_runtime_py"}
MESSAGE_SUFFIXES = ("_msgs", "_interfaces", "_srvs")
CHAIN = ("scene", "waveform", "channel", "sensing", "fronthaul", "fusion", "tracking")
SIGNAL = CHAIN[:3]
PLAIN = ("estimation", "calibration")  # arrays in, arrays out, no scene
ALLOWED = {
    **{folder: {*CHAIN[:place], *PLAIN} for place, folder in enumerate(CHAIN)},
    "estimation": set(),
    "calibration": {"estimation"},
    "bounds": set(SIGNAL),
    "learned": {*SIGNAL, "sensing", "fronthaul"},  # codecs: both ends, and what is between them
    # A scheme is what a node of each end runs.
    "schemes": {*CHAIN, "learned", "calibration"} - {"tracking"},
    "metrics": set(CHAIN),  # scores the outputs of the chain
    "output": set(),  # screen and disk, of no stage
}
FREE = {"api", "cli", "evaluation", "pipeline", "training"}
# Rooms and shared modules of the ROS package; each imports only from those before it.
ROS_ROOMS = (
    "qos",  # quality of service of all topics
    "messages",  # records, and their conversion to messages and back
    "timing",  # stamps, numbers, order, deadlines
    "processes",  # the process of a node: start, fork, signals
    "start",  # entry point of all nodes
    "parameters",
    "guard",
    "health",  # diagnostics
    "base",  # base class of all nodes
    "inputs",  # announcements, odometry, poses, echoes
    "launching",  # the nodes of a scene, supervised
    "display",  # RViz
    "bag",
    "nodes",
)
# The fork server becomes a node by running the entry point.
ROS_EXCEPTIONS = {("processes", "start")}


def imported_modules(text: str) -> set[str]:
    """Full names of all modules that a source text imports, wherever it does so."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where an arrow goes"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def is_ros(module: str) -> bool:
    """Whether a module belongs to ROS 2 or to a message package."""
    root = module.split(".")[0]
    return root in ROS_ROOTS or root.endswith(MESSAGE_SUFFIXES)


def science_folders(modules: set[str]) -> set[str]:
    """Folders (or top-level modules) of the science part among imported modules."""
    parts = [module.split(".") for module in modules]
    return {part[1] for part in parts if part[0] == "cooperative_isac" and len(part) > 1}


def forbidden_arrows(folder: str, modules: set[str]) -> set[str]:
    """Folders that a file of one folder imports and must not."""
    if folder in FREE:
        return set()
    return science_folders(modules) - ALLOWED[folder] - {folder, "__version__"}


# Doors for users, which stand on everything, and on which no module stands.
FRONT_DOORS = {"api", "cli"}


def source_files(top: Path):
    return [
        pytest.param(path, id=str(path.relative_to(SOURCE))) for path in sorted(top.rglob("*.py"))
    ]


@pytest.mark.parametrize("path", source_files(SCIENCE))
def test_science_is_free_of_ros(path):
    modules = imported_modules(path.read_text())
    assert not [module for module in modules if is_ros(module)]
    starts_nodes = any(module.startswith("cooperative_isac_ros") for module in modules)
    assert path.parent == SCIENCE / "cli" or not starts_nodes


@pytest.mark.parametrize("path", source_files(SCIENCE))
def test_arrows_go_down_the_chain(path):
    folder = path.relative_to(SCIENCE).parts[0].removesuffix(".py")
    if folder != "__init__":
        assert not forbidden_arrows(folder, imported_modules(path.read_text()))


@pytest.mark.parametrize("path", source_files(ROS))
def test_rooms_of_the_ros_package_import_from_below(path):
    room = path.relative_to(ROS).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    parts = [module.split(".") for module in imported_modules(path.read_text())]
    imported = {part[1] for part in parts if part[0] == "cooperative_isac_ros" and len(part) > 1}
    allowed = {*ROS_ROOMS[: ROS_ROOMS.index(room) + 1]}
    allowed |= {below for above, below in ROS_EXCEPTIONS if above == room}
    assert imported <= allowed


def test_nothing_stands_on_the_front_doors():
    for path in SOURCE.rglob("*.py"):
        if path != SCIENCE / "__init__.py":
            doors = science_folders(imported_modules(path.read_text())) & FRONT_DOORS
            own_folder = path.relative_to(SOURCE).parts[1]
            assert doors <= {own_folder}, path


def test_only_the_ros_package_stands_beside_the_science():
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert packages == {"cooperative_isac", "cooperative_isac_ros"}


@pytest.mark.parametrize(
    "text",
    [
        "import rclpy",
        "from geometry_msgs.msg import Point",
        "def late():\n    from std_srvs.srv import Trigger",
        "import builtin_interfaces.msg as time",
    ],
)
def test_ros_is_recognized(text):
    assert any(is_ros(module) for module in imported_modules(text))


@pytest.mark.parametrize(
    ("folder", "text", "wrong"),
    [
        ("scene", "from cooperative_isac.waveform.signal import x", {"waveform"}),
        ("channel", "from cooperative_isac import sensing", {"sensing"}),
        ("sensing", "import cooperative_isac.metrics.ospa", {"metrics"}),
        ("bounds", "from cooperative_isac.sensing import report", {"sensing"}),
        ("fusion", "from cooperative_isac.sensing.report import PathReport", set()),
        ("pipeline", "from cooperative_isac.tracking.tracker import Tracker", set()),
    ],
)
def test_wrong_arrows_are_recognized(folder, text, wrong):
    assert forbidden_arrows(folder, imported_modules(text)) == wrong


def module_name(path: Path) -> str:
    """Dotted name of a source file."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Modules in a row of which each imports the next and the last the first; empty if none."""
    done: set[str] = set()
    way: list[str] = []

    def visit(name: str) -> list[str]:
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        way.append(name)
        for other in sorted(arrows.get(name, ())):
            found = visit(other)
            if found:
                return found
        way.pop()
        done.add(name)
        return []

    for name in sorted(arrows):
        found = visit(name)
        if found:
            return found
    return []


def test_circles_are_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_modules_import_each_other():
    files = {module_name(path): path for path in SOURCE.rglob("*.py")}
    arrows = {
        name: (imported_modules(path.read_text()) & files.keys()) - {name}
        for name, path in files.items()
    }
    assert circle(arrows) == []

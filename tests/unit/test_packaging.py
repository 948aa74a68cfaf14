"""The ament_python package: what colcon reads of it, and whether package.xml names what the nodes
import.
"""

import ast
import itertools
import os
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import pytest
from colcon_python_setup_py.package_identification.python_setup_py import get_setup_information

import cooperative_isac
from cooperative_isac.scene.file.sizes import MOST_SITES
from cooperative_isac.schemes.catalog import BUILT_IN

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = ROOT / "ros2_ws" / "src" / "cooperative_isac_msgs"


@pytest.fixture(scope="module")
def setup_information():
    return get_setup_information(ROOT / "setup.py", env=dict(os.environ))


def dependencies(tag: str) -> set[str]:
    return {element.text for element in ElementTree.parse(ROOT / "package.xml").iter(tag)}


def test_every_node_is_an_executable(setup_information):
    nodes = {path.stem for path in (ROOT / "src/cooperative_isac_ros/nodes").glob("*.py")} - {
        "__init__"
    }
    scripts = dict(
        line.split(" = ") for line in setup_information["entry_points"]["console_scripts"]
    )
    assert scripts.pop("isac") == "cooperative_isac.cli:main"
    assert scripts == dict.fromkeys(nodes, "cooperative_isac_ros.start:main")
    assert {"access_point", "fusion_center", "tracker"} <= nodes


def test_executables_have_their_main_function(setup_information):
    for line in setup_information["entry_points"]["console_scripts"]:
        module, function = line.split(" = ")[1].split(":")
        path = ROOT / "src" / module.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        tree = ast.parse(file.read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            line
        )


def test_schemes_can_be_loaded():
    assert "local_ml" in BUILT_IN
    for facts in BUILT_IN.values():
        module, _, name = facts.home.partition(":")
        assert callable(getattr(import_module(module), name))


def test_share_holds_scenes_launch_file_and_profile(setup_information):
    shared = dict(setup_information["data_files"])
    assert "config/scenes/campus.yaml" in shared["share/cooperative_isac/config/scenes"]
    assert "config/fastdds.xml" in shared["share/cooperative_isac/config"]
    assert "launch/scene.launch.py" in shared["share/cooperative_isac/launch"]
    assert shared["share/ament_index/resource_index/packages"] == ["resource/cooperative_isac"]


@pytest.mark.parametrize("name", ["fastdds.xml", "fastdds_small.xml"])
def test_the_profiles_let_all_nodes_of_the_largest_scene_meet(name):
    text = (ROOT / "config" / name).read_text(encoding="utf-8")
    ranges = re.findall(r"<maxInitialPeersRange>(\d+)</maxInitialPeersRange>", text)
    beside_receivers = 8  # controller, simulator, center, tracker, markers, evaluator, bag, monitor
    assert [int(value) >= MOST_SITES + beside_receivers for value in ranges] == [True]


def test_package_xml_names_what_the_nodes_import():
    folders = ROOT / "src" / "cooperative_isac_ros", ROOT / "launch"
    text = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    ros_import = (
        r"^\s*(?:from|import) (\w+(?:_msgs|_interfaces)|rclpy|launch(?:_ros)?|ament_index_python)\b"
    )
    imported = set(re.findall(ros_import, text, re.MULTILINE))
    assert {"rclpy", "nav_msgs", "launch_ros"} <= imported
    assert imported <= dependencies("exec_depend")


def test_versions_agree():
    versions = {
        ElementTree.parse(folder / "package.xml").findtext("version") for folder in (ROOT, MESSAGES)
    }
    assert versions == {cooperative_isac.__version__} == {version("cooperative_isac")}


def test_every_message_is_built_and_numbered():
    listed = set(re.findall(r'"msg/(\w+)\.msg"', (MESSAGES / "CMakeLists.txt").read_text()))
    files = {path.stem: path.read_text() for path in (MESSAGES / "msg").glob("*.msg")}
    assert listed == set(files)
    for name, text in files.items():
        has_header = "std_msgs/Header header" in text
        assert has_header == bool(re.search(r"^uint64 number\b", text, re.MULTILINE)), name
        assert has_header == (name not in {"Detection", "Link", "Track"}), name


def test_every_field_has_a_comment():
    for path in (MESSAGES / "msg").glob("*.msg"):
        lines = path.read_text().splitlines()
        for before, line in itertools.pairwise(lines):
            assert not line or "#" in line or before.startswith("#"), f"{path.name}: {line}"


@pytest.mark.parametrize("distro", ["jazzy", "kilted"])
def test_pins_are_exact_and_without_doubles(distro):
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and line[0] != "#"
    ]
    pins = [line for line in lines if "# only" not in line or line.endswith(f"# only {distro}")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*( +# only \w+)?", pin) for pin in pins)
    names = [pin.split("==")[0] for pin in pins]
    assert len(names) == len(set(names)) and "ros-rclpy" in names

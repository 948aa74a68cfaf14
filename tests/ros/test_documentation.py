"""docs/nodes.md names every parameter of every node, with its default, and every counter."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "nodes.md"
COUNTED = re.compile(r"""(?:fault|count)\(\s*"(\w+)"|return \(?"(\w+)",""")
NODES = (
    "transmit_controller",
    "target_simulator",
    "access_point",
    "fusion_center",
    "scene_markers",
    "evaluator",
    "tracker",
)


def documented():
    """Defaults of the parameters in the table, by node and name."""
    found, node = {}, ""
    for cells in re.findall(r"^\|(.*)\|(.*)\|(.*)\|.*\|$", DOCUMENT.read_text(), re.MULTILINE):
        names = re.findall(r"`(\w+)`", cells[1])
        node = (re.findall(r"`(\w+)`", cells[0]) or [node])[0]
        found.setdefault(node, {}).update({name: cells[2].strip() for name in names})
    return found


def as_written(default):
    """A default as the table writes it; empty cells refer to another node's."""
    return (
        json.dumps(default) if isinstance(default, (bool, list)) or default == "" else str(default)
    )


@pytest.mark.parametrize("node", NODES)
def test_every_parameter_is_documented(node):
    parameters = import_module(f"cooperative_isac_ros.nodes.{node}").PARAMETERS
    table = documented()[node]
    assert set(table) == {parameter.name for parameter in parameters}
    for parameter in parameters:
        assert table[parameter.name] in (as_written(parameter.default), ""), parameter.name


def test_every_counter_is_documented():
    sources = [path.read_text() for path in (ROOT / "src" / "cooperative_isac_ros").rglob("*.py")]
    counted = {
        name for text in sources for names in COUNTED.findall(text) for name in names if name
    }
    assert {"frames_late", "packets_stale", "resets"} <= counted
    assert counted <= set(re.findall(r"`(\w+)`", DOCUMENT.read_text()))

"""The documents agree with the code, and their links lead somewhere."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODES_PAGE = ROOT / "docs" / "nodes.md"
COUNTED = re.compile(r"""(?:fault|count)\(\s*"(\w+)"|return \(?"(\w+)",""")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def loaded(path: Path):
    """The module of a file that is in no package."""
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


reference = loaded(ROOT / "tools" / "reference.py")
docstrings = loaded(ROOT / "docs" / "_site" / "docstrings.py")


@pytest.mark.parametrize("name", reference.WRITERS)
def test_reference_page_is_that_of_the_code(name):
    made = reference.WRITERS[name]()
    assert (reference.PAGES / name).read_text() == made, "run: python tools/reference.py"


@pytest.mark.parametrize("name", reference.WRITERS)
def test_reference_page_explains_everything(name):
    rows = re.findall(r"^\| .* \|$", reference.WRITERS[name](), re.MULTILINE)
    assert len(rows) > 10
    assert not [row for row in rows if row.endswith("|  |")]


def test_reference_page_has_every_node():
    nodes = {path.stem for path in (ROOT / "src/cooperative_isac_ros/nodes").glob("[a-z]*.py")}
    assert set(reference.NODES) == nodes


def test_every_counter_is_documented():
    sources = [path.read_text() for path in (ROOT / "src" / "cooperative_isac_ros").rglob("*.py")]
    counted = {
        name for text in sources for names in COUNTED.findall(text) for name in names if name
    }
    assert {"frames_late", "packets_stale", "resets"} <= counted
    assert counted <= set(re.findall(r"`(\w+)`", NODES_PAGE.read_text()))


def test_every_room_is_in_the_table_of_contributing():
    science = ROOT / "src" / "cooperative_isac"
    rooms = {f"{path.parent.name}/" for path in science.glob("*/__init__.py")}
    rooms |= {path.name for path in science.glob("[a-z]*.py")}
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| folder of") : text.index("**The rule")]
    assert rooms == set(re.findall(r"`([a-z_]+(?:/|\.py))`", table))


def documents():
    """All Markdown files but those that `make docs` writes."""
    made = ROOT / "docs" / "reference" / "api"
    pages = [path for path in (ROOT / "docs").rglob("*.md") if made not in path.parents]
    return [*ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md"), *pages]


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a Markdown text, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} +(.*)$", FENCED.sub("", text), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        numbered = (f"{name}-{number}" for number in range(1, 100))
        found.add(name if name not in found else next(n for n in numbered if n not in found))
    return found


def broken_links(path: Path, text: str) -> list[str]:
    """Links of a document to files and headings that do not exist."""
    broken = []
    for link in LINK.findall(FENCED.sub("", text)):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        file = path.parent / target if target else path
        shown = text if not target else file.read_text() if file.suffix == ".md" else ""
        if not file.exists() or (anchor and anchor not in anchors(shown)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert broken_links(path, path.read_text()) == []


def test_broken_links_are_found():
    text = "# A title\n[a](#a-title) [b](#b) [c](nodes.md#none) [d](no.png) [e](nodes.md)\n"
    assert broken_links(NODES_PAGE, text) == ["#b", "nodes.md#none", "no.png"]


def test_headings_of_one_name_have_numbered_anchors():
    assert anchors("# Two, *words*\n## Two words\n```\n# no\n```\n") == {"two-words", "two-words-1"}


DOCSTRING = """Estimates of `a`s from echoes.

echoes: [num, num_ant], complex64, sqrt(W); weights, scales: [num],
float64; None: all 1
Returns [num, 3], float64, m.
ValueError when there are none.

    a = b
"""
FIELDS = """Estimates of ``a``\\ s from echoes.

:param echoes: [num, num_ant], complex64, sqrt(W)
:param weights: [num], float64; None: all 1
:param scales: [num], float64; None: all 1
:returns: [num, 3], float64, m.
:raises ValueError: when there are none.
"""


def test_docstrings_become_field_lists():
    lines = docstrings.converted(DOCSTRING.splitlines(), ["echoes", "weights", "scales"])
    fields = [line for line in lines if line.startswith(":") and line != "::"]
    assert [lines[0], "", *fields] == FIELDS.splitlines()
    assert lines[lines.index("::") + 2].strip() == "a = b"


def test_sections_of_docstrings_become_field_lists():
    arguments = "Start.\n\nArgs:\n    a: first\n        of two\n    *b: rest\n\n"
    text = arguments + "Raises:\n    OSError: full\n"
    assert docstrings.converted(text.splitlines(), [])[2:5] == [
        ":param a: first of two",
        ":param \\*b: rest",
        ":raises OSError: full",
    ]

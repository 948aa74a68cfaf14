"""Pages that only the site has: an API page for each package, and the table of contents.

The API pages are written before Sphinx looks for documents. The table of contents is appended to
docs/index.md, which reads as a page without it on GitHub.
"""

from __future__ import annotations

import ast
from pathlib import Path

import cooperative_isac

ROOT = Path(__file__).resolve().parents[2]
SCIENCE = ROOT / "src" / "cooperative_isac"
PAGES = ROOT / "docs" / "reference" / "api"
# In the order of the signal chain, then what looks at the chain as a whole.
ORDER = (
    "scene",
    "waveform",
    "channel",
    "estimation",
    "sensing",
    "learned",
    "fronthaul",
    "calibration",
    "schemes",
    "fusion",
    "tracking",
    "twin",
    "bounds",
    "metrics",
    "pipeline",
    "evaluation",
    "training",
    "output",
)

# Files that have pages of their own: keys of scene files and reports, the Python interface, and the
# commands.
ELSEWHERE = {
    "api.py",
    "cli",
    "scene/file/schema.py",
    "scene/file/array_keys.py",
    "scene/file/motion_keys.py",
    "scene/file/propagation_keys.py",
    "scene/file/world_keys.py",
    "evaluation/summary_file.py",
}


def write_pages() -> None:
    """Write a page for each package of the science, and their list."""
    PAGES.mkdir(parents=True, exist_ok=True)
    packages = sorted(
        {path.stem for path in SCIENCE.iterdir() if _is_documented(path)},
        key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name),
    )
    texts = {name: page(name) for name in packages}
    texts["index"] = index(packages)
    if _public_names():
        texts["public"] = public_page()
    for stale in PAGES.glob("*.md"):
        if stale.stem not in texts:
            stale.unlink()
    for name, text in texts.items():
        path = PAGES / f"{name}.md"
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def _is_documented(path: Path) -> bool:
    if path.is_dir():
        return (path / "__init__.py").is_file() and path.name not in ELSEWHERE
    is_module = path.suffix == ".py" and path.stem not in ("__init__", "__main__")
    return is_module and path.name not in ELSEWHERE


def page(package: str) -> str:
    """Text of the page of one package: each of its modules in a section."""
    folder = SCIENCE / package
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    sections = [f"# cooperative_isac.{package}", "", _summary(files[0]), ""]
    for file in files:
        if file.relative_to(SCIENCE).as_posix() in ELSEWHERE or _is_command(file):
            continue
        if file.name == "__init__.py" and file.parent == folder:
            continue
        parts = file.relative_to(SCIENCE.parent).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        if file.name == "__init__.py" and not _has_members(file):
            continue
        title = module.removeprefix(f"cooperative_isac.{package}.")
        sections += [f"## {title}", "", "```{eval-rst}", f".. automodule:: {module}", "```", ""]
    return "\n".join(sections)


def _is_command(file: Path) -> bool:
    """Whether a file declares commands, which the page of the commands describes."""
    return file.stem == "app" or file.stem.endswith("_app")


def public_page() -> str:
    """Text of the page of the names that `import cooperative_isac` offers."""
    lines = [
        "# The Python interface",
        "",
        "Stable names of `import cooperative_isac as isac`. Members of classes are on the pages",
        "of the packages.",
        "",
        "```{eval-rst}",
        ".. currentmodule:: cooperative_isac",
        "",
    ]
    functions = [name for name in _public_names() if not _is_class(name)]
    lines += [f".. autofunction:: cooperative_isac.{name}" for name in functions]
    lines.append("")
    for name in filter(_is_class, _public_names()):
        lines.append(f".. autoclass:: cooperative_isac.{name}")
        if not _is_of_interface(name):
            lines += ["   :no-members:", "   :no-index:"]
        lines.append("")
    return "\n".join([*lines, "```", ""])


def index(packages: list[str]) -> str:
    """Text of the page that lists the packages."""
    has_public = bool(_public_names())
    stable = "The [Python interface](public.md) is stable; all else may change."
    lines = [
        "# API reference",
        "",
        "Made from the docstrings. Packages stand in the order of the signal chain.",
        stable * has_public,
        "",
        "| package | what |",
        "|---|---|",
    ]
    for name in packages:
        folder = SCIENCE / name
        file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        lines.append(f"| [`{name}`]({name}.md) | {_summary(file)} |")
    pages = ["public"] * has_public + packages
    lines += ["", "```{toctree}", ":hidden:", "", *pages, "```", ""]
    return "\n".join(lines)


def _public_names() -> list[str]:
    return sorted(getattr(cooperative_isac, "__all__", ()))


def _is_of_interface(name: str) -> bool:
    """True where a name is defined in the interface; others have a page of their own."""
    return getattr(cooperative_isac, name).__module__ == "cooperative_isac.api"


def _is_class(name: str) -> bool:
    return isinstance(getattr(cooperative_isac, name), type)


def _summary(file: Path) -> str:
    """First line of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split())


def _has_members(file: Path) -> bool:
    body = ast.parse(file.read_text()).body
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in body)


def _append_contents(app, docname: str, source: list[str]) -> None:
    if docname == app.config.root_doc:
        contents = (ROOT / "docs" / "_site" / "contents.md").read_text()
        source[0] += "\n" + contents


def setup(app) -> dict:
    """Register the hooks with Sphinx."""
    app.connect("config-inited", lambda app, config: write_pages())
    app.connect("source-read", _append_contents)
    return {"parallel_read_safe": True}

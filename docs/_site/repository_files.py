"""Links from documents to files and folders of the repository: each gets a page of the site.

A link such as `../config/scenes/campus.yaml` works on GitHub as it is; Sphinx would make a download
of it. Here it leads to a page with the text of the file, or with the list of a folder. A link to a
file that does not exist is a warning of Sphinx, which ends `make docs`.
"""

from __future__ import annotations

import html
from pathlib import Path

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.addnodes import download_reference, pending_xref

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "files"
# The browser shows these by itself.
PICTURES = {".png", ".svg"}


def _link_to_pages(app, doctree) -> None:
    """Replace links of a document to files and folders by references to their pages."""
    up = "../" * app.env.docname.count("/")
    for node in [*doctree.findall(download_reference), *doctree.findall(pending_xref)]:
        path = (ROOT / app.env.docname).parent.joinpath(node["reftarget"]).resolve()
        if not _has_page(path):
            continue
        name = path.relative_to(ROOT).as_posix()
        _linked(app.env).add(name)
        reference = nodes.reference("", "", internal=True, refuri=f"{up}{FOLDER}/{name}.html")
        reference += node.children
        node.replace_self(reference)


def _has_page(path: Path) -> bool:
    """True where a path is a folder or a text file of the repository, but no document."""
    is_text = path.is_file() and path.suffix not in {*PICTURES, ".md", ".pyc"}
    return path.is_relative_to(ROOT) and path != ROOT and (is_text or path.is_dir())


def _linked(env) -> set[str]:
    """Files and folders that documents link to; kept with Sphinx's environment."""
    return env.__dict__.setdefault("repository_files", set())


def _pages(app):
    """A page for every linked file and folder, and for the files of these folders."""
    names = set(_linked(app.env))
    for name in list(names):
        names |= {path.relative_to(ROOT).as_posix() for path in _files_below(ROOT / name)}
    for name in sorted(names):
        body = _list_of(name) if (ROOT / name).is_dir() else _text_of(name)
        yield f"{FOLDER}/{name}", {"title": name, "body": f"<h1>{name}</h1>\n{body}"}, "page.html"


def _files_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.rglob("*")) if _has_page(path) and path.is_file()]


def _list_of(name: str) -> str:
    """HTML of a list of the files below a folder."""
    folder = ROOT / name
    names = [path.relative_to(folder).as_posix() for path in _files_below(folder)]
    items = [f'<li><a href="{folder.name}/{item}.html">{item}</a></li>' for item in names]
    return "<ul>\n" + "\n".join(items) + "\n</ul>"


def _text_of(name: str) -> str:
    """HTML of a text file."""
    try:
        text = (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return f"<p>{html.escape(name)} is no text.</p>"
    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        lexer = TextLexer()
    return highlight(text, lexer, HtmlFormatter())


def setup(app) -> dict:
    """Register the hooks with Sphinx."""
    # Before Sphinx collects the files to download, at priority 500
    app.connect("doctree-read", _link_to_pages, priority=400)
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": False}

"""Links from documents to files of the repository: each such file gets a page with its text.

A link such as `../config/scenes/campus.yaml` works on GitHub as it is; Sphinx would make a download
of it. Here it leads to a page of the site, and a link to a file that does not exist is a warning,
which ends `make docs`.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.addnodes import download_reference

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "files"
PICTURES = {".png", ".svg"}


def _link_to_pages(app, doctree) -> None:
    """Replace the downloads of a document by references to pages."""
    depth = app.env.docname.count("/")
    files = app.env.__dict__.setdefault("repository_files", set())
    for download in list(doctree.findall(download_reference)):
        path = (ROOT / app.env.docname).parent.joinpath(download["reftarget"]).resolve()
        if path.suffix in PICTURES or not path.is_file() or not path.is_relative_to(ROOT):
            continue  # a picture is shown by the browser; of a missing file Sphinx warns
        name = path.relative_to(ROOT).as_posix()
        files.add(name)
        address = "../" * depth + f"{FOLDER}/{name}.html"
        reference = nodes.reference("", "", internal=True, refuri=address)
        reference += download.children
        download.replace_self(reference)


def _merge(app, env, docnames, other) -> None:
    env.__dict__.setdefault("repository_files", set()).update(
        other.__dict__.get("repository_files", ())
    )


def _pages(app):
    """A page for every file that a document links to."""
    for name in sorted(app.env.__dict__.get("repository_files", ())):
        yield f"{FOLDER}/{name}", {"title": name, "body": _body(ROOT / name, name)}, "page.html"


def _body(path: Path, name: str) -> str:
    text = path.read_text()
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    return f"<h1>{name}</h1>\n" + highlight(text, lexer, HtmlFormatter())


def setup(app) -> dict:
    """Register the hooks with Sphinx."""
    # Before Sphinx collects the files to download, at priority 500
    app.connect("doctree-read", _link_to_pages, priority=400)
    app.connect("env-merge-info", _merge)
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": True}

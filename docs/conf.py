"""The documentation site, built by `make docs` from the Markdown files and the docstrings.

The source folder is the root of the repository, so that links between documents, README.md and
files of the repository are the same on the site and on GitHub.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "docs" / "_site")]

import cooperative_isac  # noqa: E402

project = "Cooperative ISAC"
author = "Cooperative ISAC developers"
version = release = cooperative_isac.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "api_pages",
    "docstrings",
    "repository_files",
]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/**.md"]
# Folders that are not searched for documents.
exclude_patterns = [
    ".*",
    "benchmarks",
    "build",
    "config",
    "docs/images",
    "docs/_site",
    "examples",
    "launch",
    "resource",
    "ros2_ws",
    "runs",
    "src",
    "tests",
    "tools",
]

# Markdown: anchors of headings as on GitHub.
myst_heading_anchors = 4
highlight_language = "none"

# Every reference must resolve, except to types of other libraries, whose indices need the network,
# and to sections of scene files, which have a page of their own.
nitpicky = True
OTHERS = (
    "abc|annotated_types|collections|datetime|enum|matplotlib|numpy|pathlib|pydantic|pydantic_core"
    "|rich|scipy|torch|typer|types|yaml"
)
nitpick_ignore_regex = [
    ("py:.*", rf"({OTHERS})\..*"),
    ("py:class", r"cooperative_isac\.scene\.file\.schema\..*|FieldInfo|NoneType|Path|SceneLike"),
]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
templates_path = ["_site/templates"]
# The page that opens for the folder as a whole.
html_additional_pages = {"index": "to_documents.html"}

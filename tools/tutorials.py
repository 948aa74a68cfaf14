"""Run the code of tutorials as a reader would, and keep the pictures that it makes.

    python tools/tutorials.py                                  # all of docs/tutorials
    python tools/tutorials.py docs/tutorials/1_first_scene.md

Blocks run in the order of the page, in an empty folder with links to `config` and `examples`:

    ```python     in one interpreter
    ```console    lines that begin with `$ `, as one script of bash; what they print is left out
    ```yaml       saved, where the first line is a comment with a file's name: `# parking.yaml`

Other blocks, such as ```sh, are not run: they need a ROS 2 installation or a display.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
PICTURES = ROOT / "docs" / "images" / "tutorials"
LINKED = ("config", "examples")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w-]+\.yaml)\n")
# A command that fails ends a session, and with it what runs in the background.
PROLOG = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; line: number of its first line of code."""

    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page that have a language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)
        for found in FENCE.finditer(text)
    ]


def run_tutorial(page: Path, folder: Path, changes: Mapping[str, str] | None = None) -> dict:
    """Run a page's blocks in an empty folder.

    changes: texts of the code to replace, as a number of frames by a smaller one
    Returns the names that its Python code has defined.
    Raises what the Python code raises; CalledProcessError where a command fails; ValueError for a
    text of changes that is not on the page.
    """
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    names: dict = {"__name__": "__tutorial__"}
    unused = set(changes or ())
    with chdir(folder):
        for block in blocks(page):
            code = block.code
            for old, new in (changes or {}).items():
                unused -= {old} if old in code else set()
                code = code.replace(old, new)
            run_block(Block(block.language, code, block.line), page, names)
    if unused:
        raise ValueError(f"{page.name} has no {', '.join(sorted(unused))}")
    return names


def run_block(block: Block, page: Path, names: dict) -> None:
    """Run one block in the current folder."""
    if block.language == "python":
        # Empty lines, so that errors name lines of the page.
        exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), names)
    elif block.language == "console":
        script = PROLOG + "\n".join(commands(block.code))
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(["bash", "-c", script], check=True, env=environment)
    elif block.language == "yaml" and (name := FILE_NAME.match(block.code)):
        Path(name[1]).write_text(block.code, encoding="utf-8")


def commands(session: str) -> Iterator[str]:
    """The commands of a console session, without their output."""
    goes_on = False
    for line in session.splitlines():
        if goes_on or line.startswith("$ "):
            command = line if goes_on else line[2:]
            goes_on = command.endswith("\\")
            yield command


def main() -> None:
    """Run pages and put their pictures into docs/images/tutorials."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=Path, nargs="*", help="by default all of docs/tutorials")
    for page in parser.parse_args().pages or sorted(TUTORIALS.glob("*.md")):
        with tempfile.TemporaryDirectory() as folder:
            run_tutorial(page, Path(folder))
            pictures = sorted(Path(folder).glob("*.png"))
            for picture in pictures:
                shutil.copy(picture, PICTURES)
        print(f"{page}: {', '.join(picture.name for picture in pictures)}")


if __name__ == "__main__":
    main()

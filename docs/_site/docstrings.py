"""Docstrings of this repository as reStructuredText with field lists, for autodoc.

A docstring is plain text with code between single backticks. Lines `name: shape, dtype, unit` after
a blank line describe arguments, lines that begin with `Returns` or with the name of an exception
describe what a function gives back and raises. Sections `Args:`, `Returns:` and `Raises:` with
indented lines mean the same.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import textwrap
from collections.abc import Iterable

SECTION = re.compile(r"(Args|Returns|Raises|Yields):$")
NAMES = re.compile(r"((?:\*{0,2}\w+)(?:, \*{0,2}\w+)*): +(\S.*)")
RESULT = re.compile(r"(Returns|Yields):? +(\S.*)")
EXCEPTION = r"\w*(?:Error|Exception|Failure)"
RAISED = re.compile(
    rf"(?:Raises )?({EXCEPTION}(?:(?:, | or | and ){EXCEPTION})*)"
    r"(?::| (?=when|where|if|unless|for|lists|names|says|say|with)) *(.*)"
)
# Between fields of one line: a semicolon, or a sentence that ends before the result.
JOINED = re.compile(r"; (?=\w+(?:, \w+)*: )|(?<=\.) (?=Returns )")
CODE = re.compile(r"(`[^`]+`)")
SPECIAL = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def converted(lines: list[str], names: Iterable[str]) -> list[str]:
    """The lines of a docstring with its arguments, results and exceptions as field lists.

    lines: of the docstring, without its indentation
    names: of the arguments or fields of the object
    """
    known = set(names)
    fields: list[str] = []
    text: list[str] = []
    for block in _blocks(lines):
        rest = _take_fields(block, known, fields)
        if any(line.startswith("  ") for line in rest):
            # Columns, a formula or a picture of characters
            text += ["::", "", *(f"    {line}" for line in rest), ""]
        elif rest:
            text += [*(_escaped(line) for line in rest), ""]
    return [*text, *fields, ""] if fields else text


def _blocks(lines: list[str]) -> list[list[str]]:
    """Paragraphs: runs of lines without a blank one, of one indentation or with hanging lines."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if not line.strip():
            blocks.append([])
        else:
            blocks[-1].append(line)
    return [block for block in blocks if block]


def _take_fields(block: list[str], known: set[str], fields: list[str]) -> list[str]:
    """Move the fields of a paragraph to `fields`; returns the lines that are plain text."""
    section = SECTION.match(block[0])
    if section:
        _take_section(section.group(1), block[1:], fields)
        return []
    rest: list[str] = []
    for line in _whole_lines(block, known):
        found = _fields(line, known)
        fields += found
        if not found:
            rest.append(line)
    return rest


def _whole_lines(block: list[str], known: set[str]) -> list[str]:
    """A paragraph in which each field is on a line of its own, with what goes on below it."""
    whole: list[str] = []
    for line in block:
        goes_on = whole and _fields(whole[-1], known) and not _fields(line, known)
        if goes_on:
            whole[-1] += " " + line.strip()
        else:
            whole.append(line)
    return [part for line in whole for part in _parts(line, known)]


def _parts(line: str, known: set[str]) -> list[str]:
    """The fields of one line, each for itself."""
    if not _fields(line, known):
        return [line]
    parts: list[str] = []
    for part in JOINED.split(line):
        if parts and not _fields(part, known):
            parts[-1] = f"{parts[-1]}; {part}"  # "x: [3]; None: unknown" is one field
        else:
            parts.append(part)
    return parts


def _fields(line: str, known: set[str]) -> list[str]:
    """The fields that a line begins; none where it is plain text."""
    if line.startswith(" "):
        return []
    match = NAMES.match(line)
    if match and _are_known(match.group(1), known):
        return _parameters(match.group(1), match.group(2))
    match = RAISED.match(line)
    if match:
        kinds = re.split(r", | or | and ", match.group(1))
        return [f":raises {', '.join(kinds)}: {_escaped(match.group(2))}"]
    match = RESULT.match(line)
    if match:
        return [f":returns: {_escaped(match.group(2))}"]
    return []


def _parameters(names: str, meaning: str) -> list[str]:
    """A field for each of the names before a colon: several names share one meaning."""
    shown = [name.replace("*", "\\*") for name in names.split(", ")]
    return [f":param {name}: {_escaped(meaning)}" for name in shown]


def _are_known(names: str, known: set[str]) -> bool:
    return {name.strip("* ") for name in names.split(",")} <= known


def _take_section(kind: str, lines: list[str], fields: list[str]) -> None:
    """Fields of a section with indented lines."""
    entries: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(line)
    if kind in ("Returns", "Yields"):
        fields.append(":returns: " + _escaped("; ".join(entries)))
        return
    for entry in entries:
        name, _, meaning = entry.partition(": ")
        if kind == "Args":
            fields += _parameters(name, meaning)
        else:
            fields.append(f":raises {name}: {_escaped(meaning)}")


def _escaped(line: str) -> str:
    """Plain text as reStructuredText: code as literals, no other markup."""
    parts = CODE.split(line)
    for index, part in enumerate(parts):
        if index % 2:
            # A literal ends where no letter follows; an escaped space is none on the page
            is_joined = parts[index + 1][:1].isalnum()
            parts[index] = f"``{part.strip('` ')}``" + "\\ " * is_joined
        else:
            parts[index] = SPECIAL.sub(r"\\\1", part)
    return "".join(parts)


def names_of(thing: object) -> list[str]:
    """Names of an object's arguments, and of its fields where it is a class."""
    names = list(getattr(thing, "__dataclass_fields__", ()))
    names += list(getattr(thing, "__annotations__", ()))
    with contextlib.suppress(TypeError, ValueError):
        names += list(inspect.signature(thing).parameters)  # type: ignore[arg-type]
    return names


def _convert(app, what: str, name: str, thing: object, options, lines: list[str]) -> None:
    if isinstance(thing, property):
        thing = thing.fget
    lines[:] = converted(lines, names_of(thing))


def setup(app) -> dict:
    """Register the hook with Sphinx."""
    app.connect("autodoc-process-docstring", _convert)
    return {"parallel_read_safe": True}

"""YAML text to plain data, stricter than PyYAML and nearer to YAML 1.2, with the line of every key.

30e9 and 1e9 are numbers; 1:30 (a number of base 60 in YAML 1.1) and dates are texts; 045 (octal in
YAML 1.1, decimal in 1.2) is refused; keys do not repeat; aliases do not grow without limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml
from yaml.constructor import ConstructorError

from cooperative_isac.scene.file.errors import Problem, SceneError

# Scalars of YAML 1.2, with booleans of YAML 1.1.
WHOLE = re.compile(r"^[-+]?(?:0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*)$")
NUMBER = re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$")
NOT_FINITE = re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
BOOLEAN = re.compile(
    r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$"
)
LEADING_ZERO = re.compile(r"^([-+]?)0[0-9_]+$")
# Values of a whole file, those of aliases counted each time: the largest shipped scene has 300.
MOST_VALUES = 100_000
# Characters of a whole file: a hundred times a large scene; PyYAML reads some 100,000 a second.
MOST_CHARACTERS = 1_000_000
# Longest scalar that a message quotes, characters.
LONGEST_QUOTED_SCALAR = 40

_PREFIX = "tag:yaml.org,2002:"
_TAGS = {_PREFIX + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}


class _Loader(yaml.SafeLoader):
    """PyYAML's loader with the numbers of YAML 1.2."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        if node.tag not in _TAGS:
            name = node.tag.removeprefix(_PREFIX)
            problem = f"a value of type {name} has no place in a scene file"
            raise ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            name = node.tag.removeprefix(_PREFIX)
            problem = f"{_short(node)} cannot be read as {name}"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        zeros = LEADING_ZERO.match(text)
        if zeros:
            plain = zeros[1] + (text[len(zeros[1]) :].replace("_", "").lstrip("0") or "0")
            problem = f"{text} begins with a zero, which some take for octal; write {plain}"
            raise ConstructorError(None, None, problem, node.start_mark)
        return int(text.replace("_", ""), 0)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == _PREFIX + "merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConstructorError(None, None, f"key {key} is not a text", key_node.start_mark)
            if key in seen:
                problem = f"key '{key}' appears twice"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)

        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", BOOLEAN, "yYnNtTfFoO"),
    ("int", WHOLE, "-+0123456789"),
    ("float", NUMBER, "-+0123456789."),
    ("float", NOT_FINITE, "-+."),
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("merge", re.compile(r"^<<$"), "<"),
):
    _Loader.add_implicit_resolver(_PREFIX + _tag, _pattern, list(_first))
_Loader.add_constructor(_PREFIX + "int", _Loader.construct_yaml_int)


@dataclass(frozen=True)
class Document:
    """A file's content, with the line of each value.

    data: the mapping of the text
    root: its node, which has the lines
    """

    data: dict
    root: yaml.MappingNode

    def line(self, key: str) -> int:
        """Line of a key such as `receivers[1].array.kind`, or of the nearest key around it."""
        node: yaml.Node = self.root
        mark = node.start_mark
        rest = key
        while rest:
            child = _child(node, rest)
            if child is None:
                break
            mark, node, rest = child
        return mark.line + 1


def parse_yaml(text: str, source: str) -> Document:
    """The mapping of a YAML text.

    source: path of its file, for messages
    Raises SceneError: it is no such text; the message has the line of the fault.
    """
    if len(text) > MOST_CHARACTERS:
        problem = f"has {len(text):,} characters; a scene file has at most {MOST_CHARACTERS:,}"
        raise SceneError(source, [Problem("", problem)])

    # Nodes with lines, then plain data.
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is not None:
            _check_size(root)
        data = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        problem = f"not valid YAML: {_remedied(error.problem)}"
        raise SceneError(place, [Problem("", problem)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"not valid YAML: character {error.character:#x} is not allowed"
        raise SceneError(f"{source}:{line}", [Problem("", problem)]) from None
    except RecursionError:
        problem = "not valid YAML: lists and mappings are nested too deeply"
        raise SceneError(source, [Problem("", problem)]) from None

    if not isinstance(data, dict) or not isinstance(root, yaml.MappingNode):
        place = source if root is None else f"{source}:{root.start_mark.line + 1}"
        raise SceneError(place, [Problem("", "must be a mapping of keys, such as 'dimension: 3'")])
    return Document(data, root)


def _remedied(problem: str | None) -> str:
    """PyYAML's words for a fault, with a remedy where they lack it."""
    if problem and "'\\t'" in problem:
        return f"{problem}; indent with spaces, not tabs"
    if problem and "another document" in problem:
        return "there is a second document; keep one"
    return problem or "it cannot be read"


def _short(node: yaml.Node) -> str:
    """A scalar for a message, shortened."""
    text = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
    if len(text) > LONGEST_QUOTED_SCALAR:
        text = f"{text[: LONGEST_QUOTED_SCALAR - 3]}..."
    return f"'{text}'"


def _check_size(root: yaml.Node) -> None:
    """Refuse values that contain themselves, and aliases that multiply beyond MOST_VALUES."""
    # Number of values in each node by its id, None while they are counted.
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        """Number of values in a node, itself included; those of aliases count each time."""
        if isinstance(node, yaml.ScalarNode):
            return 1

        # An alias, whose node was counted before.
        if id(node) in sizes:
            counted = sizes[id(node)]
            if counted is None:
                raise ConstructorError(None, None, "an alias contains itself", node.start_mark)
            return counted

        # Values below it; of a mapping both keys and values.
        sizes[id(node)] = None
        children = node.value
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        total = 1 + sum(size(child) for child in children)
        if total > MOST_VALUES:
            problem = f"has more than {MOST_VALUES:,} values, those of aliases counted each time"
            raise ConstructorError(None, None, problem, node.start_mark)
        sizes[id(node)] = total
        return total

    size(root)


def _child(node: yaml.Node, key: str) -> tuple[yaml.Mark, yaml.Node, str] | None:
    """The first step of a key: its place in the text, its value, and the rest of the key."""
    # A place in a list.
    if isinstance(node, yaml.SequenceNode):
        index = re.match(r"\[(\d+)\]\.?", key)
        if index is None or int(index[1]) >= len(node.value):
            return None
        item = node.value[int(index[1])]
        return item.start_mark, item, key[index.end() :]
    if not isinstance(node, yaml.MappingNode):
        return None

    # The longest name that the key begins with; later entries replace merged ones.
    found = None
    for name, value in node.value:
        if not key.startswith(str(name.value)):
            continue
        rest = key.removeprefix(str(name.value))
        if rest and rest[0] not in ".[:":
            continue
        if found is None or len(rest) <= len(found[2]):
            found = name.start_mark, value, rest
    if found is None:
        return None
    mark, value, rest = found
    return mark, value, rest.removeprefix(".")

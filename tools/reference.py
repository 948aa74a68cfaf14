"""Reference pages under docs/reference, made from the code; run it after a change there.

    python tools/reference.py            # writes the pages
    python tools/reference.py --check    # lists those that differ from the code; exit code 1

They are in the repository so that they can be read there; a test compares them with the code.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import json
import re
import sys
import types
import typing
from importlib import import_module
from pathlib import Path

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cooperative_isac.scene.file import keys, schema

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference"
NODES = (
    "target_simulator",
    "transmit_controller",
    "access_point",
    "fusion_center",
    "tracker",
    "scene_markers",
    "evaluator",
    "bag_recorder",
)
MADE_FROM = "Made from {} by `python tools/reference.py`; do not edit."


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def page(title: str, source: str, *blocks: list[str]) -> str:
    """Text of a page; the lines of a block stand together."""
    made = f"*{MADE_FROM.format(source)}*"
    return "\n\n".join([f"# {title}", made, *("\n".join(block) for block in blocks)]) + "\n"


def one_line(text: str) -> str:
    """A text without line breaks."""
    return " ".join(text.split())


# Parameters of the nodes


def parameters_page() -> str:
    """Parameters of every node from their declarations."""
    from cooperative_isac_ros.parameters import SCENE

    blocks = [
        [
            "A value of another type, out of range or not among the choices is refused, with the",
            "reason.",
            "Parameters marked * can be set while the node runs; the others are read at its start.",
            'Lists cannot be empty in ROS 2: `[""]` stands for an empty one.',
        ],
        ["## All nodes"],
        ["Beside these, all nodes have `use_sim_time` of ROS 2."],
        _parameter_table([SCENE]),
    ]
    for name in NODES:
        module = import_module(f"cooperative_isac_ros.nodes.{name}")
        blocks += [
            [f"## {name}"],
            [_sentence(inspect.getdoc(module) or "")],
            _parameter_table(module.PARAMETERS),
        ]
    return page("Parameters of the nodes", "`src/cooperative_isac_ros`", *blocks)


def _parameter_table(parameters: typing.Iterable) -> list[str]:
    rows = []
    for parameter in parameters:
        name = f"`{parameter.name}`" + " \\*" * parameter.live
        values = _values(parameter)
        meaning = parameter.description[:1].upper() + parameter.description[1:] + "."
        rows.append([name, values, f"`{json.dumps(parameter.default)}`", meaning])
    return table(["parameter", "values", "default", "meaning"], rows)


def _values(parameter) -> str:
    if parameter.choices:
        return ", ".join(f"`{word}`" for word in parameter.choices)
    if parameter.high is not None:
        high = "2^63 - 1" if parameter.high == 2**63 - 1 else f"{parameter.high:,g}"
        kind = "double" if isinstance(parameter.default, float) else "integer"
        return f"{kind}, {parameter.low:g} to {high}"
    return {bool: "bool", str: "string", list: "list of strings"}[type(parameter.default)]


# Arguments of the launch file


def launch_page() -> str:
    """Arguments of the launch file from its text: `launch` is not among the wheels."""
    names: dict = {}
    for statement in ast.parse((ROOT / "launch" / "scene.launch.py").read_text()).body:
        is_ours = isinstance(statement, ast.ImportFrom) and "cooperative_isac" in str(
            statement.module
        )
        if is_ours or isinstance(statement, ast.Assign):
            exec(compile(ast.Module([statement], []), "scene.launch.py", "exec"), names)
    rows = [
        [
            f"`{name}`",
            ", ".join(f"`{word}`" for word in words or []),
            f"`{default}`" if default else "",
            meaning[:1].upper() + meaning[1:] + ".",
        ]
        for name, default, meaning, words in names["ARGUMENTS"]
    ]
    use = ["    ros2 launch cooperative_isac scene.launch.py scene:=campus rviz:=true"]
    arguments = table(["argument", "values", "default", "meaning"], rows)
    return page("Arguments of the launch file", "`launch/scene.launch.py`", use, arguments)


# Options of the command line


def commands_page() -> str:
    """Arguments and options of each command from their declarations."""
    from cooperative_isac.cli import app
    from cooperative_isac_ros.bag.app import app as bag_app

    blocks = [
        ["`--help` prints the same. An option in brackets is the opposite of that before it."]
    ]
    commands = dict(_commands("isac", typer.main.get_command(app)))
    # The command line hands over the arguments of this one without reading them
    commands.pop("isac bag")
    commands |= _commands("isac bag", typer.main.get_command(bag_app))
    for name, command in sorted(commands.items()):
        blocks += [[f"## {name}"], [_sentence(inspect.cleandoc(command.help or ""))]]
        rows = [_option(option) for option in command.params if not option.hidden]
        if rows:
            blocks.append(table(["option", "range", "default", "meaning"], rows))
    return page("Commands", "the declarations of `isac`", *blocks)


def _commands(name: str, command) -> list[tuple[str, typing.Any]]:
    """A command, or those of a group, by full name."""
    below = getattr(command, "commands", None)
    if below is None:
        return [(name, command)]
    return [item for key, value in below.items() for item in _commands(f"{name} {key}", value)]


def _option(option) -> list[str]:
    """Row of an argument or option."""
    # Its names.
    is_option = option.param_type_name == "option"
    names = option.opts if is_option else [option.metavar or option.name]
    shown = ", ".join(f"`{name}`" for name in names)
    if option.secondary_opts:
        shown += f" (`{option.secondary_opts[0]}`)"

    # Limits of its value.
    low = "" if option.min is None else f"from {option.min:g}"
    high = "" if option.max is None else f"to {option.max:g}"
    return [shown, f"{low} {high}".strip(), _shown_default(option), option.help or ""]


def _shown_default(option) -> str:
    if option.required:
        return "must be given"
    if option.default in (None, [], ""):
        return ""
    return f"`{json.dumps(option.default, default=str)}`".replace('"', "")


# Messages and services


# A unit in brackets, and the rest of a comment.
UNIT = re.compile(r"(?:\[([^\]0-9,]+)\] )?(.*)")


def messages_page() -> str:
    """Fields of the messages and services from their definitions."""
    folder = ROOT / "ros2_ws" / "src" / "cooperative_isac_msgs"
    blocks: list[list[str]] = [
        ["Units are SI, angles are radian, the fixed frame is `map` (REP-103, REP-105)."]
    ]
    for path in sorted([*folder.rglob("*.msg"), *folder.rglob("*.srv")]):
        blocks += _definition(path)
    return page("Messages and services", "`ros2_ws/src/cooperative_isac_msgs`", *blocks)


def _definition(path: Path) -> list[list[str]]:
    """Heading, introduction and table of one message, or of both halves of a service."""
    halves = re.split(r"^---$", path.read_text(), flags=re.MULTILINE)
    blocks = [[f"## {path.stem}"]]
    for index, half in enumerate(halves):
        introduction, rows = _fields_of(half)
        if introduction:
            blocks.append([introduction])
        if len(halves) == 2:
            blocks.append([("Request:", "Response:")[index]])
        head = ["field", "type", "unit", "meaning"]
        blocks.append(table(head, rows) if rows else ["No fields."])
    return blocks


def _fields_of(text: str) -> tuple[str, list[list[str]]]:
    """Introduction and rows of a message definition."""
    introduction: list[str] = []
    rows: list[list[str]] = []
    above: list[str] = []
    for line in text.splitlines():
        code, _, comment = (part.strip() for part in line.partition("#"))
        if code:
            kind, name, *default = code.split()
            shown = f"`{name}`" + f" (default {' '.join(default)})" * bool(default)
            unit, meaning = UNIT.fullmatch(one_line(" ".join([*above, comment]))).groups("")
            rows.append([shown, f"`{kind}`", unit, meaning])
            above = []
        elif comment and rows and line.startswith(" "):
            rows[-1][-1] += " " + comment
        elif comment:
            above.append(comment)
        elif above and not rows:
            introduction += above
            above = []
    return one_line(" ".join(introduction)), rows


# Keys of scene files

# Unit of a key by its suffix.
UNITS = {
    "db": "dB",
    "dbm": "dBm",
    "dbsm": "dBsm",
    "deg": "deg",
    "degps": "deg/s",
    "hz": "Hz",
    "hzps": "Hz/s",
    "m": "m",
    "mps": "m/s",
    "mps2": "m/s^2",
    "radps": "rad/s",
    "s": "s",
    "spm": "S/m",
    "wavelengths": "wavelengths",
}
TITLES = {
    "NetworkFile": "Bands and stations",
    "SceneFile": "Transmitters and receivers",
    "CommonKeys": "Every scene file",
    "RadioLinkEntry": "radio_link",
}


def scene_file_page() -> str:
    """Keys of scene files from their schema."""
    blocks = [
        [
            "[Scene files](../scenes.md) explains them; `isac check FILE` checks them.",
            "Keys in **bold** are required.",
        ],
    ]
    done: list[type[BaseModel]] = []
    for top in (schema.CommonKeys, schema.SceneFile, schema.NetworkFile):
        _add_section(top, blocks, done)
    return page("Keys of scene files", "`src/cooperative_isac/scene/file/schema.py`", *blocks)


def _add_section(section: type[BaseModel], blocks: list[list[str]], done: list) -> None:
    """Add the table of a section, then those of the sections below it."""
    if section in done:
        return
    done.append(section)
    base = section.__bases__[0]
    inherited = base.model_fields if base in done or base is schema.WaveformEntry else {}
    meanings = _meanings(section)
    rows = [
        [
            _key(name, field),
            _words(field.annotation, field.metadata),
            _unit(name),
            _default(field),
            meanings.get(name, ""),
        ]
        for name, field in section.model_fields.items()
        if name not in inherited and name != "kind"
    ]
    heading = "##" if section.__name__ in ("CommonKeys", "SceneFile", "NetworkFile") else "###"
    blocks.append([f"{heading} {_title(section)}"])
    blocks.append([one_line(section.__doc__ or "")])
    if inherited:
        blocks.append([f"All keys of [{_title(base)}](#{_anchor(base)}), and"])
    blocks.append(table(["key", "value", "unit", "default", "meaning"], rows))
    below = [
        part for name, field in section.model_fields.items() for part in _parts(field.annotation)
    ]
    for part in dict.fromkeys(below):
        _add_section(part, blocks, done)


def _title(section: type[BaseModel]) -> str:
    if "kind" in section.model_fields:
        (kind,) = typing.get_args(section.model_fields["kind"].annotation)
        return f"kind: {kind}"
    name = section.__name__
    return TITLES.get(name, name.removesuffix("Entry").lower())


def _anchor(section: type[BaseModel]) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", _title(section).lower()).replace(" ", "-")


def _meanings(section: type[BaseModel]) -> dict[str, str]:
    """Texts below the keys of a section."""
    body = ast.parse(inspect.getsource(section)).body[0].body  # type: ignore[attr-defined]
    return {
        key.target.id: one_line(text.value.value)
        for key, text in itertools.pairwise(body)
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def _key(name: str, field: FieldInfo) -> str:
    shown = f"`{field.alias or name}`"
    return f"**{shown}**" if field.is_required() else shown


def _unit(name: str) -> str:
    suffix = name.rpartition("_")[2]
    return UNITS.get(suffix, "") if "_" in name else ""


def _default(field: FieldInfo) -> str:
    default = field.default
    if (
        default is PydanticUndefined
        or default is None
        or isinstance(default, BaseModel)
        or default == []
    ):
        return ""
    return f"`{json.dumps(default)}`" if not isinstance(default, str) else f"`{default}`"


def _words(annotation, metadata: typing.Sequence = ()) -> str:
    """Type and range of a key in words; a title of the type stands for both."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        titles = [part.title for part in arguments[1:] if getattr(part, "title", None)]
        if titles:
            return titles[0]
        facts = [fact for part in arguments[1:] for fact in getattr(part, "metadata", [part])]
        return _words(arguments[0], [*facts, *metadata])
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in arguments if kind is not types.NoneType]
        if all(_parts(kind) for kind in kinds):
            return ", ".join(_words(kind) for kind in kinds)
        return " or ".join(_words(kind, metadata) for kind in kinds)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return _list_words(arguments[0], metadata)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"[{_title(annotation)}](#{_anchor(annotation)})"
    return _range_words(
        {float: "number", int: "integer", str: "text", bool: "true or false"}[annotation], metadata
    )


def _list_words(item, metadata: typing.Sequence) -> str:
    # Limits of the length.
    least = next((fact.min_length for fact in metadata if hasattr(fact, "min_length")), 0)
    most = next((fact.max_length for fact in metadata if hasattr(fact, "max_length")), None)

    # Lists of any length, and of lists.
    if most is None:
        return "list of numbers" if item is keys.Finite else f"list of {_words(item)}"
    if typing.get_origin(typing.get_args(item)[0]) is list:
        return f"{least} of {_words(item)}"

    # Points by their lengths.
    words = {(3, 3): "[x, y, z]", (2, 3): "[x, y, z] or [x, y]"}
    return words.get((least, most), f"{least} values")


def _range_words(kind: str, metadata: typing.Sequence) -> str:
    bounds = {
        name: getattr(fact, name)
        for fact in metadata
        for name in ("gt", "ge", "lt", "le", "pattern")
        if getattr(fact, name, None) is not None
    }
    if "pattern" in bounds:
        return "name: a-z, 0-9, `_`"
    low, high = bounds.get("gt", bounds.get("ge")), bounds.get("lt", bounds.get("le"))
    if low is not None and high is not None:
        return f"{kind} from {low:g} to {high:g}"
    if low is not None:
        return f"{kind} {'>' if 'gt' in bounds else '≥'} {low:g}"
    return f"{kind} ≤ {high:g}" if high is not None else kind


def _parts(annotation) -> list[type[BaseModel]]:
    """Sections within an annotation."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in typing.get_args(annotation) for part in _parts(argument)]


def _sentence(text: str) -> str:
    """First paragraph of a docstring."""
    return one_line(text.split("\n\n")[0])


# All pages
WRITERS = {
    "parameters.md": parameters_page,
    "launch.md": launch_page,
    "commands.md": commands_page,
    "messages.md": messages_page,
    "scene_file.md": scene_file_page,
}


def main() -> int:
    """Write the pages, or compare them with the code."""
    options = argparse.ArgumentParser(description="Reference pages, made from the code.")
    options.add_argument("--check", action="store_true", help="only list pages that differ")
    check = options.parse_args().check
    stale = []
    for name, text in ((name, writer()) for name, writer in WRITERS.items()):
        path = PAGES / name
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text)
    for name in stale:
        print(f"docs/reference/{name} {'differs from the code' if check else 'is written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

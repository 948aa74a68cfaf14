"""Messages of faults in a scene file: file, key, fault and allowed values."""

from __future__ import annotations

import difflib
import typing
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# Limits by pydantic's type of a fault: its name among the fault's values, and words for it.
BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
# Words for the expected type, by pydantic's type of a fault.
TYPES = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "finite_number": "a finite number",
}
# Keys of a scene file of one band that a file of bands and stations does not have.
ONE_BAND_KEYS = ("transmitters", "receivers", "waveform")
# Longest value of a file that a message quotes, characters: the message stays one line.
MOST_QUOTED = 80
# Longest value that a message shows before the allowed ones, characters.
MOST_SHOWN = 60
# Least similarity of a word to an allowed one that is suggested (difflib's ratio): one or two
# typing errors in a key of usual length.
LEAST_SIMILARITY = 0.6


@dataclass(frozen=True)
class Problem:
    """One fault of a scene file.

    key: path of the key, such as `receivers[1].array.kind`; "": the whole file
    text: a sentence after it
    """

    key: str
    text: str


class SceneError(ValueError):
    """A scene file that cannot be used; the message has one line for each fault.

    source: path of the file
    problems: all faults that were found
    line_of: line of a key in the file; None: lines are not known
    """

    def __init__(
        self,
        source: str,
        problems: list[Problem],
        line_of: typing.Callable[[str], int] | None = None,
    ) -> None:
        self.source = source
        self.problems = tuple(problems)
        lines = []
        for problem in problems:
            place = source if line_of is None else f"{source}:{line_of(problem.key)}"
            parts = (place, problem.key, problem.text) if problem.key else (place, problem.text)
            lines.append(printable(": ".join(parts)))
        super().__init__("\n".join(lines))


def printable(text: str) -> str:
    """The text in one line, with line breaks and control characters written as escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def problems_of(error: ValidationError, model: type[BaseModel], data: object) -> list[Problem]:
    """The faults that pydantic found in data, in the words of the file."""
    problems = [_problem(fault, model, data) for fault in error.errors(include_url=False)]

    # A key with values of several types has one fault for each of them.
    return list(dict.fromkeys(problems))


def quoted(value: object) -> str:
    """A value of a file for a message: one line of printable characters, shortened."""
    text = str(value)
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= MOST_QUOTED else f"{shown[:MOST_QUOTED]}..."


def _key_path(location: tuple[int | str, ...], data: object) -> str:
    """Path of a key, such as `receivers[1].array.kind`, from a pydantic location."""
    path = ""
    for part in _without_tags(location, data):
        if isinstance(part, int):
            path += f"[{part}]"
        elif path:
            path += f".{part}"
        else:
            path = str(part)
    return path


def _without_tags(location: tuple[int | str, ...], data: object) -> list[int | str]:
    """The location's parts without the tags that pydantic adds for a union, which are kinds."""
    parts = []
    for part in location:
        if isinstance(data, dict) and data.get("kind") == part and part not in data:
            continue
        parts.append(part)

        # Follow the location into the data.
        if isinstance(data, list) and isinstance(part, int):
            data = data[part]
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return parts


def suggestion(word: object, allowed: typing.Iterable[str]) -> str:
    """`did you mean 'x'? ` if one of the allowed words is similar, else nothing."""
    near = difflib.get_close_matches(str(word), list(allowed), n=1, cutoff=LEAST_SIMILARITY)
    return f"did you mean '{near[0]}'? " if near else ""


def _problem(fault: ErrorDetails, model: type[BaseModel], data: object) -> Problem:
    """One of pydantic's faults in the words of the file."""
    location = _without_types(model, fault["loc"])
    kind = fault["type"]
    value = fault["input"]
    context = fault.get("ctx", {})
    key = _key_path(location, data)

    # A key with values of several types.
    if len(location) < len(fault["loc"]):
        return Problem(key, _choice(value, _plain_values(_annotation(model, location))))

    # Keys.
    if kind == "extra_forbidden":
        allowed = _keys(_sections(_annotation(model, location[:-1]))[0])
        if key in ONE_BAND_KEYS and "stations" in allowed:
            return Problem(
                key, "belongs to a scene of one band; leave it out beside bands and stations"
            )
        hint = suggestion(location[-1], allowed)
        return Problem(key, f"is not a known key; {hint}allowed: {', '.join(allowed)}")
    if kind == "missing":
        return Problem(key, "is missing")

    # Choices.
    if kind == "union_tag_not_found":
        return Problem(f"{key}.kind", f"is missing; allowed: {_listed(_kinds(model, location))}")
    if kind == "union_tag_invalid":
        return Problem(f"{key}.kind", _choice(context["tag"], _kinds(model, location)))
    if kind == "literal_error":
        return Problem(key, _choice(value, _literals(_annotation(model, location))))

    # Values.
    return Problem(key, _value_fault(kind, value, context, fault["msg"]))


def _value_fault(kind: str, value: object, context: dict, message: str) -> str:
    """Sentence about a value of a wrong type or beyond a limit.

    kind, context, message: pydantic's type of the fault, values of its limit, and own words
    """
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"is {_shown(value)}; must be {words} {context[name]:g}"
    if kind in TYPES:
        return f"is {_shown(value)}; must be {TYPES[kind]}"
    if kind in ("too_short", "too_long"):
        words, bound = (
            ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        )
        return f"has {context['actual_length']} entries; must have {words} {context[bound]}"
    if kind == "string_too_long":
        return f"has {len(str(value))} characters; must have at most {context['max_length']}"
    if kind == "string_pattern_mismatch":
        return (
            f"is {_shown(value)}; allowed: lower-case letters, digits and '_', beginning with a "
            "letter"
        )
    if kind == "value_error":
        return str(context["error"])
    return f"is {_shown(value)}; {message}"


def _kinds(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str | None]:
    """The kinds of a union at a location."""
    return [_kind(section) for section in _sections(_annotation(model, location))]


def _choice(value: object, allowed: typing.Collection[object]) -> str:
    """Sentence about a value that is not among the allowed ones."""
    hint = suggestion(value, [str(choice) for choice in allowed])
    return f"is {_shown(value)}; {hint}allowed: {_listed(allowed)}"


def _listed(values: typing.Iterable) -> str:
    return ", ".join(str(value) for value in values)


def _shown(value: object) -> str:
    """A value in the words of YAML, shortened."""
    if value is None:
        text = "empty"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = f"'{value}'"
    else:
        text = str(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def _keys(section: type[BaseModel]) -> list[str]:
    """Names of a section's keys in the file."""
    return [field.alias or name for name, field in section.model_fields.items()]


def _annotation(model: type[BaseModel], location: tuple[int | str, ...]) -> object:
    """The type that the models declare at a location."""
    annotation: object = model
    for part in location:
        if not isinstance(part, str):
            continue  # a place in a list
        sections = _sections(annotation)

        # The tag of a union chooses one of its sections; other parts are keys.
        of_kind = [section for section in sections if _kind(section) == part]
        annotation = of_kind[0] if of_kind else _declared(sections, part)
    return annotation


def _without_types(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[int | str, ...]:
    """A location without the type that pydantic adds where a key has values of several types."""
    for place, part in enumerate(location):
        is_plain = not _sections(_annotation(model, location[:place]))
        if is_plain and isinstance(part, str):
            return location[:place]
    return location


def _plain_values(annotation: object) -> list[str]:
    """The values of an annotation such as `bool | Literal["a"]`, in the words of YAML."""
    values: list[str] = []
    for alternative in typing.get_args(annotation):
        if alternative is bool:
            values += [_shown(True), _shown(False)]
        else:
            values += map(str, _literals(alternative))
    return values


def _declared(sections: list[type[BaseModel]], key: str) -> object:
    """The type of a key in the first of the sections that has it."""
    return next(
        field.annotation
        for section in sections
        for name, field in section.model_fields.items()
        if key == (field.alias or name)
    )


def _literals(annotation: object) -> tuple:
    """The values of the literal in an annotation such as `list[Literal["a", "b"]] | None`."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    return next(filter(None, map(_literals, typing.get_args(annotation))), ())


def _kind(section: type[BaseModel]) -> str | None:
    """The `kind` that chooses this model in a union, if it has one."""
    field = section.model_fields.get("kind")
    return typing.get_args(field.annotation)[0] if field else None


def _sections(annotation: object) -> list[type[BaseModel]]:
    """The models inside an annotation such as `list[Annotated[A | B, ...]]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in typing.get_args(annotation) for section in _sections(part)]

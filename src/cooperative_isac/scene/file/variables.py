"""Environment variables in the paths of scene files."""

from __future__ import annotations

import os
import re

# An environment variable in a path, ${NAME} or ${NAME:-default}.
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class UnsetVariable(ValueError):
    """An environment variable in a path that is not set and has no default."""


def expand_variables(text: str) -> str:
    """Text with ${NAME} and ${NAME:-default} replaced from the environment.

    An empty variable counts as unset.

    Raises UnsetVariable: a variable is not set and has no default.
    """

    def value(match: re.Match) -> str:
        found = os.environ.get(match[1]) or match[2]
        if found is None:
            raise UnsetVariable(
                f"environment variable {match[1]} is not set; set it, give a default "
                f"(${{{match[1]}:-FILE}})"
            )
        return found

    return VARIABLE.sub(value, text)

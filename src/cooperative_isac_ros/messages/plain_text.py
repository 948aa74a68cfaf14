"""Text of messages as it may go to a terminal or a log."""

from __future__ import annotations

LONGEST = 300  # characters: a reason of a fault has one or two lines
LONGEST_LINE = 8192  # characters: a line about a file has its path, of 4096 at most
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def plain_text(text: str, longest: int = LONGEST) -> str:
    """One line of printable characters, cut where it is too long.

    Control characters, escape sequences, line ends and marks that change the direction of writing
    are replaced, so that no message can steer a terminal.
    """
    cut = text[:longest]
    printable = "".join(letter if letter.isprintable() else REPLACEMENT for letter in cut)
    return printable if len(text) <= longest else f"{printable}..."


def plain_lines(text: str, longest: int = LONGEST) -> str:
    """Several lines, each as `plain_text` has it."""
    return "\n".join(plain_text(line, longest) for line in text.splitlines())

"""Text of messages, made safe for a terminal or a log."""

from __future__ import annotations

# Longest text of a fault, characters: one or two lines.
LONGEST = 300
# Longest line about a file, characters: its path may have 4096.
LONGEST_LINE = 8192
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def plain_text(text: str, longest: int = LONGEST) -> str:
    """Replace characters that are not printable, and cut the text to a length.

    Control characters, escape sequences, line ends and marks of the writing direction are replaced,
    so that no message can control a terminal.
    """
    cut = text[:longest]
    printable = "".join(letter if letter.isprintable() else REPLACEMENT for letter in cut)
    return printable if len(text) <= longest else f"{printable}..."


def plain_lines(text: str, longest: int = LONGEST) -> str:
    """Apply `plain_text` to each line."""
    return "\n".join(plain_text(line, longest) for line in text.splitlines())

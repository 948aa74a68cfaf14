"""Tables keep their names and numbers in pipes and in terminals of any width."""

import io

import pytest
from rich.table import Table

from cooperative_isac.output.console import ReportConsole, make_console

NAMES = ("compressed_sensing", "monostatic_fine", "dvqvae_demodulated")
NUMBERS = ("123.456", "78.901", "1,234,567")


def table():
    """A table of schemes as commands print them."""
    made = Table(title="figures of schemes")
    for header in ("scheme", "loc.\nRMSE (m)", "thres-\nhold", "bits up"):
        made.add_column(header, no_wrap=True)
    for name in NAMES:
        made.add_row(name, *NUMBERS)
    return made


def printed(width):
    """The lines of the table in a console of a width."""
    stream = io.StringIO()
    ReportConsole(file=stream, width=width).print(table())
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [10_000, 80, 60, 40])
def test_names_and_numbers_stay_whole(width):
    lines = printed(width)
    words = {word for line in lines for word in line.replace("|", " ").replace("│", " ").split()}
    assert {*NAMES, *NUMBERS} <= words
    assert max(map(len, lines)) <= width


def test_a_name_longer_than_the_line_is_folded_and_not_cut():
    lines = printed(20)
    text = "".join("".join(lines).split())
    assert "…" not in text and max(map(len, lines)) <= 20
    assert "threshold" in text and "1,234,567" in text


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_columns_gets_all_the_same(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    make_console().print(table())
    assert "1,234,567" in "".join(capsys.readouterr().out.split())


def test_a_pipe_has_no_edge(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    make_console().print("a word " * 60)
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.setenv("COLUMNS", "40")
    make_console().print("a word " * 60)
    assert len(capsys.readouterr().out.splitlines()) > 10

"""Streams that a command cannot write to as it wants end it in a line at most."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from cooperative_isac.output.command import run_command
from cooperative_isac.output.console import make_console

def command(arguments):
    make_console().print("path/ä→b.yaml", highlight=False)
    if arguments:
        open(arguments[0])

run_command(command, {arguments})
"""


def ended(stdout=subprocess.PIPE, arguments=(), **variables):
    """A command in a process of its own, when it has ended."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=list(arguments))],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("encoding", "output"),
    [
        ("ascii", b"path/\\xe4\\u2192b.yaml\n"),
        ("latin-1", b"path/\xe4\\u2192b.yaml\n"),
        ("utf-8", "path/ä→b.yaml\n".encode()),
    ],
)
def test_characters_that_an_encoding_lacks_are_escaped(encoding, output):
    command = ended(PYTHONIOENCODING=encoding)
    assert (command.returncode, command.stdout, command.stderr) == (0, output, b"")


def test_a_reader_that_leaves_early_is_no_fault():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = ended(stdout=writing)
    finally:
        os.close(writing)
    assert command.stderr == b""


def test_a_full_disk_behind_the_output_is_one_line():
    with Path("/dev/full").open("wb") as full:
        command = ended(stdout=full)
    assert (command.returncode, command.stderr) == (1, b"error: No space left on device\n")


def test_a_fault_of_the_system_is_one_line(tmp_path):
    command = ended(arguments=[str(tmp_path)])
    assert (command.returncode, command.stderr) == (
        1,
        f"error: {tmp_path}: Is a directory\n".encode(),
    )

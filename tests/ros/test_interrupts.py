"""Ctrl-C at any moment of a process: exit code 0, no output, complete results."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cooperative_isac_ros.processes.interrupts import stop_request
from cooperative_isac_ros.start import node_names

TINY = str(Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml")

DURING_IMPORTS = """
import os, signal, sys, time
from cooperative_isac_ros import start

def import_for_long(name):
    os.kill(os.getpid(), signal.{first})
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

start.import_module = import_for_long
sys.argv[0] = "tracker"
raise SystemExit(start.main())
"""
DURING_CONSTRUCTION = """
import os, signal, time
from cooperative_isac_ros import base

base.START_S = 0.1

def make():
    os.kill(os.getpid(), signal.{first})
    time.sleep(60)

raise SystemExit(base.run_node(make, []))
"""
IN_EVERY_CALL = """
import os, signal, sys, threading, time
from cooperative_isac_ros.processes.interrupts import take_signals

take_signals()
from cooperative_isac_ros.base import SceneNode, run_node

class Busy(SceneNode):
    # Signals by the hundred while messages are published, from the first to the end of the process.
    def __init__(self):
        super().__init__("busy")
        self.create_timer(0.001, self.health.report)
        threading.Timer(0.2, self.interrupt).start()

    def interrupt(self):
        for _ in range(200):
            os.kill(os.getpid(), signal.{first})
            time.sleep(0.001)

raise SystemExit(run_node(Busy, ["--ros-args", "-p", "scene:=" + sys.argv[1]]))
"""


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "program",
    [DURING_IMPORTS, DURING_CONSTRUCTION, IN_EVERY_CALL],
    ids=["imports", "construction", "messages"],
)
def test_a_node_ends_well_whenever_it_is_interrupted(program, first):
    ended = subprocess.run(
        [sys.executable, "-c", program.format(first=first), TINY],
        text=True,
        capture_output=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_isac_run_ends_well_during_its_imports(tmp_path):
    command = [
        sys.executable,
        "-m",
        "cooperative_isac.cli",
        "run",
        TINY,
        "--out",
        str(tmp_path / "out"),
    ]
    with subprocess.Popen(
        command,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        while not signals_are_taken(process.pid):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=50)
    assert (process.returncode, output, errors) == (0, "", "") and not (tmp_path / "out").exists()


def signals_are_taken(pid):
    """Return whether a process blocks SIGINT."""
    status = Path(f"/proc/{pid}/status").read_text()
    (blocked,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:")]
    return int(blocked, 16) >> (signal.SIGINT - 1) & 1


def test_the_signal_mask_is_restored_after_a_block():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append("before"))
    try:
        with stop_request() as stop:
            woken = []
            stop.on_request(lambda: woken.append(True))
            assert not stop.requested
            for _ in range(3):
                signal.pthread_kill(stop._thread.ident, signal.SIGINT)
            stop._requested.wait(10)
        assert stop.requested and woken and not seen
        signal.raise_signal(signal.SIGINT)
        assert seen == ["before"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_name_that_is_no_node_is_one_line():
    ended = subprocess.run(
        [sys.executable, "-m", "cooperative_isac_ros.start", "trakker"],
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 2 and ended.stderr.startswith(
        "error: no node 'trakker'; use one of "
    )
    assert ended.stderr.count("\n") == 1 and {"tracker", "access_point"} <= set(node_names())


def test_a_wrong_argument_of_ros_is_one_line(tmp_path):
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "cooperative_isac_ros.start",
            "tracker",
            "--ros-args",
            "--params-file",
            str(tmp_path / "none.yaml"),
        ],
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: ") and "none.yaml" in ended.stderr

"""Processes of a scene: parameters, environment, crashes, and their end."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest
from process_state import alive

from cooperative_isac_ros.launching import process_group as processes
from cooperative_isac_ros.launching.graph import NodeSpec
from cooperative_isac_ros.launching.process_group import ProcessGroup

SPEC = NodeSpec("tracker", "tracker", "/here", {"scene": "/nowhere.yaml"})
PATIENT = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; " + PATIENT


def ran(spec, code):
    return [sys.executable, "-c", code]


def wait_for(condition, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A group whose nodes are little programs."""
    monkeypatch.setattr(
        processes, "GRACE_S", ((signal.SIGINT, 0.5), (signal.SIGTERM, 0.5), (signal.SIGKILL, 5.0))
    )
    group = ProcessGroup(tmp_path)

    def start(code, name="tracker"):
        monkeypatch.setattr(processes, "node_command", lambda spec, file: ran(spec, code))
        group.start(NodeSpec("tracker", name, "/here", {"scene": "x"}))
        log = tmp_path / f"here.{name}.log"
        wait_for(lambda: log.read_text())
        return group._processes[f"/here/{name}"].pid

    group.start_program = start
    yield group
    group.stop()


def test_a_command_line_names_node_namespace_and_parameters(tmp_path):
    spec = NodeSpec("tracker", "follower", "/here", {}, (("detections", "/there/detections"),))
    command = processes.node_command(spec, tmp_path / "p.yaml")
    assert command[1:4] == ["-m", "cooperative_isac_ros.start", "tracker"]
    arguments = " ".join(command[4:])
    assert arguments == (
        "--ros-args -r __node:=follower -r __ns:=/here -r detections:=/there/detections "
        f"--params-file {tmp_path / 'p.yaml'} --enclave /here/follower"
    )
    spec = replace(spec, params_file="/mine.yaml", log_level="debug")
    words = processes.node_command(spec, tmp_path / "p.yaml")
    files = [after for word, after in itertools.pairwise(words) if word == "--params-file"]
    assert files == [str(tmp_path / "p.yaml"), "/mine.yaml"]
    assert words[-2:] == ["--log-level", "debug"]


def test_a_node_that_ends_by_itself_is_named_with_its_last_output(tmp_path):
    with ProcessGroup(tmp_path) as group:
        group.start(SPEC)
        wait_for(lambda: group.crashed() is not None)
        crash = group.crashed()
    assert (crash.name, crash.exit_code) == ("/here/tracker", 2)
    assert crash.last_output == "error: /nowhere.yaml: no such scene file"
    assert "scene: /nowhere.yaml" in (tmp_path / "here.tracker.yaml").read_text()


@pytest.mark.parametrize("code", [PATIENT, STUBBORN], ids=["obedient", "stubborn"])
def test_everything_ends(group, code):
    pids = [group.start_program(code, name) for name in ("one", "two")]
    assert all(map(alive, pids)) and group.crashed() is None
    group.stop()
    assert not any(map(alive, pids))


def test_one_node_can_be_ended_before_the_rest(group):
    first, second = (group.start_program(PATIENT, name) for name in ("one", "two"))
    group.stop(["/here/one"])
    assert not alive(first) and alive(second) and group.crashed() is None


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only on Linux threads stand back by themselves"
)
def test_a_node_that_is_started_again_stands_back_no_further(tmp_path):
    script = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        from cooperative_isac_ros.launching import process_group as processes
        from cooperative_isac_ros.launching.graph import NodeSpec
        processes.node_command = lambda spec, file: [sys.executable, "-c", {PATIENT!r}]
        before = os.nice(0)
        with processes.ProcessGroup(Path({str(tmp_path)!r})) as group:
            os.nice(5)
            group.start(NodeSpec("tracker", "tracker"))
            pid = group._processes["/tracker"].pid
            print(os.getpriority(os.PRIO_PROCESS, pid) - before, os.nice(0) - before)
    """)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout.split() == ["0", "5"], ran.stderr


def test_grandchildren_end_too(group, tmp_path):
    child = group.start_program(
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {PATIENT!r}]); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); p.wait()"
    )
    grandchild = int((tmp_path / "pid").read_text())
    assert alive(child) and alive(grandchild)
    group.stop()
    wait_for(lambda: not alive(grandchild))


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells children of their parent's death"
)
def test_children_end_when_their_parent_is_killed(tmp_path):
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from cooperative_isac_ros.launching import process_group as processes
        from cooperative_isac_ros.launching.graph import NodeSpec
        processes.node_command = lambda spec, file: [sys.executable, "-c", {PATIENT!r}]
        group = processes.ProcessGroup(Path({str(tmp_path)!r}))
        group.start(NodeSpec("tracker", "tracker"))
        print(group._processes["/tracker"].pid, flush=True)
        time.sleep(600)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    wait_for(lambda: (tmp_path / "tracker.log").read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not alive(child))

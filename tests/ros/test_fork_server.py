"""Forked nodes behave as nodes that were started as programs."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from process_state import alive, stat

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.launching.graph import NodeSpec
from cooperative_isac_ros.launching.process_group import ProcessGroup, node_command
from cooperative_isac_ros.processes import fork_server, held_scenes
from cooperative_isac_ros.processes.fork_server import ForkedNode, ForkServerLost, start_fork_server

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux gives orphans to an ancestor"
)
TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"
WRONG = NodeSpec("tracker", "tracker", "/here", {"scene": "/nowhere.yaml"})
TRACKER = NodeSpec("tracker", "tracker", "/here", {"scene": str(TINY)})


def wait_for(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ran(script):
    """Output lines of a Python script."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.fixture(scope="module")
def _servers():
    """A server that the tests of this module share."""
    server = start_fork_server()
    yield [server]
    server.close()


@pytest.fixture
def group(tmp_path, _servers):
    """A group whose nodes are forked."""
    group = ProcessGroup(tmp_path, _servers[0])
    yield group
    group.stop()


def process(group, name="tracker"):
    return group._processes[f"/here/{name}"]


def test_a_node_that_ends_by_itself_is_named_with_its_last_output(group, tmp_path):
    group.start(WRONG)
    wait_for(lambda: group.crashed() is not None)
    crash = group.crashed()
    assert (crash.name, crash.exit_code) == ("/here/tracker", 2)
    assert crash.last_output == "error: /nowhere.yaml: no such scene file"


def test_a_forked_node_looks_like_a_program_of_its_own(group, tmp_path):
    group.start(TRACKER)
    node = process(group)
    state, parent, its_group = stat(node.pid)[:3]
    assert isinstance(node, ForkedNode) and state != "Z"
    assert (int(parent), int(its_group)) == (os.getpid(), node.pid)
    shown = Path(f"/proc/{node.pid}/cmdline").read_text().rstrip("\0").split("\0")
    assert shown == node_command(TRACKER, tmp_path / "here.tracker.yaml")
    assert Path(f"/proc/{node.pid}/comm").read_text() == "tracker\n"
    assert str(Path(f"/proc/{node.pid}/fd/0").readlink()) == os.devnull
    for stream in (1, 2):
        assert Path(f"/proc/{node.pid}/fd/{stream}").readlink() == tmp_path / "here.tracker.log"


def test_libraries_of_a_forked_node_see_its_own_environment(group, tmp_path, monkeypatch):
    logs = tmp_path / "ros logs"
    monkeypatch.setenv("ROS_LOG_DIR", str(logs))
    group.start(TRACKER)
    wait_for(lambda: list(logs.glob(f"*_{process(group).pid}_*.log")))


def test_a_forked_node_ends_on_a_signal(group):
    group.start(TRACKER)
    node = process(group)
    group.stop()
    assert node.returncode == 0 and not alive(node.pid)


def test_a_killed_node_is_reported_with_its_signal_and_forked_again(group, tmp_path):
    group.start(TRACKER)
    first = process(group)
    group.kill("/here/tracker")
    wait_for(group.crashed)
    assert group.crashed().exit_code == -signal.SIGKILL
    group.start(TRACKER)
    assert isinstance(process(group), ForkedNode) and process(group).pid != first.pid


def test_nodes_outlive_their_server_and_later_ones_are_programs(tmp_path):
    server = start_fork_server()
    with ProcessGroup(tmp_path, server) as group:
        group.start(TRACKER)
        server._process.kill()
        server._process.wait()
        group.start(NodeSpec("tracker", "other", "/here", {"scene": str(TINY)}))
        first, second = process(group), process(group, "other")
        assert alive(first.pid) and first.poll() is None
        assert isinstance(second, subprocess.Popen) and second.poll() is None


def test_a_server_that_has_ended_is_recognized(tmp_path):
    server = start_fork_server()
    server._process.kill()
    server._process.wait()
    with (tmp_path / "log").open("wb") as log, pytest.raises(ForkServerLost):
        server.start(["python", "-m", "x", "tracker"], {}, log)
    with pytest.raises(ForkServerLost):
        server.prepare("local_ml", str(TINY))
    server.close()


def test_server_and_nodes_end_when_their_parent_is_killed(tmp_path):
    script = f"""
        import time
        from pathlib import Path
        from cooperative_isac_ros.processes.fork_server import start_fork_server
        from cooperative_isac_ros.launching.graph import NodeSpec
        from cooperative_isac_ros.launching.process_group import ProcessGroup
        server = start_fork_server()
        group = ProcessGroup(Path({str(tmp_path)!r}), server)
        group.start(NodeSpec("tracker", "tracker", "/", {{"scene": {str(TINY)!r}}}))
        print(server._process.pid, group._processes["/tracker"].pid, flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert all(map(alive, pids))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not any(map(alive, pids)))


def test_a_node_that_is_started_again_stands_back_no_further(tmp_path):
    # the niceness of the server is independent of that of the watching process
    (line,) = ran(f"""
        import os
        from pathlib import Path
        from cooperative_isac_ros.processes.fork_server import start_fork_server
        from cooperative_isac_ros.launching.graph import NodeSpec
        from cooperative_isac_ros.launching.process_group import ProcessGroup
        before = os.nice(0)
        with ProcessGroup(Path({str(tmp_path)!r}), start_fork_server()) as group:
            os.nice(5)
            group.start(NodeSpec("tracker", "tracker", "/", {{"scene": {str(TINY)!r}}}))
            pid = group._processes["/tracker"].pid
            print(os.getpriority(os.PRIO_PROCESS, pid) - before, os.nice(0) - before)
    """)
    assert line.split() == ["0", "5"]


def test_a_server_makes_no_context_of_ros_and_no_threads_but_those_of_its_tracer():
    threads, started = ran("""
        import os, gc
        from cooperative_isac_ros.processes import fork_server
        import rclpy
        tracers = len(os.listdir("/proc/self/task"))
        for name in fork_server.PRELOADED:
            fork_server._import(fork_server._node_module(name))
        print(len(os.listdir("/proc/self/task")) - tracers)
        print(rclpy.ok(), "torch" in __import__("sys").modules)
    """)
    assert (threads, started) == ("0", "False False")


def test_a_fork_has_tracer_threads_of_its_own():
    before, after, inside = ran("""
        import os
        import rclpy
        from cooperative_isac_ros.processes.trace_threads import TraceThreads
        count = lambda: len(os.listdir("/proc/self/task"))
        print(count(), flush=True)
        tracer = TraceThreads()
        tracer.before_fork()
        pid = os.fork()
        if pid:
            tracer.after_fork_parent()
            os.waitpid(pid, 0)
            print(count())
        else:
            tracer.after_fork_child()
            read = count()
            os.write(1, f"{read}\\n".encode())
            os._exit(0)
    """)
    assert before == after == inside


def test_an_exit_code_that_was_taken_elsewhere_counts_as_0():
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    node = ForkedNode(child.pid)
    child.wait()
    assert node.poll() == 0


def test_a_request_arrives_whole_with_its_file(tmp_path):
    ours, theirs = fork_server.socket.socketpair()
    with ours, theirs, (tmp_path / "log").open("wb") as log:
        request = {"command": ["a"] * 5000, "environment": {"ü": "=\n"}}
        fork_server._send(ours, request, log.fileno())
        received, (descriptor,) = fork_server._receive(theirs)
        assert received == request
        assert os.path.samestat(os.fstat(descriptor), os.fstat(log.fileno()))
        os.close(descriptor)
        fork_server._send(ours, {})
        assert fork_server._receive(theirs) == ({}, [])
        ours.close()
        assert fork_server._receive(theirs) == (None, [])


def test_a_held_scene_stays_what_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(held_scenes, "_held", {})
    path = tmp_path / "scene.yaml"
    path.write_text(TINY.read_text())
    held_scenes.hold_scene(str(path))
    path.write_text(TINY.read_text().replace("seed: 3", "seed: 4"))
    assert held_scenes.node_scene(str(path)).seed == 3 and load_scene(path).seed == 4
    assert held_scenes.node_scene(str(TINY)).fingerprint == load_scene(TINY).fingerprint

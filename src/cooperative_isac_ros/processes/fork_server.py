"""Nodes forked from one process that has imported what all of them need.

    python -m cooperative_isac_ros.processes.fork_server PARENT DESCRIPTOR

`ForkServer` starts that process and asks it for nodes. The process makes no node and no ROS context
itself: each node is a fork of it that goes on as `cooperative_isac_ros.start` does, with its own
arguments, environment, log file and process group, and is a child of whoever asked for it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

from cooperative_isac_ros import start
from cooperative_isac_ros.launching.environment import library_variables
from cooperative_isac_ros.processes.interrupts import SIGNALS
from cooperative_isac_ros.processes.kernel import adopt_orphans, end_with_parent, set_title
from cooperative_isac_ros.processes.trace_threads import TraceThreads

# Nodes of every scene, in the order in which they are started.
PRELOADED = (
    "access_point",
    "fusion_center",
    "tracker",
    "evaluator",
    "scene_markers",
    "target_simulator",
    "transmit_controller",
)
# Room in the server's command line for those of its nodes, which are shown there.
TITLE_BYTES = 4096
# [s] A fork takes milliseconds; a server that still imports takes seconds on a busy machine.
ANSWER_WITHIN_S = 60.0
ADOPTED_WITHIN_S = 5.0
LOOK_EVERY_S = 0.001

HEADER = struct.Struct("!I")
# Process id of the new node, or minus the error number.
ANSWER = struct.Struct("!q")


class ForkServerLost(Exception):
    """The server has ended, or does not answer."""


class ForkedNode:
    """A node that a server has forked: a child of this process, with the methods of Popen."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit code; None while the node lives. From any thread."""
        with self._lock:
            if self.returncode is not None:
                return self.returncode
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else in this process has taken the exit code, as with Popen.
                pid, status = self.pid, 0
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode


class ForkServer:
    """The process that nodes are forked from, as whoever asks for nodes has it.

    It imports what nodes need from its start on, and ends with `close` or with this process.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._channel = ours
        self._channel.settimeout(ANSWER_WITHIN_S)
        with theirs:
            words = [str(os.getpid()), str(theirs.fileno()), " " * TITLE_BYTES]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cooperative_isac_ros.processes.fork_server", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **library_variables()},
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        _open.add(self)

    def prepare(self, scheme: str, scene: str) -> None:
        """Let the server do once what all nodes that it forks later would do.

        scheme: name of the scheme whose libraries are loaded
        scene: absolute path of the file of their scene, which is loaded, too

        Raises ForkServerLost: there is no server any more
        """
        try:
            _send(self._channel, {"scheme": scheme, "scene": scene})
        except OSError as error:
            raise ForkServerLost(str(error)) from None

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: BinaryIO
    ) -> ForkedNode:
        """Fork a node.

        command: command line of the node as a program of its own; it is shown by `ps`
        environment: its whole environment
        log: file of its standard output and standard error

        Raises ForkServerLost: there is no server any more
        Raises OSError: there is no room for a process
        """
        request = {"command": list(command), "environment": dict(environment)}
        try:
            _send(self._channel, request, log.fileno())
            answer = _received(self._channel, ANSWER.size)
        except OSError as error:
            raise ForkServerLost(str(error)) from None
        if answer is None:
            raise ForkServerLost("it has ended")
        (number,) = ANSWER.unpack(answer)
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return ForkedNode(number)

    def close(self) -> None:
        """End the server, which has nothing to save; nodes live on."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
        _open.discard(self)


_open: set[ForkServer] = set()


def end_fork_servers() -> None:
    """End all servers of this process, from any thread, before it ends in the middle of things."""
    for server in list(_open):
        server.close()


def start_fork_server() -> ForkServer | None:
    """A new server; None where the system has none, or no room for it."""
    # Nodes become children of this process when the process between ends.
    if not adopt_orphans():
        return None
    try:
        return ForkServer()
    except OSError:
        return None


_of_the_process: ForkServer | None = None


def begin_fork_server() -> None:
    """Start the server of this process before there is a use for it: its imports take a second."""
    global _of_the_process
    if _of_the_process is None:
        _of_the_process = start_fork_server()


def taken_fork_server() -> ForkServer | None:
    """The server that was begun, from now on the caller's to close; else a new one."""
    global _of_the_process
    server = _of_the_process
    _of_the_process = None
    return server or start_fork_server()


@dataclass(frozen=True)
class Order:
    """A node to be forked. log: descriptor of its log file."""

    command: list[str]
    environment: dict[str, str]
    log: int


def main() -> int:
    """Serve until the other end of the channel is closed; in a node, the node's exit code."""
    parent = int(sys.argv[1])
    channel = socket.socket(fileno=int(sys.argv[2]))
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        return 0
    set_title("fork_server", [sys.executable, "-m", "cooperative_isac_ros.processes.fork_server"])

    # Nodes end when the process that asked for them does so, not at a key that is pressed.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    # What is imported is no garbage, and pages that nobody writes to are shared.
    gc.disable()
    order = _next_order(channel, parent)
    if order is None:
        return 0

    # From here on this is a node.
    gc.enable()
    sys.argv = [start.__file__, *order.command[3:]]
    return start.main()


def _next_order(channel: socket.socket, parent: int) -> Order | None:
    """Serve until the channel is closed, then None; returns in each forked node with its order."""
    tracer = TraceThreads()
    names = list(PRELOADED)
    while True:
        # Between two imports, nodes whose own are there need not wait for those of others.
        if names and not select.select([channel], [], [], 0)[0]:
            _import(_node_module(names.pop(0)))
            continue

        request, descriptors = _receive(channel)
        if request is None:
            return None
        if "scene" in request:
            _prepare(request["scheme"], request["scene"])
            continue
        order = Order(request["command"], request["environment"], descriptors[0])
        _import(_node_module(order.command[3]))
        if _fork_node(channel, tracer):
            _become_node(order, channel, parent)
            return order
        os.close(order.log)


def _node_module(name: str) -> str:
    return f"cooperative_isac_ros.nodes.{name}"


def _import(module: str) -> None:
    """Import a module; what cannot be imported fails again in its node, where it is seen."""
    with suppress(Exception):
        import_module(module)


def _prepare(scheme: str, scene: str) -> None:
    """What all nodes share, if it can be had; what fails does so again in each node."""
    with suppress(Exception):
        from cooperative_isac.schemes.registry import load_schemes
        from cooperative_isac_ros.processes.held_scenes import hold_scene

        load_schemes(scheme, hold_scene(scene))


def _fork_node(channel: socket.socket, tracer: TraceThreads) -> bool:
    """Fork twice, so that the node's parent ends and the node is adopted; whether this is it."""
    gc.freeze()
    tracer.before_fork()
    try:
        between = os.fork()
    except OSError as error:
        tracer.after_fork_parent()
        channel.sendall(ANSWER.pack(-(error.errno or 1)))
        return False
    if between:
        tracer.after_fork_parent()
        os.waitpid(between, 0)
        return False

    # The process between
    try:
        node = os.fork()
    except OSError as error:
        channel.sendall(ANSWER.pack(-(error.errno or 1)))
        os._exit(1)
    if node:
        os._exit(0)
    tracer.after_fork_child()
    return True


def _become_node(order: Order, channel: socket.socket, parent: int) -> None:
    """All that a program of its own would have got from whoever starts it."""
    os.setpgid(0, 0)
    deadline = time.monotonic() + ADOPTED_WITHIN_S
    while os.getppid() != parent and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    end_with_parent()
    if os.getppid() != parent:
        os._exit(1)

    # Streams: standard input is that of the server, nothing.
    os.dup2(order.log, 1)
    os.dup2(order.log, 2)
    os.close(order.log)

    # Variables that libraries read when they are first used, not when they are loaded
    os.environ.clear()
    os.environ.update(order.environment)

    set_title(order.command[3], order.command)
    channel.sendall(ANSWER.pack(os.getpid()))
    channel.close()


def _send(channel: socket.socket, request: dict[str, Any], *descriptors: int) -> None:
    text = json.dumps(request).encode()
    socket.send_fds(channel, [HEADER.pack(len(text))], descriptors)
    channel.sendall(text)


def _receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next request, and descriptors that came with it; None when the channel is closed."""
    header, descriptors, _, _ = socket.recv_fds(channel, HEADER.size, 1)
    if len(header) < HEADER.size:
        return None, []
    (size,) = HEADER.unpack(header)
    text = _received(channel, size)
    return (None if text is None else json.loads(text)), descriptors


def _received(channel: socket.socket, size: int) -> bytes | None:
    """So many bytes; None when the channel is closed before."""
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(size - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    sys.exit(main())

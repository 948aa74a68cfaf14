"""Fork server: nodes are forked from one process that has imported what all of them need.

    python -m cooperative_isac_ros.processes.fork_server PARENT DESCRIPTOR

`ForkServer` starts that process and requests nodes from it. The process creates no node and no ROS
context itself: each node is a fork of it that runs `cooperative_isac_ros.start` with its own
arguments, environment, log file and process group, and is a child of the requesting process.
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
from cooperative_isac_ros.processes.environment import library_variables
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
# Place of the node's name in its command line: python -m cooperative_isac_ros.start NODE ...
NODE_ARGUMENT = 3
# Spaces in the server's command line, bytes: a forked node overwrites them with its own one.
TITLE_BYTES = 4096
# Longest wait for an answer, s: a fork takes milliseconds, a server that is still importing takes
# seconds on a busy machine.
ANSWER_WITHIN_S = 60.0
# Longest wait of a new node until its parent is the requesting process, s, and the interval of the
# checks.
ADOPTED_WITHIN_S = 5.0
PARENT_CHECK_S = 0.001

# Size of a request in bytes, sent before it.
HEADER = struct.Struct("!I")
# Answer: process id of the new node, or the negative error number.
ANSWER = struct.Struct("!q")


class ForkServerLost(Exception):
    """The fork server has ended, or does not answer."""


class ForkedNode:
    """Forked node: a child of this process, with `pid`, `poll` and `returncode` of Popen."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Exit code; None while the node runs. Thread-safe."""
        with self._lock:
            if self.returncode is not None:
                return self.returncode
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Another waitpid of this process has taken the exit code: 0, as Popen does.
                pid = self.pid
                status = 0
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode


class ForkServer:
    """Client of a fork server.

    The server process begins to import what nodes need when this object is created, and ends with
    `close` or with the process that created it.
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
        """Load a scene and the libraries of a scheme in the server, once for all nodes.

        scheme: name of the scheme
        scene: absolute path of the scene file

        Raises ForkServerLost where the server has ended.
        """
        try:
            _send(self._channel, {"scheme": scheme, "scene": scene})
        except OSError as error:
            raise ForkServerLost(str(error)) from None

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: BinaryIO
    ) -> ForkedNode:
        """Fork a node.

        command: command line that would start the node as a program; `ps` shows it
        environment: all environment variables of the node
        log: file of its standard output and standard error

        Raises ForkServerLost where the server has ended, and OSError where it cannot fork.
        """
        # send the request and the descriptor of the log file
        request = {"command": list(command), "environment": dict(environment)}
        try:
            _send(self._channel, request, log.fileno())
            answer = _received(self._channel, ANSWER.size)
        except OSError as error:
            raise ForkServerLost(str(error)) from None

        # the answer is the process id of the node, or a negative errno of the fork
        if answer is None:
            raise ForkServerLost("it has ended")
        (pid_or_error,) = ANSWER.unpack(answer)
        if pid_or_error < 0:
            raise OSError(-pid_or_error, os.strerror(-pid_or_error))
        return ForkedNode(pid_or_error)

    def close(self) -> None:
        """Kill the server, which has nothing to save; its nodes keep running."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
        _open.discard(self)


# Servers of this process that are not closed.
_open: set[ForkServer] = set()


def end_fork_servers() -> None:
    """Close all servers of this process before it exits at once. Thread-safe."""
    for server in list(_open):
        server.close()


def start_fork_server() -> ForkServer | None:
    """Start a server; None where the system does not support or cannot start one."""
    # Nodes become children of this process when the intermediate process ends.
    if not adopt_orphans():
        return None
    try:
        return ForkServer()
    except OSError:
        return None


# Server that was started ahead of its use.
_of_the_process: ForkServer | None = None


def begin_fork_server() -> None:
    """Start the server of this process ahead of its use: its imports take a second."""
    global _of_the_process
    if _of_the_process is None:
        _of_the_process = start_fork_server()


def taken_fork_server() -> ForkServer | None:
    """Server that was started ahead, or a new one; the caller closes it."""
    global _of_the_process
    server = _of_the_process
    _of_the_process = None
    return server or start_fork_server()


@dataclass(frozen=True)
class Order:
    """Request for a node.

    log: file descriptor of its log file
    """

    command: list[str]
    environment: dict[str, str]
    log: int


def main() -> int:
    """Serve requests until the client closes the channel; in a forked node, run the node.

    Returns the exit code.
    """
    # end with the client
    parent = int(sys.argv[1])
    channel = socket.socket(fileno=int(sys.argv[2]))
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        return 0
    set_title("fork_server", [sys.executable, "-m", "cooperative_isac_ros.processes.fork_server"])

    # Ctrl-C is for the client, which ends the nodes.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    # Imported modules are no garbage, and pages that are not written stay shared.
    gc.disable()
    order = _next_order(channel, parent)
    if order is None:
        return 0

    # from here on this process is a node, with the command line that start.main() reads
    gc.enable()
    sys.argv = [start.__file__, *order.command[NODE_ARGUMENT:]]
    return start.main()


def _next_order(channel: socket.socket, parent: int) -> Order | None:
    """Serve requests until the channel is closed. Returns None; in a forked node, its order."""
    tracer = TraceThreads()
    names = list(PRELOADED)
    while True:
        # import one module at a time, as long as there is no request
        if names and not select.select([channel], [], [], 0)[0]:
            _import(_node_module(names.pop(0)))
            continue

        request, descriptors = _receive(channel)
        if request is None:
            return None
        if "scene" in request:
            _prepare(request["scheme"], request["scene"])
            continue

        # fork a node
        order = Order(request["command"], request["environment"], descriptors[0])
        _import(_node_module(order.command[NODE_ARGUMENT]))
        if _fork_node(channel, tracer):
            _become_node(order, channel, parent)
            return order
        os.close(order.log)


def _node_module(name: str) -> str:
    return f"cooperative_isac_ros.nodes.{name}"


def _import(module: str) -> None:
    """Import a module; a failure is repeated in its node, which reports it."""
    with suppress(Exception):
        import_module(module)


def _prepare(scheme: str, scene: str) -> None:
    """Load scene and scheme; a failure is repeated in each node, which reports it."""
    with suppress(Exception):
        from cooperative_isac.schemes.registry import load_schemes
        from cooperative_isac_ros.processes.held_scenes import hold_scene
        from cooperative_isac_ros.processes.startup import prepare_loggers

        load_schemes(scheme, hold_scene(scene))
        prepare_loggers()


def _fork_node(channel: socket.socket, tracer: TraceThreads) -> bool:
    """Fork twice, so that the client adopts the node when its parent ends.

    Returns True in the node.
    """
    # intermediate process; the objects so far are excluded from collections of the node, which
    # would write to the pages that it shares with this process
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

    # node
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
    """Set up the process as if it had been started as a program by the client.

    order: request for the node
    channel: socket to the client
    parent: process id of the client
    """
    # a process group of its own
    os.setpgid(0, 0)

    # The kernel makes the client its parent as soon as the intermediate process has ended. A node
    # whose client has ended, too, is of no use.
    deadline_s = time.monotonic() + ADOPTED_WITHIN_S
    while os.getppid() != parent and time.monotonic() < deadline_s:
        time.sleep(PARENT_CHECK_S)
    end_with_parent()
    if os.getppid() != parent:
        os._exit(1)

    # streams: standard input is that of the server, /dev/null
    os.dup2(order.log, 1)
    os.dup2(order.log, 2)
    os.close(order.log)

    # variables that libraries read at their first use rather than when they are loaded
    os.environ.clear()
    os.environ.update(order.environment)

    # name in lists of processes: that of the node in `python -m MODULE NODE`; then the answer
    set_title(order.command[NODE_ARGUMENT], order.command)
    channel.sendall(ANSWER.pack(os.getpid()))
    channel.close()


def _send(channel: socket.socket, request: dict[str, Any], *descriptors: int) -> None:
    """Send a request with file descriptors."""
    text = json.dumps(request).encode()
    socket.send_fds(channel, [HEADER.pack(len(text))], descriptors)
    channel.sendall(text)


def _receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Next request and its file descriptors; None where the channel is closed."""
    header, descriptors, _, _ = socket.recv_fds(channel, HEADER.size, 1)
    if len(header) < HEADER.size:
        return None, []
    (size,) = HEADER.unpack(header)
    text = _received(channel, size)
    return (None if text is None else json.loads(text)), descriptors


def _received(channel: socket.socket, size: int) -> bytes | None:
    """Receive a number of bytes; None where the channel is closed before."""
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(size - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    sys.exit(main())

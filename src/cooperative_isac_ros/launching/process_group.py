"""Process group of the nodes of a scene: started, polled and ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cooperative_isac_ros.launching.graph import NodeSpec, node_variables
from cooperative_isac_ros.messages.plain_text import plain_lines
from cooperative_isac_ros.processes.fork_server import ForkedNode, ForkServer, ForkServerLost
from cooperative_isac_ros.processes.kernel import IS_LINUX, end_with_parent

# Signals by which nodes are ended, and how long each may take, s.
GRACE_S = ((signal.SIGINT, 8.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
# Interval at which ending nodes are polled, s.
POLL_EVERY_S = 0.02
# Lines of a crashed node's log that are shown.
LAST_LINES = 15


@dataclass(frozen=True)
class Crash:
    """Node that ended by itself.

    last_output: last lines of its log
    """

    name: str
    exit_code: int
    last_output: str

    @property
    def reason(self) -> str:
        """Exit code or signal, as text."""
        return f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"


def node_command(spec: NodeSpec, parameter_file: Path) -> list[str]:
    """Command line of a node whose parameters are in a file."""
    # name, namespace and remappings
    namespace = f"/{spec.namespace.strip('/')}"
    renames = (("__node", spec.name), ("__ns", namespace), *spec.remappings)
    remaps = [part for old, new in renames for part in ("-r", f"{old}:={new}")]

    # parameters: a later file overrides an earlier one
    files = [str(parameter_file), *filter(None, [spec.params_file])]
    parameters = [part for file in files for part in ("--params-file", file)]

    # enclave of its keys, for SROS 2
    enclave = ["--enclave", spec.full_name]
    level = ["--log-level", spec.log_level] if spec.log_level else []
    return [
        sys.executable,
        "-m",
        "cooperative_isac_ros.start",
        spec.executable,
        "--ros-args",
        *remaps,
        *parameters,
        *enclave,
        *level,
    ]


class ProcessGroup:
    """Processes of the nodes of one scene; leaving the context ends them.

    Nodes are forked by a fork server, as long as there is one; else each is a program. Programs are
    started from a thread of their own: a process inherits the niceness of the thread that starts
    it, and the thread that restarts a node has raised its niceness by then.

    folder: for parameter files and logs
    """

    def __init__(self, folder: Path, server: ForkServer | None = None):
        self._folder = folder
        self._server = server
        self._processes: dict[str, subprocess.Popen | ForkedNode] = {}

        # an empty task starts the thread now, while its niceness is still that of the command
        self._starter = ThreadPoolExecutor(1, "starter")
        self._starter.submit(lambda: None).result()

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._starter.shutdown()
        self._leave_server()

    def start(self, spec: NodeSpec) -> None:
        """Start or restart a node; its output goes to `<name>.log` in the folder.

        Raises OSError where its files cannot be written, or the process cannot be created.
        """
        # Its parameters.
        stem = spec.full_name.strip("/").replace("/", ".")
        parameter_file = self._folder / f"{stem}.yaml"
        parameter_file.write_text(spec.parameter_text(), encoding="utf-8")

        # A restarted node continues its log.
        is_restart = spec.full_name in self._processes
        mode = "ab" if is_restart else "wb"
        command = node_command(spec, parameter_file)
        environment = {**os.environ, **node_variables(spec.executable)}
        with self._log(spec.full_name).open(mode) as log:
            self._processes[spec.full_name] = self._process(command, environment, log)

    def _process(
        self, command: list[str], environment: dict[str, str], log: BinaryIO
    ) -> subprocess.Popen | ForkedNode:
        """Create the process of a node."""
        # by the fork server
        if self._server is not None:
            try:
                return self._server.start(command, environment, log)
            except ForkServerLost:
                self._leave_server()

        # as a program
        started = self._starter.submit(
            subprocess.Popen,
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=0,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        return started.result()

    def _leave_server(self) -> None:
        """Close the fork server; from here on nodes are started as programs."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def ended(self) -> tuple[Crash, ...]:
        """Nodes that ended by themselves."""
        return tuple(
            self._crash(name, exit_code)
            for name, process in self._processes.items()
            if (exit_code := process.poll()) is not None
        )

    def crashed(self) -> Crash | None:
        """First node that ended by itself; None where all run."""
        return next(iter(self.ended()), None)

    def kill(self, name: str) -> None:
        """Kill a node that does not respond; it counts as one that ended by itself."""
        process = self._processes[name]
        if process.poll() is None:
            _signal_group(process, signal.SIGKILL)

    def interrupt(self) -> None:
        """Send SIGINT to all nodes, without waiting for them. Thread-safe."""
        for process in list(self._processes.values()):
            if process.poll() is None:
                _signal_group(process, signal.SIGINT)

    def drop(self, name: str) -> None:
        """Remove a node that ended from the group."""
        self._processes.pop(name)

    def _crash(self, name: str, exit_code: int) -> Crash:
        """Report of a node that ended, with the end of its log."""
        try:
            text = self._log(name).read_text(errors="replace")
        except OSError:
            text = ""
        lines = text.splitlines()[-LAST_LINES:]
        return Crash(name, exit_code, plain_lines("\n".join(lines)))

    def stop(self, names: Sequence[str] | None = None) -> None:
        """End nodes by the signals of GRACE_S, one after the other.

        names: full names; None: all nodes
        """
        processes = [
            self._processes.pop(name)
            for name in list(names or self._processes)
            if name in self._processes
        ]
        for number, grace_s in GRACE_S:
            for process in processes:
                if process.poll() is None:
                    _signal_group(process, number)
            deadline_s = time.monotonic() + grace_s
            while any(process.poll() is None for process in processes):
                if time.monotonic() >= deadline_s:
                    break
                time.sleep(POLL_EVERY_S)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.strip('/').replace('/', '.')}.log"


def _signal_group(process: subprocess.Popen | ForkedNode, number: int) -> None:
    """Send a signal to a node and its own children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _end_with_parent(parent: int):
    """Function that a child calls before exec, to get SIGTERM when its parent dies.

    parent: process id; a child whose parent is gone already ends at once
    Returns None on systems other than Linux, which have no such signal.
    """
    if not IS_LINUX:
        return None

    def prepare() -> None:
        end_with_parent()
        if os.getppid() != parent:
            os._exit(1)

    return prepare

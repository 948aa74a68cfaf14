"""Node processes: started together, watched, and ended together whatever happens."""

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

GRACE_S = ((signal.SIGINT, 8.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
LAST_LINES = 15


@dataclass(frozen=True)
class Crash:
    """A node that ended by itself, with what it said last."""

    name: str
    exit_code: int
    last_output: str

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        return f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"


def node_command(spec: NodeSpec, parameter_file: Path) -> list[str]:
    """Command line of a node whose parameters lie in a file."""
    namespace = f"/{spec.namespace.strip('/')}"
    renames = (("__node", spec.name), ("__ns", namespace), *spec.remappings)
    remaps = [part for old, new in renames for part in ("-r", f"{old}:={new}")]
    # Of two files, the later one's value counts.
    files = [str(parameter_file), *filter(None, [spec.params_file])]
    parameters = [part for file in files for part in ("--params-file", file)]
    # The name of its keys, where SROS 2 is on.
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
    """The processes of one scene; leaving the context ends them all. Files go to a folder.

    A fork server makes them, while there is one; else each is a program of its own. Those a thread
    of its own starts: a process inherits how far its thread stands back, and one that is started
    again must not stand back further than before, as who watches it does by then.
    """

    def __init__(self, folder: Path, server: ForkServer | None = None):
        self._folder = folder
        self._server = server
        self._processes: dict[str, subprocess.Popen | ForkedNode] = {}
        self._starter = ThreadPoolExecutor(1, "starter")
        self._starter.submit(int).result()

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._starter.shutdown()
        self._leave_server()

    def start(self, spec: NodeSpec) -> None:
        """Start one node, or start it again; its output goes to a log file of its name.

        Raises OSError: its files cannot be written, or there is no room for a process.
        """
        stem = spec.full_name.strip("/").replace("/", ".")
        parameter_file = self._folder / f"{stem}.yaml"
        parameter_file.write_text(spec.parameter_text(), encoding="utf-8")
        again = spec.full_name in self._processes
        with self._log(spec.full_name).open("ab" if again else "wb") as log:
            environment = {**os.environ, **node_variables(spec.executable)}
            self._processes[spec.full_name] = self._process(
                node_command(spec, parameter_file), environment, log
            )

    def _process(
        self, command: list[str], environment: dict[str, str], log: BinaryIO
    ) -> subprocess.Popen | ForkedNode:
        """A new process of a node."""
        if self._server is not None:
            try:
                return self._server.start(command, environment, log)
            except ForkServerLost:
                self._leave_server()
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
        """From here on nodes are programs of their own."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def ended(self) -> tuple[Crash, ...]:
        """The nodes that ended by themselves."""
        return tuple(
            self._crash(name, exit_code)
            for name, process in self._processes.items()
            if (exit_code := process.poll()) is not None
        )

    def crashed(self) -> Crash | None:
        """The first node that ended by itself."""
        return next(iter(self.ended()), None)

    def kill(self, name: str) -> None:
        """End a node that does not answer; it counts as one that ended by itself."""
        process = self._processes[name]
        if process.poll() is None:
            _signal_group(process, signal.SIGKILL)

    def interrupt(self) -> None:
        """Ask all nodes to end, and wait for none; from any thread."""
        for process in list(self._processes.values()):
            if process.poll() is None:
                _signal_group(process, signal.SIGINT)

    def drop(self, name: str) -> None:
        """Look no more after a node that ended."""
        self._processes.pop(name)

    def _crash(self, name: str, exit_code: int) -> Crash:
        try:
            text = self._log(name).read_text(errors="replace")
        except OSError:
            text = ""
        lines = text.splitlines()[-LAST_LINES:]
        return Crash(name, exit_code, plain_lines("\n".join(lines)))

    def stop(self, names: Sequence[str] | None = None) -> None:
        """End nodes (all by default): ask, insist, then kill."""
        processes = [
            self._processes.pop(name)
            for name in list(names or self._processes)
            if name in self._processes
        ]
        for number, grace_s in GRACE_S:
            for process in processes:
                if process.poll() is None:
                    _signal_group(process, number)
            deadline = time.monotonic() + grace_s
            while (
                any(process.poll() is None for process in processes) and time.monotonic() < deadline
            ):
                time.sleep(0.02)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.strip('/').replace('/', '.')}.log"


def _signal_group(process: subprocess.Popen | ForkedNode, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _end_with_parent(parent: int):
    """What a child does before it becomes a node: ask the kernel for SIGTERM when its parent dies
    (Linux).
    """
    if not IS_LINUX:
        return None

    def prepare() -> None:
        end_with_parent()
        if os.getppid() != parent:
            os._exit(1)

    return prepare

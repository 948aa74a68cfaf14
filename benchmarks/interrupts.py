"""Ctrl-C at random times of start, run and end: exit codes, tracebacks, orphans, time to end.

python benchmarks/interrupts.py tests/scenes/tiny.yaml --times 100 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.launching.graph import node_variables, scene_nodes
from cooperative_isac_ros.launching.process_group import node_command
from cooperative_isac_ros.processes.interrupts import BLOCKING_PREFIX

# Environment variable that marks every process of a trial, also the children of children.
MARK = "ISAC_INTERRUPTS_TRY"
# Share of trials with a second Ctrl-C, and the longest time between both, s.
TWICE = 0.5
SECOND_WITHIN_S = 1.0
# Latest time of Ctrl-C after the start, s. Until then a run imports its libraries, makes its nodes,
# processes frames for DURATION_S, and ends.
LATEST_S = 9.0
DURATION_S = 1.5
# Longest time to end, s. Processes that take longer are killed.
GIVE_UP_S = 60.0


@dataclass
class Interrupts:
    """Results of the trials of one kind.

    tries: number of trials
    exit_codes: number of processes with each exit code
    tracebacks: number of logs with a traceback
    orphans: number of processes that were left
    longest_s: longest time from Ctrl-C to the end of the last process, s
    examples: descriptions of trials with a fault
    """

    tries: int = 0
    exit_codes: Counter = field(default_factory=Counter)
    tracebacks: int = 0
    orphans: int = 0
    longest_s: float = 0.0
    examples: list[str] = field(default_factory=list)


def interrupts(
    scene: str,
    times: int,
    seed: int,
    latest_s: float = LATEST_S,
    kinds: tuple[str, ...] = ("isac run", "nodes"),
) -> dict[str, Interrupts]:
    """Interrupt runs at random times.

    scene: scene file, or name of a shipped scene
    times: number of trials of each kind
    seed: seed of the random times
    latest_s: latest time of Ctrl-C after a process has installed its signal handlers, s
    kinds: "isac run", the command; "nodes", a group of nodes as `ros2 launch` starts it

    Returns the results of each kind.
    """
    found = {}
    for kind in kinds:
        begin = _BEGIN[kind]
        generator = random.Random(f"{seed} {kind}")
        found[kind] = Interrupts()
        for number in range(times):
            with tempfile.TemporaryDirectory(prefix="isac_interrupts_") as folder:
                _try(found[kind], begin, scene, Path(folder), generator, latest_s)
            print(
                f"{kind}: {number + 1} of {times}, longest {found[kind].longest_s:.2f} s",
                file=sys.stderr,
                flush=True,
            )
    return found


def _try(
    found: Interrupts, begin, scene: str, folder: Path, generator: random.Random, latest_s: float
) -> None:
    """Run one trial, and add its results to `found`."""
    mark = f"{os.getpid()}.{time.monotonic_ns()}"
    processes = begin(scene, folder, {**os.environ, **node_variables(), MARK: mark})
    for process in processes:
        _wait_for_mask(process)

    # Ctrl-C to the process group, in some trials twice.
    moment_s = generator.uniform(0.0, latest_s)
    time.sleep(moment_s)
    ended = [process for process in processes if process.poll() is not None]
    _interrupt(processes)
    interrupted_s = time.monotonic()
    second_s = generator.uniform(0.0, SECOND_WITHIN_S)
    if generator.random() < TWICE:
        time.sleep(second_s)
        _interrupt(processes)

    # Time until the last process has ended, and processes that are left.
    for process in processes:
        try:
            process.wait(max(interrupted_s + GIVE_UP_S - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    took_s = time.monotonic() - interrupted_s
    left = _marked(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)

    # Results.
    texts = [path.read_text(errors="replace") for path in folder.rglob("*.log")]
    bad = [text for text in texts if "Traceback" in text or "RuntimeError" in text]
    codes = [process.returncode for process in processes]
    found.tries += 1
    found.exit_codes.update(codes)
    found.tracebacks += len(bad)
    found.orphans += len(left)
    if len(ended) < len(processes):
        found.longest_s = max(found.longest_s, took_s)
    if any(codes) or bad or left:
        lines = "\n".join("\n".join(text.splitlines()[-12:]) for text in bad)
        found.examples.append(f"after {moment_s:.2f} s, codes {codes}, {len(left)} left\n{lines}")


def _begin_run(scene: str, folder: Path, environment: dict[str, str]) -> list[subprocess.Popen]:
    """Start a short `isac run`, so that some interrupts come while it ends."""
    command = [
        sys.executable,
        "-m",
        "cooperative_isac.cli",
        "run",
        scene,
        "--out",
        str(folder / "out"),
        "--duration",
        str(DURATION_S),
    ]
    return [_popen(command, folder / "run.log", environment)]


def _begin_nodes(scene: str, folder: Path, environment: dict[str, str]) -> list[subprocess.Popen]:
    """Start the nodes of the scene in one process group, as `ros2 launch` does."""
    processes: list[subprocess.Popen] = []
    for spec in scene_nodes(load_scene(scene)):
        stem = spec.full_name.strip("/").replace("/", ".")
        parameters = folder / f"{stem}.yaml"
        parameters.write_text(spec.parameter_text(), encoding="utf-8")
        group = processes[0].pid if processes else 0
        processes.append(
            _popen(
                [*BLOCKING_PREFIX, *node_command(spec, parameters)],
                folder / f"{stem}.log",
                environment,
                group,
            )
        )
    return processes


_BEGIN = {"isac run": _begin_run, "nodes": _begin_nodes}


def _popen(
    command: list[str], log: Path, environment: dict[str, str], group: int = 0
) -> subprocess.Popen:
    """Start a process whose output goes to a log file.

    group: process group; 0 makes a new one
    """
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=group,
            preexec_fn=_take_signals,
        )


def _take_signals() -> None:
    """Handle Ctrl-C as in a terminal, also if this benchmark runs in the background of a script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(processes: list[subprocess.Popen]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(processes[0].pid, signal.SIGINT)


def _wait_for_mask(process: subprocess.Popen) -> None:
    """Wait until the process blocks SIGINT: it has left the start of the interpreter."""
    bit = 1 << (signal.SIGINT - 1)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        mask = next(line for line in status.splitlines() if line.startswith("SigBlk"))
        if int(mask.split()[1], 16) & bit:
            return
        time.sleep(0.005)


def _marked(mark: str) -> list[int]:
    """Process numbers of all processes of a trial, found by its mark."""
    entry_text = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry_text in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def main() -> int:
    """Print the results. Returns exit code 0 if no trial has a fault, however long it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scene")
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latest", type=float, default=LATEST_S, help="latest time of Ctrl-C, s")
    parser.add_argument("--kinds", nargs="+", choices=list(_BEGIN), default=list(_BEGIN))
    arguments = parser.parse_args()
    results = interrupts(
        arguments.scene, arguments.times, arguments.seed, arguments.latest, tuple(arguments.kinds)
    )
    print("| started | Ctrl-C | exit codes | tracebacks | orphans | longest time to end |")
    print("|---|---|---|---|---|---|")
    for kind, found in results.items():
        codes = ", ".join(f"{code}: {number}" for code, number in sorted(found.exit_codes.items()))
        print(
            f"| {kind} | {found.tries} | {codes} | {found.tracebacks} | {found.orphans} "
            f"| {found.longest_s:.2f} s |"
        )
    for found in results.values():
        for example in found.examples:
            print(example, file=sys.stderr)
    return 1 if any(found.examples for found in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

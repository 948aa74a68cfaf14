"""Monte Carlo runs on all processors, kept on disk so that a stopped figure goes on."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from cooperative_isac.evaluation.deep_cooperation.experiment import (
    Errors,
    Experiment,
    PointResult,
    run_point,
    summarize,
)
from cooperative_isac.evaluation.workers import (
    end_with_parent,
    interrupts_held,
    num_processors,
    one_thread,
)
from cooperative_isac.output.files import replace_file

# Batches below which starting processes, a few seconds, takes longer than the runs.
FEW_BATCHES = 8

# Runs that a process does before it hands them back: some seconds of work, so that little is lost
# when a figure is stopped.
RUNS_PER_BATCH = 20


def measure(
    experiment: Experiment,
    num_runs: int,
    seed: int,
    folder: Path,
    on_batch: Callable[[], None] = lambda: None,
) -> list[PointResult]:
    """Results at all places of an experiment's axis; runs that are on disk are not repeated.

    experiment: the figure
    num_runs: Monte Carlo runs a place
    seed: random seed of the figure
    folder: of the runs on disk, one file a figure and seed
    on_batch: called after each batch of runs, also of those on disk
    """
    # Batches that are not on disk, as (index of the place, number of the first run).
    store = _RunStore(folder / f"{experiment.name}_seed{seed}.json", experiment)
    missing = []
    for index in range(len(experiment.values)):
        for first in range(0, num_runs, RUNS_PER_BATCH):
            if store.has(index, first):
                on_batch()
            else:
                missing.append((index, first))

    if missing:
        _measure_missing(experiment, missing, seed, store, on_batch)
    return [
        summarize(experiment, index, store.errors(index, num_runs))
        for index in range(len(experiment.values))
    ]


def num_batches(experiment: Experiment, num_runs: int) -> int:
    """Batches of runs of an experiment, for a progress bar."""
    batches_per_place = -(-num_runs // RUNS_PER_BATCH)  # rounded up
    return len(experiment.values) * batches_per_place


def _measure_missing(
    experiment: Experiment,
    missing: list[tuple[int, int]],
    seed: int,
    store: _RunStore,
    on_batch: Callable[[], None],
) -> None:
    """Run batches on all processors and store each as it comes."""
    # A few in this process.
    if len(missing) < FEW_BATCHES:
        for index, first in missing:
            runs = range(first, first + RUNS_PER_BATCH)
            store.add(index, first, run_point(experiment, index, runs, seed))
            on_batch()
        return

    # Many in a pool; on an interrupt batches that have not begun are dropped.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processors(), context, initializer=end_with_parent)
    try:
        with one_thread(), interrupts_held():
            batches = {
                pool.submit(
                    run_point, experiment, index, range(first, first + RUNS_PER_BATCH), seed
                ): (index, first)
                for index, first in missing
            }
        for batch in as_completed(batches):
            index, first = batches[batch]
            store.add(index, first, batch.result())
            on_batch()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _RunStore:
    """Errors of runs in one JSON file, replaced in one step after each batch."""

    def __init__(self, path: Path, experiment: Experiment) -> None:
        self._path = path
        self._setting = {
            "values": list(experiment.values),
            "quantities": list(experiment.quantities),
        }
        self._batches: dict[str, list[Errors]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["setting"] == self._setting:
                self._batches = content["batches"]
        except (OSError, ValueError, KeyError, TypeError):
            # No file, or one that was damaged: the runs are measured again.
            self._batches = {}

    def has(self, index: int, first: int) -> bool:
        """Membership of a batch by its place and first run."""
        return f"{index}/{first}" in self._batches

    def add(self, index: int, first: int, errors: list[Errors]) -> None:
        """Store a batch."""
        self._batches[f"{index}/{first}"] = errors
        content = {"setting": self._setting, "batches": self._batches}
        replace_file(self._path, json.dumps(content).encode())

    def errors(self, index: int, num_runs: int) -> list[Errors]:
        """Errors of the first runs at a place, in their order."""
        runs: list[Errors] = []
        for first in range(0, num_runs, RUNS_PER_BATCH):
            runs += self._batches[f"{index}/{first}"]
        return runs[:num_runs]

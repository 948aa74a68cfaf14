"""Evaluation of frames in several processes; the results do not depend on their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

from cooperative_isac.evaluation.monte_carlo import (
    Ends,
    FrameSample,
    SchemeFailure,
    make_ends,
    measure_frame,
)
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import make_scheme

# One thread for each numerical library of a worker. More threads would compete for the processors,
# and would change the order of sums, so that results differed in their last digits.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Scene and names of schemes of a worker process, set when it starts.
_task: tuple[Scene, tuple[str, ...]]


def measure_frames(
    scene: Scene,
    scheme_names: Sequence[str],
    powers_dbm: Sequence[float],
    num_frames: int,
    num_workers: int,
) -> Iterator[FrameSample]:
    """Measure frames 0 to num_frames - 1 at each transmit power in worker processes.

    Yields the samples of all frames at the first power, then those at the next one.
    Raises SchemeFailure: a scheme failed, or a worker process ended unexpectedly
    """
    earlier_children = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_initialize,
        initargs=(scene, tuple(scheme_names)),
    )

    finished = False
    try:
        # The workers start here, as jobs are submitted.
        with one_thread(), interrupts_held(), caller_hidden():
            samples = [
                pool.submit(_measure, power, number)
                for power in powers_dbm
                for number in range(num_frames)
            ]

        for sample in samples:
            yield sample.result()
        finished = True
    except BrokenProcessPool as error:
        raise SchemeFailure(
            "a worker process ended by itself; was there memory enough? Fewer processors "
            "(taskset -c 0) need less"
        ) from error
    finally:
        if not finished:
            for worker in set(multiprocessing.active_children()) - earlier_children:
                worker.terminate()
        pool.shutdown(cancel_futures=True)


def num_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def end_with_parent() -> None:
    """End this worker process when the process that started it is gone.

    To be called in a new worker. One whose parent was killed would otherwise finish the jobs that
    it has, and then wait for further ones without end.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _initialize(scene: Scene, scheme_names: tuple[str, ...]) -> None:
    """Keep the task of a new worker process."""
    end_with_parent()
    global _task
    _task = scene, scheme_names


def _measure(power_dbm: float, number: int) -> FrameSample:
    """Measure one frame in a worker process."""
    scene, schemes = _prepared(power_dbm)
    return measure_frame(scene, schemes, number)


@lru_cache(maxsize=1)
def _prepared(power_dbm: float) -> tuple[Scene, dict[str, Ends]]:
    """Scene and schemes at one power, with the tables that schemes compute in their first frame."""
    scene, names = _task
    scene = with_power(scene, power_dbm)
    schemes = {name: _make_ends(name, scene) for name in names}

    # A first frame that is discarded, so that the times of later frames are without the tables.
    measure_frame(scene, schemes, 0)
    return scene, schemes


def _make_ends(name: str, scene: Scene) -> Ends:
    """Make a scheme with its ends. Raises SchemeFailure, which can be pickled, for any error."""
    try:
        return make_ends(make_scheme(name, scene))
    except Exception as error:
        raise SchemeFailure(
            f"scheme '{name}' cannot be made for scene '{scene.name}': {error}"
        ) from error


@contextmanager
def one_thread() -> Generator[None, None, None]:
    """Limit the numerical libraries of processes that are started inside to one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        # Restore the variables of this process.
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def interrupts_held() -> Generator[None, None, None]:
    """Start processes inside that ignore Ctrl-C, as this process terminates them itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def caller_hidden() -> Generator[None, None, None]:
    """Start processes inside that do not run the caller's script again.

    A spawned process imports the main module, for functions that are defined there. A script that
    evaluates without `if __name__ == "__main__"` would so start workers from its workers.
    """
    caller = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = caller

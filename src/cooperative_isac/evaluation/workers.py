"""Frames measured by several processes at once; the results do not depend on their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
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

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_task: tuple[Scene, tuple[str, ...]]


def measure_frames(
    scene: Scene,
    scheme_names: Sequence[str],
    powers_dbm: Sequence[float],
    num_frames: int,
    num_workers: int,
) -> Iterator[FrameSample]:
    """Samples of frames 0 .. num_frames - 1 at the first power, then at the next, in this order."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("spawn"), _begin, (scene, tuple(scheme_names))
    )
    finished = False
    try:
        with _one_thread(), _interrupts_held(), _caller_hidden():
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
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
        pool.shutdown(cancel_futures=True)


def num_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def _begin(scene: Scene, scheme_names: tuple[str, ...]) -> None:
    global _task
    _task = scene, scheme_names


def _measure(power_dbm: float, number: int) -> FrameSample:
    return measure_frame(*_prepared(power_dbm), number)


@lru_cache(maxsize=1)
def _prepared(power_dbm: float) -> tuple[Scene, dict[str, Ends]]:
    """The scene and schemes at one power, with the tables that schemes make in their first
    frame.
    """
    scene, names = _task
    scene = with_power(scene, power_dbm)
    schemes = {name: _made(name, scene) for name in names}
    measure_frame(scene, schemes, 0)
    return scene, schemes


def _made(name: str, scene: Scene) -> Ends:
    try:
        return make_ends(make_scheme(name, scene))
    except Exception as error:
        raise SchemeFailure(
            f"scheme '{name}' cannot be made for scene '{scene.name}': {error}"
        ) from error


@contextmanager
def _one_thread() -> Generator[None, None, None]:
    """Processes started inside use one thread each: more would fight for processors and round
    differently.
    """
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Generator[None, None, None]:
    """Processes started inside never see Ctrl-C: it is this process that ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _caller_hidden() -> Generator[None, None, None]:
    """Processes started inside do not run the caller's script again.

    multiprocessing does so for functions that are defined there; a script that evaluates without
    `if __name__ == "__main__"` would start workers from its workers.
    """
    caller = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = caller

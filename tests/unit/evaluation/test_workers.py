"""Evaluation in several processes: results do not depend on their number, and they end cleanly."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from process_state import alive

from cooperative_isac.evaluation.monte_carlo import SchemeFailure, make_ends, measure_frame
from cooperative_isac.evaluation.workers import ONE_THREAD, measure_frames, num_processors
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.schemes.registry import make_scheme

FAILING = """
import os
from cooperative_isac.schemes import contract

class Encoder(contract.Encoder):
    def encode(self, echoes, frame):
        {encode}

class Scheme(contract.Scheme):
    def __init__(self, scene, name):
        super().__init__(scene, name)
        {init}
    def at(self, station):
        return Encoder()
    def center(self):
        return None
    def downlink_bits(self, frame):
        return 0
"""

# A process with a worker that does not end by itself; it prints the number of the worker.
PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from cooperative_isac.evaluation.workers import end_with_parent

pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=end_with_parent)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 1000).result()
"""


def without_times(sample):
    scheme = sample.schemes["local_ml"]
    return (
        sample.location_bounds_m.tolist(),
        sample.sum_rate,
        scheme.location_errors_m.tolist(),
        scheme.velocity_errors_mps.tolist(),
        scheme.num_false,
        scheme.packet_bits,
    )


def test_samples_do_not_depend_on_the_number_of_workers(small):
    alone, together = (
        [
            without_times(sample)
            for sample in measure_frames(small, ["local_ml"], [30.0, 40.0], 3, num_workers)
        ]
        for num_workers in (1, 2)
    )
    assert len(alone) == 6 and alone == together
    here = [
        measure_frame(scene, {"local_ml": make_ends(make_scheme("local_ml", scene))}, number)
        for scene in (with_power(small, 30.0), small)
        for number in range(3)
    ]
    bounds = [sample.location_bounds_m for sample in here]
    assert np.allclose(bounds, [sample[0] for sample in alone], rtol=1e-3)


@pytest.mark.parametrize(
    ("init", "encode", "message"),
    [
        (
            "raise OSError('no weights')",
            "pass",
            "scheme 'bad' cannot be made for scene 'small': no weights",
        ),
        (
            "pass",
            "raise OSError('no memory')",
            "scheme 'bad' failed in frame 0 .*OSError: no memory",
        ),
        ("pass", "os._exit(3)", "a worker process ended by itself; was there memory enough"),
    ],
)
def test_a_failing_scheme_ends_the_evaluation(small, install_scheme, init, encode, message):
    install_scheme("bad", FAILING.format(init=init, encode=encode))
    with pytest.raises(SchemeFailure, match=message):
        list(measure_frames(small, ["bad"], [40.0], 3, 1))
    assert not multiprocessing.active_children()


def test_an_evaluation_may_be_abandoned(small):
    frames = measure_frames(small, ["local_ml"], [40.0], 500, 1)
    next(frames)
    frames.close()
    assert not multiprocessing.active_children()


def test_the_environment_is_restored(small, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    list(measure_frames(small, [], [40.0], 1, 1))
    assert dict(os.environ) == before and "MKL_NUM_THREADS" in ONE_THREAD


def test_all_processors_are_counted():
    assert num_processors() == len(os.sched_getaffinity(0)) >= 1


def test_a_worker_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while alive(worker):
        assert time.monotonic() < deadline, "the worker lives on without its parent"
        time.sleep(0.05)

"""Shared memory of dead participants is removed, that of running ones is not."""

import fcntl
import os

import pytest

from cooperative_isac_ros.processes.shared_memory import YOUNGEST_S, Cleaned, clean_shared_memory

SEGMENT, PORT = "fastrtps_0123456789abcdef", "fastrtps_port7411"


@pytest.fixture
def make(tmp_path):
    """Makes a file of some bytes that is minutes old."""

    def build(name, size=0, age_s=600.0):
        path = tmp_path / name
        path.write_bytes(bytes(size))
        old_s = path.stat().st_mtime - age_s
        os.utime(path, (old_s, old_s))
        return path

    return build


def test_files_of_dead_participants_are_removed(make, tmp_path):
    for name, size in (
        (SEGMENT, 1000),
        (f"{SEGMENT}_el", 0),
        (PORT, 50),
        (f"{PORT}_sl", 0),
        (f"sem.{PORT}_mutex", 32),
    ):
        make(name, size)
    assert clean_shared_memory(tmp_path) == Cleaned(5, 1082)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stem", [SEGMENT, PORT])
@pytest.mark.parametrize(("mode", "kind"), [(fcntl.LOCK_EX, "el"), (fcntl.LOCK_SH, "sl")])
def test_files_of_the_living_stay(make, tmp_path, stem, mode, kind):
    make(stem, 1000)
    with make(f"{stem}_{kind}").open("rb") as lock:
        fcntl.flock(lock, mode)
        assert clean_shared_memory(tmp_path) == Cleaned()
    assert len(list(tmp_path.iterdir())) == 2


def test_one_living_owner_of_two_is_enough(make, tmp_path):
    make(PORT, 1000)
    make(f"{PORT}_el")
    with make(f"{PORT}_sl").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert clean_shared_memory(tmp_path) == Cleaned()


def test_files_of_a_participant_that_is_starting_stay(make, tmp_path):
    make(SEGMENT, 1000)
    make(f"{SEGMENT}_el", age_s=YOUNGEST_S / 2)
    assert clean_shared_memory(tmp_path) == Cleaned()


@pytest.mark.parametrize(
    "name",
    [
        "other_el",
        "fastrtps_el",
        "fastrtps_0123_el",
        f"{SEGMENT}_xl",
        SEGMENT,
        "lttng-ust-wait-6",
        f"sem.{PORT}_mutex",
    ],
)
def test_files_of_others_stay(make, tmp_path, name):
    make(name, 10)
    assert clean_shared_memory(tmp_path) == Cleaned() and (tmp_path / name).exists()


def test_a_folder_that_is_not_there_is_clean(tmp_path):
    assert clean_shared_memory(tmp_path / "none") == Cleaned()

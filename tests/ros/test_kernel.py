"""Linux calls for a process."""

import subprocess
import sys

import pytest

TITLED = """
import sys
from pathlib import Path
from cooperative_isac_ros.processes.kernel import set_title
set_title("a_name_of_many_letters", {words})
print(repr(Path("/proc/self/cmdline").read_text().rstrip("\\0").split("\\0")))
print(Path("/proc/self/comm").read_text(), end="")
print(sys.argv[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")
@pytest.mark.parametrize("fits", [True, False])
def test_a_title_takes_the_room_that_there_is(fits):
    words = "['python', '-m', 'node', 'å']" if fits else "['x' * 5000, 'end']"
    command = [sys.executable, "-c", TITLED.format(words=words), "-" * 100]
    shown, name, argument = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    room = len("\0".join(command))
    assert eval(shown) == (eval(words) if fits else ["x" * room])
    assert name == "a_name_of_many_letters"[:15] and argument == "-" * 100


BATCH = """
import os
import threading
from cooperative_isac_ros.processes.kernel import interrupt_no_other
before = threading.Thread(target=lambda: (ready.wait(), print(os.sched_getscheduler(0))))
ready = threading.Event()
before.start()
interrupt_no_other()
print(os.sched_getscheduler(0) == os.SCHED_BATCH)
after = threading.Thread(target=lambda: print(os.sched_getscheduler(0) == os.SCHED_BATCH))
after.start()
after.join()
ready.set()
before.join()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux alone")
def test_a_thread_that_interrupts_no_other_hands_it_on_to_those_that_it_starts():
    command = [sys.executable, "-c", BATCH]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["True", "True", "0"]

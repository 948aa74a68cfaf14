"""Start and end of nodes, names of their topics, exceptions of callbacks."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy

from cooperative_isac_ros.base import SceneNode, run_node

TINY = str(Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml")
ARGUMENTS = ["--ros-args", "-p", f"scene:={TINY}"]


class Ending(SceneNode):
    """A node that calls a function after a moment, and keeps whether it was closed."""

    closed = 0

    def __init__(self, act):
        super().__init__("ending")
        self.create_timer(0.05, lambda: act(self))

    def close(self):
        Ending.closed += 1


def interrupt(node):
    raise KeyboardInterrupt


def stop_and_publish(node):
    rclpy.shutdown()
    node.health.report()


def fail():
    raise ValueError("a mistake in a callback")


class Failing(SceneNode):
    """A node whose timer always fails."""

    def __init__(self, **options):
        super().__init__("failing", **options)
        self.create_timer(0.01, fail)


@pytest.mark.parametrize(
    "act",
    [interrupt, stop_and_publish, lambda node: rclpy.shutdown()],
    ids=["Ctrl-C", "in the middle of a callback", "from outside"],
)
def test_a_node_that_receives_a_signal_closes_and_exits_with_0(act):
    before = Ending.closed
    assert run_node(lambda: Ending(act), ARGUMENTS) == 0
    assert Ending.closed == before + 1 and not rclpy.ok()


def test_an_exception_of_a_callback_is_counted_and_the_node_keeps_running(bench):
    node = bench.start(Failing)
    bench.until(lambda: node.health.counts["callbacks_failed"] >= 2)
    status = node.health.status()
    assert "callbacks_failed: timer: ValueError: a mistake in a callback" in status.message
    assert "in fail)" in status.message


SLOW_TO_CLOSE = """
import sys, time
from cooperative_isac_ros.base import SceneNode, run_node

class Slow(SceneNode):
    def __init__(self):
        super().__init__("slow")
        self.create_timer(0.05, lambda: print("runs", flush=True))

    def close(self):
        print("closes", flush=True)
        for _ in range(20):
            time.sleep(0.05)
        print("closed", flush=True)

sys.exit(run_node(Slow, sys.argv[1:]))
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_cut_the_end_short(first, second):
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_TO_CLOSE, *ARGUMENTS],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        for number, word in ((first, "runs"), (second, "closes")):
            while process.stdout.readline() not in (f"{word}\n", ""):
                pass
            process.send_signal(number)
        output, faults = process.communicate(timeout=60)
    assert output == "closed\n" and process.returncode == 0 and "Traceback" not in faults, faults


class Deep(SceneNode):
    def __init__(self, depth, **options):
        super().__init__("deep", namespace_depth=depth, **options)


@pytest.mark.parametrize(
    ("below", "depth", "topic"),
    [("", 0, "{}/frame"), ("/rx1", 1, "{}/frame"), ("/a/rx1", 1, "{}/a/frame")],
)
def test_shared_topics_lie_above_a_nodes_own_namespaces(bench, below, depth, topic):
    node = bench.start(lambda **options: Deep(depth, **options), below=below)
    assert node.shared("frame") == topic.format(bench.namespace)

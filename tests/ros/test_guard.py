"""Exceptions of callbacks: those that end a node, and the report of the others."""

import pytest
from rclpy.executors import ExternalShutdownException
from std_msgs.msg import String

from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.guard import GuardedNode, described
from cooperative_isac_ros.messages.plain_text import plain_lines, plain_text


class Plain(GuardedNode):
    """A guarded node that keeps the failed callbacks."""

    def __init__(self, **options):
        super().__init__("plain", **options)
        self.failed = []

    def callback_failed(self, place, error):
        self.failed.append((place, type(error)))


@pytest.fixture
def plain(bench):
    return bench.added(Plain(namespace=bench.namespace, context=bench.context))


def raising(error):
    def callback(*_):
        raise error

    return callback


@pytest.mark.parametrize(
    "error", [ValueError("x"), MemoryError(), OverflowError(), RecursionError(), KeyError(1)]
)
def test_exceptions_of_subscriptions_are_named_with_their_topic(bench, plain, error):
    plain.create_subscription(String, "word", raising(error), 10)
    publisher = bench.publisher(String, "word")
    for _ in range(2):
        publisher.publish(String())
    bench.until(lambda: len(plain.failed) == 2)
    assert plain.failed == [("word", type(error))] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), ExternalShutdownException()])
def test_what_ends_a_process_passes(plain, error):
    with pytest.raises(type(error)):
        plain.guarded(raising(error), "place")()
    assert not plain.failed


def test_a_callback_that_fails_because_the_node_ends_is_quiet(bench, plain, monkeypatch):
    monkeypatch.setattr(type(plain.context), "ok", lambda self: False)
    plain.guarded(raising(RuntimeError("publisher is gone")), "place")()
    assert not plain.failed


def test_a_fault_names_its_own_line_rather_than_a_librarys(bench):
    node = bench.start(lambda **options: SceneNode("short", **options))
    assert node.guarded(lambda text: node.health.report(text), "word")("too many") is None
    assert "callbacks_failed: word: TypeError" in node.health.status().message
    assert described(ValueError()) == "ValueError (place unknown)"


def test_text_of_messages_cannot_steer_a_terminal():
    odd = "\x1b[2Jred\x07 \u202e\u2028 fine \u00e4"
    assert plain_text(odd) == "\ufffd[2Jred\ufffd \ufffd\ufffd fine \u00e4"
    assert plain_text("x" * 500, 10) == "x" * 10 + "..."
    assert plain_lines("a\x1b\nb") == "a\ufffd\nb"

"""Bench for nodes in this process, with a context, an executor and a namespace per test."""

import itertools
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.contract import Decoder, Encoder, PacketError, Scheme
from cooperative_isac_ros import qos
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, Packet

TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"
NUMBERS = itertools.count()


class Bench:
    """Nodes under test, and a helper node with publishers and subscriptions."""

    def __init__(self):
        self.namespace = f"/bench{next(NUMBERS)}"
        self.context = Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes = []
        self.helper = self.added(
            rclpy.create_node("helper", namespace=self.namespace, context=self.context)
        )

    def added(self, node):
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def start(self, node_class, below="", **parameters):
        """Start a node in the bench's namespace."""
        overrides = [
            Parameter(name, value=value)
            for name, value in {"scene": str(TINY), **parameters}.items()
        ]
        return self.added(
            node_class(
                namespace=self.namespace + below,
                context=self.context,
                parameter_overrides=overrides,
            )
        )

    def listen(self, message_type, topic, profile=qos.STREAM):
        """Subscribe to a topic. Returns a list to which its messages are appended."""
        received = []
        self.helper.create_subscription(message_type, topic, received.append, profile)
        return received

    def publisher(self, message_type, topic, readers=1, profile=qos.STREAM):
        """Publisher with a number of subscriptions."""
        publisher = self.helper.create_publisher(message_type, topic, profile)
        self.until(lambda: publisher.get_subscription_count() >= readers)
        return publisher

    def until(self, condition, timeout_s=20.0):
        """Spin until a condition holds; fail where it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the nodes did not get there in time"
            self.executor.spin_once(timeout_sec=0.02)

    def spin(self, seconds):
        """Spin for a time in s."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def close(self):
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
        rclpy.shutdown(context=self.context)


class CountingEncoder(Encoder):
    """Encodes the frame's number and the largest magnitude on any band."""

    encoded = 0

    def encode(self, echoes, frame):
        CountingEncoder.encoded += 1
        largest = max((float(np.abs(echo.samples).max()) for echo in echoes.values()), default=0.0)
        return struct.pack("<If", frame.number, largest)


class CountingDecoder(Decoder):
    """Decodes one detection, whose position holds the numbers of packets and of the frame."""

    def decode(self, packets, frame):
        for receiver, data in packets.items():
            if len(data) != 8 or struct.unpack("<If", data)[0] != frame.number:
                raise PacketError(receiver, f"{len(data)} bytes for frame {frame.number}")
        if not packets:
            return ()
        place = np.array([10.0 * len(packets), float(frame.number), 0.0])
        sites = tuple(sorted(packets))
        velocity = np.array([0.0, 10.0, 0.0])
        return (Detection(place, velocity, 0.01 * np.eye(6), 20.0, sites, len(packets)),)


class CountingScheme(Scheme):
    """Scheme that encodes only that a frame has arrived."""

    def at(self, station):
        return CountingEncoder()

    def center(self):
        return CountingDecoder()

    def downlink_bits(self, frame):
        return 800


@pytest.fixture
def bench(monkeypatch):
    """Bench whose nodes use the scheme `counting`."""
    for node in ("access_point", "fusion_center", "transmit_controller"):
        monkeypatch.setattr(
            f"cooperative_isac_ros.nodes.{node}.make_scheme",
            lambda name, scene: CountingScheme(scene, "counting"),
        )
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def tiny():
    """The scene of these tests."""
    return load_scene(TINY)


@pytest.fixture
def announce(tiny):
    """Makes Frame messages of the scene."""

    def make(number, run=1, stamp_ns=None, **changes):
        frame = FrameStamp(run, number, 10**9 * (1000 + number) if stamp_ns is None else stamp_ns)
        values = {
            "scene": tiny.name,
            "scene_fingerprint": tiny.fingerprint,
            "simulated": True,
            "seed": tiny.seed,
        }
        return conversions.frame_message(Announcement(frame, **{**values, **changes}))

    return make


@pytest.fixture
def features():
    """Makes FeaturePacket messages of the counting scheme."""

    def make(number, site, run=1, data=None, scheme="counting"):
        frame = FrameStamp(run, number, 10**9 * (1000 + number))
        data = struct.pack("<If", number, 1.0) if data is None else data
        return conversions.packet_message(Packet(frame, number, site, scheme, True, data))

    return make


@pytest.fixture(scope="module")
def real_bench():
    """A bench for nodes with the scene's own scheme, which the tests of a module share."""
    bench = Bench()
    yield bench
    bench.close()

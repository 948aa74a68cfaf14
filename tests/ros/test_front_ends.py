"""Front ends pass on no echo that is not finite, and none of a signal that was not announced."""

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Echo, Frame
from nav_msgs.msg import Odometry

from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import transmit
from cooperative_isac_ros import conversions
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.front_ends import FRONT_ENDS
from cooperative_isac_ros.nodes.access_point import PARAMETERS
from cooperative_isac_ros.records import EchoRecord, FrameStamp

SECOND = 10**9


class Ear(SceneNode):
    """Nothing but a front end and the echoes that it passes on."""

    def __init__(self, **options):
        super().__init__("ear", PARAMETERS, namespace_depth=1, **options)
        self.heard = []
        site = self.scene.receiver("rx1")
        self.front_end = FRONT_ENDS[self.settings["front_end"]](
            self, site, lambda *echo: self.heard.append(echo)
        )
        self.create_subscription(
            Frame, self.shared("frame"), self.hear_frame, self.front_end.frame_profile
        )

    def hear_frame(self, message):
        self.front_end.announce(conversions.announcement(message))


def fault(bench, node, event):
    bench.until(lambda: node.health.counts[event])
    return node.health.status().message


@pytest.mark.parametrize("place", ["rx1", "tx2"])
def test_a_target_at_an_array_costs_a_frame_and_not_the_node(bench, announce, tiny, place):
    node = bench.start(Ear, below="/rx1")
    frame = bench.publisher(Frame, "frame")
    robot = bench.publisher(Odometry, "targets/robot/odom")
    bench.spin(0.2)
    sites = {site.name: site for site in (*tiny.transmitters, *tiny.receivers)}
    for number, position_m in enumerate((sites[place].position_m, np.array([30.0, 30.0, 0.0]))):
        robot.publish(
            conversions.odometry_message("robot", (1000 + number) * SECOND, position_m, np.zeros(3))
        )
        bench.until(lambda: node.front_end._watch.registry.at((1000 + number) * SECOND))
        frame.publish(announce(number))
        bench.until(lambda: node.health.counts["echoes_refused"] + len(node.heard) > number)
    assert f"frame 0: target 'robot' stands exactly at site '{place}'" in fault(
        bench, node, "echoes_refused"
    )
    ((announcement, signal, echo, simulated),) = node.heard
    assert announcement.frame.number == signal.number == 1 and np.isfinite(echo).all() and simulated


@pytest.mark.parametrize(
    ("value", "noise_power_w", "reason"),
    [
        (1.0, 1e-300, "noise_power_w 1e-300; allowed"),
        (1e30, 1.0, "600 dB above its noise"),
        (1e5, 1e-12, "220 dB above its noise"),
        (0.0, 1e-12, "zeros only"),
    ],
)
def test_what_can_be_no_echo_is_refused_with_its_level(
    bench, announce, tiny, value, noise_power_w, reason
):
    node = bench.start(Ear, below="/rx1", front_end="topic")
    frame, echoes = bench.publisher(Frame, "frame"), bench.publisher(Echo, "rx1/echo")
    shape = 8, tiny.grid.num_subcarriers, tiny.grid.num_symbols
    frame.publish(announce(0))
    bench.spin(0.2)
    for scale, power_w in ((value, noise_power_w), (1.0, tiny.propagation.noise_power_w)):
        record = EchoRecord(
            FrameStamp(1, 0, 1000 * SECOND),
            "rx1",
            False,
            power_w,
            np.full(shape, scale, np.complex64),
        )
        echoes.publish(conversions.echo_message(record))
        bench.spin(0.2)
    assert reason in fault(bench, node, "echoes_refused")
    ((_, _, echo, simulated),) = node.heard
    assert np.allclose(echo, 1.0) and not simulated


def test_a_payload_of_another_frame_is_refused(bench, announce, tiny):
    node = bench.start(Ear, below="/rx1", odometry_wait_s=0.01)
    frame = bench.publisher(Frame, "frame")
    frame.publish(announce(4, payload=pack_downlink(transmit(tiny, 3))))
    assert "the payload announced with frame 4 is of frame 3" in fault(
        bench, node, "frames_refused"
    )
    frame.publish(announce(5, payload=pack_downlink(transmit(tiny, 5))))
    bench.until(lambda: node.heard)
    assert node.heard[0][1].number == 5

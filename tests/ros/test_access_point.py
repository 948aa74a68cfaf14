"""Access point: simulated and topic front ends, truth at the frame's stamp, dropped frames."""

import struct

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Echo, FeaturePacket, Frame, StageTiming
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter

from cooperative_isac import pipeline
from cooperative_isac.channel import echo
from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import make_frame, receive, receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac_ros.inputs import front_ends
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import EchoRecord, FrameStamp
from cooperative_isac_ros.nodes.access_point import AccessPoint

SECOND = 10**9


class Site:
    """Access point rx1 with a publisher of frames and subscriptions to its outputs."""

    def __init__(self, bench, **parameters):
        self.bench = bench
        self.node = bench.start(AccessPoint, below="/rx1", **parameters)
        self.packets = bench.listen(FeaturePacket, "rx1/features")
        self.echoes = bench.listen(Echo, "rx1/echo")
        self.timings = bench.listen(StageTiming, "timing")
        self.frame = bench.publisher(Frame, "frame")
        bench.until(lambda: self.node.waiting_for() != "a fusion center")

    def fault(self, event):
        self.bench.until(lambda: self.node.health.counts[event])
        return self.node.health.status().message


@pytest.fixture
def odometry(bench, tiny):
    """Publishes the scene's target at given times."""
    publisher = bench.helper.create_publisher(Odometry, "targets/car1/odom", 10)

    def say(*times_s, **changes):
        bench.until(publisher.get_subscription_count)
        bench.spin(0.2)  # a best-effort reader gets nothing before it has found the publisher, too
        for time_s in times_s:
            (target,) = scene_targets(tiny, time_s)
            message = conversions.odometry_message(
                "car1", round((1000 + time_s) * SECOND), target.position_m, target.velocity_mps
            )
            for name, value in changes.items():
                setattr(message.header, name, value)
            publisher.publish(message)

    return say


def test_the_echo_is_that_of_the_pipeline_at_the_frames_stamp(bench, announce, odometry, tiny):
    site = Site(bench, publish_echo=True)
    odometry(2.0, 2.05)
    bench.until(lambda: site.node.waiting_for() == "")
    site.frame.publish(announce(2))
    bench.until(lambda: site.packets and site.echoes and site.timings)
    signal = transmit(tiny, 2)
    expected = receive_echo(tiny, signal, "rx1", scene_targets(tiny, 2.0))
    record = conversions.echo_record(site.echoes[0])
    assert np.allclose(record.echo, expected, atol=1e-4 * np.abs(expected).max())
    assert record.noise_power_w == tiny.propagation.noise_power_w
    packet = conversions.packet(site.packets[0])
    assert packet.data == struct.pack("<If", 2, float(np.abs(record.echo).max()))
    assert (packet.site, packet.sequence, packet.simulated, packet.frame.number) == (
        "rx1",
        0,
        True,
        2,
    )
    assert site.timings[0].stage == "encode" and site.timings[0].node.endswith("/rx1/access_point")


def test_signals_and_noise_of_frame_0_are_drawn_before_it(
    bench, announce, odometry, tiny, monkeypatch
):
    expected = receive(tiny, make_frame(tiny, 0, 0.0), "rx1", scene_targets(tiny, 0.0))
    site = Site(bench, publish_echo=True)
    odometry(0.0)
    bench.until(lambda: site.node.waiting_for() == "")

    def fail(*arguments):
        raise AssertionError("drawn in the frame itself")

    monkeypatch.setattr(pipeline, "transmit", fail)
    monkeypatch.setattr(echo, "thermal_noise", fail)
    # Those of frame 1 would be drawn after it.
    monkeypatch.setattr(site.node._spare_time, "begin", lambda frame: None)
    site.frame.publish(announce(0))
    bench.until(lambda: site.echoes)
    record = conversions.echo_record(site.echoes[0])
    assert np.array_equal(record.echo, expected["default"].samples)


def test_a_frame_waits_for_odometry_at_its_stamp(bench, announce, odometry):
    site = Site(bench, odometry_wait_s=1.0)
    odometry(1.9)
    bench.until(lambda: site.node.waiting_for() == "")
    site.frame.publish(announce(2))
    bench.spin(0.3)
    assert not site.packets
    odometry(2.0)
    bench.until(lambda: site.packets)


def test_a_silent_target_is_not_waited_for_long(bench, announce, odometry):
    site = Site(bench, odometry_wait_s=0.05)
    odometry(1.9)
    bench.until(lambda: site.node.waiting_for() == "")
    site.frame.publish(announce(2))
    bench.until(lambda: site.packets)


def test_a_frame_that_another_overtakes_is_dropped_and_counted(bench, announce, odometry):
    site = Site(bench, odometry_wait_s=1.0)
    odometry(1.9)
    bench.until(lambda: site.node.waiting_for() == "")
    for number in (2, 3, 6):
        site.frame.publish(announce(number, stamp_ns=1002 * SECOND + number))
        bench.spin(0.1)
        bench.until(lambda: site.node.health.counts["frames_dropped"] == {2: 0, 3: 1, 6: 4}[number])
    odometry(2.1)
    bench.until(lambda: site.packets)
    assert site.packets[0].number == 6


def test_odometry_in_another_frame_is_refused_with_the_remedy(bench, odometry):
    site = Site(bench)
    odometry(0.0, frame_id="odom")
    assert "publish it in 'map'" in site.fault("odometry_refused")


def test_a_frame_of_another_scene_is_refused(bench, announce):
    site = Site(bench)
    site.frame.publish(announce(0, scene_fingerprint="0" * 16))
    assert "start all nodes with one scene file" in site.fault("frames_refused")
    assert not site.packets


def test_a_payload_is_the_signal_and_a_broken_one_is_refused(bench, announce, tiny):
    site = Site(bench)
    site.frame.publish(announce(0, payload=pack_downlink(transmit(tiny, 0))))
    bench.until(lambda: site.packets)
    site.frame.publish(announce(1, payload=b"\x01\x02"))
    assert "payload has 2 bytes" in site.fault("frames_refused")


def test_publishing_of_echoes_can_be_enabled_at_runtime(bench, announce):
    site = Site(bench)
    for number, wanted in enumerate((False, True)):
        site.node.set_parameters([Parameter("publish_echo", value=wanted)])
        site.frame.publish(announce(number))
        bench.until(lambda: len(site.packets) == number + 1)
    bench.until(lambda: site.echoes)
    assert [echo.number for echo in site.echoes] == [1]


class Radio:
    """Publishes echoes of a real front end to rx1."""

    def __init__(self, bench, tiny):
        self.site = Site(bench, front_end="topic")
        self.publisher = bench.publisher(Echo, "rx1/echo", readers=2)
        self.shape = (8, tiny.grid.num_subcarriers, tiny.grid.num_symbols)
        self.noise_power_w = tiny.propagation.noise_power_w

    def say(self, number, site="rx1", shape=None, noise_power_w=None, value=1.0):
        echo = np.full(shape or self.shape, value, np.complex64)
        record = EchoRecord(
            FrameStamp(1, number, (1000 + number) * SECOND),
            site,
            False,
            noise_power_w or self.noise_power_w,
            echo,
        )
        self.publisher.publish(conversions.echo_message(record))


@pytest.fixture
def radio(bench, tiny):
    return Radio(bench, tiny)


@pytest.mark.parametrize("frame_first", [True, False])
def test_an_echo_may_arrive_before_or_after_its_announcement(bench, announce, radio, frame_first):
    bench.until(lambda: radio.site.node.waiting_for() == "")
    first, second = (radio.site.frame.publish, announce(3)), (radio.say, 3)
    for say, what in (first, second) if frame_first else (second, first):
        say(what)
        bench.spin(0.2)
    bench.until(lambda: radio.site.packets)
    assert bytes(radio.site.packets[0].data) == struct.pack("<If", 3, 1.0)
    assert not radio.site.packets[0].simulated


def test_echoes_are_scaled_to_the_noise_power_of_the_scene(bench, announce, radio):
    radio.site.frame.publish(announce(0))
    bench.spin(0.2)
    radio.say(0, noise_power_w=4 * radio.noise_power_w)
    bench.until(lambda: radio.site.packets)
    _, peak = struct.unpack("<If", bytes(radio.site.packets[0].data))
    assert np.isclose(peak, 0.5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"site": "rx2"}, "echo is of site 'rx2', this node is 'rx1'"),
        ({"shape": (8, 2, 2)}, "echo has sizes (8, 2, 2)"),
        ({"value": np.nan}, "values that are not finite"),
    ],
)
def test_an_invalid_echo_is_refused_and_the_node_keeps_running(
    bench, announce, radio, changes, reason
):
    radio.site.frame.publish(announce(0))
    bench.spin(0.2)
    radio.say(0, **changes)
    assert reason in radio.site.fault("echoes_refused")
    radio.say(0)
    bench.until(lambda: radio.site.packets)


def test_unannounced_echoes_are_counted(bench, radio):
    radio.say(0)
    bench.spin(0.2)
    radio.say(1)
    assert "no announcement of frame 0" in radio.site.fault("echoes_unannounced")


def test_every_front_end_describes_what_it_waits_for(bench):
    for site, name in zip(("rx1", "rx2"), front_ends.FRONT_ENDS, strict=True):
        node = bench.start(AccessPoint, below=f"/{site}", front_end=name)
        bench.listen(FeaturePacket, f"{site}/features")
        bench.until(lambda: node.waiting_for() not in ("", "a fusion center"))


def test_both_front_ends_make_the_same_packet_of_one_echo(bench, announce, odometry):
    simulated = Site(bench, publish_echo=True)
    bench.start(AccessPoint, below="/mirror/rx1", front_end="topic")
    mirrored = bench.listen(FeaturePacket, "mirror/rx1/features")
    frame = bench.publisher(Frame, "mirror/frame")
    echo = bench.publisher(Echo, "mirror/rx1/echo")
    odometry(2.0)
    bench.until(lambda: simulated.node.waiting_for() == "")
    simulated.frame.publish(announce(2))
    frame.publish(announce(2))
    bench.until(lambda: simulated.packets and simulated.echoes)
    echo.publish(simulated.echoes[0])
    bench.until(lambda: mirrored)
    assert bytes(mirrored[0].data) == bytes(simulated.packets[0].data)


def test_a_scheme_brings_its_own_site(bench, monkeypatch):
    monkeypatch.undo()
    node = bench.start(AccessPoint, below="/bs", scheme="monostatic", scene="cell_free_compact")
    assert node.station.name == "bs" and [site.name for site in node.scene.transmitters] == ["bs"]

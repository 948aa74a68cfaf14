"""Front ends deliver no echo that is not finite, and none of an unannounced signal."""

from pathlib import Path

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Echo, Frame
from nav_msgs.msg import Odometry

from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.inputs.front_ends import FRONT_ENDS
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import Announcement, EchoRecord, FrameStamp
from cooperative_isac_ros.nodes.access_point import PARAMETERS

SECOND = 10**9
TWO = Path(__file__).resolve().parents[1] / "scenes" / "two_tiny.yaml"


class Ear(SceneNode):
    """A node with a front end only, and the echoes that it delivers."""

    def __init__(self, **options):
        super().__init__("ear", PARAMETERS, namespace_depth=1, **options)
        self.heard = []
        station = self.scene.station(self.settings["site"] or "rx1")
        self.front_end = FRONT_ENDS[self.settings["front_end"]](
            self, station, lambda *echoes: self.heard.append(echoes)
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
    ((announcement, on_air, echoes, simulated),) = node.heard
    assert announcement.frame.number == on_air.number == 1 and simulated
    assert np.isfinite(echoes["default"].samples).all()


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
    ((_, _, heard, simulated),) = node.heard
    assert np.allclose(heard["default"].samples, 1.0) and not simulated
    assert heard["default"].noise_power_w == tiny.propagation.noise_power_w


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


class Radio:
    """A radio at station west of the scene of two bands, and the node that subscribes to it."""

    def __init__(self, bench, **parameters):
        self.bench = bench
        self.scene = load_scene(TWO)
        self.node = bench.start(
            Ear, below="/west", scene=str(TWO), site="west", front_end="topic", **parameters
        )
        self.frame = bench.publisher(Frame, "frame")
        self.echoes = bench.publisher(Echo, "west/echo")

    def announce(self, number, **changes):
        frame = FrameStamp(1, number, 1000 * SECOND + number)
        fields = (self.scene.name, self.scene.fingerprint, False, self.scene.seed)
        self.frame.publish(conversions.frame_message(Announcement(frame, *fields, **changes)))

    def echo(self, number, band, value=1.0, shape=None):
        view = self.scene.on(band or "high")
        shape = shape or (8, view.grid.num_subcarriers, view.grid.num_symbols)
        samples = np.full(shape, value, np.complex64)
        frame = FrameStamp(1, number, 1000 * SECOND + number)
        noise_power_w = view.propagation.noise_power_w
        record = EchoRecord(frame, "west", False, noise_power_w, samples, band)
        self.echoes.publish(conversions.echo_message(record))
        self.bench.spin(0.1)

    @property
    def heard(self):
        """Number of the frame, and bands with the value of their samples."""
        return [
            (frame.number, {band: echo.samples[0, 0, 0].real for band, echo in echoes.items()})
            for _, frame, echoes, _ in self.node.heard
        ]


def test_a_frame_waits_for_the_echoes_of_all_its_bands(bench):
    radio = Radio(bench, band_wait_s=5.0)
    radio.announce(0)
    bench.spin(0.2)
    radio.echo(0, "low", 2.0)
    assert radio.heard == []
    radio.echo(0, "high", 1.0)
    bench.until(lambda: radio.heard)
    assert radio.heard == [(0, {"high": 1.0, "low": 2.0})]
    assert list(radio.heard[0][1]) == ["high", "low"]

    # In every other frame the slow band is not on the air.
    radio.announce(1)
    bench.spin(0.2)
    radio.echo(1, "high", 3.0)
    bench.until(lambda: len(radio.heard) == 2)
    assert radio.heard[1] == (1, {"high": 3.0})
    assert not radio.node.health.counts["echoes_missing"]


def test_a_band_that_does_not_come_is_not_waited_for_long(bench):
    radio = Radio(bench, band_wait_s=0.2)
    radio.announce(0)
    bench.spin(0.2)
    radio.echo(0, "high")
    bench.until(lambda: radio.heard)
    assert radio.heard == [(0, {"high": 1.0})]
    assert "frame 0 is reported without band low" in fault(bench, radio.node, "echoes_missing")


def test_a_complete_frame_takes_older_ones_with_it_in_their_order(bench):
    radio = Radio(bench, band_wait_s=10.0)
    for number in (0, 1, 2):
        radio.announce(number)
    bench.spin(0.3)
    radio.echo(0, "low")
    radio.echo(2, "low")
    assert radio.heard == []
    radio.echo(2, "high")
    bench.until(lambda: len(radio.heard) == 2)
    assert [number for number, _ in radio.heard] == [0, 2]
    radio.echo(1, "high")  # its frame is over no more than by the order of frames
    bench.until(lambda: len(radio.heard) == 3)


def test_echoes_of_bands_may_come_before_their_announcement(bench):
    radio = Radio(bench, band_wait_s=5.0)
    radio.echo(4, "high")
    radio.echo(4, "low")
    radio.announce(4)
    bench.until(lambda: radio.heard)
    assert radio.heard == [(4, {"high": 1.0, "low": 1.0})]
    assert not radio.node.health.counts["echoes_unannounced"]


@pytest.mark.parametrize(
    ("number", "band", "shape", "reason"),
    [
        (0, "", None, "names no band; the scene has several: high, low"),
        (0, "mid", (8, 32, 32), "is of band 'mid', on which 'west' receives nothing"),
        (1, "low", None, "is of band 'low', on which 'west' receives nothing in frame 1"),
        (0, "low", (4, 32, 32), "echo has sizes (4, 32, 32), the scene has (8, 32, 32)"),
    ],
)
def test_an_echo_that_cannot_be_of_its_frame_is_refused(bench, number, band, shape, reason):
    radio = Radio(bench, band_wait_s=5.0)
    radio.announce(number)
    bench.spin(0.2)
    if band in ("", "low"):
        radio.echo(number, band, shape=shape)
    else:
        message = conversions.echo_message(
            EchoRecord(FrameStamp(1, number, SECOND), "west", False, 1e-12, np.ones(shape), band)
        )
        radio.echoes.publish(message)
    assert reason in fault(bench, radio.node, "echoes_refused")
    assert radio.heard == []


def test_the_same_band_twice_counts_once(bench):
    radio = Radio(bench, band_wait_s=5.0)
    radio.announce(0)
    bench.spin(0.2)
    radio.echo(0, "low", 1.0)
    radio.echo(0, "low", 7.0)
    assert "second echo of frame 0 on band 'low'" in fault(bench, radio.node, "echoes_refused")
    radio.echo(0, "high")
    bench.until(lambda: radio.heard)
    assert radio.heard == [(0, {"high": 1.0, "low": 1.0})]


def test_the_announcement_names_the_bands_on_the_air(bench):
    radio = Radio(bench, band_wait_s=5.0)
    radio.announce(0, bands=("low",), time_s=12.5)
    bench.spin(0.2)
    radio.echo(0, "low")
    bench.until(lambda: radio.heard)
    ((_, frame, echoes, _),) = radio.node.heard
    assert frame.bands == tuple(echoes) == ("low",)
    assert frame.time_s == 12.5
    assert np.allclose(frame.poses["car"].position_m, [10 + 3 * 12.5, 62, 0])

"""Delivery of packets of UEs by the range of their radio, in the scene bs_ue_zones."""

from dataclasses import replace

import pytest

from cooperative_isac.fronthaul.delivery import deliver, distance_m
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.file.config import parse_scene, scene_path
from cooperative_isac.scene.radio_link import RadioLink

UES = ("ue1", "ue2", "ue3")
RADIO = RadioLink(299792458 / 5.9e9, 10**-0.7, 7.2e-15, 360e3, 1e-3)


@pytest.fixture(scope="module")
def scene():
    """The shipped scene with a radio link."""
    shipped = parse_scene(scene_path("bs_ue_zones").read_text(), scene_path("bs_ue_zones"))
    return replace(shipped, cooperation=replace(shipped.cooperation, radio_link=RADIO))


def frame_at(scene, time_s, bands=None):
    """Frame with the stations where they are at a time."""
    return make_frame(scene, 10, time_s, bands=bands)


def packets_of(num_bits, stations=("bs", *UES)):
    """Packets of a size."""
    return {name: bytes(num_bits // 8) for name in stations}


def test_distances_are_those_of_the_moving_ues(scene):
    # ue1 starts at [109, -5, 2], behind the corner, and drives away at 10 m/s; a mast of 25 m.
    near_m = distance_m(scene, frame_at(scene, 0.0), "ue1", "bs")
    far_m = distance_m(scene, frame_at(scene, 20.0), "ue1", "bs")
    assert near_m == pytest.approx((109**2 + 5**2 + 23**2) ** 0.5)
    assert far_m == pytest.approx((309**2 + 5**2 + 23**2) ** 0.5)


def test_packets_of_ues_arrive_within_their_reach_only(scene):
    packets = packets_of(312)
    reach_m = RADIO.reach_m(312)
    for time_s in (10.0, 30.0, 36.0, 45.0):
        frame = frame_at(scene, time_s, ("far_down",))
        delivery = deliver(scene, frame, packets)
        far = [name for name in UES if distance_m(scene, frame, name, "bs") > reach_m]
        assert delivery.undelivered == tuple(far)
        assert list(delivery.packets) == [name for name in packets if name not in far]
    assert delivery.undelivered == UES and deliver(scene, frame_at(scene, 0.0), packets).packets


def test_a_large_packet_reaches_less_far(scene):
    frame = frame_at(scene, 25.0, ("far_down",))
    packets = {**packets_of(312), "ue2": bytes(200)}
    assert deliver(scene, frame, packets).undelivered == ("ue2",)


def test_without_a_radio_link_every_packet_arrives(scene):
    wired = replace(scene, cooperation=replace(scene.cooperation, radio_link=None))
    packets = packets_of(80_000)
    delivery = deliver(wired, frame_at(wired, 45.0), packets)
    assert delivery.packets == packets and delivery.undelivered == ()

"""Delivery of packets to the base station or a UE, and of results, in the scene bs_ue_zones."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.delivery import (
    deliver,
    distance_m,
    fusing_station,
    result_bits,
    result_sender,
)
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.file.config import load_scene

UES = ("ue1", "ue2", "ue3")
DOWNLINK = ("far_down",)
SIDELINKS = ("side1", "side2", "side3")


@pytest.fixture(scope="module")
def scene():
    """The shipped scene."""
    return load_scene("bs_ue_zones")


def with_link(scene, **changes):
    """The scene with changes of its radio link."""
    link = replace(scene.cooperation.radio_link, **changes)
    return replace(scene, cooperation=replace(scene.cooperation, radio_link=link))


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
    reach_m = scene.cooperation.radio_link.reach_m(312)
    for time_s in (10.0, 30.0, 36.0, 45.0):
        frame = frame_at(scene, time_s, DOWNLINK)
        delivery = deliver(scene, frame, packets)
        far = [name for name in UES if distance_m(scene, frame, name, "bs") > reach_m]
        assert delivery.undelivered == tuple(far)
        assert list(delivery.packets) == [name for name in packets if name not in far]
        assert delivery.fused_at == "bs"
    assert delivery.undelivered == UES


def test_a_large_packet_reaches_less_far(scene):
    frame = frame_at(scene, 25.0, DOWNLINK)
    packets = {**packets_of(312), "ue2": bytes(200)}
    assert deliver(scene, frame, packets).undelivered == ("ue2",)


def test_without_a_radio_link_every_packet_arrives(scene):
    wired = replace(scene, cooperation=replace(scene.cooperation, radio_link=None))
    packets = packets_of(80_000)
    delivery = deliver(wired, frame_at(wired, 45.0), packets)
    assert delivery.packets == packets and delivery.undelivered == ()


@pytest.mark.parametrize("bands", [("near_down", "near_up1"), DOWNLINK, ("near_down", *DOWNLINK)])
def test_the_base_station_fuses_what_it_or_its_signal_senses(scene, bands):
    assert fusing_station(scene, frame_at(scene, 20.0, bands)) == "bs"


def test_the_ue_in_the_middle_fuses_signals_of_ues(scene):
    # ue1 and ue2 are 30 m ahead of ue3 and 30 m behind it.
    frame = frame_at(scene, 20.0, SIDELINKS)
    sums_m = {ue: sum(distance_m(scene, frame, ue, other) for other in UES) for ue in UES}
    assert min(sums_m, key=sums_m.get) == "ue3" == fusing_station(scene, frame)
    assert fusing_station(scene, frame_at(scene, 20.0, (*DOWNLINK, *SIDELINKS))) == "ue3"

    # Where ue3 goes away, another one does.
    far = replace(frame.poses["ue3"], position_m=frame.poses["ue3"].position_m + 500.0)
    assert fusing_station(scene, replace(frame, poses={**frame.poses, "ue3": far})) == "ue1"


def test_in_zone_c_sidelinks_replace_the_uplink(scene):
    # At 45 s they are 499 to 559 m from the base station, and up to 61 m from each other.
    packets = packets_of(696)
    to_base = deliver(scene, frame_at(scene, 45.0, DOWNLINK), packets)
    among_ues = deliver(scene, frame_at(scene, 45.0, SIDELINKS), packets)
    assert to_base.undelivered == UES and among_ues.undelivered == ()
    assert (to_base.fused_at, among_ues.fused_at) == ("bs", "ue3")

    # Sidelinks have the range of the same budget; the UE that fuses has its own packet.
    short = with_link(scene, power_w=1e-4 * scene.cooperation.radio_link.power_w)
    assert short.cooperation.radio_link.reach_m(696) < 50.0
    lost = deliver(short, frame_at(short, 45.0, SIDELINKS), packets)
    assert lost.undelivered == ("ue1", "ue2") and list(lost.packets) == ["bs", "ue3"]


def test_the_base_station_forwards_to_the_ue_that_fuses(scene):
    # ue3 is far away from ue1 and ue2, which are near the base station.
    frame = frame_at(scene, 0.0, SIDELINKS)
    far_m = frame.poses["ue3"].position_m + [900.0, 0.0, 0.0]
    poses = {**frame.poses, "ue3": replace(frame.poses["ue3"], position_m=far_m)}
    delivery = deliver(scene, replace(frame, poses=poses), packets_of(312))
    assert delivery.fused_at == "ue1" and delivery.undelivered == ("ue3",)

    both_far = {**poses, "ue2": replace(poses["ue2"], position_m=far_m + [20.0, 0.0, 0.0])}
    delivery = deliver(scene, replace(frame, poses=both_far), packets_of(312))
    assert delivery.fused_at == "ue3" and delivery.undelivered == ()


def moved_out(scene, frame, distances_m):
    """The frame with UEs along x at distances from the base station, whose mast is 25 m high."""
    poses = dict(frame.poses)
    for name, way_m in distances_m.items():
        place_m = [(way_m**2 - 23.0**2) ** 0.5, 0.0, 2.0]
        poses[name] = replace(poses[name], position_m=np.array(place_m))
    moved = replace(frame, poses=poses)
    assert all(
        distance_m(scene, moved, name, "bs") == pytest.approx(way_m)
        for name, way_m in distances_m.items()
    )
    return moved


def test_the_size_of_a_result_grows_with_its_targets():
    # Header of 9 bytes, checksum of 4, number of targets; 3 x (16 + 16 + 10) + 63 bits of a target.
    assert result_bits(3, 0) == 8 * (9 + 4 + 1)
    assert result_bits(3, 1) == 8 * (9 + 4 + 25)
    assert result_bits(3, 2) - result_bits(3, 1) in (184, 192)
    assert result_bits(2, 1) < result_bits(3, 1)


def test_a_result_returns_over_the_nearest_uplink_in_reach(scene):
    reach_m = scene.cooperation.radio_link.reach_m(result_bits(3, 1))
    frame = frame_at(scene, 45.0, SIDELINKS)

    # The UE that fuses sends it as long as its own uplink carries it.
    places_m = {"ue1": 300.0, "ue2": 200.0, "ue3": reach_m - 1}
    assert result_sender(scene, moved_out(scene, frame, places_m), "ue3", 1) == "ue3"

    # Beyond, the one nearest to the base station relays it.
    places_m["ue3"] = reach_m + 1
    assert result_sender(scene, moved_out(scene, frame, places_m), "ue3", 1) == "ue2"

    # More targets need a shorter way.
    places_m = {"ue1": reach_m - 1, "ue2": reach_m - 2, "ue3": reach_m + 1}
    near_border = moved_out(scene, frame, places_m)
    assert result_sender(scene, near_border, "ue3", 1) == "ue2"
    assert result_sender(scene, near_border, "ue3", 2) == ""


def test_a_ue_out_of_reach_of_all_others_keeps_its_result(scene):
    reach_m = scene.cooperation.radio_link.reach_m(result_bits(3, 1))
    frame = frame_at(scene, 45.0, SIDELINKS)
    places_m = {"ue1": reach_m + 1, "ue2": reach_m + 2, "ue3": reach_m + 3}
    assert result_sender(scene, moved_out(scene, frame, places_m), "ue3", 1) == ""

    # A relay at the base station is out of reach of the sidelink.
    places_m = {"ue1": 30.0, "ue2": 30.0, "ue3": 30.0 + 1.1 * reach_m}
    assert result_sender(scene, moved_out(scene, frame, places_m), "ue3", 1) == ""


def test_a_result_of_the_base_station_is_there(scene):
    frame = frame_at(scene, 45.0, DOWNLINK)
    assert result_sender(scene, frame, "bs", 100) == "bs"
    wired = replace(scene, cooperation=replace(scene.cooperation, radio_link=None))
    assert result_sender(wired, frame, "", 1) == ""

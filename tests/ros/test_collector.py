"""Collection of packets: order, patience, restarts, refused packets."""

from collections import Counter

import pytest

from cooperative_isac.schemes.contract import PacketError
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, Packet
from cooperative_isac_ros.timing.collector import (
    EARLY_FRAMES,
    MIN_EARLY_PACKETS,
    PacketCollector,
    decode_trusted,
)


def announcement(number, run=1):
    return Announcement(FrameStamp(run, number, number), "tiny", "0", True, 3)


def packet(number, site, run=1, scheme="s"):
    return Packet(FrameStamp(run, number, number), 0, site, scheme, True, b"x")


@pytest.fixture
def faults():
    return Counter()


@pytest.fixture
def collector(faults):
    return PacketCollector(
        dict.fromkeys("ab", "s"), 2, on_fault=lambda event, reason: faults.update([event])
    )


def closed(frames):
    return [
        (frame.announcement.frame.number, sorted(frame.packets), frame.sites_missing)
        for frame in frames
    ]


def test_a_frame_closes_with_the_packets_of_all_receivers(collector):
    collector.announce(announcement(0))
    assert collector.add(packet(0, "a")) and collector.complete() == []
    assert collector.add(packet(0, "b")) and closed(collector.complete()) == [(0, ["a", "b"], ())]


def test_a_complete_frame_takes_older_ones_with_it(collector):
    for number in range(3):
        collector.announce(announcement(number))
    collector.add(packet(0, "a"))
    for site in ("a", "b"):
        collector.add(packet(1, site))
    assert closed(collector.complete()) == [(0, ["a"], ("b",)), (1, ["a", "b"], ())]


def test_a_deadline_closes_once(collector):
    (opened,) = collector.announce(announcement(0))
    assert closed(collector.expire(opened)) == [(0, [], ("a", "b"))]
    assert collector.expire(opened) == []


@pytest.mark.parametrize(
    "again",
    [[announcement(0, run=2)], [announcement(0), announcement(1)]],
    ids=["another run", "played again"],
)
def test_the_deadline_of_an_earlier_pass_closes_nothing(collector, again):
    first = [opened for number in range(3) for opened in collector.announce(announcement(number))]
    second = [opened for item in again for opened in collector.announce(item)]
    assert [frame for opened in first for frame in collector.expire(opened)] == []
    assert [number for number, _, _ in closed(collector.expire(second[-1]))] == list(
        range(len(again))
    )


def test_a_silent_receiver_is_absent_until_its_next_packet(collector):
    for number in range(2):
        (opened,) = collector.announce(announcement(number))
        collector.add(packet(number, "a"))
        assert collector.complete() == []
        collector.expire(opened)
    assert collector.absent == ("b",)
    collector.announce(announcement(2))
    collector.add(packet(2, "a"))
    assert closed(collector.complete()) == [(2, ["a"], ("b",))]
    assert not collector.add(packet(2, "b"))
    assert collector.absent == ()


def test_when_all_are_absent_the_deadline_decides(collector):
    for number in range(3):
        (opened,) = collector.announce(announcement(number))
        assert collector.complete() == []
        collector.expire(opened)
    assert collector.absent == ("a", "b")


@pytest.mark.parametrize(
    ("bad", "event"),
    [
        (packet(0, "z"), "packets_of_unknown_site"),
        (packet(0, "a", scheme="t"), "packets_of_other_scheme"),
        (packet(0, "a", run=0), "packets_stale"),
        (packet(1, "a"), "packets_repeated"),
    ],
)
def test_every_refusal_is_reported(collector, faults, bad, event):
    collector.announce(announcement(0, run=0))
    collector.announce(announcement(1))
    collector.add(packet(1, "a"))
    assert not collector.add(bad)
    assert faults == {"restarts": 1, event: 1}


def test_a_closed_frame_returns_once_with_its_late_packets(faults):
    collector = PacketCollector(dict.fromkeys("abc", "s"), 9, revised_s=2e-9)
    for number in range(4):
        (opened,) = collector.announce(announcement(number))
        collector.add(packet(number, "a"))
        assert closed(collector.expire(opened)) == [(number, ["a"], ("b", "c"))]
    collector.add(packet(0, "b"))  # older than the last ones
    collector.add(packet(1, "a"))  # not missing
    collector.add(packet(2, "b", scheme="other"))
    collector.add(packet(2, "b", run=7))
    assert collector.take_revised() == []
    collector.add(packet(1, "b"))
    (revised,) = collector.take_revised()
    assert (*closed([revised])[0], revised.sites_late) == (1, ["a", "b"], ("c",), ("b",))
    for site in ("c", "b"):
        collector.add(packet(1, site))
    (revised,) = collector.take_revised()
    assert (*closed([revised])[0], revised.sites_late) == (1, ["a", "b", "c"], (), ("c",))
    assert collector.take_revised() == []


def test_late_packets_are_reported(collector, faults):
    collector.expire(*collector.announce(announcement(3)))
    assert not collector.add(packet(3, "a")) and not collector.add(packet(2, "a"))
    assert faults == {"packets_late": 2}


def test_an_announcement_counts_once(collector, faults):
    assert collector.announce(announcement(0)) and not collector.announce(announcement(0))
    assert faults == {"frames_repeated": 1}


def test_unannounced_packets_do_not_pile_up(collector, faults):
    for number in range(MIN_EARLY_PACKETS + 3):
        collector.add(packet(number, "a"))
    assert collector.num_early == MIN_EARLY_PACKETS and faults == {"packets_unannounced": 3}


def fill(collector, number, run=1):
    """Add the packets of both receivers. Returns the closed frames."""
    for site in ("a", "b"):
        assert collector.add(packet(number, site, run))
    return closed(collector.complete())


@pytest.mark.parametrize("packets_first", [True, False])
@pytest.mark.parametrize(
    "between", [[], [announcement(0, run=2)]], ids=["at once", "after another run"]
)
def test_numbers_that_go_back_begin_anew_and_lose_nothing(
    collector, faults, between, packets_first
):
    for item in (announcement(5), announcement(6), *between):
        collector.announce(item)
    assert collector.announce(announcement(0)) == ()
    before = fill(collector, 0) + fill(collector, 1) if packets_first else []
    assert [item.frame.number for item in collector.announce(announcement(1))] == [0, 1]
    after = (
        closed(collector.complete()) if packets_first else fill(collector, 0) + fill(collector, 1)
    )
    assert before == [] and after == [(0, ["a", "b"], ()), (1, ["a", "b"], ())]
    assert faults == {"restarts": 1 + len(between), "frames_stale": 1}


@pytest.mark.parametrize(
    "stale", [announcement(2), announcement(9, run=0)], ids=["lower number", "ended run"]
)
def test_one_stale_announcement_changes_nothing(collector, faults, stale):
    for item in (announcement(9, run=0), announcement(5), announcement(6), stale):
        collector.announce(item)
    collector.add(packet(6, "a"))
    collector.add(packet(2, "a"))
    collector.announce(announcement(7))
    assert fill(collector, 7) == [(5, [], ("a", "b")), (6, ["a"], ("b",)), (7, ["a", "b"], ())]
    assert faults["restarts"] == 1 and faults["frames_stale"] == 1
    collector.announce(announcement(8))
    assert faults["packets_late"] == 1 and collector.num_early == 0


def test_each_station_speaks_its_own_scheme(faults):
    collector = PacketCollector(
        {"a": "s", "b": "other"}, on_fault=lambda event, reason: faults.update([event])
    )
    collector.announce(announcement(0))
    assert collector.add(packet(0, "a")) and not collector.add(packet(0, "b"))
    assert faults == {"packets_of_other_scheme": 1}
    assert collector.add(packet(0, "b", scheme="other"))
    assert closed(collector.complete()) == [(0, ["a", "b"], ())]


class Choosy:
    name = "choosy"

    def decode(self, packets, frame):
        for receiver, data in packets.items():
            if data == b"bad":
                raise PacketError(receiver, "bad")
        return tuple(sorted(packets))


def test_refused_packets_do_not_spoil_the_rest():
    detections, refused = decode_trusted(Choosy(), {"a": b"bad", "b": b"good", "c": b"bad"}, None)
    assert detections == ("b",) and sorted(refused) == ["a", "c"]


def test_an_error_without_a_receiver_is_not_hidden():
    class Broken:
        def decode(self, packets, frame):
            raise PacketError("nobody", "always")

    with pytest.raises(PacketError, match="nobody"):
        decode_trusted(Broken(), {"a": b""}, None)


def test_many_stations_may_have_more_packets_that_wait(faults):
    sites = [f"s{index}" for index in range(20)]
    collector = PacketCollector(
        dict.fromkeys(sites, "s"), on_fault=lambda event, reason: faults.update([event])
    )
    for number in range(EARLY_FRAMES + 1):
        for site in sites:
            assert collector.add(packet(number, site))
    assert collector.num_early == EARLY_FRAMES * len(sites)
    assert faults == {"packets_unannounced": len(sites)}


def test_every_station_has_the_scheme_of_its_own(faults):
    collector = PacketCollector(
        {"a": "s", "b": "t"}, on_fault=lambda event, reason: faults.update([event])
    )
    collector.announce(announcement(0))
    assert not collector.add(packet(0, "b", scheme="s"))
    assert collector.add(packet(0, "a", scheme="s"))
    assert collector.add(packet(0, "b", scheme="t"))
    assert closed(collector.complete()) == [(0, ["a", "b"], ())]
    assert faults == {"packets_of_other_scheme": 1}


def test_a_station_is_waited_for_in_the_frames_of_its_bands(faults):
    """b receives on a band that is on the air in every other frame, and c on one that has none."""

    def receiving(item):
        return {"a", "b"} if item.frame.number % 2 == 0 else {"a"}

    collector = PacketCollector(
        dict.fromkeys("abc", "s"), 2, lambda event, reason: faults.update([event]), receiving
    )
    for number in range(2):
        collector.announce(announcement(number))
        collector.add(packet(number, "a"))
    assert closed(collector.complete()) == [(0, ["a"], ("b",)), (1, ["a"], ())]
    for number in range(2, 6):
        collector.announce(announcement(number))
        collector.add(packet(number, "a"))
        frames = collector.complete()
        if number == 2:  # b is silent for the second time at most
            assert frames == []
    assert collector.absent == ("b",)
    assert faults == {}

"""Scheme symbol_level on several bands: targets of both, frames with one of them, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.envelope import PacketError, packet_format
from cooperative_isac.fronthaul.symbol_packet import SYMBOL_BANDS_FORMAT
from cooperative_isac.pipeline import make_encoders, make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.station import LinkMode
from cooperative_isac.schemes.registry import check_scheme, make_scheme

FRAMES = range(2, 6)


@pytest.fixture(scope="module")
def frames(two_tiny):
    """Frames with their packets and detections, of a center that follows them."""
    scheme = make_scheme("symbol_level", two_tiny)
    encoders = make_encoders(scheme)
    center = scheme.center()
    found = []
    for number in FRAMES:
        time_s = number / two_tiny.update_rate_hz
        frame = make_frame(two_tiny, number, time_s)
        targets = scene_targets(two_tiny, time_s)
        packets = {
            station: encoders[station].encode(echoes, frame)
            for station, echoes in receive_all(two_tiny, frame, targets).items()
        }
        found.append((frame, targets, packets, center.decode(packets, frame)))
    return found


def test_targets_are_found_with_the_bands_on_the_air(two_tiny, frames):
    assert {len(frame.bands) for frame, *_ in frames} == {1, 2}
    for frame, (target,), packets, detections in frames:
        (one,) = detections
        assert np.linalg.norm(one.position_m - target.position_m) < 0.5
        assert np.linalg.norm(one.velocity_mps - target.velocity_mps) < 1.0
        assert {link.band for link in one.links} == set(frame.bands)
        assert set(one.links) <= set(two_tiny.links)
        assert {packet_format("west", packet) for packet in packets.values()} == {
            SYMBOL_BANDS_FORMAT
        }


def test_both_bands_locate_a_target_better_than_one(frames):
    deviations = {1: [], 2: []}
    for frame, _, _, (one,) in frames:
        deviations[len(frame.bands)].append(np.sqrt(np.trace(one.covariance[:2, :2])))
    assert max(deviations[2]) < min(deviations[1])


def test_a_frame_does_not_depend_on_earlier_ones_without_its_time(two_tiny, frames):
    frame, _, packets, _ = next(one for one in frames if len(one[0].bands) == 2)
    alone = replace(frame, time_s=None)
    center = make_scheme("symbol_level", two_tiny).center()
    first = center.decode(packets, alone)
    again = center.decode(packets, alone)
    assert len(first) == 1 and np.array_equal(first[0].position_m, again[0].position_m)


def test_a_missing_or_damaged_packet_is_named(two_tiny, frames):
    frame, (target,), packets, _ = next(one for one in frames if len(one[0].bands) == 2)
    center = make_scheme("symbol_level", two_tiny).center()
    rest = {name: packet for name, packet in packets.items() if name != "car"}
    (one,) = center.decode(rest, frame)
    assert "car" not in one.sites
    assert np.linalg.norm(one.position_m - target.position_m) < 0.5
    for damaged in (packets["west"][:-1], packets["car"], b""):
        with pytest.raises(PacketError) as caught:
            center.decode({**packets, "west": damaged}, frame)
        assert caught.value.receiver == "west"


def test_shipped_scenes_of_several_bands_can_use_it():
    for name in ("two_bands", "macro_micro"):
        check_scheme("symbol_level", load_scene(name))


def test_scenes_that_it_cannot_sum_are_refused(two_tiny):
    # A link of the second band alone is not used.
    some = replace(two_tiny, link_mode=LinkMode.PASSIVE)
    with pytest.raises(ValueError, match="do not use every transmitter"):
        make_scheme("symbol_level", some)
    with pytest.raises(ValueError, match="position_std_m"):
        make_scheme("symbol_level", load_scene("bs_ue"))
    static = replace(two_tiny, sensing=replace(two_tiny.sensing, static_paths="project"))
    cause = "static_paths: project and stations that move; use scheme local_ml$"
    with pytest.raises(ValueError, match=cause):
        make_scheme("symbol_level", static)
    path = scene_path("two_bands")
    world = parse_scene(path.read_text() + "\nworld: {}\n", path)
    cause = "the default beside its `world`, .* use scheme local_ml, or leave out the `world`"
    with pytest.raises(ValueError, match=cause):
        make_scheme("symbol_level", world)
    observed = replace(
        two_tiny, sensing=replace(two_tiny.sensing, synchronization="both_directions")
    )
    with pytest.raises(ValueError, match="one band, with stations at rest"):
        make_scheme("symbol_level", observed)
    learned = replace(load_scene("multi_bs").sensing, static_paths="learn")
    with pytest.raises(ValueError, match=r"static_paths: learn, as packets .*; set project"):
        make_scheme("symbol_level", replace(load_scene("multi_bs"), sensing=learned))

"""What every scheme must do, whichever it is, with the payload and with reference symbols only."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS
from cooperative_isac.pipeline import hear, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.contract import PacketError, after_sending, arranged_scene
from cooperative_isac.schemes.registry import make_scheme, scheme_names, scheme_scene

LEARNED = ("cnn", "dvae", "dvqvae")  # they need weights for the scene: test_learned.py
COARSE = {"music", "monostatic", "monostatic_fine"}  # they cannot tell slow targets from clutter
ONE_PATH = {"music", "music_fine", "compressed_sensing"}  # two receivers must hear a target
NEAR = {
    "music": (1.0, 10.0),
    "music_fine": (1.5, 6.0),
    "compressed_sensing": (1.5, 6.0),
    "monostatic": (1.5, 15.0),
    "monostatic_fine": (1.5, 15.0),
}  # m and m/s; else 0.5 m and 2 m/s


@pytest.fixture(params=[name for name in scheme_names() if not name.startswith(LEARNED)])
def name(request):
    return request.param


@pytest.fixture(params=["payload", "reference_only"])
def scene(request, name, small):
    scene = replace(small, sensing=replace(small.sensing, symbols=request.param))
    if name not in COARSE:
        return scene
    clutter = replace(scene.propagation.clutter, num_scatterers=0, positions_m=None)
    return replace(
        scene,
        sensing=replace(scene.sensing, min_speed_mps=0.0),
        propagation=replace(scene.propagation, clutter=clutter),
    )


@pytest.fixture
def world(name, scene):
    """The scene with the scheme's own sites."""
    return scheme_scene(name, scene)


@pytest.fixture
def scheme(name, scene):
    return make_scheme(name, scene)


@pytest.fixture
def targets(scene):
    return scene_targets(scene, 1.0)


@pytest.fixture
def heard(world, targets):
    """A frame and its echoes."""
    frame = transmit(world, 3)
    return frame, {site.name: hear(world, frame, site.name, targets) for site in world.receivers}


@pytest.fixture
def packets(scheme, heard):
    frame, echoes = heard
    return {receiver: scheme.encode(echo, frame, receiver) for receiver, echo in echoes.items()}


@pytest.fixture
def first(world):
    """The first receiver's name."""
    return world.receivers[0].name


def states(detections):
    return np.array([(detection.position_m, detection.velocity_mps) for detection in detections])


def assert_found(detections, targets, distance_m, speed_mps):
    assert len(detections) == len(targets)
    for target in targets:
        away = [
            np.linalg.norm(detection.position_m - target.position_m) for detection in detections
        ]
        nearest = detections[int(np.argmin(away))]
        assert min(away) < distance_m
        assert np.linalg.norm(nearest.velocity_mps - target.velocity_mps) < speed_mps


def test_targets_are_found(scheme, heard, packets, targets):
    assert_found(scheme.decode(packets, heard[0]), targets, *NEAR.get(scheme.name, (0.5, 2.0)))


def test_packets_are_bytes_as_small_as_the_scheme_says(scheme, packets, heard):
    for receiver, packet in packets.items():
        raw_bits = 8 * scheme_input(scheme, heard[1][receiver]).nbytes
        bits = raw_bits + OVERHEAD_BITS if scheme.name == "raw_ml" else raw_bits / 200
        assert isinstance(packet, bytes) and 0 < 8 * len(packet) <= bits
        if hasattr(scheme, "packet_format"):
            assert 8 * len(packet) - OVERHEAD_BITS in {104 * count for count in range(6)}


def scheme_input(scheme, echo):
    """The part of an echo that the scene lets a scheme use."""
    strides = (2, 2) if scheme.scene.sensing.symbols == "reference_only" else (1, 1)
    return echo[:, :: strides[0], :: strides[1]]


def test_packets_are_all_that_the_center_needs(scheme, heard, packets, scene):
    other = make_scheme(scheme.name, scene)
    assert np.array_equal(
        states(other.decode(packets, heard[0])), states(scheme.decode(packets, heard[0]))
    )


def test_the_same_echo_gives_the_same_bytes(scheme, heard, packets):
    frame, echoes = heard
    assert {
        receiver: scheme.encode(echo, frame, receiver) for receiver, echo in echoes.items()
    } == packets


def test_the_echo_is_left_as_it_is(scheme, heard, first):
    frame, echoes = heard
    before = echoes[first].copy()
    scheme.encode(echoes[first], frame, first)
    assert np.array_equal(echoes[first], before)


def test_the_order_of_packets_is_irrelevant(scheme, heard, packets):
    forwards, backwards = (
        scheme.decode(dict(order(packets.items())), heard[0]) for order in (list, reversed)
    )
    assert np.array_equal(states(forwards), states(backwards))


def test_what_one_receiver_missed_the_other_still_finds(scheme, heard, packets, targets, first):
    car = next(target for target in targets if target.name == "car")
    alone = scheme.decode({first: packets[first]}, heard[0])
    near = [one for one in alone if np.linalg.norm(one.position_m - car.position_m) < 2.0]
    assert_found(near, [] if scheme.name in ONE_PATH else [car], *NEAR.get(scheme.name, (1.0, 2.0)))
    assert scheme.decode({}, heard[0]) == ()


def test_a_damaged_packet_is_named(scheme, heard, packets):
    last = list(packets)[-1]
    wrong = [packet for receiver, packet in packets.items() if receiver != last]
    for damaged in (packets[last][:-1], b"", *wrong):
        with pytest.raises(PacketError) as caught:
            scheme.decode({**packets, last: damaged}, heard[0])
        assert caught.value.receiver == last


def test_a_packet_of_another_frame_is_refused(scheme, packets, world):
    with pytest.raises(PacketError, match="its frame is 3, expected 4"):
        scheme.decode(packets, transmit(world, 4))


def test_noise_alone_is_no_target(scheme, world, heard):
    quiet = replace(world, propagation=replace(world.propagation, reference_gain=1e-12))
    frame, names = heard[0], [site.name for site in world.receivers]
    for seed in range(3):
        echoes = {name: hear(replace(quiet, seed=seed), frame, name, ()) for name in names}
        silence = {name: scheme.encode(echo, frame, name) for name, echo in echoes.items()}
        assert scheme.decode(silence, frame) == ()


def test_the_downlink_costs_the_packed_payload_and_nothing_without_it(scheme, scene, heard):
    free = scene.sensing.symbols == "reference_only" or scheme.name == "raw_ml"
    assert scheme.downlink_bits(heard[0]) == (0 if free else 8 * len(pack_downlink(heard[0])))


def test_only_what_is_told_of_the_payload_is_looked_at(scheme, heard, packets, first):
    frame, echoes = heard
    forged = replace(frame, indices=np.zeros_like(frame.indices))
    same = scheme.encode(echoes[first], forged, first) == packets[first]
    assert same == (scheme.downlink_bits(frame) == 0)


def test_a_scheme_with_sites_of_its_own_is_arranged_once(scheme, scene, world):
    again = arranged_scene(scheme, world)
    assert again is world or (again.receivers, again.transmitters) == (
        world.receivers,
        world.transmitters,
    )
    assert scheme.scene.fingerprint == scene.fingerprint == world.fingerprint


def test_what_is_done_after_sending_changes_later_packets_only_and_is_never_left_out(
    name, scene, world, first
):
    """Two followers of the same echoes, one of which never does it by itself."""
    diligent, lazy = make_scheme(name, scene), make_scheme(name, scene)
    diligent.period_s = lazy.period_s = 1 / scene.update_rate_hz
    for number in range(3):
        frame = transmit(world, number)
        echo = hear(world, frame, first, scene_targets(scene, number * diligent.period_s))
        assert diligent.encode(echo, frame, first) == lazy.encode(echo, frame, first)
        after_sending(diligent, first)

"""What every scheme must do, whichever it is, with the payload and with reference symbols only."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import hear, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.contract import PacketError
from cooperative_isac.schemes.registry import make_scheme, scheme_names


@pytest.fixture(params=["payload", "reference_only"])
def scene(request, small):
    return replace(small, sensing=replace(small.sensing, symbols=request.param))


# They need weights for the scene: test_learned.py.
LEARNED = {"cnn", "dvae", "dvqvae", "dvqvae_demodulated", "dvqvae_paper"}


@pytest.fixture(params=[name for name in scheme_names() if name not in LEARNED])
def scheme(request, scene):
    return make_scheme(request.param, scene)


@pytest.fixture
def targets(scene):
    return scene_targets(scene, 1.0)


@pytest.fixture
def heard(scene, targets):
    """A frame and its echoes."""
    frame = transmit(scene, 3)
    return frame, {site.name: hear(scene, frame, site.name, targets) for site in scene.receivers}


@pytest.fixture
def packets(scheme, heard):
    frame, echoes = heard
    return {receiver: scheme.encode(echo, frame, receiver) for receiver, echo in echoes.items()}


def states(detections):
    return np.array([(detection.position_m, detection.velocity_mps) for detection in detections])


def assert_found(detections, targets, distance_m):
    assert len(detections) == len(targets)
    for target in targets:
        away = [np.linalg.norm(detection.position_m - target.position_m) for detection in detections]
        nearest = detections[int(np.argmin(away))]
        assert min(away) < distance_m
        assert np.linalg.norm(nearest.velocity_mps - target.velocity_mps) < 2.0


def test_targets_are_found(scheme, heard, packets, targets):
    assert_found(scheme.decode(packets, heard[0]), targets, 0.5)


def test_packets_are_bytes_far_smaller_than_the_echo(packets, heard):
    for receiver, packet in packets.items():
        assert isinstance(packet, bytes) and 0 < len(packet) < heard[1][receiver].nbytes / 1000


def test_packets_are_all_that_the_centre_needs(scheme, heard, packets, scene):
    other = make_scheme(scheme.name, scene)
    assert np.array_equal(states(other.decode(packets, heard[0])), states(scheme.decode(packets, heard[0])))


def test_the_same_echo_gives_the_same_bytes(scheme, heard, packets):
    frame, echoes = heard
    assert {receiver: scheme.encode(echo, frame, receiver) for receiver, echo in echoes.items()} == packets


def test_the_echo_is_left_as_it_is(scheme, heard):
    frame, echoes = heard
    before = echoes["rx1"].copy()
    scheme.encode(echoes["rx1"], frame, "rx1")
    assert np.array_equal(echoes["rx1"], before)


def test_the_order_of_packets_is_irrelevant(scheme, heard, packets):
    forwards, backwards = (scheme.decode(dict(order(packets.items())), heard[0])
                           for order in (list, reversed))
    assert np.array_equal(states(forwards), states(backwards))


def test_what_one_receiver_missed_the_other_still_finds(scheme, heard, packets, targets):
    car = next(target for target in targets if target.name == "car")
    alone = scheme.decode({"rx1": packets["rx1"]}, heard[0])
    near = [one for one in alone if np.linalg.norm(one.position_m - car.position_m) < 2.0]
    assert_found(near, [car], 1.0)
    assert scheme.decode({}, heard[0]) == ()


def test_a_damaged_packet_is_named(scheme, heard, packets):
    for damaged in (packets["rx2"][:-1], b"", packets["rx1"]):
        with pytest.raises(PacketError) as caught:
            scheme.decode({**packets, "rx2": damaged}, heard[0])
        assert caught.value.receiver == "rx2"


def test_a_packet_of_another_frame_is_refused(scheme, heard, packets, scene):
    with pytest.raises(PacketError, match="its frame is 3, expected 4"):
        scheme.decode(packets, transmit(scene, 4))


def test_noise_alone_is_no_target(scheme, scene, heard):
    quiet = replace(scene, propagation=replace(scene.propagation, reference_gain=1e-12))
    frame, names = heard[0], [site.name for site in scene.receivers]
    for seed in range(3):
        echoes = {name: hear(replace(quiet, seed=seed), frame, name, ()) for name in names}
        silence = {name: scheme.encode(echo, frame, name) for name, echo in echoes.items()}
        assert scheme.decode(silence, frame) == ()


def test_the_downlink_costs_the_packed_payload_and_nothing_with_reference_symbols(scheme, scene, heard):
    free = scene.sensing.symbols == "reference_only"
    assert scheme.downlink_bits(heard[0]) == (0 if free else 8 * len(pack_downlink(heard[0])))


def test_with_reference_symbols_only_the_payload_is_not_looked_at(scheme, scene, heard, packets):
    frame, echoes = heard
    forged = replace(frame, indices=np.zeros_like(frame.indices))
    same = scheme.encode(echoes["rx1"], forged, "rx1") == packets["rx1"]
    assert same == (scene.sensing.symbols == "reference_only")

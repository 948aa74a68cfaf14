"""The contract of all schemes, with the payload and with reference symbols only."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS
from cooperative_isac.pipeline import make_encoders, make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.catalog import BUILT_IN
from cooperative_isac.schemes.contract import PacketError
from cooperative_isac.schemes.registry import make_scheme, scheme_scene

# Learned ones need weights for the scene: test_learned.py.
NAMES = [name for name, scheme in BUILT_IN.items() if not scheme.needs_weights]
NEAR = {
    "music": (1.0, 10.0),
    "music_fine": (1.5, 6.0),
    "compressed_sensing": (1.5, 6.0),
    "symbol_level": (0.5, 3.0),
    "monostatic": (1.5, 15.0),
    "monostatic_fine": (1.5, 15.0),
}  # m and m/s; else 0.5 m and 2 m/s


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=["payload", "reference_only"])
def scene(request, name, small):
    scene = replace(small, sensing=replace(small.sensing, symbols=request.param))
    if not BUILT_IN[name].is_coarse:
        return scene
    clutter = replace(scene.propagation.clutter, num_scatterers=0, positions_m=None)
    return replace(
        scene,
        sensing=replace(scene.sensing, min_speed_mps=0.0),
        propagation=replace(scene.propagation, clutter=clutter),
    )


@pytest.fixture
def world(name, scene):
    """The scene with the stations of the scheme."""
    return scheme_scene(name, scene)


@pytest.fixture
def scheme(name, scene):
    return make_scheme(name, scene)


@pytest.fixture
def encoders(scheme):
    return make_encoders(scheme)


@pytest.fixture
def center(scheme):
    return scheme.center()


@pytest.fixture
def targets(scene):
    return scene_targets(scene, 1.0)


@pytest.fixture
def frame_echoes(world, targets):
    """A frame and its echoes."""
    frame = make_frame(world, 3)
    return frame, receive_all(world, frame, targets)


@pytest.fixture
def packets(encoders, frame_echoes):
    frame, echoes = frame_echoes
    return {station: encoders[station].encode(own, frame) for station, own in echoes.items()}


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


def test_targets_are_detected(scheme, center, frame_echoes, packets, targets):
    assert_found(
        center.decode(packets, frame_echoes[0]), targets, *NEAR.get(scheme.name, (0.5, 2.0))
    )


def test_packets_have_the_size_of_the_scheme(scheme, packets, frame_echoes):
    for receiver, packet in packets.items():
        raw_bits = 8 * scheme_input(scheme, frame_echoes[1][receiver]["default"].samples).nbytes
        bits = raw_bits / 200
        if scheme.name == "raw_ml":
            bits = raw_bits + OVERHEAD_BITS
        elif scheme.name == "symbol_level":
            # Two bits of 32 for each part of a sample, or up to eight above the noise; its scale.
            assert 8 * len(packet) >= raw_bits / 16 + 40 + OVERHEAD_BITS
            bits = raw_bits / 4 + 40 + OVERHEAD_BITS
        assert isinstance(packet, bytes) and 0 < 8 * len(packet) <= bits
        if hasattr(scheme, "method"):
            assert 8 * len(packet) - OVERHEAD_BITS in {104 * count for count in range(6)}


def scheme_input(scheme, echo):
    """The known part of an echo, which a scheme may use."""
    strides = (2, 2) if scheme.scene.sensing.symbols == "reference_only" else (1, 1)
    return echo[:, :: strides[0], :: strides[1]]


def test_packets_are_all_that_the_center_needs(scheme, center, frame_echoes, packets, scene):
    other = make_scheme(scheme.name, scene).center()
    assert np.array_equal(
        states(other.decode(packets, frame_echoes[0])),
        states(center.decode(packets, frame_echoes[0])),
    )


def test_the_same_echo_gives_the_same_bytes(encoders, frame_echoes, packets):
    frame, echoes = frame_echoes
    again = {station: encoders[station].encode(own, frame) for station, own in echoes.items()}
    assert again == packets


def test_the_echo_is_not_modified(encoders, frame_echoes, first):
    frame, echoes = frame_echoes
    before = echoes[first]["default"].samples.copy()
    encoders[first].encode(echoes[first], frame)
    assert np.array_equal(echoes[first]["default"].samples, before)


def test_packets_depend_on_the_snr_alone(encoders, frame_echoes, packets, first):
    """An echo has its noise power, which a station may raise above that of its band."""
    frame, echoes = frame_echoes
    echo = echoes[first]["default"]
    louder = replace(echo, samples=2 * echo.samples, noise_power_w=4 * echo.noise_power_w)
    assert encoders[first].encode({"default": louder}, frame) == packets[first]


def test_the_order_of_packets_is_irrelevant(center, frame_echoes, packets):
    forwards, backwards = (
        center.decode(dict(order(packets.items())), frame_echoes[0]) for order in (list, reversed)
    )
    assert np.array_equal(states(forwards), states(backwards))


def test_a_missing_packet_leaves_the_other_receivers(
    scheme, center, frame_echoes, packets, targets, first
):
    car = next(target for target in targets if target.name == "car")
    alone = center.decode({first: packets[first]}, frame_echoes[0])
    expected = [] if BUILT_IN[scheme.name].has_one_path else [car]
    near = [one for one in alone if np.linalg.norm(one.position_m - car.position_m) < 2.0]
    assert_found(near, expected, *NEAR.get(scheme.name, (1.0, 2.0)))
    assert center.decode({}, frame_echoes[0]) == ()


def test_an_earlier_frame_is_decoded_again_with_its_late_packets(
    scheme, world, encoders, frame_echoes, packets, first, targets
):
    """A frame without its time does not depend on the others that the center has decoded."""
    center = scheme.center()
    center.decode({first: packets[first]}, frame_echoes[0])
    later = make_frame(world, 4)
    echoes = receive_all(world, later, targets)
    center.decode({name: encoders[name].encode(own, later) for name, own in echoes.items()}, later)
    revised = center.decode(packets, frame_echoes[0])
    in_time = scheme.center().decode(packets, frame_echoes[0])
    assert len(revised) and np.array_equal(states(revised), states(in_time))
    for one, other in zip(revised, in_time):
        assert np.array_equal(one.covariance, other.covariance)


def test_a_damaged_packet_is_named(center, frame_echoes, packets):
    last = list(packets)[-1]
    wrong = [packet for receiver, packet in packets.items() if receiver != last]
    for damaged in (packets[last][:-1], b"", *wrong):
        with pytest.raises(PacketError) as caught:
            center.decode({**packets, last: damaged}, frame_echoes[0])
        assert caught.value.receiver == last


def test_a_packet_of_another_frame_is_refused(center, packets, world):
    with pytest.raises(PacketError, match="its frame is 3, expected 4"):
        center.decode(packets, make_frame(world, 4))


def test_noise_alone_is_no_target(encoders, center, world, frame_echoes):
    quiet = replace(world, propagation=replace(world.propagation, reference_gain=1e-12))
    frame = frame_echoes[0]
    for seed in range(3):
        echoes = receive_all(replace(quiet, seed=seed), frame, ())
        silence = {name: encoders[name].encode(own, frame) for name, own in echoes.items()}
        assert center.decode(silence, frame) == ()


def test_the_downlink_is_the_packed_payload_or_nothing(scheme, scene, frame_echoes):
    # Echoes of schemes that send them whole are processed at the center.
    sends_echoes = scheme.name in ("raw_ml", "symbol_level")
    free = scene.sensing.symbols == "reference_only" or sends_echoes
    payload_bits = 8 * len(pack_downlink(frame_echoes[0].on("default")))
    assert scheme.downlink_bits(frame_echoes[0]) == (0 if free else payload_bits)


def test_unknown_symbols_are_not_used(scheme, encoders, frame_echoes, packets, first):
    frame, echoes = frame_echoes
    signal = frame.on("default")
    forged = replace(signal, indices=np.zeros_like(signal.indices))
    same = (
        encoders[first].encode(echoes[first], replace(frame, signals={"default": forged}))
        == packets[first]
    )
    assert same == (scheme.downlink_bits(frame) == 0)


def test_a_scheme_with_sites_of_its_own_is_arranged_once(scheme, scene, world):
    again = scheme_scene(scheme.name, world)
    assert again is world or (again.receivers, again.transmitters) == (
        world.receivers,
        world.transmitters,
    )
    assert scheme.scene.fingerprint == scene.fingerprint == world.fingerprint


def test_idle_work_changes_later_packets_only(scheme, world, first):
    """Two encoders of the same echoes, one of which is never called between frames."""
    diligent = scheme.at(first)
    lazy = scheme.at(first)
    for number in range(3):
        time_s = number / world.update_rate_hz
        frame = make_frame(world, number, time_s)
        echoes = receive_all(world, frame, scene_targets(world, time_s))[first]
        assert diligent.encode(echoes, frame) == lazy.encode(echoes, frame)
        diligent.idle()


def test_ends_share_no_state(scheme, world, first):
    """A new encoder does not depend on what others of its scheme encoded."""
    seasoned = scheme.at(first)
    for number in range(2):
        time_s = number / world.update_rate_hz
        frame = make_frame(world, number, time_s)
        echoes = receive_all(world, frame, scene_targets(world, time_s))[first]
        seasoned.encode(echoes, frame)
        seasoned.idle()
    fresh = scheme.at(first).encode(echoes, frame)
    assert fresh == make_scheme(scheme.name, scheme.scene).at(first).encode(echoes, frame)


def test_an_unknown_station_is_named(scheme):
    with pytest.raises(KeyError, match="nowhere"):
        scheme.at("nowhere")

"""Random bytes and damaged packets: refused, or decoded to valid detections."""

import zlib
from dataclasses import replace

import pytest
from chain import Chain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cooperative_isac.fronthaul.envelope import CHECKSUM_BYTES, with_checksum
from cooperative_isac.fusion.detection import detection_problem
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.catalog import BUILT_IN, LEARNED
from cooperative_isac.schemes.contract import PacketError

NAMES = sorted(set(BUILT_IN) - set(LEARNED))
FRAME = 3


@pytest.fixture(scope="module")
def sent(small):
    """Scheme, frame and packets by name of the scheme, made at the first access."""
    made = {}

    def of(name):
        if name not in made:
            scene = replace(small, sensing=replace(small.sensing, max_targets=4))
            scheme = Chain(name, scene)
            world = scheme.scene
            frame, targets = transmit(world, FRAME), scene_targets(world, 0.6)
            packets = {
                site.name: scheme.encode(
                    receive_echo(world, frame, site.name, targets), frame, site.name
                )
                for site in world.receivers
            }
            made[name] = scheme, frame, packets
        return made[name]

    return of


def decoded(scheme, packets, frame):
    """Detections, all valid; None where a packet is refused."""
    try:
        detections = scheme.decode(packets, frame)
    except PacketError as error:
        assert error.receiver in packets
        return None
    assert all(detection_problem(one) is None for one in detections)
    return detections


def same(one, other):
    return [item.position_m.tolist() for item in one] == [
        item.position_m.tolist() for item in other
    ]


@pytest.mark.parametrize("name", NAMES)
def test_random_bytes_are_refused(sent, name):
    scheme, frame, packets = sent(name)
    receiver = min(packets)

    @settings(max_examples=30)
    @given(st.binary(max_size=200))
    def attempt(data):
        assert decoded(scheme, {**packets, receiver: data}, frame) is None

    attempt()


@pytest.mark.parametrize("name", NAMES)
def test_damaged_packets_are_refused_or_give_valid_detections(sent, name):
    scheme, frame, packets = sent(name)
    receiver = min(packets)
    body = packets[receiver][:-CHECKSUM_BYTES]
    before = decoded(scheme, packets, frame)

    @settings(max_examples=12 if name == "raw_ml" else 30, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), min_size=1, max_size=6
        ),
        st.booleans(),
        st.integers(0, len(body)),
    )
    def attempt(changes, cut, length):
        damaged = bytearray(body)
        for place, value in changes:
            damaged[place] = value
        damaged = bytes(damaged[:length] if cut else damaged)
        # With a valid checksum, and without.
        decoded(scheme, {**packets, receiver: with_checksum(damaged)}, frame)
        if damaged != body:
            wrong = zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big")
            assert decoded(scheme, {**packets, receiver: damaged + wrong}, frame) is None

    attempt()
    assert same(decoded(scheme, packets, frame), before)

"""Packets of latents: packed, unpacked, and refused where they are damaged or foreign."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.fronthaul.envelope import (
    OVERHEAD_BITS,
    PacketError,
    packet_format,
    seal,
    unseal,
)
from cooperative_isac.learned.index_coder import frequency_tables
from cooperative_isac.learned.latent_packet import (
    CODED_INDICES,
    INDICES,
    LATENTS,
    MODEL_BYTES,
    LatentCodec,
)
from cooperative_isac.learned.quantizer import usage

MODEL = 0xCAFE1234


@pytest.fixture
def codec(network):
    return LatentCodec(network, MODEL)


@pytest.fixture
def packet(codec, latents):
    return codec.pack(latents["rx1"], "rx1", 7)


def reason(codec, packet, receiver="rx1", number=7):
    """The reason why a packet is refused."""
    with pytest.raises(PacketError) as caught:
        codec.unpack(packet, receiver, number)
    assert caught.value.receiver == receiver
    return str(caught.value)


def test_a_packet_decodes_to_the_nearest_codewords(codec, network, latents, packet):
    codebook, sent = network.codebook("rx1"), latents["rx1"]
    expected = sent if codebook is None else codebook.lookup(codebook.nearest(sent))
    assert torch.equal(codec.unpack(packet, "rx1", 7), expected)


def test_a_packet_has_the_bits_of_its_indices_and_no_more(network, latents, packet):
    count, size = network.latent_shape
    codebook = network.codebook("rx1")
    bits = 32 * count * size
    if codebook is not None:
        bits = count * codebook.config.num_parts * codebook.config.width
    assert 8 * len(packet) == OVERHEAD_BITS + 8 * MODEL_BYTES + -(-bits // 8) * 8


def test_another_model_is_named(network, packet):
    assert "its model is cafe1234, expected 00000001" in reason(LatentCodec(network, 1), packet)


def test_another_receiver_frame_or_scene_is_refused(codec, network, packet):
    assert "its receiver is 0, expected 1" in reason(codec, packet, receiver="rx2")
    assert "its frame is 7, expected 8" in reason(codec, packet, number=8)
    network.scene = replace(network.scene, fingerprint="another")
    assert "its scene is" in reason(codec, packet)


def test_damage_is_refused(codec, packet):
    generator = np.random.default_rng(0)
    for place in generator.choice(len(packet), 20, replace=False):
        damaged = bytearray(packet)
        damaged[place] ^= 1 << int(generator.integers(8))
        assert "checksum" in reason(codec, bytes(damaged))
    assert "checksum" in reason(codec, packet[:-1]) and "checksum" in reason(codec, b"")


def test_payloads_of_another_length_are_refused(codec, network):
    kind = LATENTS if network.codebook("rx1") is None else INDICES
    for size in (0, 3, MODEL_BYTES, MODEL_BYTES + 5):
        payload = (MODEL.to_bytes(4, "big") + bytes(size))[:size]
        assert "refused" in reason(codec, seal(network.scene, kind, "rx1", 7, payload))
    short = seal(network.scene, kind, "rx1", 7, MODEL.to_bytes(4, "big") + b"x")
    assert f"it carries 1 bytes of latents, expected {codec.body_bytes('rx1')}" in reason(
        codec, short
    )


@pytest.mark.parametrize("network", ["dvae"], indirect=True)
def test_latents_that_are_not_finite_are_refused(codec, latents):
    latents["rx1"][3, 1] = float("nan")
    assert "latents are not all finite" in reason(codec, codec.pack(latents["rx1"], "rx1", 7))


@pytest.mark.parametrize("network", ["raw"], indirect=True)
def test_packets_of_indices_and_of_latents_differ(codec, network):
    assert f"its format is {LATENTS}, expected {INDICES}" in reason(
        codec, seal(network.scene, LATENTS, "rx1", 7, b"")
    )


def with_tables(network, latents):
    """The network, whose codebooks have tables of the latents' own codewords."""
    for name, sent in latents.items():
        codebook = network.codebook(name)
        codebook.tables = frequency_tables(usage(codebook.nearest(sent), codebook.config.size))
    return network


CODED = pytest.mark.parametrize("network", ["parts", "maps", "spectra"], indirect=True)


@CODED
def test_with_tables_a_packet_has_the_same_codewords_in_fewer_bits(network, latents, packet):
    codec = LatentCodec(with_tables(network, latents), MODEL)
    coded = codec.pack(latents["rx1"], "rx1", 7)
    codebook = network.codebook("rx1")
    expected = codebook.lookup(codebook.nearest(latents["rx1"]))
    assert torch.equal(codec.unpack(coded, "rx1", 7), expected)
    assert packet_format("rx1", coded) == CODED_INDICES
    assert len(coded) < len(packet)


@CODED
def test_packets_of_the_weights_before_their_tables_are_decoded(network, latents, packet):
    plain = LatentCodec(network, MODEL).unpack(packet, "rx1", 7)
    with_tables(network, latents)
    assert torch.equal(LatentCodec(network, 1, MODEL).unpack(packet, "rx1", 7), plain)
    assert "its model is cafe1234, expected 00000001" in reason(LatentCodec(network, 1), packet)

    # Coded packets depend on the tables, and so on the weights with them.
    coded = LatentCodec(network, MODEL).pack(latents["rx1"], "rx1", 7)
    refused = reason(LatentCodec(network, 1, MODEL), coded)
    assert "its model is cafe1234, expected 00000001" in refused


@CODED
def test_a_center_without_tables_refuses_coded_packets(network, latents):
    codec = LatentCodec(with_tables(network, latents), MODEL)
    coded = codec.pack(latents["rx1"], "rx1", 7)
    network.codebook("rx1").tables = None
    assert f"its format is {CODED_INDICES}, expected {INDICES}" in reason(codec, coded)


@CODED
def test_indices_that_are_rare_in_the_tables_have_no_more_bits_than_without(
    network, latents, packet
):
    codebook = network.codebook("rx1")
    uses = usage(codebook.nearest(latents["rx1"]), codebook.config.size)
    codebook.tables = frequency_tables((uses == 0).long())
    assert LatentCodec(network, MODEL).pack(latents["rx1"], "rx1", 7) == packet


@CODED
def test_damaged_indices_with_a_valid_checksum_are_refused(network, latents):
    codec = LatentCodec(with_tables(network, latents), MODEL)
    coded = codec.pack(latents["rx1"], "rx1", 7)
    payload = unseal(network.scene, CODED_INDICES, "rx1", 7, coded)
    for damaged in (payload[:MODEL_BYTES], payload[:-4], payload[:-1], payload + b"1234"):
        packet = seal(network.scene, CODED_INDICES, "rx1", 7, damaged)
        assert "its indices are damaged: they" in reason(codec, packet)

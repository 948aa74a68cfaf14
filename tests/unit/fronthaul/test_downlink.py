"""The downlink: packed and unpacked frames, their size, damaged payloads."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.downlink import (
    DOWNLINK_HEADER,
    downlink_size,
    pack_downlink,
    pack_frame,
    unpack_downlink,
    unpack_frame,
)
from cooperative_isac.pipeline import make_frame, transmit


@pytest.mark.parametrize("name", ["small", "tilted"])
def test_a_frame_is_restored(name, request):
    scene = request.getfixturevalue(name)
    frame = transmit(scene, 2**40 + 5)
    found = unpack_downlink(scene, pack_downlink(frame))
    assert (
        found.number == frame.number
        and found.antennas == frame.antennas
        and found.grid == frame.grid
    )
    assert np.array_equal(found.indices, frame.indices) and found.indices.dtype == np.uint8
    step = np.abs(frame.precoders.view(np.float32)).max() / 32767
    assert np.abs((found.precoders - frame.precoders).view(np.float32)).max() <= 0.51 * step
    assert np.array_equal(found.reference.indices, frame.reference.indices)


@pytest.mark.parametrize("signals", [("data", "prs", "dmrs"), ("prs",)])
def test_a_frame_is_restored_with_its_reference_signals(small, signals):
    waveform = replace(small.waveform, signals=signals, reference_subcarrier_stride=0)
    scene = replace(small, waveform=waveform)
    frame = transmit(scene, 7)
    found = unpack_downlink(scene, pack_downlink(frame))
    assert np.array_equal(found.streams, frame.streams)
    assert np.array_equal(found.reference.streams, frame.reference.streams)
    assert np.array_equal(found.reference.precoders, frame.reference.precoders)


def test_the_size_is_symbols_at_their_bits_and_precoders_at_32(small):
    # 64 x 64 elements of 3 streams at 4 bits; 16 groups x 16 antennas x 3 streams at 2 x 16 bits.
    bits = 64 * 64 * 3 * 4 + 16 * 16 * 3 * 32
    assert 8 * len(pack_downlink(transmit(small, 0))) == 8 * DOWNLINK_HEADER.itemsize + bits


def test_every_wrong_length_is_refused(small):
    data = pack_downlink(transmit(small, 0))
    for wrong in (
        data[:-1],
        data + b"\0",
        data[: DOWNLINK_HEADER.itemsize],
        data[: DOWNLINK_HEADER.itemsize + 100],
    ):
        with pytest.raises(
            ValueError, match=f"has {len(wrong)} bytes, the scene's frames have {len(data)}"
        ):
            unpack_downlink(small, wrong)
    for wrong in (b"", data[: DOWNLINK_HEADER.itemsize - 1]):
        with pytest.raises(ValueError, match=f"has {len(wrong)} bytes, its header alone needs"):
            unpack_downlink(small, wrong)


def test_a_frame_of_another_scene_is_refused(small, tilted):
    with pytest.raises(ValueError, match="has 3 streams of 64-QAM, the scene 3 of 16-QAM"):
        unpack_downlink(small, pack_downlink(transmit(tilted, 0)))


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -1.0, 1e36, 1.0])
def test_an_impossible_scale_is_refused(small, scale):
    data = pack_downlink(transmit(small, 0))
    header = np.frombuffer(data[: DOWNLINK_HEADER.itemsize], DOWNLINK_HEADER).copy()
    header["scale"] = scale
    with pytest.raises(ValueError, match="scales its precoders by"):
        unpack_downlink(small, header.tobytes() + data[DOWNLINK_HEADER.itemsize :])


def test_a_frame_without_reference_symbols_stays_without(small):
    plain = replace(small, waveform=replace(small.waveform, reference_subcarrier_stride=0))
    assert unpack_downlink(plain, pack_downlink(transmit(plain, 0))).reference is None


def test_the_signals_of_all_bands_are_restored(two_tiny):
    for number, bands in ((0, ("high", "low")), (1, ("high",))):
        frame = make_frame(two_tiny, number)
        data = pack_frame(frame)
        assert frame.bands == bands
        assert len(data) == sum(downlink_size(two_tiny.on(band)) for band in bands)
        found = unpack_frame(two_tiny, data, bands)
        for band in bands:
            expected = unpack_downlink(two_tiny.on(band), pack_downlink(frame.on(band)))
            assert np.array_equal(found[band].indices, frame.on(band).indices)
            assert np.array_equal(found[band].precoders, expected.precoders)


def test_one_band_is_packed_as_before(small):
    frame = make_frame(small, 4)
    assert pack_frame(frame) == pack_downlink(frame.on("default"))


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x"])
def test_bands_of_another_size_are_refused(two_tiny, change):
    data = pack_frame(make_frame(two_tiny, 0))
    with pytest.raises(ValueError, match="downlink payload has"):
        unpack_frame(two_tiny, change(data), ("high", "low"))
    with pytest.raises(ValueError, match="downlink payload has"):
        unpack_frame(two_tiny, data, ("high",))

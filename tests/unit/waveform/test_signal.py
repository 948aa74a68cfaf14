"""Signals: x = W s written out, and reference symbols on their comb."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.pipeline import transmit
from cooperative_isac.waveform.qam import constellation
from cooperative_isac.waveform.signal import antenna_slices, comb, draw_symbols, reference_signal


def written_out(frame, subcarrier, symbol):
    """The vector x of CF eq. 3 over all antennas on one resource element."""
    strides = frame.reference_strides
    if frame.reference is not None and subcarrier % strides[0] == 0 and symbol % strides[1] == 0:
        return written_out(frame.reference, subcarrier // strides[0], symbol // strides[1])
    points = constellation(frame.modulation_order).astype(complex)
    total = np.zeros(frame.antennas[-1].stop, complex)
    for stream, label in enumerate(frame.indices[subcarrier, :, symbol]):
        total += (
            frame.precoders[subcarrier // frame.group_size, :, stream].astype(complex)
            * points[label]
        )
    return total


@pytest.mark.parametrize("name", ["small", "tilted"])
def test_the_signal_in_a_direction_is_that_of_a_plain_loop(name, request):
    frame = transmit(request.getfixturevalue(name), 7)
    part = frame.antennas[1]
    generator = np.random.default_rng(1)
    steering = generator.standard_normal((2, part.stop - part.start, 2)) @ [1, 1j]
    found = frame.toward(1, steering)
    assert found.dtype == np.complex64
    for subcarrier in (0, 1, 2, 5, 11):
        for symbol in (0, 1, 4, 9):
            sent = written_out(frame, subcarrier, symbol)[part]
            for direction in range(2):
                expected = np.dot(steering[direction], sent)
                assert abs(found[subcarrier, direction, symbol] - expected) < 1e-5 * np.linalg.norm(
                    sent
                )


def test_reference_symbols_replace_the_payload_on_their_comb(small):
    frame = transmit(small, 0)
    streams = frame.streams
    ones = np.ones((1, 8))
    taken = np.zeros(streams.shape, bool)
    taken[::2, :, ::2] = True
    assert np.array_equal(streams == 0, taken) and frame.payload_share == 1 - taken.mean()
    assert replace(frame, reference=None).payload_share == 1
    over = np.zeros((64, 64), bool)
    over[::2, ::2] = True
    with_comb = frame.toward(0, ones)[:, 0]
    without = replace(frame, reference=None).toward(0, ones)[:, 0]
    assert np.array_equal(with_comb == without, ~over)
    assert np.array_equal(with_comb[::2, ::2], frame.reference.toward(0, ones)[:, 0])


def test_reference_symbols_are_public(small):
    other = replace(small, seed=99)
    assert np.array_equal(reference_signal(small, 4).indices, reference_signal(other, 4).indices)
    assert np.array_equal(
        reference_signal(small, 4).precoders, reference_signal(other, 4).precoders
    )
    assert not np.array_equal(
        reference_signal(small, 4).indices, reference_signal(small, 5).indices
    )
    assert not np.array_equal(transmit(small, 4).indices, transmit(other, 4).indices)


def test_reference_symbols_have_the_power_of_their_transmitter(small):
    frame = reference_signal(small, 0)
    share = small.waveform.power_w / small.grid.num_subcarriers
    for index, part in enumerate(frame.antennas):
        power = np.abs(frame.precoders[:, part]) ** 2
        assert np.allclose(power.sum(axis=(1, 2)), share, rtol=1e-5)
        assert np.array_equal(np.any(power > 0, axis=(0, 1)), np.arange(6) // 3 == index)


def test_a_comb_keeps_the_frequencies_and_times_of_its_grid(tilted):
    grid = tilted.grid
    part = comb(grid, 3, 2)
    assert np.allclose(part.subcarrier_offsets_hz, grid.subcarrier_offsets_hz[::3])
    assert np.allclose(part.symbol_times_s, grid.symbol_times_s[::2])


def test_antennas_of_all_transmitters_stand_in_a_row(tilted):
    assert antenna_slices(tilted) == (slice(0, 6), slice(6, 10))
    assert transmit(tilted, 0).precoders.shape == (4, 10, 3)


def test_the_payload_uses_every_label_equally(small):
    labels = draw_symbols(small.waveform, 3, np.random.default_rng(0))
    assert labels.shape == (64, 3, 64) and labels.dtype == np.uint8
    counts = np.bincount(labels.ravel())
    assert len(counts) == 16 and np.all(abs(counts - 768) < 5 * np.sqrt(768))

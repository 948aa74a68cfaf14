"""Code words beside data: orthogonal transmitters, noise-like cells, shares of the power."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.downlink import pack_downlink, unpack_downlink
from cooperative_isac.pipeline import sum_rate, transmit
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.scene.slot_layout import code_length
from cooperative_isac.waveform.code_words import code_words
from cooperative_isac.waveform.signal import whole_signal

SHARE = 0.2


@pytest.fixture
def coded(small):
    """The scene with code words beside its data."""
    waveform = replace(
        small.waveform,
        signals=("data", "code"),
        code_power_share=SHARE,
        reference_subcarrier_stride=0,
        reference_symbol_stride=0,
    )
    return replace(small, waveform=waveform)


@pytest.mark.parametrize(("count", "length"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (20, 8)])
def test_a_code_word_has_a_power_of_two_of_symbols(count, length):
    assert code_length(count) == length


@pytest.mark.parametrize("count", [2, 3, 8])
def test_transmitters_are_orthogonal_over_every_code_period(small, count):
    words = code_words(small.grid, count)
    assert np.abs(words) == pytest.approx(np.ones(words.shape), abs=1e-6)
    periods = words.reshape(64, count, -1, code_length(count))
    grams = np.einsum("imbl,inbl->ibmn", periods, periods.conj())
    expected = np.broadcast_to(code_length(count) * np.eye(count), grams.shape)
    assert grams == pytest.approx(expected, abs=1e-5)


def test_a_static_channel_is_told_apart_exactly(small):
    words = code_words(small.grid, 4)
    generator = np.random.default_rng(1)
    channels = generator.normal(size=(64, 4)) + 1j * generator.normal(size=(64, 4))
    received = np.einsum("im,imt->it", channels, words)
    despread = np.einsum("it,imt->im", received, words.conj()) / small.grid.num_symbols
    assert despread == pytest.approx(channels, abs=1e-5)


def test_cells_and_shifted_transmitters_look_like_noise(small):
    """Correlations over a frame at all delays and Doppler shifts, in its number of elements."""
    words = code_words(small.grid, 10)
    own = words[:, 0].conj()

    # Of another cell: the largest of as many samples of noise of unit power.
    of_cell = np.abs(np.fft.fft2(words[:, 8] * own)) ** 2 / own.size
    assert of_cell.max() < 2 * np.log(own.size)

    # Of the same cell: none without Doppler shift, elsewhere noise of a symbol per code period. A
    # word that repeats would be as strong as the transmitter's own echo, own.size.
    for other in range(1, 8):
        surface = np.abs(np.fft.fft2(words[:, other] * own)) ** 2 / own.size
        assert surface[:, 0].max() < 1e-8
        assert surface.max() < 8 * 2 * np.log(own.size / 8)


def test_data_and_code_words_share_the_power(coded):
    signal = transmit(coded, 3)
    limit_w = coded.waveform.power_w
    group_size = signal.group_size
    radiated_w = []
    for antennas in signal.antennas:
        data_w = group_size * np.sum(np.abs(signal.precoders[:, antennas]) ** 2)
        code_w = group_size * np.sum(np.abs(signal.reference.precoders[:, antennas]) ** 2)
        assert code_w == pytest.approx(SHARE * limit_w, rel=1e-5)
        radiated_w.append(data_w)
    assert max(radiated_w) == pytest.approx((1 - SHARE) * limit_w, rel=1e-5)


@pytest.mark.parametrize(
    ("symbols", "share"), [("reference_only", SHARE), ("payload", 1 - SHARE), ("all", 1)]
)
def test_receivers_use_the_power_of_the_symbols_that_they_know(coded, small, symbols, share):
    limit_w = coded.waveform.power_w
    assert coded.waveform.sensed_power_w(symbols) == pytest.approx(share * limit_w)
    # Reference symbols on elements of their own have all of it.
    assert small.waveform.sensed_power_w(symbols) == limit_w


def test_users_have_the_rate_of_the_rest_of_the_power(coded, small):
    """They know the code words, and cancel them: all elements carry data at less power."""
    alone = replace(coded.waveform, signals=("data",))
    weaker = with_power(replace(small, waveform=alone), 40 + 10 * np.log10(1 - SHARE))
    rate = sum_rate(coded, transmit(coded, 3))
    assert rate == pytest.approx(sum_rate(weaker, transmit(weaker, 3)), rel=1e-6)
    assert transmit(coded, 3).payload_share == 1


def test_code_words_are_beside_the_data_on_the_same_elements(coded):
    signal = transmit(coded, 3)
    steering = np.exp(1j * np.linspace(0, 3, 8))[None] / np.sqrt(8)
    whole = whole_signal(signal)
    assert signal.elements.all() and whole.elements.all() and signal.reference.elements.all()
    sent = signal.toward(1, steering)
    assert np.allclose(whole.toward(1, steering), sent, atol=1e-6)
    data = replace(signal, reference=None).toward(1, steering)
    code = signal.reference.toward(1, steering)
    assert np.allclose(data + code, sent, atol=1e-6)
    assert np.abs(data).min() > 0 and np.abs(code).min() > 0


def test_a_receiver_has_the_code_words_of_a_packed_frame(coded):
    signal = transmit(coded, 3)
    received = unpack_downlink(coded, pack_downlink(signal))
    assert np.array_equal(received.reference.symbols, signal.reference.symbols)
    assert np.array_equal(received.reference.precoders, signal.reference.precoders)
    assert received.is_superimposed

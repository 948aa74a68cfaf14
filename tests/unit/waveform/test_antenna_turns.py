"""Reference signals of one antenna after another in time."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.slot_layout import (
    SIGNALS,
    turn_of_symbols,
    word_length,
)
from cooperative_isac.waveform.antenna_turns import antenna_of_symbols
from cooperative_isac.waveform.signal import whole_signal

MAPPED = ("data", "prs", "csi_rs", "dmrs")
CODE = ("data", "code")
BEAMS = "antennas_in_time"


def with_signals(scene, signals, beams=BEAMS):
    """The scene with reference signals, on strides that sample slots evenly."""
    waveform = replace(
        scene.waveform,
        grid=replace(scene.grid, subcarrier_stride=5, symbol_stride=3),
        signals=signals,
        reference_beams=beams,
        reference_subcarrier_stride=0,
        reference_symbol_stride=0,
    )
    sensing = replace(scene.sensing, symbols="reference_only")
    return replace(scene, waveform=waveform, sensing=sensing)


@pytest.mark.parametrize("signals", [MAPPED, MAPPED[1:], CODE, ("code",)])
def test_one_antenna_of_a_transmitter_sends_in_a_symbol_with_all_of_the_power(small, signals):
    scene = with_signals(small, signals)
    reference = transmit(scene, 3).reference
    spread = np.repeat(reference.precoders, reference.group_size, axis=0)
    sent = spread @ reference.streams  # of each antenna, on each element
    power_w = np.where(reference.elements, scene.waveform.reference_power_w / 64, 0)
    for part in reference.antennas:
        antennas = np.abs(sent[:, part]) ** 2
        assert np.allclose(antennas.sum(axis=1), power_w, atol=1e-7 * power_w.max())
        sending = antennas.any(axis=0)
        used = reference.elements.any(axis=0)
        assert np.array_equal(sending.sum(axis=0), used.astype(int))


@pytest.mark.parametrize("signals", [MAPPED, *((name,) for name in SIGNALS), ("code",)])
def test_all_antennas_are_used_alike_with_every_signal(small, signals):
    scene = with_signals(small, signals)
    reference = transmit(scene, 3).reference
    for part in reference.antennas:
        symbols = np.any(reference.streams[:, part], axis=0).sum(axis=1)
        # A round is a turn of all antennas; the last one may be shorter.
        length = word_length(scene.waveform.reference_signals, 2)
        assert symbols.max() - symbols.min() <= length and symbols.min() > 0


def test_a_code_word_is_of_one_antenna(small):
    reference = transmit(with_signals(small, CODE), 3).reference
    assert word_length(CODE, 2) == 2
    sending = np.any(reference.streams, axis=0).reshape(16, 32, 2)
    assert np.array_equal(sending[..., 0], sending[..., 1])


def test_orders_of_antennas_are_public_and_new_in_each_frame(small):
    scene = with_signals(small, MAPPED)
    frames = [transmit(scene, number).reference.streams for number in (1, 1, 2)]
    assert np.array_equal(frames[0], frames[1])
    assert np.any(frames[0] != frames[2])


def test_turns_count_the_symbols_with_reference_signals():
    elements = np.zeros((3, 7), bool)
    elements[1, [1, 2, 5, 6]] = True
    assert turn_of_symbols(elements, 1).tolist() == [0, 0, 1, 1, 1, 2, 3]
    assert turn_of_symbols(elements, 2).tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_a_doppler_shift_of_a_cycle_a_round_is_not_another_angle():
    # With a fixed order, a shift of one cycle in 8 turns and the phases of another angle, -1 / 8
    # cycle an antenna, cancel each other in every turn.
    turns = np.arange(64)
    fixed = turns % 8
    drawn = antenna_of_symbols(np.ones((1, 64), bool), 1, 8, np.random.default_rng(1))

    def likeness(antenna):
        cycles = turns / 8 - antenna / 8
        return abs(np.exp(2j * np.pi * cycles).mean())

    assert likeness(fixed) == pytest.approx(1)
    assert likeness(drawn) < 0.3


@pytest.mark.parametrize("signals", [MAPPED, CODE])
def test_components_together_are_the_whole_signal(small, signals):
    frame = transmit(with_signals(small, signals), 2)
    whole = whole_signal(frame)
    steering = np.exp(1j * np.arange(24)).reshape(3, 8)
    for index in range(2):
        expected = frame.toward(index, steering)
        scale = np.abs(expected).max()
        assert np.allclose(whole.toward(index, steering), expected, atol=1e-6 * scale)

"""Reference signals of 5G NR against vectors of a foreign implementation (py3gpp 0.6.0)."""

import numpy as np
import pytest

from cooperative_isac.waveform.reference_signals import (
    channel_state_signal,
    demodulation_signal,
    gold_sequence,
    in_sequence,
    low_papr_sequence,
    positioning_signal,
    primary_sequence,
    secondary_sequence,
    sounding_signal,
    synchronization_block,
    union,
)

GOLD = {
    1: "00000010100000110000001101110100",
    12345: "01100110011000111111010011010000",
    1073741831: "01000011100101110110010100101011",
}
PRIMARY = {
    0: "+--+----++---++-+-+--++--+++++--",
    500: "------+++---+--+++-+-++-+-----+-",
}
SECONDARY = {
    0: "++++++++++-+++++-+++-+-+-++--+++",
    500: "+--+++-+++----+++---+---++++-++-",
}


def signs(text):
    return [1.0 if sign == "+" else -1.0 for sign in text]


@pytest.mark.parametrize("seed", GOLD)
def test_gold_sequence(seed):
    assert "".join(map(str, gold_sequence(seed, 32))) == GOLD[seed]


@pytest.mark.parametrize("cell_id", PRIMARY)
def test_synchronization_sequences(cell_id):
    assert primary_sequence(cell_id % 3)[:32].tolist() == signs(PRIMARY[cell_id])
    assert secondary_sequence(cell_id)[:32].tolist() == signs(SECONDARY[cell_id])


def test_pilots_of_the_broadcast_channel():
    block = synchronization_block(20, first_symbol=0, cell_id=500)
    places = [(0, 1), (4, 1), (236, 1), (0, 2), (236, 2), (0, 3), (236, 3)]
    expected = [1 + 1j, -1 + 1j, 1 - 1j, -1 - 1j, 1 - 1j, 1 + 1j, 1 - 1j]
    found = [block.symbols[place] * np.sqrt(2) for place in places]
    assert found == pytest.approx(expected)
    assert block.mask[:, :4].sum(axis=0).tolist() == [127, 60, 127 + 24, 60]


@pytest.mark.parametrize("comb", [2, 4, 6, 12])
def test_staggered_comb_uses_every_subcarrier_once(comb):
    signal = positioning_signal(4, comb=comb, num_symbols=comb, first_symbol=1)
    assert (signal.mask.sum(axis=1) == 1).all()
    assert not signal.mask[:, 0].any()


def test_symbols_have_unit_power_on_the_mask_only():
    signals = [
        positioning_signal(6, comb=2, num_symbols=2),
        channel_state_signal(6, symbols=(4, 8)),
        demodulation_signal(6, symbols=(2, 11)),
        sounding_signal(6, comb=2, symbols=(13,)),
    ]
    for signal in signals:
        assert np.abs(signal.symbols[signal.mask]) == pytest.approx(1)
        assert not signal.symbols[~signal.mask].any()


def test_densities():
    assert channel_state_signal(4, symbols=(4,), density=3).mask.sum() == 12
    assert channel_state_signal(4, symbols=(4,), density=1, subcarrier=5).mask.sum() == 4
    assert demodulation_signal(4, symbols=(2,)).mask.sum() == 24
    assert sounding_signal(12, comb=4, symbols=(12, 13), offset=1).mask.sum() == 72


def test_low_papr_sequence_has_a_flat_spectrum_over_its_prime_length():
    sequence = low_papr_sequence(7, 37)
    assert np.abs(np.fft.fft(sequence)) == pytest.approx(np.sqrt(37))


def test_cyclic_shifts_of_a_sounding_signal_are_orthogonal():
    first = sounding_signal(12, comb=2, symbols=(13,), cyclic_shift=0)
    second = sounding_signal(12, comb=2, symbols=(13,), cyclic_shift=4)
    assert abs(np.vdot(first.symbols, second.symbols)) == pytest.approx(0, abs=1e-9)


def test_union_and_sequence_of_slots():
    positioning = positioning_signal(6, comb=4, num_symbols=4)
    pilots = demodulation_signal(6, symbols=(2, 11))
    both = union([positioning, pilots])
    assert (both.mask == (positioning.mask | pilots.mask)).all()
    assert both.symbols[pilots.mask] == pytest.approx(pilots.symbols[pilots.mask])
    two_slots = in_sequence([both, both])
    assert two_slots.mask.shape == (72, 28)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: positioning_signal(4, comb=3, num_symbols=4), "comb of 3"),
        (lambda: positioning_signal(4, comb=4, num_symbols=2), r"\[4, 6, 12\]"),
        (lambda: positioning_signal(4, comb=2, num_symbols=4, first_symbol=12), "outside a slot"),
        (lambda: channel_state_signal(4, symbols=(2,), density=2), "density 2"),
        (lambda: synchronization_block(10), "outside a grid of 120"),
        (lambda: sounding_signal(4, comb=2, symbols=(13,)), "shorter than 36"),
    ],
)
def test_what_the_standard_does_not_have_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()

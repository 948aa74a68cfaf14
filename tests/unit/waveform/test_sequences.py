"""Sequences of reference signals, beside vectors of a foreign implementation (py3gpp 0.6.0)."""

import numpy as np
import pytest

from cooperative_isac.waveform.sequences import (
    gold_sequence,
    low_papr_sequence,
    primary_sequence,
    secondary_sequence,
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


def cyclic_correlation(first, second):
    return np.fft.ifft(np.fft.fft(first) * np.fft.fft(second).conj())


def test_synchronization_sequences_of_cells_correlate_little():
    # An m-sequence: 127 at no shift, -1 at all others.
    own = cyclic_correlation(primary_sequence(0), primary_sequence(0))
    assert own == pytest.approx(np.array([127] + [-1] * 126))
    assert cyclic_correlation(primary_sequence(0), primary_sequence(1)).real.max() == (
        pytest.approx(127)
    )
    assert primary_sequence(0) @ primary_sequence(1) == pytest.approx(-1)

    # Gold sequences of degree 7: -17, -1 or 15.
    other = cyclic_correlation(secondary_sequence(3), secondary_sequence(700)).real
    assert set(np.rint(other)) <= {-17, -1, 15}


def test_sequence_groups_correlate_with_the_root_of_their_length_at_every_shift():
    for group in (1, 11, 29):
        other = cyclic_correlation(low_papr_sequence(group, 61), low_papr_sequence(5, 61))
        assert np.abs(other) == pytest.approx(np.sqrt(61))


def test_low_papr_sequence_has_a_flat_spectrum_over_its_prime_length():
    sequence = low_papr_sequence(7, 37)
    assert np.abs(np.fft.fft(sequence)) == pytest.approx(np.sqrt(37))

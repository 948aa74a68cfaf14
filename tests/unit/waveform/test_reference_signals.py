"""Reference signals of 5G NR against vectors of a foreign implementation (py3gpp 0.6.0)."""

import numpy as np
import pytest

from cooperative_isac.waveform.reference_signals import (
    block_signal,
    broadcast_symbols,
    channel_state_signal,
    demodulation_signal,
    in_sequence,
    positioning_signal,
    precoded_demodulation_signal,
    sounding_signal,
    synchronization_block,
    union,
)
from cooperative_isac.waveform.sequences import (
    low_papr_sequence,
)


def test_pilots_of_the_broadcast_channel():
    block = synchronization_block(20, first_symbol=0, cell_id=500)
    places = [(0, 1), (4, 1), (236, 1), (0, 2), (236, 2), (0, 3), (236, 3)]
    expected = [1 + 1j, -1 + 1j, 1 - 1j, -1 - 1j, 1 - 1j, 1 + 1j, 1 - 1j]
    found = [block.symbols[place] * np.sqrt(2) for place in places]
    assert found == pytest.approx(expected)
    assert block.mask[:, :4].sum(axis=0).tolist() == [127, 60, 127 + 24, 60]


# First symbols of the broadcast channel with a message of zeros, times the root of 2, by cell and
# block: py3gpp's nrPBCH.
BROADCAST = {
    (0, 0): [1 + 1j, 1 + 1j, 1 + 1j],
    (1, 7): [1 - 1j, -1 - 1j, 1 - 1j],
    (500, 3): [1 - 1j, -1 + 1j, 1 + 1j],
    (1007, 7): [-1 + 1j, -1 - 1j, 1 + 1j],
}


@pytest.mark.parametrize("case", BROADCAST)
def test_broadcast_symbols(case):
    symbols = broadcast_symbols(*case)
    assert len(symbols) == 432
    assert symbols[:3] * np.sqrt(2) == pytest.approx(BROADCAST[case])


def shift_register(start, taps, length):
    """Bits x(i + n) = sum of x(i + tap), one by one."""
    bits = list(start)
    while len(bits) < length:
        i = len(bits) - len(start)
        bits.append(sum(bits[i + tap] for tap in taps) % 2)
    return bits


def scrambling(seed, length):
    """Gold sequence of TS 38.211 section 5.2.1 from two registers, bit by bit."""
    first = shift_register([1] + [0] * 30, (3, 0), 1600 + length)
    second = shift_register([seed >> i & 1 for i in range(31)], (3, 2, 1, 0), 1600 + length)
    return [(a + b) % 2 for a, b in zip(first[1600:], second[1600:])]


def qpsk(bits):
    pairs = zip(bits[0::2], bits[1::2])
    return [complex(1 - 2 * a, 1 - 2 * b) / 2**0.5 for a, b in pairs]


def block_twin(cell, number):
    """Table 7.4.3.1-1 of TS 38.211, element by element."""
    block = {}

    # Sequences: x(i + 7) = x(i + 4) + x(i), and with x(i + 1) instead.
    primary = shift_register([0, 1, 1, 0, 1, 1, 1], (4, 0), 127)
    first = shift_register([1, 0, 0, 0, 0, 0, 0], (4, 0), 127)
    second = shift_register([1, 0, 0, 0, 0, 0, 0], (1, 0), 127)
    group, sector = cell // 3, cell % 3
    for n in range(127):
        block[56 + n, 0] = 1 - 2 * primary[(n + 43 * sector) % 127]
        shifted = first[(n + 15 * (group // 112) + 5 * sector) % 127]
        block[56 + n, 2] = (1 - 2 * shifted) * (1 - 2 * second[(n + group % 112) % 127])

    # Broadcast channel and its pilots, first over subcarriers, then over symbols.
    seed = 2**11 * (number + 1) * (cell // 4 + 1) + 2**6 * (number + 1) + cell % 4
    pilots = iter(qpsk(scrambling(seed, 2 * 144)))
    message = iter(qpsk(scrambling(cell, 864 * (number + 1))[864 * number :]))
    for symbol in (1, 2, 3):
        for subcarrier in range(240):
            if symbol == 2 and 48 <= subcarrier < 192:
                continue
            is_pilot = subcarrier % 4 == cell % 4
            block[subcarrier, symbol] = next(pilots if is_pilot else message)
    assert next(pilots, None) is None and next(message, None) is None
    return block


@pytest.mark.parametrize(("cell", "number"), [(0, 0), (1, 5), (334, 3), (1007, 7)])
def test_synchronization_block_is_its_element_by_element_twin(cell, number):
    twin = block_twin(cell, number)
    block = block_signal(cell, block_index=number, with_broadcast=True)
    assert block.mask.sum() == len(twin) == 127 + 127 + 144 + 432
    assert block.symbols[~block.mask].tolist() == [0] * (960 - 830)
    for place, symbol in twin.items():
        assert block.symbols[place] == pytest.approx(symbol), place


def test_the_broadcast_channel_is_known_to_those_who_have_its_message():
    block = block_signal(7)
    whole = block_signal(7, with_broadcast=True)
    assert block.mask.sum() == 398
    assert np.array_equal(whole.symbols[block.mask], block.symbols[block.mask])


@pytest.mark.parametrize(("comb", "num_shifts"), [(2, 8), (4, 12)])
@pytest.mark.parametrize("shift", [0, 3])
def test_a_sounding_signal_is_its_element_by_element_twin(comb, num_shifts, shift):
    num_blocks, group = 12, 17
    symbols = (10, 11, 12, 13)
    signal = sounding_signal(
        num_blocks,
        comb=comb,
        symbols=symbols,
        offset=1,
        cyclic_shift=shift,
        sequence_group=group,
        staggered=True,
    )
    length = 144 // comb
    prime = {72: 71, 36: 31}[length]
    mean = prime * (group + 1) / 31
    root = int(mean + 0.5)
    assert signal.mask.sum() == 4 * length
    for symbol, moved in zip(symbols, {2: (0, 1, 0, 1), 4: (0, 2, 1, 3)}[comb]):
        for n in range(length):
            m = n % prime
            phase = shift / num_shifts * n - root * m * (m + 1) / 2 / prime
            found = signal.symbols[comb * n + (1 + moved) % comb, symbol]
            assert found == pytest.approx(np.exp(2j * np.pi * phase))


@pytest.mark.parametrize(("comb", "num_shifts"), [(2, 8), (4, 12)])
def test_all_cyclic_shifts_of_a_sounding_signal_are_orthogonal(comb, num_shifts):
    signals = [
        sounding_signal(24, comb=comb, symbols=(13,), cyclic_shift=shift).symbols.ravel()
        for shift in range(num_shifts)
    ]
    gram = np.array([[np.vdot(a, b) for a in signals] for b in signals])
    assert gram == pytest.approx(np.eye(num_shifts) * 288 / comb, abs=1e-6)


def test_a_precoded_demodulation_signal_is_one_sequence_on_every_second_subcarrier():
    signal = precoded_demodulation_signal(10, symbols=(2, 11), offset=1, sequence_group=4)
    for symbol in (2, 11):
        assert signal.symbols[1::2, symbol] == pytest.approx(low_papr_sequence(4, 60))
    assert signal.mask.sum() == 2 * 60 and not signal.symbols[0::2].any()

    # Low peak-to-average power in time: the purpose of the sequence, beside 9 dB of random symbols.
    in_time = np.fft.ifft(signal.symbols[1::2, 2], 512)
    power = np.abs(in_time) ** 2
    assert power.max() / power.mean() < 10**0.45


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
        (lambda: precoded_demodulation_signal(5, symbols=(2,)), "shorter than 36"),
    ],
)
def test_what_the_standard_does_not_have_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()

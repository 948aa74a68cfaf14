"""Sequences of the reference signals of 5G NR: Gold, maximum length, and Zadoff-Chu (TS 38.211)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.scene.slot_layout import SYNC_LENGTH

# Advance of the Gold sequence, TS 38.211 section 5.2.1.
GOLD_ADVANCE = 1600

# Bits that are computed at once: each depends on those 28 to 31 before it.
GOLD_STEP = 28

# Bits of the registers of a Gold sequence, TS 38.211 section 5.2.1.
GOLD_REGISTER = 31

# Shortest sounding sequence by Zadoff-Chu; shorter ones are tables in TS 38.211 section 5.2.2.2.
SHORTEST_ZADOFF_CHU = 36


def gold_sequence(seed: int, length: int) -> np.ndarray:
    """Pseudo-random bits.

    seed: initial state c_init of the second register, 31 bit
    length: bits
    Returns [length], uint8.
    Source: TS 38.211 section 5.2.1.
    """
    # Both registers, x1(n + 31) = x1(n + 3) + x1(n) and
    # x2(n + 31) = x2(n + 3) + x2(n + 2) + x2(n + 1) + x2(n); the seed's lowest bit is first.
    total = GOLD_ADVANCE + length
    first = _register_bits(1, (3, 0), total)
    second = _register_bits(seed, (3, 2, 1, 0), total)

    # Their sum, from the advance on.
    return first[GOLD_ADVANCE:] ^ second[GOLD_ADVANCE:]


def _register_bits(state: int, taps: Sequence[int], length: int) -> np.ndarray:
    """Output of a linear feedback shift register of GOLD_REGISTER bits, [length], uint8.

    state: its first bits, from the lowest one on
    taps: places of the bits of the state whose sum is the next bit
    """
    bits = np.zeros(length + GOLD_REGISTER, np.uint8)
    bits[:GOLD_REGISTER] = (state >> np.arange(GOLD_REGISTER)) & 1

    # A step uses bits of earlier steps only.
    for start in range(0, length, GOLD_STEP):
        stop = min(start + GOLD_STEP, length)
        feedback = np.zeros(stop - start, np.uint8)
        for tap in taps:
            feedback ^= bits[start + tap : stop + tap]
        bits[start + GOLD_REGISTER : stop + GOLD_REGISTER] = feedback
    return bits[:length]


def gold_qpsk(seed: int, length: int) -> np.ndarray:
    """Pseudo-random QPSK symbols of unit power.

    seed: initial state c_init
    length: symbols
    Returns [length], complex128.
    Source: TS 38.211 section 7.4.1.1.1.
    """
    bits = gold_sequence(seed, 2 * length).astype(float)
    return ((1 - 2 * bits[0::2]) + 1j * (1 - 2 * bits[1::2])) / np.sqrt(2)


def primary_sequence(second_id: int) -> np.ndarray:
    """Primary synchronization sequence, [127], float64.

    second_id: N_ID^(2), 0 to 2
    Source: TS 38.211 section 7.4.2.2.
    """
    # One m-sequence, shifted by 43 chips from identity to identity.
    register = _m_sequence((0, 1, 1, 0, 1, 1, 1), tap=4)
    return 1.0 - 2.0 * np.roll(register, -43 * second_id)


def secondary_sequence(cell_id: int) -> np.ndarray:
    """Secondary synchronization sequence, [127], float64.

    cell_id: physical cell identity, 0 to 1007
    Source: TS 38.211 section 7.4.2.3.
    """
    # Identities N_ID^(1) and N_ID^(2) of the cell.
    first_id = cell_id // 3
    second_id = cell_id % 3

    # Two m-sequences, shifted by m_0 and m_1 of the standard; their product is a Gold sequence.
    first = _m_sequence((1, 0, 0, 0, 0, 0, 0), tap=4)
    second = _m_sequence((1, 0, 0, 0, 0, 0, 0), tap=1)
    first_shift = 15 * (first_id // 112) + 5 * second_id
    second_shift = first_id % 112
    first_signs = 1.0 - 2.0 * np.roll(first, -first_shift)
    second_signs = 1.0 - 2.0 * np.roll(second, -second_shift)
    return first_signs * second_signs


def low_papr_sequence(group: int, length: int) -> np.ndarray:
    """Base sequence of low peak-to-average power ratio, from a Zadoff-Chu sequence.

    group: u, 0 to 29
    length: number of elements, at least 36: shorter sequences are tables in the standard
    Returns [length], complex128, of unit modulus.
    Raises ValueError if the length is less than that.
    Source: TS 38.211 section 5.2.2.1, sequence number v = 0.
    """
    if length < SHORTEST_ZADOFF_CHU:
        raise ValueError(
            f"a sequence of {length} elements is shorter than {SHORTEST_ZADOFF_CHU}: take more "
            "resource blocks or a smaller comb"
        )

    # Length N_ZC of the Zadoff-Chu sequence, and its root q, with q bar = N_ZC (u + 1) / 31.
    prime = _largest_prime_up_to(length)
    root = int(np.floor(prime * (group + 1) / 31 + 0.5))

    # The sequence is continued periodically up to the length.
    n = np.arange(length) % prime
    return np.exp(-1j * np.pi * root * n * (n + 1) / prime)


def _m_sequence(start: tuple[int, ...], tap: int) -> np.ndarray:
    """Maximum length sequence x(i + 7) = x(i + tap) + x(i) modulo 2, [127], uint8."""
    register = np.zeros(SYNC_LENGTH, np.uint8)
    register[:7] = start
    for i in range(SYNC_LENGTH - 7):
        register[i + 7] = register[i + tap] ^ register[i]
    return register


def _largest_prime_up_to(limit: int) -> int:
    """Largest prime number that is not above a limit of at least 2."""
    candidate = limit
    while any(candidate % divisor == 0 for divisor in range(2, int(candidate**0.5) + 1)):
        candidate -= 1
    return candidate

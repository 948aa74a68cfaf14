"""Reference signals of 5G NR as masks and symbols on a grid of resource elements (TS 38.211).

Each function fills one slot of 14 symbols with a normal cyclic prefix, single antenna port. Signals
are alone or together: `union` puts several on one grid, for sensing with all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.slot_layout import (
    BLOCK_SUBCARRIERS,
    BLOCK_SYMBOLS,
    BROADCAST_ABOVE,
    BROADCAST_BELOW,
    PRS_OFFSETS,
    SOUNDING_OFFSETS,
    SUBCARRIERS_PER_BLOCK,
    SYMBOLS_PER_SLOT,
    SYNC_FIRST,
    SYNC_LENGTH,
    block_elements,
)
from cooperative_isac.waveform.sequences import (
    gold_qpsk,
    low_papr_sequence,
    primary_sequence,
    secondary_sequence,
)

# Cyclic shifts of a sounding reference signal by its comb, TS 38.211 table 6.4.1.4.2-1.
NUM_CYCLIC_SHIFTS = {2: 8, 4: 12, 8: 6}

# Subcarriers from one pilot (DMRS) of the broadcast channel to the next, and the number of pilots
# in the block, TS 38.211 section 7.4.1.4.
PILOT_SPACING = 4
NUM_PILOTS = 144

# Symbols of the broadcast channel in a block, and phases of its scrambling and pilots from block to
# block, TS 38.211 sections 7.3.3.1 and 7.4.1.4.1.
NUM_BROADCAST = 432
NUM_BLOCK_PHASES = 8

# Initial states of Gold sequences have 31 bits.
SEED_MODULUS = 2**31


@dataclass(frozen=True)
class ReferenceSignal:
    """Known symbols on some resource elements.

    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    symbols: [num_subcarriers, num_symbols], complex128, unit mean power on the mask, zero elsewhere
    """

    mask: np.ndarray
    symbols: np.ndarray


def positioning_signal(
    num_blocks: int,
    *,
    comb: int,
    num_symbols: int,
    first_symbol: int = 0,
    offset: int = 0,
    slot: int = 0,
    sequence_id: int = 0,
) -> ReferenceSignal:
    """Positioning reference signal (PRS) of one slot: a comb that is staggered over symbols.

    num_blocks: resource blocks
    comb: 2, 4, 6 or 12 subcarriers between its elements
    num_symbols: symbols of the resource, 2, 4, 6 or 12, at least the comb size
    first_symbol: symbol of the slot in which the resource starts
    offset: resource element offset of the comb
    slot: slot number in the frame
    sequence_id: dl-PRS-SequenceID, 0 to 4095
    Raises ValueError for a size that the standard does not have.
    Source: TS 38.211 section 7.4.1.7.
    """
    if comb not in PRS_OFFSETS:
        raise ValueError(f"a comb of {comb} is none of the standard's: {sorted(PRS_OFFSETS)}")
    if num_symbols not in PRS_OFFSETS or num_symbols < comb:
        sizes = [size for size in PRS_OFFSETS if size >= comb]
        raise ValueError(f"{num_symbols} symbols with a comb of {comb}: the standard has {sizes}")
    _check_symbols(first_symbol, num_symbols)

    signal = _empty(num_blocks)
    num_elements = num_blocks * SUBCARRIERS_PER_BLOCK // comb
    for i in range(num_symbols):
        symbol = first_symbol + i

        # Initial state of the Gold sequence, section 7.4.1.7.2.
        symbol_number = SYMBOLS_PER_SLOT * slot + symbol + 1
        high_id, low_id = divmod(sequence_id, 1024)
        seed = (2**22 * high_id + 2**10 * symbol_number * (2 * low_id + 1) + low_id) % SEED_MODULUS

        # The comb, shifted from symbol to symbol so that all subcarriers are used.
        first = (offset + PRS_OFFSETS[comb][i]) % comb
        _place(signal, slice(first, None, comb), symbol, gold_qpsk(seed, num_elements))
    return signal


def channel_state_signal(
    num_blocks: int,
    *,
    symbols: Sequence[int],
    subcarrier: int = 0,
    density: int = 3,
    slot: int = 0,
    scrambling_id: int = 0,
) -> ReferenceSignal:
    """Channel state information reference signal (CSI-RS) of one port, one slot.

    num_blocks: resource blocks
    symbols: symbols of the slot that carry it; four slots' worth of two make a tracking signal
    subcarrier: first subcarrier in a resource block
    density: elements per resource block, 1 or 3
    slot: slot number in the frame
    scrambling_id: 0 to 1023
    Raises ValueError for a density that one port does not have.
    Source: TS 38.211 section 7.4.1.5, table 7.4.1.5.3-1 rows 1 and 2.
    """
    # Subcarriers between elements, by the number of elements in a resource block.
    spacings = {1: 12, 3: 4}
    if density not in spacings:
        raise ValueError(f"density {density} of a single port is none of {sorted(spacings)}")
    spacing = spacings[density]
    if not 0 <= subcarrier < spacing:
        raise ValueError(f"subcarrier {subcarrier} is outside 0 to {spacing - 1}")

    signal = _empty(num_blocks)
    num_elements = num_blocks * density
    for symbol in symbols:
        _check_symbols(symbol, 1)

        # Initial state of the Gold sequence, section 7.4.1.5.2.
        symbol_number = SYMBOLS_PER_SLOT * slot + symbol + 1
        seed = (2**10 * symbol_number * (2 * scrambling_id + 1) + scrambling_id) % SEED_MODULUS
        sequence = gold_qpsk(seed, num_elements)
        _place(signal, slice(subcarrier, None, spacing), symbol, sequence)
    return signal


def demodulation_signal(
    num_blocks: int,
    *,
    symbols: Sequence[int],
    offset: int = 0,
    slot: int = 0,
    scrambling_id: int = 0,
) -> ReferenceSignal:
    """Demodulation reference signal (DMRS) of a shared channel, type 1, one port, one slot.

    The same for the downlink (PDSCH) and, without transform precoding, for the uplink (PUSCH).

    num_blocks: resource blocks
    symbols: symbols of the slot that carry it, such as (2, 11)
    offset: 0 or 1, the port's group of every second subcarrier
    slot: slot number in the frame
    scrambling_id: 0 to 65535
    Raises ValueError for an offset other than 0 and 1.
    Source: TS 38.211 sections 7.4.1.1 and 6.4.1.1, configuration type 1.
    """
    if offset not in (0, 1):
        raise ValueError(f"offset {offset} of a type 1 signal is neither 0 nor 1")

    signal = _empty(num_blocks)
    num_elements = num_blocks * SUBCARRIERS_PER_BLOCK // 2
    for symbol in symbols:
        _check_symbols(symbol, 1)

        # Initial state of the Gold sequence, section 7.4.1.1.1.
        symbol_number = SYMBOLS_PER_SLOT * slot + symbol + 1
        seed = (2**17 * symbol_number * (2 * scrambling_id + 1) + 2 * scrambling_id) % SEED_MODULUS
        _place(signal, slice(offset, None, 2), symbol, gold_qpsk(seed, num_elements))
    return signal


def synchronization_block(
    num_blocks: int,
    *,
    first_symbol: int = 2,
    first_subcarrier: int = 0,
    cell_id: int = 0,
    with_broadcast: bool = False,
) -> ReferenceSignal:
    """One slot with a synchronization signal block (SSB), the first one of its burst.

    num_blocks: resource blocks of the grid, at least 20
    first_symbol: symbol of the slot in which the block starts
    first_subcarrier: subcarrier of the grid at which the block starts
    cell_id: physical cell identity, 0 to 1007
    with_broadcast: see block_signal
    Raises ValueError if the block is outside the grid.
    Source: TS 38.211 section 7.4.3.
    """
    signal = _empty(num_blocks)
    if not 0 <= first_subcarrier <= len(signal.mask) - BLOCK_SUBCARRIERS:
        raise ValueError(
            f"a block of {BLOCK_SUBCARRIERS} subcarriers from subcarrier {first_subcarrier} is "
            f"outside a grid of {len(signal.mask)}"
        )
    _check_symbols(first_symbol, BLOCK_SYMBOLS)

    block = block_signal(cell_id, with_broadcast=with_broadcast)
    subcarriers = slice(first_subcarrier, first_subcarrier + BLOCK_SUBCARRIERS)
    symbols = slice(first_symbol, first_symbol + BLOCK_SYMBOLS)
    signal.mask[subcarriers, symbols] = block.mask
    signal.symbols[subcarriers, symbols] = block.symbols
    return signal


def block_signal(
    cell_id: int, *, block_index: int = 0, with_broadcast: bool = False
) -> ReferenceSignal:
    """Synchronization signal block: its primary and secondary sequence, PBCH's DMRS, and PBCH.

    cell_id: physical cell identity, 0 to 1007
    block_index: number of the block in its burst
    with_broadcast: whether the symbols of the broadcast channel (PBCH) are there, as for a receiver
    that has its message; without them their elements are empty
    Returns the signal on the elements of a block, [240, 4].
    Source: TS 38.211 sections 7.4.2, 7.4.1.4, 7.3.3 and 7.4.3.
    """
    shape = (BLOCK_SUBCARRIERS, BLOCK_SYMBOLS)
    signal = ReferenceSignal(np.zeros(shape, bool), np.zeros(shape, complex))

    # Primary sequence in the first symbol, secondary in the third.
    sync = slice(SYNC_FIRST, SYNC_FIRST + SYNC_LENGTH)
    _place(signal, sync, 0, primary_sequence(cell_id % 3))
    _place(signal, sync, 2, secondary_sequence(cell_id))

    # Pilots (DMRS) of the broadcast channel; initial state of the Gold sequence by section
    # 7.4.1.4.1.
    phase = block_index % NUM_BLOCK_PHASES
    seed = (2**11 * (cell_id // 4 + 1) + 2**6) * (phase + 1) + cell_id % 4
    pilots = gold_qpsk(seed, NUM_PILOTS)

    # Every fourth subcarrier of the block, and those beside the secondary sequence.
    shift = cell_id % PILOT_SPACING
    in_block = np.arange(shift, BLOCK_SUBCARRIERS, PILOT_SPACING)
    is_at_side = (in_block < BROADCAST_BELOW) | (in_block >= BROADCAST_ABOVE)
    at_sides = in_block[is_at_side]

    # Pilots on the former in the second and fourth symbol, on the latter in the third.
    end_of_second = len(in_block)
    end_of_third = end_of_second + len(at_sides)
    _place(signal, in_block, 1, pilots[:end_of_second])
    _place(signal, at_sides, 2, pilots[end_of_second:end_of_third])
    _place(signal, in_block, 3, pilots[end_of_third:])

    # The broadcast channel has what is left, first over subcarriers, then over symbols.
    if with_broadcast:
        is_left = block_elements() & ~signal.mask
        symbols, subcarriers = np.nonzero(is_left.T)
        _place(signal, subcarriers, symbols, broadcast_symbols(cell_id, block_index))
    return signal


def broadcast_symbols(cell_id: int, block_index: int = 0) -> np.ndarray:
    """Symbols of the physical broadcast channel (PBCH), [432], complex128.

    All coded bits of the message are taken for 0: what is left is the scrambling, which makes
    symbols of any message as random.

    cell_id: physical cell identity, 0 to 1007
    block_index: number of the block in its burst
    Source: TS 38.211 section 7.3.3.
    """
    phase = block_index % NUM_BLOCK_PHASES
    return gold_qpsk(cell_id, (phase + 1) * NUM_BROADCAST)[phase * NUM_BROADCAST :]


def sounding_signal(
    num_blocks: int,
    *,
    comb: int,
    symbols: Sequence[int],
    offset: int = 0,
    cyclic_shift: int = 0,
    sequence_group: int = 0,
    staggered: bool = False,
) -> ReferenceSignal:
    """Sounding reference signal (SRS) of the uplink, one port, one slot.

    num_blocks: resource blocks
    comb: 2, 4 or 8 subcarriers between its elements
    symbols: symbols of the slot that carry it
    offset: transmission comb offset, 0 to comb - 1
    cyclic_shift: of the sequence, in 8ths (comb 2), 12ths (comb 4) or 6ths (comb 8) of its length
    sequence_group: 0 to 29
    staggered: as for positioning: the comb (2 or 4) moves from symbol to symbol, 4 symbols at most
    Raises ValueError for a comb that the standard does not have, or too short a sequence.
    Source: TS 38.211 section 6.4.1.4.
    """
    if comb not in NUM_CYCLIC_SHIFTS:
        raise ValueError(f"a comb of {comb} is none of the standard's: {sorted(NUM_CYCLIC_SHIFTS)}")

    # Base sequence with a phase ramp, which is a cyclic shift in time.
    length = num_blocks * SUBCARRIERS_PER_BLOCK // comb
    base = low_papr_sequence(sequence_group, length)
    phase_step = 2 * np.pi * cyclic_shift / NUM_CYCLIC_SHIFTS[comb]
    sequence = np.exp(1j * phase_step * np.arange(length)) * base

    # The same sequence on the comb of each symbol.
    offsets = SOUNDING_OFFSETS[comb] if staggered else (0,) * len(symbols)
    signal = _empty(num_blocks)
    for symbol, moved in zip(symbols, offsets):
        _check_symbols(symbol, 1)
        first = (offset + moved) % comb
        _place(signal, slice(first, None, comb), symbol, sequence)
    return signal


def precoded_demodulation_signal(
    num_blocks: int, *, symbols: Sequence[int], offset: int = 0, sequence_group: int = 0
) -> ReferenceSignal:
    """Demodulation reference signal (DMRS) of an uplink channel with transform precoding, one slot.

    num_blocks: resource blocks, at least 6
    symbols: symbols of the slot that carry it, such as (2, 11)
    offset: 0 or 1, the port's group of every second subcarrier
    sequence_group: 0 to 29
    Raises ValueError for too short a sequence.
    Source: TS 38.211 section 6.4.1.1.1.2, without hopping.
    """
    sequence = low_papr_sequence(sequence_group, num_blocks * SUBCARRIERS_PER_BLOCK // 2)
    signal = _empty(num_blocks)
    for symbol in symbols:
        _check_symbols(symbol, 1)
        _place(signal, slice(offset, None, 2), symbol, sequence)
    return signal


def union(signals: Sequence[ReferenceSignal]) -> ReferenceSignal:
    """Several reference signals on one grid.

    signals: of equal size; where two use the same element, the later one has it
    """
    mask = np.zeros_like(signals[0].mask)
    symbols = np.zeros_like(signals[0].symbols)
    for signal in signals:
        mask |= signal.mask
        symbols = np.where(signal.mask, signal.symbols, symbols)
    return ReferenceSignal(mask, symbols)


def in_sequence(slots: Sequence[ReferenceSignal]) -> ReferenceSignal:
    """Slots one after another as one grid.

    slots: of equal numbers of subcarriers
    """
    mask = np.concatenate([slot.mask for slot in slots], axis=1)
    symbols = np.concatenate([slot.symbols for slot in slots], axis=1)
    return ReferenceSignal(mask, symbols)


def _empty(num_blocks: int) -> ReferenceSignal:
    """One slot without a signal; `_place` fills its arrays before it is handed out."""
    shape = (num_blocks * SUBCARRIERS_PER_BLOCK, SYMBOLS_PER_SLOT)
    return ReferenceSignal(np.zeros(shape, bool), np.zeros(shape, complex))


def _place(
    signal: ReferenceSignal,
    subcarriers: slice | np.ndarray,
    symbol: int | np.ndarray,
    sequence: np.ndarray,
) -> None:
    """Writes a sequence on subcarriers of a symbol, or on pairs of both."""
    signal.mask[subcarriers, symbol] = True
    signal.symbols[subcarriers, symbol] = sequence


def _check_symbols(first: int, count: int) -> None:
    if first < 0 or first + count > SYMBOLS_PER_SLOT:
        raise ValueError(
            f"symbols {first} to {first + count - 1} are outside a slot of {SYMBOLS_PER_SLOT}"
        )

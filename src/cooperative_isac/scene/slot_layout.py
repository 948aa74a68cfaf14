"""Resource elements of reference signals, as NR maps them to slots of a band's grid (TS 38.211)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cooperative_isac.scene.band import CODE, OfdmGrid

# Resource block and slot with the normal cyclic prefix, TS 38.211 sections 4.4.4.1 and 4.3.2.
SUBCARRIERS_PER_BLOCK = 12
SYMBOLS_PER_SLOT = 14

# First subcarrier of each symbol of a positioning resource, by comb size, TS 38.211 table
# 7.4.1.7.3-1: after as many symbols as the comb size every subcarrier has been used once.
PRS_OFFSETS = {
    2: (0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1),
    4: (0, 2, 1, 3, 0, 2, 1, 3, 0, 2, 1, 3),
    6: (0, 3, 1, 4, 2, 5, 0, 3, 1, 4, 2, 5),
    12: (0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11),
}


# First subcarrier of each symbol of a sounding resource for positioning, by comb size, TS 38.211
# table 6.4.1.4.3-2.
SOUNDING_OFFSETS = {2: (0, 1, 0, 1), 4: (0, 2, 1, 3)}

# Subcarriers and symbols of a synchronization signal block, and subcarriers of its synchronization
# sequences in it, TS 38.211 table 7.4.3.1-1.
BLOCK_SUBCARRIERS = 240
BLOCK_SYMBOLS = 4
SYNC_FIRST = 56
SYNC_LENGTH = 127

# Subcarriers of the block beside the secondary sequence that carry the broadcast channel: those
# below the first number, and those from the second one on, TS 38.211 table 7.4.3.1-1.
BROADCAST_BELOW = 48
BROADCAST_ABOVE = 192


@dataclass(frozen=True)
class SlotComb:
    """Elements of one reference signal in every slot.

    spacing: subcarriers between its elements, a divisor of a resource block
    offsets: first subcarrier in each symbol of the slot that has it, by symbol
    """

    spacing: int
    offsets: Mapping[int, int]


# First symbol of the positioning signal in a slot: its 12 symbols are the last ones.
PRS_FIRST_SYMBOL = 2

# First symbol of the sounding signal in a slot: its four symbols are the last ones.
SOUNDING_FIRST_SYMBOL = 10


def _sounding_comb(spacing: int) -> SlotComb:
    """Comb of a sounding resource for positioning."""
    offsets = enumerate(SOUNDING_OFFSETS[spacing])
    return SlotComb(spacing, {SOUNDING_FIRST_SYMBOL + i: first for i, first in offsets})


# Signals with a comb in every slot, in an order in which they fill it.
SIGNALS = {
    # Positioning: comb 4 over 12 symbols, the longest resource of TS 38.211 section 7.4.1.7.
    "prs": SlotComb(4, {PRS_FIRST_SYMBOL + i: first for i, first in enumerate(PRS_OFFSETS[4])}),
    # Tracking: three elements per resource block in two symbols, TS 38.214 section 5.1.6.1.1.
    "csi_rs": SlotComb(4, {0: 0, 4: 0}),
    # Demodulation: type 1 with one additional position, TS 38.211 table 7.4.1.1.2-3.
    "dmrs": SlotComb(2, {2: 0, 11: 0}),
    # Sounding of the uplink, as for positioning: staggered, so that every subcarrier is used.
    "srs_comb2": _sounding_comb(2),
    "srs_comb4": _sounding_comb(4),
    # Demodulation in the uplink with transform precoding, TS 38.211 table 6.4.1.1.3-3.
    "uplink_dmrs": SlotComb(2, {2: 0, 11: 0}),
}

# Synchronization signal block: in some slots, on some of the band's subcarriers.
SSB = "ssb"

# Resource blocks that a signal needs: 20 for a synchronization block; as many as make a sequence of
# 36 elements for those by Zadoff-Chu, where a sounding signal has one of SOUNDING_BLOCKS.
LEAST_BLOCKS = {SSB: 20, "srs_comb2": 8, "srs_comb4": 12, "uplink_dmrs": 6}

# Widths of a sounding signal in resource blocks, TS 38.211 table 6.4.1.4.3-1, column m_SRS,0.
SOUNDING_BLOCKS = (
    *(4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 52, 56, 60, 64, 72, 76, 80, 88, 96),
    *(104, 112, 120, 128, 132, 136, 144, 152, 160, 168, 176, 184, 192, 208, 216, 224),
    *(240, 256, 264, 272),
)

# Longest code words, in symbols. The leakage between two words by a Doppler shift grows with their
# length, by 6 dB for twice the symbols; more transmitters than words are in several cells.
MOST_CODE_LENGTH = 8

# First symbols of synchronization blocks from the begin of a half frame, by subcarrier spacing in
# kHz, TS 38.213 section 4.1: cases A, C, D, E, F and G.
BLOCK_STARTS = {
    15: tuple(14 * n + first for n in range(4) for first in (2, 8)),
    30: tuple(14 * n + first for n in range(4) for first in (2, 8)),
    120: tuple(28 * n + first for n in range(19) if n % 5 != 4 for first in (4, 8, 16, 20)),
    240: tuple(
        56 * n + first for n in range(9) if n != 4 for first in (8, 12, 16, 20, 32, 36, 40, 44)
    ),
    480: tuple(14 * n + first for n in range(32) for first in (2, 9)),
    960: tuple(14 * n + first for n in range(32) for first in (2, 9)),
}

# Largest number of blocks in a half frame up to a carrier frequency, Hz, TS 38.213 section 4.1.
MOST_BLOCKS = ((3e9, 4), (7.125e9, 8), (np.inf, 64))

# Time from one burst of blocks to the next, s, TS 38.213 section 4.1: of a cell that is not known.
BURST_PERIOD_S = 20e-3

# Duration of a radio frame, s, and its slots at a subcarrier spacing of 15 kHz, TS 38.211 section
# 4.3.1 and table 4.3.2-1; their number is proportional to the spacing.
FRAME_S = 10e-3
SLOTS_PER_FRAME_AT_15_KHZ = 10


def slot_elements(name: str) -> np.ndarray:
    """Elements of a signal in one resource block of one slot, [12, 14], bool.

    name: one of SIGNALS
    """
    comb = SIGNALS[name]
    elements = np.zeros((SUBCARRIERS_PER_BLOCK, SYMBOLS_PER_SLOT), bool)
    for symbol, first in comb.offsets.items():
        elements[first :: comb.spacing, symbol] = True
    return elements


def block_elements() -> np.ndarray:
    """Elements of a synchronization block: sequences, and broadcast channel with its pilots.

    Returns [BLOCK_SUBCARRIERS, BLOCK_SYMBOLS], bool; all other elements of a block are empty.
    Source: TS 38.211 table 7.4.3.1-1.
    """
    elements = np.zeros((BLOCK_SUBCARRIERS, BLOCK_SYMBOLS), bool)
    elements[SYNC_FIRST : SYNC_FIRST + SYNC_LENGTH, [0, 2]] = True
    elements[:, [1, 3]] = True
    elements[:BROADCAST_BELOW, 2] = True
    elements[BROADCAST_ABOVE:, 2] = True
    return elements


def num_blocks(grid: OfdmGrid) -> int:
    """Resource blocks that contain the sensed subcarriers of a grid, rounded up."""
    last = int(grid.places[-1]) * grid.subcarrier_stride
    return last // SUBCARRIERS_PER_BLOCK + 1


def code_length(num_transmitters: int) -> int:
    """Symbols of a code word: a power of two that has a word for each transmitter of a cell."""
    longest = min(num_transmitters, MOST_CODE_LENGTH)
    return 1 << (longest - 1).bit_length()


def slots_per_frame(grid: OfdmGrid) -> int:
    """Slots of a radio frame at the subcarrier spacing of a grid."""
    return round(SLOTS_PER_FRAME_AT_15_KHZ * grid.subcarrier_spacing_hz / 15e3)


def allocated_blocks(name: str, available: int) -> int:
    """Resource blocks that a signal has, from the first one of the band on.

    name: one of SIGNALS
    available: resource blocks of the band
    Returns 0 where the signal does not fit.
    """
    # Widths of the standard's table.
    if name in ("srs_comb2", "srs_comb4"):
        return max((width for width in SOUNDING_BLOCKS if width <= available), default=0)

    # The length of a transform precoder has no other prime factors than 2, 3 and 5, so that it
    # divides a high power of 30, TS 38.211 section 6.3.1.4.
    if name == "uplink_dmrs":
        return max(width for width in range(1, available + 1) if 30**available % width == 0)
    return available


@dataclass(frozen=True)
class PlacedBlock:
    """One synchronization block on a grid.

    index: number of the block in its burst
    rows, columns: its subcarriers and symbols on the grid, [num], int
    in_block: their subcarriers and symbols in the block, as an index of its elements
    """

    index: int
    rows: np.ndarray
    columns: np.ndarray
    in_block: tuple[np.ndarray, ...]


@lru_cache(maxsize=16)
def placed_blocks(grid: OfdmGrid) -> tuple[PlacedBlock, ...]:
    """Synchronization blocks on a grid: in the middle of its band, in the slots of the standard.

    grid: its first symbol begins a half frame with a burst of blocks
    """
    # Subcarriers: as many resource blocks below as above.
    first_block = (num_blocks(grid) - LEAST_BLOCKS[SSB]) // 2
    in_band = grid.places * grid.subcarrier_stride
    from_first = in_band - first_block * SUBCARRIERS_PER_BLOCK
    rows = np.flatnonzero((from_first >= 0) & (from_first < BLOCK_SUBCARRIERS))

    # Symbols from the begin of a burst.
    frames_per_burst = round(BURST_PERIOD_S / FRAME_S)
    symbols_per_burst = frames_per_burst * slots_per_frame(grid) * SYMBOLS_PER_SLOT
    symbols = np.arange(grid.num_symbols) * grid.symbol_stride
    in_burst = symbols % symbols_per_burst

    # First symbols of the blocks, as many as the standard has at the carrier frequency.
    most = next(count for limit_hz, count in MOST_BLOCKS if grid.carrier_hz <= limit_hz)
    spacing_khz = round(grid.subcarrier_spacing_hz / 1e3)
    starts = BLOCK_STARTS.get(spacing_khz, ())[:most]

    # Blocks of which the grid has a symbol.
    placed = []
    for index, start in enumerate(starts):
        from_start = in_burst - start
        columns = np.flatnonzero((from_start >= 0) & (from_start < BLOCK_SYMBOLS))
        if len(columns):
            in_block = np.ix_(from_first[rows], from_start[columns])
            placed.append(PlacedBlock(index, rows, columns, in_block))
    return tuple(placed)


def grid_elements(names: Sequence[str], grid: OfdmGrid) -> np.ndarray:
    """Elements of a grid that carry reference signals.

    The first subcarrier of the grid begins a resource block, its first symbol a slot. A grid with
    strides has some of the band's elements, and so some of its reference signals.

    names: some of SIGNALS, SSB and CODE
    Returns [num_subcarriers, num_symbols], bool.
    """
    # Subcarriers of the band that the grid has, and places of its symbols in their slots.
    subcarriers = grid.places * grid.subcarrier_stride
    in_block = subcarriers % SUBCARRIERS_PER_BLOCK
    in_slot = np.arange(grid.num_symbols) * grid.symbol_stride % SYMBOLS_PER_SLOT

    # Union of the signals.
    elements = np.zeros((grid.num_subcarriers, grid.num_symbols), bool)
    for name in names:
        if name == CODE:
            elements[:] = True
            continue
        if name == SSB:
            for block in placed_blocks(grid):
                elements[np.ix_(block.rows, block.columns)] |= block_elements()[block.in_block]
            continue
        width = allocated_blocks(name, num_blocks(grid)) * SUBCARRIERS_PER_BLOCK
        is_allocated = subcarriers < width
        elements |= slot_elements(name)[np.ix_(in_block, in_slot)] & is_allocated[:, None]
    return elements


def turn_of_symbols(elements: np.ndarray, word_length: int) -> np.ndarray:
    """Turns over the symbols with reference signals, in which antennas send one after another.

    elements: [num_subcarriers, num_symbols], bool, with reference signals
    word_length: symbols with reference signals of one turn: a code word, or one symbol
    Returns [num_symbols], int, ascending from 0.
    """
    is_used = elements.any(axis=0)
    used_before = np.maximum(np.cumsum(is_used) - 1, 0)
    return used_before // word_length


def word_length(names: Sequence[str], num_transmitters: int) -> int:
    """Symbols of one word of some reference signals, which an antenna sends as a whole."""
    return code_length(num_transmitters) if CODE in names else 1


def steps(elements: np.ndarray, places: np.ndarray | None = None) -> tuple[int, int]:
    """Greatest common steps between used subcarriers, and between used symbols.

    elements: [num_subcarriers, num_symbols], bool
    places: [num_subcarriers], int, of the subcarriers; 0, 1, 2, ... if None
    Returns both steps; 0 where fewer than two subcarriers or symbols are used.
    """
    rows = np.flatnonzero(elements.any(axis=1))
    if places is not None:
        rows = places[rows]
    columns = np.flatnonzero(elements.any(axis=0))
    over_subcarriers = int(np.gcd.reduce(np.diff(rows), initial=0))
    over_symbols = int(np.gcd.reduce(np.diff(columns), initial=0))
    return over_subcarriers, over_symbols

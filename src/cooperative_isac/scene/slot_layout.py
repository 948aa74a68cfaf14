"""Resource elements of downlink reference signals, as NR maps them to slots of a band's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.band import OfdmGrid

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

# The signals that a scene can have, in an order in which they fill a slot.
SIGNALS = {
    # Positioning: comb 4 over 12 symbols, the longest resource of TS 38.211 section 7.4.1.7.
    "prs": SlotComb(4, {PRS_FIRST_SYMBOL + i: first for i, first in enumerate(PRS_OFFSETS[4])}),
    # Tracking: three elements per resource block in two symbols, TS 38.214 section 5.1.6.1.1.
    "csi_rs": SlotComb(4, {0: 0, 4: 0}),
    # Demodulation: type 1 with one additional position, TS 38.211 table 7.4.1.1.2-3.
    "dmrs": SlotComb(2, {2: 0, 11: 0}),
}


def slot_elements(name: str) -> np.ndarray:
    """Elements of a signal in one resource block of one slot, [12, 14], bool.

    name: one of SIGNALS
    """
    comb = SIGNALS[name]
    elements = np.zeros((SUBCARRIERS_PER_BLOCK, SYMBOLS_PER_SLOT), bool)
    for symbol, first in comb.offsets.items():
        elements[first :: comb.spacing, symbol] = True
    return elements


def grid_elements(names: Sequence[str], grid: OfdmGrid) -> np.ndarray:
    """Elements of a grid that carry reference signals.

    The first subcarrier of the grid begins a resource block, its first symbol a slot. A grid with
    strides has some of the band's elements, and so some of its reference signals.

    names: some of SIGNALS
    Returns [num_subcarriers, num_symbols], bool.
    """
    # Places of the grid's subcarriers in their resource blocks, and of its symbols in their slots.
    in_block = np.arange(grid.num_subcarriers) * grid.subcarrier_stride % SUBCARRIERS_PER_BLOCK
    in_slot = np.arange(grid.num_symbols) * grid.symbol_stride % SYMBOLS_PER_SLOT

    # Union of the signals.
    elements = np.zeros((grid.num_subcarriers, grid.num_symbols), bool)
    for name in names:
        elements |= slot_elements(name)[np.ix_(in_block, in_slot)]
    return elements


def steps(elements: np.ndarray) -> tuple[int, int]:
    """Greatest common steps between used subcarriers, and between used symbols.

    elements: [num_subcarriers, num_symbols], bool
    Returns both steps; 0 where fewer than two subcarriers or symbols are used.
    """
    rows = np.flatnonzero(elements.any(axis=1))
    columns = np.flatnonzero(elements.any(axis=0))
    over_subcarriers = int(np.gcd.reduce(np.diff(rows), initial=0))
    over_symbols = int(np.gcd.reduce(np.diff(columns), initial=0))
    return over_subcarriers, over_symbols

"""Reference signals of all transmitters of a band on the elements of its grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cooperative_isac.scene.band import CODE, OfdmGrid
from cooperative_isac.scene.slot_layout import (
    PRS_FIRST_SYMBOL,
    SIGNALS,
    SSB,
    SUBCARRIERS_PER_BLOCK,
    SYMBOLS_PER_SLOT,
    allocated_blocks,
    grid_elements,
    num_blocks,
    placed_blocks,
    slots_per_frame,
)
from cooperative_isac.waveform.code_words import code_words
from cooperative_isac.waveform.reference_signals import (
    NUM_CYCLIC_SHIFTS,
    ReferenceSignal,
    block_signal,
    channel_state_signal,
    demodulation_signal,
    positioning_signal,
    precoded_demodulation_signal,
    sounding_signal,
)

# Groups of sequences of low peak-to-average power ratio, TS 38.211 section 5.2.2.
NUM_SEQUENCE_GROUPS = 30


@lru_cache(maxsize=16)
def mapped_symbols(
    grid: OfdmGrid, names: tuple[str, ...], num_transmitters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Symbols of reference signals on the elements of a grid; read-only, as callers share them.

    grid: its first subcarrier begins a resource block, its first symbol slot 0 of a radio frame
    names: some of scene.slot_layout.SIGNALS, SSB and CODE; where two use an element, the later one
    has it
    num_transmitters: each with its own scrambling identity or code word
    Returns [num_subcarriers, num_transmitters, num_symbols], complex64, and the mask
    [num_subcarriers, num_symbols], bool.
    """
    shape = (grid.num_subcarriers, num_transmitters, grid.num_symbols)
    streams = np.zeros(shape, np.complex64)
    for name in names:
        if name == CODE:
            streams[:] = code_words(grid, num_transmitters)
            continue
        # All transmitters have a signal on the same elements.
        elements = grid_elements([name], grid)
        for index in range(num_transmitters):
            sent = _blocks(grid, index) if name == SSB else _slots(grid, name, index)
            streams[:, index][elements] = sent[elements]
    mask = grid_elements(names, grid)

    # Callers share the arrays of the cache.
    streams.flags.writeable = False
    mask.flags.writeable = False
    return streams, mask


def _slots(grid: OfdmGrid, name: str, identity: int) -> np.ndarray:
    """A signal of every slot, [num_subcarriers, num_symbols], complex64, zero on other elements.

    identity: of the transmitter
    """
    # Subcarriers of the grid, counted in the band, that have the signal.
    width = allocated_blocks(name, num_blocks(grid))
    in_band = grid.places * grid.subcarrier_stride
    subcarriers = in_band[in_band < width * SUBCARRIERS_PER_BLOCK]

    # Symbols of the grid, counted in their slots.
    symbols = np.arange(grid.num_symbols) * grid.symbol_stride
    slot_of_symbol = symbols // SYMBOLS_PER_SLOT
    in_slot = symbols % SYMBOLS_PER_SLOT

    # Slot by slot, counted in each radio frame anew: map the whole slot, and take the elements of
    # the grid.
    num_slots = slots_per_frame(grid)
    sent = np.zeros((grid.num_subcarriers, grid.num_symbols), np.complex64)
    for slot in np.unique(slot_of_symbol).tolist():
        columns = np.flatnonzero(slot_of_symbol == slot)
        signal = _slot_signal(name, width, slot % num_slots, identity)
        elements = np.ix_(subcarriers, in_slot[columns])
        sent[: len(subcarriers), columns] = signal.symbols[elements]
    return sent


def _blocks(grid: OfdmGrid, cell_id: int) -> np.ndarray:
    """Synchronization blocks, [num_subcarriers, num_symbols], complex64."""
    sent = np.zeros((grid.num_subcarriers, grid.num_symbols), np.complex64)
    for block in placed_blocks(grid):
        signal = block_signal(cell_id, block_index=block.index, with_broadcast=True)
        sent[np.ix_(block.rows, block.columns)] = signal.symbols[block.in_block]
    return sent


def _slot_signal(name: str, width: int, slot: int, identity: int) -> ReferenceSignal:
    """One reference signal in one slot, on the elements of scene.slot_layout.

    width: resource blocks
    identity: of the transmitter: its scrambling identity, or sequence group
    """
    comb = SIGNALS[name].spacing
    symbols = tuple(SIGNALS[name].offsets)
    if name == "prs":
        return positioning_signal(
            width,
            comb=comb,
            num_symbols=len(symbols),
            first_symbol=PRS_FIRST_SYMBOL,
            slot=slot,
            sequence_id=identity,
        )
    if name == "csi_rs":
        return channel_state_signal(width, symbols=symbols, slot=slot, scrambling_id=identity)
    if name == "dmrs":
        return demodulation_signal(width, symbols=symbols, slot=slot, scrambling_id=identity)

    # Sequences by Zadoff-Chu: first the groups, then cyclic shifts. Sequences of two groups differ
    # at all delays, those of two shifts only within a part of the unambiguous span.
    shift, group = divmod(identity, NUM_SEQUENCE_GROUPS)
    if name == "uplink_dmrs":
        return precoded_demodulation_signal(width, symbols=symbols, sequence_group=group)
    return sounding_signal(
        width,
        comb=comb,
        symbols=symbols,
        cyclic_shift=shift % NUM_CYCLIC_SHIFTS[comb],
        sequence_group=group,
        staggered=True,
    )

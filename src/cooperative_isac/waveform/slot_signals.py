"""Reference signals of all transmitters of a band on the elements of its grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.slot_layout import (
    PRS_FIRST_SYMBOL,
    SIGNALS,
    SUBCARRIERS_PER_BLOCK,
    SYMBOLS_PER_SLOT,
)
from cooperative_isac.waveform.reference_signals import (
    ReferenceSignal,
    channel_state_signal,
    demodulation_signal,
    positioning_signal,
    union,
)

# Slots of a radio frame of 10 ms at a subcarrier spacing of 15 kHz, TS 38.211 table 4.3.2-1; their
# number is proportional to the spacing, and slots are counted in each radio frame anew.
SLOTS_PER_FRAME_AT_15_KHZ = 10


@lru_cache(maxsize=16)
def mapped_symbols(
    grid: OfdmGrid, names: tuple[str, ...], num_transmitters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Symbols of reference signals on the elements of a grid; read-only, as callers share them.

    grid: its first subcarrier begins a resource block, its first symbol slot 0
    names: some of scene.slot_layout.SIGNALS; where two use an element, the later one has it
    num_transmitters: each with its own scrambling identity
    Returns [num_subcarriers, num_transmitters, num_symbols], complex64, and the mask
    [num_subcarriers, num_symbols], bool.
    """
    # Subcarriers and symbols of the NR grid that the grid has, as it may leave some out.
    subcarriers = np.arange(grid.num_subcarriers) * grid.subcarrier_stride
    symbols = np.arange(grid.num_symbols) * grid.symbol_stride

    # Resource blocks that contain them, rounded up, and slots.
    num_blocks = -(-int(subcarriers[-1] + 1) // SUBCARRIERS_PER_BLOCK)
    slot_of_symbol = symbols // SYMBOLS_PER_SLOT
    slots_per_frame = round(SLOTS_PER_FRAME_AT_15_KHZ * grid.subcarrier_spacing_hz / 15e3)

    # Slot by slot: map the whole slot for each transmitter, and take the elements of the grid.
    streams = np.zeros((len(subcarriers), num_transmitters, len(symbols)), np.complex64)
    mask = np.zeros((len(subcarriers), len(symbols)), bool)
    for slot in np.unique(slot_of_symbol).tolist():
        columns = np.flatnonzero(slot_of_symbol == slot)
        in_slot = symbols[columns] % SYMBOLS_PER_SLOT
        for index in range(num_transmitters):
            sent = union(
                [_slot_signal(name, num_blocks, slot % slots_per_frame, index) for name in names]
            )
            streams[:, index, columns] = sent.symbols[np.ix_(subcarriers, in_slot)]
            mask[:, columns] = sent.mask[np.ix_(subcarriers, in_slot)]

    # Callers share the arrays of the cache.
    streams.flags.writeable = False
    mask.flags.writeable = False
    return streams, mask


def _slot_signal(name: str, num_blocks: int, slot: int, identity: int) -> ReferenceSignal:
    """One reference signal in one slot, on the elements of scene.slot_layout.

    identity: scrambling identity of the transmitter
    """
    symbols = tuple(SIGNALS[name].offsets)
    if name == "prs":
        return positioning_signal(
            num_blocks,
            comb=SIGNALS[name].spacing,
            num_symbols=len(symbols),
            first_symbol=PRS_FIRST_SYMBOL,
            slot=slot,
            sequence_id=identity,
        )
    if name == "csi_rs":
        return channel_state_signal(num_blocks, symbols=symbols, slot=slot, scrambling_id=identity)
    return demodulation_signal(num_blocks, symbols=symbols, slot=slot, scrambling_id=identity)

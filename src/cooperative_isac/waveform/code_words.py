"""Code words beside data: public sensing sequences on all resource elements."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.slot_layout import code_length
from cooperative_isac.waveform.codes import walsh_codes
from cooperative_isac.waveform.sequences import gold_qpsk

# Initial states of the Gold sequences, which have 31 bits: those of transmitters, and those of
# cells, apart from each other and from those of reference signals of low identities.
FIRST_TRANSMITTER_SEED = 2**30
FIRST_CELL_SEED = 2**30 + 2**29


def code_words(grid: OfdmGrid, num_transmitters: int) -> np.ndarray:
    """Spread and scrambled code words of all transmitters, of unit power on every element.

    On each subcarrier a transmitter spreads QPSK symbols of its own by its Walsh word, each over
    one code period. The transmitters of a cell have different words and one scrambling: they are
    orthogonal over a code period, so that a static channel tells them apart exactly. Different
    cells are noise to each other. With words alone, which repeat, the echo of one transmitter would
    look like that of another at another Doppler shift; symbols of their own prevent this.

    grid: with a multiple of scene.slot_layout.code_length symbols
    num_transmitters: as many as a code word has symbols are a cell
    Returns [num_subcarriers, num_transmitters, num_symbols], complex64.
    Source: DC section III-D.
    """
    length = code_length(num_transmitters)
    words = walsh_codes(length)
    num_periods = -(-grid.num_symbols // length)
    num_elements = grid.num_subcarriers * grid.num_symbols

    streams = np.empty((grid.num_subcarriers, num_transmitters, grid.num_symbols), np.complex64)
    for index in range(num_transmitters):
        cell, word = divmod(index, length)

        # Symbols of the transmitter, each spread over a code period.
        symbols = gold_qpsk(FIRST_TRANSMITTER_SEED + index, grid.num_subcarriers * num_periods)
        spread = symbols.reshape(-1, num_periods, 1) * words[word]
        chips = spread.reshape(grid.num_subcarriers, -1)[:, : grid.num_symbols]

        # Scrambling of its cell.
        scrambling = gold_qpsk(FIRST_CELL_SEED + cell, num_elements)
        streams[:, index] = scrambling.reshape(chips.shape) * chips
    return streams

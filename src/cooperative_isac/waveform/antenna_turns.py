"""Reference signals of one antenna after another in time: splicing of antennas' data in time."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.slot_layout import turn_of_symbols


def antenna_of_symbols(
    elements: np.ndarray, word_length: int, num_ant: int, generator: np.random.Generator
) -> np.ndarray:
    """Antenna of a transmitter that sends in each symbol of a frame.

    Every antenna has one turn in each round, in an order that is drawn anew. A fixed order would
    repeat with the round: a Doppler shift of one cycle a round would look like another angle of
    departure, and an antenna would have the same comb of a staggered signal in each of its turns.

    elements: [num_subcarriers, num_symbols], bool, with reference signals
    word_length: symbols with reference signals of one turn
    num_ant: antennas of the transmitter
    generator: of the orders
    Returns [num_symbols], int; that of a symbol without reference signals is the last one before.
    Source: DC section III-A.
    """
    turns = turn_of_symbols(elements, word_length)
    num_rounds = int(turns.max()) // num_ant + 1
    orders = np.tile(np.arange(num_ant), (num_rounds, 1))
    order = generator.permuted(orders, axis=1).ravel()
    return order[turns]


def streams_of_antennas(sent: np.ndarray, antenna: np.ndarray, num_ant: int) -> np.ndarray:
    """One stream for each antenna of a transmitter, zero in the turns of the others.

    sent: [num_subcarriers, num_symbols], complex64, symbols of the transmitter
    antenna: [num_symbols], int, antenna that sends each of them
    Returns [num_subcarriers, num_ant, num_symbols], complex64.
    """
    has_turn = np.arange(num_ant)[:, None] == antenna
    return np.where(has_turn, sent[:, None], np.complex64(0))

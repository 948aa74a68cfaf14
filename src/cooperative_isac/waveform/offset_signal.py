"""The transmitted signal as a receiver observes it whose clock differs from the transmitters'."""

from __future__ import annotations

import numpy as np

from cooperative_isac.waveform.signal import Component, KnownStreams


def with_clock_offsets(signal: Component, phasors: np.ndarray) -> KnownStreams:
    """The known symbols of a frame with the clock offsets of the links to one receiver.

    Each transmitter has streams of its own: matched with these, paths have the delays and Doppler
    shifts of synchronous stations, on targets and in the static world alike.

    signal: as it was sent; elements of its reference symbols are left out where it has payload
    phasors: [num_transmitters, num_subcarriers, num_symbols], complex64, by which the signal of
    each transmitter is multiplied at the receiver
    """
    streams = []
    columns = []
    slices = []
    begin = 0
    for antennas, phasor in zip(signal.antennas, phasors, strict=True):
        # Streams that this transmitter sends: reference symbols have streams for each.
        own = signal.precoders[:, antennas]
        is_sent = np.any(own != 0, axis=(0, 1))
        streams.append(signal.streams[:, is_sent] * phasor[:, None])

        # Their precoders, zero at the antennas of all others.
        spread = np.zeros((*signal.precoders.shape[:2], int(is_sent.sum())), np.complex64)
        spread[:, antennas] = own[..., is_sent]
        columns.append(spread)
        slices.append(slice(begin, begin + spread.shape[-1]))
        begin += spread.shape[-1]

    return KnownStreams(
        number=signal.number,
        grid=signal.grid,
        precoders=np.concatenate(columns, axis=-1),
        antennas=signal.antennas,
        symbols=np.concatenate(streams, axis=1).astype(np.complex64, copy=False),
        mask=signal.elements,
        stream_slices=tuple(slices),
    )

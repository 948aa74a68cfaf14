"""The transmitted signal as a receiver observes it whose clock differs from the transmitters'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.waveform.signal import Component, KnownStreams


def with_clock_offsets(
    signal: Component, phasors: np.ndarray, transmitters: Sequence[int] | None = None
) -> KnownStreams:
    """The known symbols of a frame with the clock offsets of the links to one receiver.

    Each transmitter has streams of its own: matched with these, paths have the delays and Doppler
    shifts of synchronous stations, on targets and in the static world alike.

    signal: as it was sent; elements of its reference symbols are left out where it has payload
    phasors: [num_chosen, num_subcarriers, num_symbols], complex64, by which the signal of each
    transmitter is multiplied at the receiver
    transmitters: [num_chosen], int, indices of those whose symbols are used; None: all
    """
    chosen = range(len(signal.antennas)) if transmitters is None else transmitters
    sent = [signal.antennas[index] for index in chosen]
    num_ant = sum(antennas.stop - antennas.start for antennas in sent)

    streams = []
    precoders = []
    slices = []
    places = []
    begin = 0
    first_ant = 0
    for antennas, phasor in zip(sent, phasors, strict=True):
        # Streams that this transmitter sends, [num_subcarriers, num_sent, num_symbols], as they
        # arrive: reference symbols have streams for each transmitter.
        own = signal.precoders[:, antennas]
        is_sent = np.any(own != 0, axis=(0, 1))
        streams.append(signal.streams[:, is_sent] * phasor[:, None])

        # Their precoders, zero at the antennas of all others.
        num_sent = int(is_sent.sum())
        place = slice(first_ant, first_ant + antennas.stop - antennas.start)
        precoder = np.zeros((len(signal.precoders), num_ant, num_sent), np.complex64)
        precoder[:, place] = own[..., is_sent]
        precoders.append(precoder)
        places.append(place)
        first_ant = place.stop

        # Their place among the streams of all.
        slices.append(slice(begin, begin + num_sent))
        begin += num_sent

    return KnownStreams(
        number=signal.number,
        grid=signal.grid,
        precoders=np.concatenate(precoders, axis=-1),
        antennas=tuple(places),
        symbols=np.concatenate(streams, axis=1).astype(np.complex64, copy=False),
        mask=signal.elements,
        stream_slices=tuple(slices),
    )

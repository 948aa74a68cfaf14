"""The transmitted signal as a receiver observes it whose clock differs from the transmitters'."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True, kw_only=True)
class OffsetSignal(Signal):
    """Signal whose transmitters have streams of their own, each with the offsets of its link.

    Matched with these streams, paths have the delays and Doppler shifts of synchronous stations, on
    targets and in the static world alike.

    offset_streams: [num_subcarriers, num_streams, num_symbols], complex64, the streams of the first
    transmitter, then those of the second, and so on
    stream_slices: each transmitter's slice of the stream axis
    """

    offset_streams: np.ndarray
    stream_slices: tuple[slice, ...]

    @cached_property
    def streams(self) -> np.ndarray:
        """Streams with their clock offsets, [num_subcarriers, num_streams, num_symbols]."""
        return self.offset_streams

    def streams_of(self, transmitter: int) -> slice:
        """The streams that a transmitter sends; see Signal."""
        return self.stream_slices[transmitter]


def with_clock_offsets(signal: Signal, phasors: np.ndarray) -> OffsetSignal:
    """The known symbols of a frame with the clock offsets of the links to one receiver.

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

    return OffsetSignal(
        number=signal.number,
        grid=signal.grid,
        modulation_order=signal.modulation_order,
        indices=signal.indices,
        precoders=np.concatenate(columns, axis=-1),
        antennas=signal.antennas,
        offset_streams=np.concatenate(streams, axis=1).astype(np.complex64, copy=False),
        stream_slices=tuple(slices),
    )

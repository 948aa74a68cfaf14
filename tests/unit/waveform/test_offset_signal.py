"""Signals as they are received with clock offsets: streams of each transmitter, turned."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.clocks import ClockOffsets, clock_phasors
from cooperative_isac.pipeline import transmit
from cooperative_isac.waveform.offset_signal import with_clock_offsets
from cooperative_isac.waveform.signal import Component, whole_signal

OFFSETS = ClockOffsets(np.array([0.0, 3e-7]), np.array([40.0, -900.0]), np.array([0.3, 2.0]))


def symbols_of(scene, kind):
    """The whole payload, the reference symbols alone, or both with reference signals of NR."""
    if kind == "all":
        waveform = replace(scene.waveform, signals=("data", "prs"), reference_subcarrier_stride=0)
        return whole_signal(transmit(replace(scene, waveform=waveform), 3))
    signal = transmit(scene, 3)
    if kind == "payload":
        return replace(signal, reference=None, reference_strides=(0, 0))
    return signal.reference


@pytest.mark.parametrize("kind", ["payload", "reference", "all"])
def test_each_transmitters_signal_is_multiplied_by_its_phasors(tilted, kind):
    sent: Component = symbols_of(tilted, kind)
    received = with_clock_offsets(sent, clock_phasors(sent.grid, OFFSETS))
    frequencies_hz = sent.grid.subcarrier_offsets_hz
    times_s = sent.grid.symbol_times_s
    for index, site in enumerate(tilted.transmitters):
        steering = np.exp(1j * np.arange(site.num_ant))[None]
        expected = sent.toward(index, steering)
        for row, frequency_hz in enumerate(frequencies_hz):
            for column, time_s in enumerate(times_s):
                cycles = OFFSETS.frequency_hz[index] * time_s
                cycles -= OFFSETS.timing_s[index] * frequency_hz
                turn = np.exp(1j * (OFFSETS.phase_rad[index] + 2 * np.pi * cycles))
                expected[row, :, column] *= turn
        np.testing.assert_allclose(
            received.toward(index, steering), expected, rtol=2e-4, atol=1e-6 * abs(expected).max()
        )


def test_streams_are_those_of_one_transmitter_each(tilted):
    sent = symbols_of(tilted, "payload")
    received = with_clock_offsets(sent, clock_phasors(sent.grid, OFFSETS))
    num_streams = sent.precoders.shape[-1]
    assert received.streams.shape[1] == 2 * num_streams
    for index, part in enumerate(received.antennas):
        own = received.streams_of(index)
        others = np.delete(received.precoders[:, part], np.r_[own], axis=-1)
        assert not others.any()
        np.testing.assert_array_equal(received.precoders[:, part, own], sent.precoders[:, part])

    # Payload streams for each transmitter, and the reference signals of each.
    whole = symbols_of(tilted, "all")
    apart = with_clock_offsets(whole, clock_phasors(whole.grid, OFFSETS))
    assert apart.streams.shape[1] == 2 * (num_streams + 1)

    # Reference symbols have streams for each transmitter already.
    reference = symbols_of(tilted, "reference")
    turned = with_clock_offsets(reference, clock_phasors(reference.grid, OFFSETS))
    assert turned.streams.shape == reference.streams.shape

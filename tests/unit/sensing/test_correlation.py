"""Block correlation against plain loops."""

import numpy as np
import pytest

from cooperative_isac.sensing.correlation import CYCLES_PER_BLOCK, block_length, stream_reference


def test_correlation_is_the_sum_over_each_block(listener):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    generator = np.random.default_rng(0)
    shape = (2, *reference.streams.shape[::2])
    signal = (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)
    found = reference.correlate(signal)
    for ant, subcarrier, stream, block in [(0, 0, 0, 0), (1, 5, 1, 3), (0, 63, 1, reference.num_blocks - 1)]:
        symbols = range(block * reference.block, (block + 1) * reference.block)
        wanted = sum(complex(signal[ant, subcarrier, t]) * complex(reference.streams[subcarrier, stream, t]).conjugate()
                     for t in symbols)
        assert found[ant, subcarrier, stream, block] == pytest.approx(wanted, rel=1e-4)


def test_gram_is_that_of_the_streams(listener):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    streams = reference.streams[7].astype(complex)
    assert np.allclose(reference.gram[7], streams.conj() @ streams.T, rtol=1e-4, atol=1e-3)


def test_block_gain_is_the_coherent_sum_of_a_turning_phase(listener):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    shift = listener.sensor.max_doppler_hz
    times = np.arange(reference.block) * listener.frame.grid.symbol_period_s
    wanted = abs(np.exp(2j * np.pi * shift * times).mean())
    assert reference.block_gain(np.array([0.0, shift])) == pytest.approx([1.0, wanted])


@pytest.mark.parametrize("doppler_hz, wanted", [(1.0, 64), (300.0, 64), (1200.0, 16), (100_000.0, 1)])
def test_blocks_are_as_long_as_the_fastest_target_allows(small, doppler_hz, wanted):
    length = block_length(small.grid, doppler_hz)
    assert length == wanted
    assert length == 1 or length * small.grid.symbol_period_s * doppler_hz <= CYCLES_PER_BLOCK

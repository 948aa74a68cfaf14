"""Block correlation against plain loops."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.pipeline import transmit
from cooperative_isac.sensing.correlation import CYCLES_PER_BLOCK, block_length, stream_reference


def test_correlation_is_the_sum_over_each_block(listener):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    generator = np.random.default_rng(0)
    shape = (2, *reference.streams.shape[::2])
    signal = (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(
        np.complex64
    )
    found = reference.correlate(signal)
    for ant, subcarrier, stream, block in [
        (0, 0, 0, 0),
        (1, 5, 1, 3),
        (0, 63, 1, reference.num_blocks - 1),
    ]:
        symbols = range(block * reference.block, (block + 1) * reference.block)
        wanted = sum(
            complex(signal[ant, subcarrier, t])
            * complex(reference.streams[subcarrier, stream, t]).conjugate()
            for t in symbols
        )
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
    gains = reference.block_gain(np.array([0.0, shift]))
    assert gains.shape == (2, reference.num_blocks)
    assert gains[:, 0] == pytest.approx([1.0, wanted])


def test_block_gain_of_a_shorter_last_block_is_that_of_its_own_symbols(small):
    reference = of_symbols(small, 63)
    size = int(reference.block_sizes[-1])
    assert size < reference.block
    times = np.arange(size) * reference.frame.grid.symbol_period_s
    wanted = abs(np.exp(2j * np.pi * FASTEST_HZ * times).mean())
    assert reference.block_gain(FASTEST_HZ)[-1] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("doppler_hz", "wanted"), [(1.0, 64), (300.0, 64), (1200.0, 16), (100_000.0, 1)]
)
def test_blocks_are_as_long_as_the_fastest_target_allows(small, doppler_hz, wanted):
    length = block_length(small.grid, doppler_hz)
    assert length == wanted
    assert length == 1 or length * small.grid.symbol_period_s * doppler_hz <= CYCLES_PER_BLOCK


# Fast targets, so that frames of few symbols have several blocks.
FASTEST_HZ = 3000.0


def of_symbols(scene, num_symbols):
    """Reference of a frame of some length, all of it payload."""
    grid = replace(scene.grid, num_symbols=num_symbols)
    waveform = replace(scene.waveform, grid=grid, reference_subcarrier_stride=0)
    return stream_reference(transmit(replace(scene, waveform=waveform), 0), FASTEST_HZ)


@pytest.mark.parametrize("num_symbols", [1, 2, 14, 62, 63, 65, 70, 127, 140])
def test_blocks_hold_every_symbol_once(small, num_symbols):
    reference = of_symbols(small, num_symbols)
    assert reference.block_sizes.sum() == num_symbols
    assert reference.block_sizes.min() >= 1
    assert reference.block * reference.frame.grid.symbol_period_s * FASTEST_HZ <= CYCLES_PER_BLOCK
    times = reference.frame.grid.symbol_times_s
    assert reference.block_times_s @ reference.block_sizes / num_symbols == pytest.approx(
        times.mean()
    )


@pytest.mark.parametrize("num_symbols", [14, 63, 127])
def test_a_shorter_last_block_is_correlated_like_the_others(small, num_symbols):
    reference = of_symbols(small, num_symbols)
    last = reference.num_blocks - 1
    first = last * reference.block
    assert 1 < num_symbols - first < reference.block or num_symbols == 127
    generator = np.random.default_rng(0)
    shape = (2, *reference.streams.shape[::2])
    signal = (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(
        np.complex64
    )

    streams = reference.streams[5, :, first:]
    wanted = signal[1, 5, first:] @ streams.conj().T
    assert reference.correlate(signal)[1, 5, :, last] == pytest.approx(wanted, rel=1e-4)
    grams = reference.block_grams.reshape(
        len(reference.streams), reference.num_blocks, *streams.shape[:1] * 2
    )
    assert np.allclose(grams[5, last], streams.conj() @ streams.T, rtol=1e-4, atol=1e-4)
    whole = reference.streams[5].astype(complex)
    assert np.allclose(reference.gram[5], whole.conj() @ whole.T, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("num_symbols", [5, 14, 63, 64, 127])
def test_the_spectrum_is_that_of_the_blocks_centers(small, num_symbols):
    reference = of_symbols(small, num_symbols)
    generator = np.random.default_rng(1)
    shape = 3, reference.num_blocks
    blocks = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    num_bins = 4 * reference.num_blocks
    shifts = np.fft.fftfreq(num_bins, reference.block * reference.frame.grid.symbol_period_s)
    times = reference.block_times_s - reference.block_times_s[0]
    if reference.num_blocks == 1:
        times = np.zeros(1)
    wanted = blocks @ np.exp(-2j * np.pi * times[:, None] * shifts)
    assert np.allclose(reference.spectrum(blocks, num_bins), wanted)

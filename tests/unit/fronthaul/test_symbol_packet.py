"""Packets of quantized echoes: a plain quantizer's values, their noise, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS, PacketError, seal
from cooperative_isac.fronthaul.symbol_packet import (
    STEPS,
    SYMBOLS_FORMAT,
    pack_symbols,
    unpack_symbols,
)

NUMBER = 77
OFFSETS = ClockOffsets(np.array([5e-8, -2e-7]), np.array([200.0, -31.5]), np.zeros(2))


def noise(scene):
    """An echo of noise alone, of variance 2."""
    site = scene.receivers[1]
    shape = (2, site.num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols)
    parts = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return parts[0] + 1j * parts[1]


@pytest.fixture
def echo(small):
    return noise(small)


@pytest.fixture
def scene(small):
    """The small scene at the noise power of the echo."""
    return replace(small, propagation=replace(small.propagation, noise_power_w=2.0))


def restored(scene, packet):
    return unpack_symbols(scene, scene.grid, "rx2", NUMBER, packet)


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_samples_are_those_of_a_plain_quantizer(scene, echo, width):
    found, offsets = restored(scene, pack_symbols(scene, "rx2", NUMBER, echo, width))
    assert offsets is None
    step, lost = STEPS[width]
    parts = np.concatenate([echo.real.ravel(), echo.imag.ravel()]).astype(float)
    scale = np.float32(np.sqrt(np.mean(parts**2)))
    middles = (np.arange(2**width) - 2 ** (width - 1) + 0.5) * step * scale
    for index in np.random.default_rng(1).integers(0, echo.size, 50):
        for original, value in (
            (echo.ravel()[index].real, found.ravel()[index].real),
            (echo.ravel()[index].imag, found.ravel()[index].imag),
        ):
            nearest = min(middles, key=lambda middle, one=original: abs(middle - one))
            assert value * np.sqrt(1 - lost) == pytest.approx(nearest, rel=1e-5)


@pytest.mark.parametrize("width", STEPS)
def test_quantization_keeps_the_power_of_noise_and_loses_what_theory_says(scene, echo, width):
    # A signal 20 dB below the noise, as echoes are.
    signal = 0.1 * np.exp(2j * np.pi * 0.13 * np.arange(echo.size)).reshape(echo.shape)
    found, _ = restored(scene, pack_symbols(scene, "rx2", NUMBER, echo + signal, width))
    _, lost = STEPS[width]
    assert np.mean(np.abs(found) ** 2) == pytest.approx(np.mean(np.abs(echo) ** 2), rel=0.03)
    gain = np.vdot(signal, found - np.sqrt(1 - lost) * echo) / np.vdot(signal, signal)
    assert gain.real == pytest.approx(np.sqrt(1 - lost), abs=0.08)


def test_the_size_is_that_of_the_bits(scene, echo):
    packet = pack_symbols(scene, "rx2", NUMBER, echo, 3)
    assert 8 * len(packet) == 6 * echo.size + 40 + OVERHEAD_BITS


def test_elements_that_are_not_sent_do_not_change_the_scale(scene, echo):
    half = echo.copy()
    half[:, ::2] = 0
    found, _ = restored(scene, pack_symbols(scene, "rx2", NUMBER, half, 4))
    assert np.mean(np.abs(found[:, 1::2] - echo[:, 1::2]) ** 2) < 0.05
    empty = pack_symbols(scene, "rx2", NUMBER, np.zeros_like(echo), 4)
    assert np.abs(restored(scene, empty)[0]).max() < 1e-30


def test_clock_offsets_are_sent_where_stations_estimate_them(scene, echo):
    sensing = replace(scene.sensing, synchronization="line_of_sight")
    scene = replace(scene, sensing=sensing)
    packet = pack_symbols(scene, "rx2", NUMBER, echo, 2, OFFSETS)
    _, offsets = restored(scene, packet)
    np.testing.assert_allclose(offsets.timing_s, OFFSETS.timing_s, rtol=1e-6)
    np.testing.assert_allclose(offsets.frequency_hz, OFFSETS.frequency_hz, rtol=1e-6)
    wrong = ClockOffsets(np.array([np.nan, 0]), np.zeros(2), np.zeros(2))
    with pytest.raises(PacketError, match="not finite"):
        restored(scene, pack_symbols(scene, "rx2", NUMBER, echo, 2, wrong))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x02", "ends early: 1 bytes"),
        (b"\x09" + bytes(4), "have 9 bits, expected 1 to 8"),
        (b"\x02" + bytes(50), "its echo has 51 bytes"),
    ],
)
def test_damage_is_refused(scene, payload, reason):
    with pytest.raises(PacketError, match=reason):
        restored(scene, seal(scene, SYMBOLS_FORMAT, "rx2", NUMBER, payload))


def test_a_scale_beyond_all_echoes_is_refused(scene, echo):
    packet = pack_symbols(scene, "rx2", NUMBER, 1e15 * echo, 2)
    with pytest.raises(PacketError, match="no level of an echo"):
        restored(scene, packet)

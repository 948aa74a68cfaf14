"""Packets of quantized echoes: a plain quantizer's values, their noise, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS, PacketError, seal, unseal
from cooperative_isac.fronthaul.symbol_packet import (
    LOUD_LEVEL,
    LOUD_STEP,
    STEPS,
    SYMBOL_BANDS_FORMAT,
    SYMBOLS_FORMAT,
    BandEcho,
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


def packed(scene, echo, width, offsets=None):
    return pack_symbols(scene, "rx2", NUMBER, {scene.band: BandEcho(echo, offsets)}, width)


def restored(scene, packet):
    echo = unpack_symbols(scene, {scene.band: scene.grid}, "rx2", NUMBER, packet)[scene.band]
    return echo.samples, echo.offsets


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_samples_are_those_of_a_plain_quantizer(scene, echo, width):
    found, offsets = restored(scene, packed(scene, echo, width))
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
    found, _ = restored(scene, packed(scene, echo + signal, width))
    _, lost = STEPS[width]
    assert np.mean(np.abs(found) ** 2) == pytest.approx(np.mean(np.abs(echo) ** 2), rel=0.03)
    gain = np.vdot(signal, found - np.sqrt(1 - lost) * echo) / np.vdot(signal, signal)
    assert gain.real == pytest.approx(np.sqrt(1 - lost), abs=0.08)


def test_the_size_is_that_of_the_bits(scene, echo):
    packet = packed(scene, echo, 3)
    assert 8 * len(packet) == 6 * echo.size + 40 + OVERHEAD_BITS


def test_elements_that_are_not_sent_do_not_change_the_scale(scene, echo):
    half = echo.copy()
    half[:, ::2] = 0
    found, _ = restored(scene, packed(scene, half, 4))
    assert np.mean(np.abs(found[:, 1::2] - echo[:, 1::2]) ** 2) < 0.05
    empty = packed(scene, np.zeros_like(echo), 4)
    assert np.abs(restored(scene, empty)[0]).max() < 1e-30


def test_clock_offsets_are_sent_where_stations_estimate_them(scene, echo):
    sensing = replace(scene.sensing, synchronization="line_of_sight")
    scene = replace(scene, sensing=sensing)
    packet = packed(scene, echo, 2, OFFSETS)
    _, offsets = restored(scene, packet)
    np.testing.assert_allclose(offsets.timing_s, OFFSETS.timing_s, rtol=1e-6)
    np.testing.assert_allclose(offsets.frequency_hz, OFFSETS.frequency_hz, rtol=1e-6)
    wrong = ClockOffsets(np.array([np.nan, 0]), np.zeros(2), np.zeros(2))
    with pytest.raises(PacketError, match="not finite"):
        restored(scene, packed(scene, echo, 2, wrong))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x02", "ends early: 1 bytes"),
        (b"\x09" + bytes(4), "have 9 bits, expected 1 to 8"),
        (b"\x02" + bytes(50), "ends early: 51 bytes of payload"),
        (b"\x02" + bytes(40_000), "bytes follow its last echo"),
    ],
)
def test_damage_is_refused(scene, payload, reason):
    with pytest.raises(PacketError, match=reason):
        restored(scene, seal(scene, SYMBOLS_FORMAT, "rx2", NUMBER, payload))


def test_a_scale_beyond_all_echoes_is_refused(scene, echo):
    packet = packed(scene, 1e15 * echo, 2)
    with pytest.raises(PacketError, match="no level of an echo"):
        restored(scene, packet)


def test_the_bytes_of_echoes_below_the_noise_do_not_change(scene):
    """Payload of the first version of the format."""
    parts = np.random.default_rng(0).standard_normal((2, 2, 3, 5)).astype(np.float32)
    packet = packed(scene, parts[0] + 1j * parts[1], 2)
    assert packet[8:-4].hex() == "025b99663f859a6add634b362577bf6c5aca6249"


def test_packets_with_few_bits_above_the_noise_are_read(scene):
    """Payload of the first version of the format, with 2 bits of a strong echo."""
    parts = np.random.default_rng(0).standard_normal((2, 2, 3, 5)).astype(np.float32)
    small = replace(scene.grid, num_subcarriers=3, num_symbols=5)
    payload = bytes.fromhex("02c62fd841859a6add634b362577bf6c5aca6249")
    packet = seal(scene, SYMBOLS_FORMAT, "rx2", NUMBER, payload)
    two = replace(scene.receiver("rx2"), elements_m=scene.receiver("rx2").elements_m[:2])
    receivers = tuple(two if site.name == "rx2" else site for site in scene.receivers)
    few = replace(scene, receivers=receivers)
    found = unpack_symbols(few, {scene.band: small}, "rx2", NUMBER, packet)[scene.band].samples
    wanted = 30 * (parts[0] + 1j * parts[1])
    coherence = np.abs(np.vdot(found, wanted)) / np.linalg.norm(found) / np.linalg.norm(wanted)
    assert coherence > 0.9


def test_an_echo_above_the_noise_has_more_bits(scene, echo):
    # Of one element far above all others, which two bits would clip.
    strong = echo.copy()
    strong[1, 3, 5] = 40 * np.sqrt(np.mean(np.abs(echo) ** 2))
    loud = 20 * strong
    found, _ = restored(scene, packed(scene, loud, 2))
    assert np.max(np.abs(found - loud)) < 0.03 * np.abs(loud).max()
    assert len(packed(scene, loud, 2)) > 3 * len(packed(scene, echo, 2))


@pytest.fixture(scope="module")
def bands(two_tiny):
    """Two bands, both with noise of variance 2."""
    layout = two_tiny.layout
    propagation = replace(two_tiny.propagation, noise_power_w=2.0)
    quiet = tuple(replace(band, propagation=propagation) for band in layout.bands)
    return replace(two_tiny, layout=replace(layout, bands=quiet), propagation=propagation)


@pytest.fixture(scope="module")
def grids(bands):
    return {view.band: view.grid for view in bands.views}


def band_noise(bands, band):
    grid = bands.on(band).grid
    shape = (2, 8, grid.num_subcarriers, grid.num_symbols)
    parts = np.random.default_rng(len(band)).standard_normal(shape).astype(np.float32)
    return parts[0] + 1j * parts[1]


@pytest.fixture(scope="module")
def both(bands):
    """The packet of station `west` with noise on both bands."""
    echoes = {band: BandEcho(band_noise(bands, band)) for band in ("low", "high")}
    return pack_symbols(bands, "west", NUMBER, echoes, 4)


def test_a_packet_carries_the_bands_on_the_air(bands, grids, both):
    found = unpack_symbols(bands, grids, "west", NUMBER, both)
    assert list(found) == ["high", "low"]
    for band, echo in found.items():
        assert echo.offsets is None
        assert np.mean(np.abs(echo.samples - band_noise(bands, band)) ** 2) < 0.05

    # In every other frame one band alone is on the air.
    alone = {"high": BandEcho(band_noise(bands, "high"))}
    packet = pack_symbols(bands, "west", NUMBER, alone, 4)
    one = unpack_symbols(bands, {"high": grids["high"]}, "west", NUMBER, packet)
    assert list(one) == ["high"] and np.array_equal(one["high"].samples, found["high"].samples)


def test_an_echo_above_the_noise_has_steps_below_it(bands, grids):
    quiet = band_noise(bands, "high")
    elements = np.arange(quiet.size).reshape(quiet.shape)
    wave = np.exp(2j * np.pi * 0.13 * elements).astype(np.complex64)
    sizes = []
    for level_db in (-20, 10, 25):
        echo = quiet + np.float32(np.sqrt(2) * 10 ** (level_db / 20)) * wave
        packet = pack_symbols(bands, "west", NUMBER, {"high": BandEcho(echo)}, 2)
        sizes.append(len(packet))
        found = unpack_symbols(bands, grids, "west", NUMBER, packet)["high"].samples
        if np.mean(np.abs(echo) ** 2) > LOUD_LEVEL * 2.0:
            errors = (found - echo).view(np.float32)
            assert np.abs(errors).max() < 1.1 * LOUD_STEP / 2
    assert 8 * sizes[0] == 4 * quiet.size + 40 + 16 + 8 + OVERHEAD_BITS
    assert sizes[0] < sizes[1] < sizes[2]


def sections(*parts):
    return bytes([len(parts)]) + b"".join(parts)


def test_damage_of_several_bands_is_refused(bands, grids, both):
    payload = unseal(bands, SYMBOL_BANDS_FORMAT, "west", NUMBER, both)
    size = (len(payload) - 1) // 2
    high = payload[1 : 1 + size]
    low = payload[1 + size :]
    faults = {
        "ends early": sections(high, low[:-1]),
        "1 bytes follow": sections(high, low) + b"\0",
        "band 0 after band 1": sections(low, high),
        "band 0 after band 0": sections(high, high),
        "band 7 after band -1": sections(b"\7" + high[1:]),
        "expected 1 to 8": sections(high[:1] + b"\x09" + high[2:]),
        "no level of an echo": sections(high[:2] + b"\xff\xff\x7f\x7f" + high[6:]),
    }
    for reason, damaged in faults.items():
        packet = seal(bands, SYMBOL_BANDS_FORMAT, "west", NUMBER, damaged)
        with pytest.raises(PacketError, match=reason):
            unpack_symbols(bands, grids, "west", NUMBER, packet)

    # A band that is not on the air, or on which the station does not receive.
    with pytest.raises(PacketError, match="band 'low', which has none"):
        unpack_symbols(bands, {"high": grids["high"]}, "west", NUMBER, both)
    packet = seal(bands, SYMBOL_BANDS_FORMAT, "east", NUMBER, sections(high))
    with pytest.raises(PacketError, match="band 'high', which has none"):
        unpack_symbols(bands, grids, "east", NUMBER, packet)

    # The format of one band, a cut packet, another frame.
    one_band = seal(bands, SYMBOLS_FORMAT, "west", NUMBER, high)
    for packet, number in ((one_band, NUMBER), (both[:-1], NUMBER), (both, NUMBER + 1)):
        with pytest.raises(PacketError):
            unpack_symbols(bands, grids, "west", number, packet)

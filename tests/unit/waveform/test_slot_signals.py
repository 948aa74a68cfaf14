"""Reference signals of TS 38.211 on the grid of a band, as components of the transmitted signal."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.pipeline import sum_rate, transmit
from cooperative_isac.scene.slot_layout import SIGNALS, grid_elements, slot_elements, steps
from cooperative_isac.waveform.reference_signals import (
    block_signal,
    channel_state_signal,
    demodulation_signal,
    positioning_signal,
    precoded_demodulation_signal,
    sounding_signal,
)
from cooperative_isac.waveform.signal import whole_signal
from cooperative_isac.waveform.slot_signals import mapped_symbols

ALL = ("data", "prs", "csi_rs", "dmrs")
UPLINK = ("srs_comb2", "srs_comb4", "uplink_dmrs")

# What the standard's functions place in a slot.
OF_STANDARD = {
    "prs": lambda blocks, slot, number: positioning_signal(
        blocks, comb=4, num_symbols=12, first_symbol=2, slot=slot, sequence_id=number
    ),
    "csi_rs": lambda blocks, slot, number: channel_state_signal(
        blocks, symbols=(0, 4), slot=slot, scrambling_id=number
    ),
    "dmrs": lambda blocks, slot, number: demodulation_signal(
        blocks, symbols=(2, 11), slot=slot, scrambling_id=number
    ),
    "srs_comb2": lambda blocks, slot, number: sounding_signal(
        blocks, comb=2, symbols=(10, 11, 12, 13), sequence_group=number, staggered=True
    ),
    "srs_comb4": lambda blocks, slot, number: sounding_signal(
        blocks, comb=4, symbols=(10, 11, 12, 13), sequence_group=number, staggered=True
    ),
    "uplink_dmrs": lambda blocks, slot, number: precoded_demodulation_signal(
        blocks, symbols=(2, 11), sequence_group=number
    ),
}


def with_signals(scene, signals, beams="random"):
    """The scene with other components of its signal, on strides that sample slots evenly."""
    grid = replace(scene.grid, subcarrier_stride=5, symbol_stride=3)
    waveform = replace(
        scene.waveform,
        grid=grid,
        signals=signals,
        reference_beams=beams,
        reference_subcarrier_stride=0,
        reference_symbol_stride=0,
    )
    return replace(scene, waveform=waveform)


@pytest.mark.parametrize("name", SIGNALS)
def test_the_elements_of_a_slot_are_those_of_the_standard(name):
    mask = OF_STANDARD[name](12, 0, 0).mask
    assert np.array_equal(np.tile(slot_elements(name), (12, 1)), mask)


def test_a_grid_with_strides_has_some_elements_of_the_band(small):
    scene = with_signals(small, ALL)
    names = scene.waveform.reference_signals
    symbols, mask = mapped_symbols(scene.grid, names, 2)
    num_slots = 63 * 3 // 14 + 1
    for index in range(2):
        # The whole band, slot after slot; the signal that is named last has an element.
        slots = []
        for slot in range(num_slots):
            sent = np.zeros((27 * 12, 14), complex)
            for name in names:
                signal = OF_STANDARD[name](27, slot, index)
                sent[signal.mask] = signal.symbols[signal.mask]
            slots.append(sent)
        band = np.concatenate(slots, axis=1)[: 64 * 5 : 5, : 64 * 3 : 3]
        assert np.allclose(symbols[:, index], band, atol=1e-6)
        assert np.array_equal(mask, band != 0)
    assert np.array_equal(mask, grid_elements(names, scene.grid))
    assert np.any(symbols[:, 0] != symbols[:, 1])


@pytest.mark.parametrize(
    ("name", "width"), [("srs_comb2", 24), ("srs_comb4", 24), ("uplink_dmrs", 27)]
)
def test_signals_of_the_uplink_have_the_standard_s_widths(small, name, width):
    # 64 subcarriers at a stride of 5 are in 27 resource blocks; sounding has 24 or 28.
    grid = with_signals(small, ALL).grid
    symbols, mask = mapped_symbols(grid, (name,), 2)
    for index in range(2):
        sent = np.zeros((27 * 12, 14 * 14), complex)
        for slot in range(14):
            signal = OF_STANDARD[name](width, slot, index)
            sent[: 12 * width, 14 * slot : 14 * (slot + 1)] = signal.symbols
        band = sent[: 64 * 5 : 5, : 64 * 3 : 3]
        assert np.allclose(symbols[:, index], band, atol=1e-6)
        assert np.array_equal(mask, band != 0)


def test_transmitters_past_the_sequence_groups_take_cyclic_shifts(small):
    grid = replace(with_signals(small, ALL).grid, subcarrier_stride=1, symbol_stride=1)
    grid = replace(grid, num_subcarriers=24 * 12, num_symbols=14)
    symbols, _ = mapped_symbols(grid, ("srs_comb4",), 32)
    expected = sounding_signal(
        24, comb=4, symbols=(10, 11, 12, 13), cyclic_shift=1, sequence_group=1, staggered=True
    )
    assert np.allclose(symbols[:, 31], expected.symbols, atol=1e-6)


# First symbols of the blocks of a burst by TS 38.213 section 4.1, cases A, C, D and E.
BURSTS = {
    (15e3, 2e9): (2, 8, 16, 22),
    (15e3, 6e9): (2, 8, 16, 22, 30, 36, 44, 50),
    (30e3, 3.5e9): (2, 8, 16, 22, 30, 36, 44, 50),
    (120e3, 24e9): (4, 8, 16, 20, 32, 36, 44, 48, 60, 64, 72, 76, 88, 92, 100, 104, 144, 148),
    (240e3, 30e9): (
        8,
        12,
        16,
        20,
        32,
        36,
        40,
        44,
        64,
        68,
        72,
        76,
        88,
        92,
        96,
        100,
        120,
        124,
        128,
        132,
        144,
        148,
    ),
}


@pytest.mark.parametrize("case", BURSTS)
@pytest.mark.parametrize("strides", [(1, 1), (5, 3)])
def test_synchronization_blocks_are_in_the_slots_of_the_standard(small, case, strides):
    spacing_hz, carrier_hz = case
    over_subcarriers, over_symbols = strides
    grid = replace(
        small.grid,
        carrier_hz=carrier_hz,
        subcarrier_spacing_hz=spacing_hz,
        num_subcarriers=324 // over_subcarriers,
        num_symbols=150 // over_symbols,
        subcarrier_stride=over_subcarriers,
        symbol_stride=over_symbols,
    )
    symbols, mask = mapped_symbols(grid, ("ssb",), 2)

    # 27 resource blocks, of which the middle 20 are from the fourth one on.
    for index in range(2):
        band = np.zeros((324, 160), complex)
        for number, start in enumerate(BURSTS[case]):
            block = block_signal(index, block_index=number, with_broadcast=True)
            band[36 : 36 + 240, start : start + 4] = block.symbols
        sent = band[::over_subcarriers, :150:over_symbols][: grid.num_subcarriers]
        assert np.allclose(symbols[:, index], sent, atol=1e-6)
        assert np.array_equal(mask, sent != 0)
    if strides == (1, 1) and len(BURSTS[case]) <= 8:
        assert mask.sum() == 830 * len(BURSTS[case])


def test_a_burst_of_blocks_comes_again_after_two_radio_frames(small):
    grid = replace(small.grid, subcarrier_spacing_hz=30e3, carrier_hz=2e9, num_subcarriers=250)
    grid = replace(grid, num_symbols=42 * 14, subcarrier_stride=1, symbol_stride=1)
    _, mask = mapped_symbols(grid, ("ssb",), 1)
    used = np.flatnonzero(mask.any(axis=0)).tolist()
    burst = [start + i for start in (2, 8, 16, 22) for i in range(4)]
    assert used == burst + [40 * 14 + symbol for symbol in burst]


def test_slots_are_counted_in_each_radio_frame_anew(small):
    grid = replace(with_signals(small, ALL).grid, subcarrier_spacing_hz=15e3, symbol_stride=14)
    symbols, _ = mapped_symbols(grid, ("csi_rs",), 1)
    assert np.array_equal(symbols[:, :, 10:20], symbols[:, :, :10])
    assert np.any(symbols[:, :, 1:11] != symbols[:, :, :10])


@pytest.mark.parametrize("beams", ["random", "antennas"])
@pytest.mark.parametrize("signals", [ALL, ALL[1:]])
def test_each_element_has_reference_symbols_or_data(small, signals, beams):
    scene = with_signals(small, signals, beams)
    frame = transmit(scene, 3)
    payload = transmit(with_signals(small, ("data",)), 3)
    elements = grid_elements(ALL[1:], scene.grid)
    steering = np.exp(1j * np.arange(16)).reshape(2, 8)
    for index in range(2):
        found = frame.toward(index, steering)
        sent = payload.toward(index, steering)
        expected = np.where(elements[:, None], 0, sent if "data" in signals else 0 * sent)
        for subcarrier in range(0, 64, 7):
            precoder = frame.reference.precoders[subcarrier // 4, frame.antennas[index], index]
            symbols = frame.reference.symbols[subcarrier, index]
            expected[subcarrier] += np.outer(steering @ precoder, symbols)
        assert np.allclose(found[::7], expected[::7], atol=1e-5 * np.abs(sent).max())


@pytest.mark.parametrize("beams", ["random", "antennas"])
def test_each_transmitter_radiates_its_power_on_every_subcarrier(small, beams):
    scene = with_signals(small, ALL, beams)
    precoders = transmit(scene, 0).reference.precoders
    for index, part in enumerate(transmit(scene, 0).antennas):
        power_w = np.sum(np.abs(precoders[:, part, index]) ** 2, axis=1)
        assert np.allclose(power_w, scene.waveform.power_w / 64)
    assert np.count_nonzero(precoders[0, :8, 0]) == (1 if beams == "antennas" else 8)


def test_reference_symbols_take_their_share_of_the_rate(small):
    plain = with_signals(small, ("data",))
    scene = with_signals(small, ALL)
    share = 1 - grid_elements(ALL[1:], scene.grid).mean()
    assert sum_rate(scene, transmit(scene, 0)) == pytest.approx(
        share * sum_rate(plain, transmit(plain, 0))
    )
    only = with_signals(small, ("prs",))
    assert sum_rate(only, transmit(only, 0)) == 0


@pytest.mark.parametrize("kind", ["mapped", "comb"])
def test_all_components_together_are_the_whole_signal(small, kind):
    frame = transmit(with_signals(small, ALL) if kind == "mapped" else small, 2)
    whole = whole_signal(frame)
    steering = np.exp(1j * np.arange(24)).reshape(3, 8)
    for index in range(2):
        expected = frame.toward(index, steering)
        assert np.allclose(
            whole.toward(index, steering), expected, atol=1e-6 * np.abs(expected).max()
        )
    assert whole.elements.all()


def test_the_whole_of_a_payload_is_the_payload(small):
    frame = transmit(with_signals(small, ("data",)), 2)
    assert whole_signal(frame) is frame


def test_steps_of_a_staggered_comb_are_single_subcarriers(small):
    grid = replace(small.grid, subcarrier_stride=1, symbol_stride=1)
    assert steps(grid_elements(["prs"], grid)) == (1, 1)
    assert steps(grid_elements(["csi_rs"], grid)) == (4, 2)
    assert steps(grid_elements(["dmrs"], grid)) == (2, 1)
    assert steps(np.eye(1, dtype=bool)) == (0, 0)

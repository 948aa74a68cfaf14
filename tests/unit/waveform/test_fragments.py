"""Signals, rates and estimates on a fragmented spectrum, against the whole grid."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.api import evaluate
from cooperative_isac.fronthaul.downlink import downlink_size, pack_downlink, unpack_downlink
from cooperative_isac.pipeline import downlink_channels, sum_rate, transmit
from cooperative_isac.scene.slot_layout import grid_elements
from cooperative_isac.waveform.precoding import user_rates
from cooperative_isac.waveform.slot_signals import mapped_symbols

FRAGMENTS = ((0, 23), (52, 63))
KEPT = [*range(24), *range(52, 64)]


def fragmented(scene, **changes):
    """The scene on 36 of its 64 subcarriers, without a comb of reference symbols."""
    grid = replace(scene.grid, num_subcarriers=len(KEPT), fragments=FRAGMENTS)
    waveform = replace(
        scene.waveform,
        grid=grid,
        reference_subcarrier_stride=0,
        reference_symbol_stride=0,
        **changes,
    )
    return replace(scene, waveform=waveform)


def whole(scene, **changes):
    """The scene on all subcarriers, without a comb of reference symbols."""
    grid = replace(fragmented(scene).grid, num_subcarriers=64, fragments=())
    waveform = replace(fragmented(scene, **changes).waveform, grid=grid)
    return replace(scene, waveform=waveform)


def test_the_power_is_that_over_the_used_subcarriers(small):
    signal = transmit(fragmented(small), 1)
    radiated_w = [
        signal.group_size * np.sum(np.abs(signal.precoders[:, part]) ** 2)
        for part in signal.antennas
    ]
    assert max(radiated_w) == pytest.approx(small.waveform.power_w, rel=1e-5)


def test_users_have_the_channels_of_the_used_subcarriers(small):
    channels = downlink_channels(fragmented(small), 1)
    of_grid = downlink_channels(whole(small), 1)
    groups = [place // 4 for place in KEPT[::4]]
    assert np.allclose(channels, of_grid[groups])
    signal = transmit(fragmented(small), 1)
    rates = user_rates(channels, signal.precoders, small.users.noise_power_w)
    assert sum_rate(fragmented(small), signal) == pytest.approx(rates.sum())


def test_the_downlink_has_the_used_subcarriers_alone(small):
    scene = fragmented(small)
    signal = transmit(scene, 1)
    data = pack_downlink(signal)
    assert len(data) == downlink_size(scene)
    unpacked = unpack_downlink(scene, data)
    assert np.array_equal(unpacked.indices, signal.indices)
    header = 16
    assert (len(data) - header) / (downlink_size(whole(small)) - header) == pytest.approx(36 / 64)


@pytest.mark.parametrize("name", ["prs", "csi_rs", "dmrs", "srs_comb2", "uplink_dmrs", "ssb"])
def test_reference_signals_are_those_of_the_whole_grid(small, name):
    grids = [
        replace(made(small).grid, subcarrier_stride=5, symbol_stride=3)
        for made in (fragmented, whole)
    ]
    symbols, mask = mapped_symbols(grids[0], (name,), 2)
    of_grid, whole_mask = mapped_symbols(grids[1], (name,), 2)
    assert np.array_equal(symbols, of_grid[KEPT]) and np.array_equal(mask, whole_mask[KEPT])
    assert np.array_equal(grid_elements([name], grids[0]), grid_elements([name], grids[1])[KEPT])


@pytest.mark.parametrize("scheme", ["local_ml", "compressed_sensing"])
def test_errors_on_fragments_are_those_of_their_bound(small, scheme):
    scene = fragmented(small)
    result = evaluate(scene, schemes=[scheme], frames=4, seed=3, workers=1)
    (at_power,) = result.powers
    figures = at_power.schemes[scheme]
    assert figures.detection_rate > 0.7
    bound_m = at_power.bound.root_mean_location_m
    largest = 2 if scheme == "local_ml" else 25
    assert 0.3 * bound_m < figures.median_location_m < largest * bound_m
    # Less bandwidth costs accuracy, at the same power.
    of_larger = replace(scene, waveform=replace(scene.waveform, grid=larger_fragment(scene.grid)))
    alone = evaluate(of_larger, schemes=[scheme], frames=4, seed=3, workers=1)
    assert alone.powers[0].bound.root_mean_location_m > 1.2 * bound_m


def larger_fragment(grid):
    """The first fragment alone."""
    return replace(grid, num_subcarriers=24, fragments=FRAGMENTS[:1])

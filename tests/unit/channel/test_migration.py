"""Echoes of targets that migrate through range cells within a frame."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.channel.echo import apply_paths, path_signals, with_delay_rates
from cooperative_isac.channel.interference import interference_echo
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.estimation import gain_after_migration
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.band import LEAST_MIGRATION_CELLS, Interferer
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.model import TargetClass, TargetState

LIGHT_MPS = 299_792_458.0
SHIPPED = sorted(path.stem for path in scene_path("campus").parent.glob("*.yaml"))


@pytest.fixture
def long(small):
    """The plane without noise, with frames of 60 ms, in whose echoes paths migrate."""
    waveform = replace(small.waveform, grid=replace(small.grid, symbol_stride=180))
    propagation = replace(small.propagation, noise_power_w=0.0, range_migration=True)
    return replace(small, waveform=waveform, propagation=propagation)


def still(scene):
    """The scene with constant delays."""
    return replace(scene, propagation=replace(scene.propagation, range_migration=False))


def target(place, velocity):
    return TargetState("", TargetClass.UNKNOWN, np.array(place, float), np.array(velocity, float))


def paths_of(scene, targets, site):
    return draw_paths(scene, site, targets, np.zeros((0, 3)), np.random.default_rng(3))


def by_length(scene, frame, receiver, paths, lengths_m):
    """The echo term by term: each subcarrier's phase follows the length of the path at each symbol.

    lengths_m: [num_paths, num_symbols]
    """
    grid = scene.grid
    echo = np.zeros((receiver.num_ant, grid.num_subcarriers, grid.num_symbols), complex)
    for row, index in enumerate(paths.transmitter):
        site = scene.transmitters[index]
        wave_number = 2 * np.pi / grid.wavelength_m
        departure = np.exp(1j * wave_number * site.elements_m @ paths.aod[row])
        arrival = np.exp(1j * wave_number * receiver.elements_m @ paths.aoa[row])
        departure /= np.sqrt(site.num_ant)
        arrival /= np.sqrt(receiver.num_ant)
        sent = frame.toward(index, departure[None])[:, 0].astype(complex)
        changes_m = lengths_m[row] - lengths_m[row, 0]
        for i, offset_hz in enumerate(grid.subcarrier_offsets_hz):
            cycles = offset_hz * lengths_m[row, 0] + (grid.carrier_hz + offset_hz) * changes_m
            turned = sent[i] * np.exp(-2j * np.pi * cycles / LIGHT_MPS)
            echo[:, i] += paths.amplitude[row] * arrival[:, None] * turned
    return echo


def test_phases_follow_the_length_of_the_path_at_each_symbol(long):
    # Lengths change evenly over the frame, with the Doppler shift at its start.
    receiver = long.receivers[0]
    frame = transmit(long, 1)
    moving = target((30, 20, 0), (8, -5, 0))
    paths = paths_of(long, [moving], receiver)
    rates = -paths.doppler_hz * long.grid.wavelength_m
    times_s = long.grid.symbol_times_s
    lengths_m = paths.delay_s[:, None] * LIGHT_MPS + rates[:, None] * times_s
    expected = by_length(long, frame, receiver, paths, lengths_m)
    found = apply_paths(long, frame, receiver, paths, np.random.default_rng(0))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()

    # Without the migration they differ.
    constant = apply_paths(still(long), frame, receiver, paths, np.random.default_rng(0))
    assert np.abs(constant - expected).max() > 0.1 * np.abs(expected).max()


def test_phases_follow_the_true_way_of_a_target(long):
    # Motion along the line through a transmitter and a receiver, beyond both: the length of the
    # path is that of the positions at every symbol, without curvature.
    receiver = long.receivers[0]
    site = replace(long.transmitters[0], position_m=receiver.position_m - [0.0, 60, 0])
    pair = replace(long, transmitters=(site,))
    frame = transmit(pair, 1)
    beyond = target(site.position_m - [0.0, 25, 0], (0, -18.0, 0))
    paths = paths_of(pair, [beyond], receiver)
    ways_m = beyond.position_m + np.outer(pair.grid.symbol_times_s, beyond.velocity_mps)
    lengths_m = np.linalg.norm(ways_m - site.position_m, axis=1)
    lengths_m += np.linalg.norm(ways_m - receiver.position_m, axis=1)
    assert np.ptp(lengths_m) > pair.grid.range_resolution_m / 3
    expected = by_length(pair, frame, receiver, paths, lengths_m[None])
    found = apply_paths(pair, frame, receiver, paths, np.random.default_rng(0))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_loss_is_that_of_the_closed_form(long):
    # Largest output of a filter with constant delay and Doppler shift, over that without migration.
    pair = replace(long, transmitters=long.transmitters[:1])
    frame = transmit(pair, 1)
    receiver = pair.receivers[0]
    grid = pair.grid
    for speed_mps in (5.0, 20.0, 40.0, 90.0):
        paths = paths_of(pair, [target((20, 25, 0), (0, speed_mps, 0))], receiver)
        path_mps = paths.doppler_hz[0] * grid.wavelength_m
        cells = grid.migration_cells(path_mps)
        constant = path_signals(pair, frame, paths)[:, 0]
        moving = path_signals(pair, frame, with_delay_rates(pair, paths))[:, 0]

        # The product has the phases of the migration alone: its largest value over all delays and
        # Doppler shifts, on a grid of an eighth of a cell.
        product = moving * constant.conj()
        spectrum = np.fft.fft2(product, s=(8 * grid.num_subcarriers, 8 * grid.num_symbols))
        largest = np.abs(spectrum).max() / np.sum(np.abs(constant) ** 2)
        gain = gain_after_migration(cells)
        assert 10 * np.log10(largest**2 / gain) == pytest.approx(0, abs=0.3 if cells > 2 else 0.1)


def test_clocks_shift_the_carrier_alone(long):
    # A carrier that is off has no effect on the delays.
    receiver = long.receivers[0]
    frame = transmit(long, 1)
    resting = paths_of(long, [target((30, 20, 0), (0, 0, 0))], receiver)
    offsets = ClockOffsets(np.zeros(2), np.full(2, 4000.0), np.zeros(2))
    found, constant = (
        apply_paths(scene, frame, receiver, resting, np.random.default_rng(0), offsets=offsets)
        for scene in (long, still(long))
    )
    assert np.allclose(found, constant, atol=1e-6 * np.abs(constant).max())


def test_paths_of_interferers_migrate_as_well(long):
    receiver = long.receivers[0]
    other = Interferer("other", np.array([-30.0, 20, 0]), 1.0, "same")
    beside = replace(long, propagation=replace(long.propagation, interferers=(other,)))
    frame = transmit(beside, 1)

    def change(velocity):
        """Largest effect of the migration on the interference, and its largest amplitude."""
        targets = [target((30, 20, 0), velocity)]
        migrating = interference_echo(beside, frame, receiver, targets, None)
        constant = interference_echo(still(beside), frame, receiver, targets, None)
        return np.abs(migrating - constant).max(), np.abs(constant).max()

    largest, amplitude = change((0, 0, 0))
    assert largest < 1e-6 * amplitude
    largest, amplitude = change((8, -5, 0))
    assert largest > 1e-5 * amplitude


def compact(num_symbols, more=""):
    """The compact scene with a number of symbols, and further keys of the propagation."""
    path = scene_path("cell_free_compact")
    text = path.read_text().replace("num_symbols: 64", f"num_symbols: {num_symbols}")
    return parse_scene(text.replace("  reference_gain_db", f"{more}  reference_gain_db"), path)


def test_echoes_migrate_by_default_where_it_costs_more_than_0_3_decibels():
    cells = compact(64).grid.migration_cells(2 * compact(64).sensing.max_speed_mps)
    least = 64 * LEAST_MIGRATION_CELLS / cells
    assert not compact(int(least)).propagation.range_migration
    assert compact(int(least) + 1).propagation.range_migration
    loss_db = -10 * np.log10(gain_after_migration(LEAST_MIGRATION_CELLS))
    assert loss_db == pytest.approx(0.3, abs=0.01)


def test_the_key_decides():
    assert compact(64, "  range_migration: true\n").propagation.range_migration
    assert not compact(4096, "  range_migration: false\n").propagation.range_migration
    with pytest.raises(ValueError, match=r"propagation\.range_migration"):
        compact(64, "  range_migration: sometimes\n")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenes_have_constant_delays(name):
    assert not any(band.propagation.range_migration for band in load_scene(name).bands)

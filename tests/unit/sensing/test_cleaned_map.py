"""Cleaned maps against known targets: exact lengths and shifts, and no side lobes."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import thermal_noise
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.cleaned_map import LEAST_SNR, CleanedMap
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.sensing.static_stage import StaticStage

CELLS = 24
VELOCITY_MPS = np.array([5.0, -3.0, 0.0])
# Doppler shifts of about half a resolution cell at the place of these tests.
SLOW_MPS = np.array([8.0, 0.0, 0.0])


@pytest.fixture
def located(plane):
    return LocationMap(plane, plane.receivers[0], CELLS)


def errors(located, maps, place_m, cell, velocity_mps=VELOCITY_MPS):
    """Largest errors of length, m, and Doppler shift, Hz, that a cell shows of a target."""
    scene = located.scene
    worst_m = worst_hz = 0.0
    for sender, channels in zip(scene.transmitters, maps):
        ends = [sender.position_m, located.receiver.position_m]
        wavelength_m = scene.grid.wavelength_m
        path = bistatic_geometry(*ends, place_m, velocity_mps, wavelength_m)
        over_cell = bistatic_geometry(
            *ends, located.points_m[cell], velocity_mps, wavelength_m
        ).range_m
        _, shift, excess = channels.reshape(3, -1)[:, cell]
        length_m = over_cell + excess * located.max_excess_m
        worst_m = max(worst_m, abs(length_m - path.range_m))
        worst_hz = max(worst_hz, abs(shift * located.max_doppler_hz - path.doppler_hz))
    return worst_m, worst_hz


def test_cells_at_a_target_have_its_length_and_doppler_shift(plane, listen, located):
    cell = 7 * CELLS + 9
    place_m = located.points_m[cell] + np.array([0.4, -0.3, 0.0])
    before = []
    after = []
    for number in range(1, 9):
        listener = listen(plane, number)
        echo, _ = listener.echo([place_m], [VELOCITY_MPS], 1e-4, seed=number)
        plain = located.observe(echo, listener.frame)
        cleaned = CleanedMap(located).observe(echo, listener.frame)
        before.append(errors(located, plain, place_m, cell))
        after.append(errors(located, cleaned, place_m, cell))
    length_m, shift_hz = np.max(after, axis=0)
    plain_length_m, plain_shift_hz = np.median(before, axis=0)
    assert length_m < 0.05 < plain_length_m
    assert shift_hz < 5 < plain_shift_hz


def test_side_lobes_are_removed_and_a_weak_target_stays(plane, listen, located):
    listener = listen(plane)
    strong, weak = 5 * CELLS + 6, 16 * CELLS + 17
    places_m = located.points_m[[strong, weak]]
    of_strong, _ = listener.echo(places_m[:1], [np.zeros(3)], 1e-4)
    of_weak, _ = listener.echo(places_m[1:], [VELOCITY_MPS], 1e-5)
    echo = of_strong + of_weak
    plain = located.observe(echo, listener.frame)[:, 0]
    cleaned = CleanedMap(located).observe(echo, listener.frame)[:, 0]
    threshold = np.log10(1 + LEAST_SNR)
    assert (cleaned > threshold).sum() < 0.5 * (plain > threshold).sum()
    for powers in (plain, cleaned):
        assert (powers.reshape(2, -1)[:, [strong, weak]] > threshold).all()


def test_slow_paths_behind_the_suppression_keep_their_doppler_shift(plane, listen):
    scene = replace(plane, sensing=replace(plane.sensing, static_paths="project"))
    located = LocationMap(scene, scene.receivers[0], CELLS)
    cell = 7 * CELLS + 9
    place_m = located.points_m[cell]
    plain = []
    cleaned = []
    for number in range(1, 9):
        listener = listen(scene, number)
        echo, _ = listener.echo([place_m], [SLOW_MPS], 1e-4, seed=number)
        remaining = StaticStage(scene, scene.receivers[0]).clean(echo, listener.frame)
        for shown, kind in ((plain, located), (cleaned, CleanedMap(located))):
            maps = kind.observe(remaining, listener.frame)
            shown.append(errors(located, maps, place_m, cell, SLOW_MPS)[1])
    cell_hz = scene.grid.doppler_resolution_hz
    assert np.median(cleaned) < 0.05 * cell_hz < np.median(plain)


def test_noise_alone_has_the_map_of_the_matched_filters(plane, listen, located):
    listener = listen(plane)
    shape = listener.site.num_ant, plane.grid.num_subcarriers, plane.grid.num_symbols
    noise = thermal_noise(shape, plane.propagation.noise_power_w, np.random.default_rng(0))
    cleaned = CleanedMap(located).observe(noise, listener.frame)
    assert np.array_equal(cleaned, located.observe(noise, listener.frame))


@pytest.mark.parametrize("share", [0.3, 0.01])
def test_chosen_cells_are_those_of_the_whole_map(share, plane, listen, located):
    listener = listen(plane)
    echo, _ = listener.echo([[22.0, 31.0, 0.0]], [VELOCITY_MPS], 1e-5)
    whole = located.observe(echo, listener.frame)
    chosen = np.random.default_rng(3).random((2, CELLS, CELLS)) < share
    spectra = located.spectra(echo, listener.frame)
    part = located.project(spectra, listener.frame, chosen)
    assert np.allclose(part, np.where(chosen[:, None], whole, 0), atol=1e-4)


def test_a_map_of_no_cells_is_empty(plane, listen, located):
    listener = listen(plane)
    echo, _ = listener.echo([[22.0, 31.0, 0.0]], [VELOCITY_MPS], 1e-5)
    spectra = located.spectra(echo, listener.frame)
    nothing = np.zeros((2, CELLS, CELLS), bool)
    assert not located.project(spectra, listener.frame, nothing).any()

"""Angles of known sources by every method, at uniform and sparse arrays."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.estimation.bounds import stochastic_crlb
from cooperative_isac.scene.arrays import line, steering_vectors, ula
from cooperative_isac.schemes.registry import check_scheme, unused_settings
from cooperative_isac.sensing.arrival_angles import arrival_cosines, check_directions
from cooperative_isac.sensing.path_parameters import arrival_direction

METHODS = ("music", "root_music", "esprit", "coarray_music")


def received(receiver, wavelength_m, cosines, snr, generator, count=2000):
    """Snapshots of independent sources in white noise of unit power, [num_ant, count]."""
    directions = arrival_direction(receiver, np.array(cosines))
    steering = steering_vectors(receiver.elements_m, directions, wavelength_m)
    signals = complex_normal(generator, (len(cosines), count), snr)
    return steering.T @ signals + complex_normal(generator, (receiver.num_ant, count))


def found_at(receiver, wavelength_m, cosines, snr, seed, directions, num_sources="aic"):
    """Cosines that a method finds, ascending."""
    generator = np.random.default_rng(seed)
    snapshots = received(receiver, wavelength_m, cosines, snr, generator)
    found = arrival_cosines(snapshots, receiver, wavelength_m, directions, num_sources)
    return np.sort(found)


def sparse(site, wavelength_m, places):
    """A receiver with elements at multiples of half a wavelength."""
    local_m = line(np.array(places) * wavelength_m / 2)
    return replace(site, elements_m=local_m @ site.rotation.T, kind="nested")


@pytest.mark.parametrize("directions", METHODS)
@pytest.mark.parametrize("cosines", [(), (0.2,), (-0.5, 0.31), (-0.7, 0.0, 0.15)])
def test_directions_of_known_sources_are_found(small, cosines, directions):
    site = small.receivers[0]
    found = found_at(site, small.grid.wavelength_m, cosines, 10.0, 1, directions)
    for cosine in cosines:
        assert np.abs(found - cosine).min() < 0.02
    # The virtual array has no white noise, and more directions.
    if directions != "coarray_music":
        assert len(found) <= len(cosines) + 2


@pytest.mark.parametrize("directions", METHODS)
def test_two_sources_within_a_beam_are_separated(small, directions):
    # The beam of eight elements is 0.25 wide.
    site = small.receivers[0]
    found = found_at(site, small.grid.wavelength_m, (0.1, 0.22), 100.0, 2, directions)
    assert np.abs(found - 0.1).min() < 0.02 and np.abs(found - 0.22).min() < 0.02


@pytest.mark.parametrize("directions", ["root_music", "esprit"])
def test_errors_are_those_of_the_bound(small, directions):
    site = small.receivers[0]
    cosines = np.array([-0.5, 0.31])
    errors = []
    for seed in range(40):
        found = found_at(site, small.grid.wavelength_m, cosines, 10.0, 10 + seed, directions, "mdl")
        assert len(found) == len(cosines)
        errors.append(found - cosines)
    rms = np.sqrt(np.mean(np.square(errors), axis=0))

    # Sources of power 10 / 8 at each of eight antennas, half a wavelength apart.
    bound = stochastic_crlb(cosines / 2, np.arange(8), np.full(2, 10 / 8), 1.0, 2000)
    deviations = 2 * np.sqrt(np.diag(bound))
    assert np.all(rms < 1.4 * deviations) and np.all(rms > 0.7 * deviations)


def test_a_sparse_array_separates_more_sources_than_it_has_antennas(small):
    # Four antennas, whose differences are all multiples up to 5.
    wavelength_m = small.grid.wavelength_m
    site = sparse(small.receivers[0], wavelength_m, [0, 1, 2, 5])
    cosines = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])
    found = found_at(site, wavelength_m, cosines, 100.0, 3, "coarray_music")
    assert np.abs(np.subtract.outer(cosines, found)).min(axis=1).max() < 0.05
    # The four antennas themselves have three sources at most.
    assert len(found_at(site, wavelength_m, cosines, 100.0, 3, "music")) <= 3


@pytest.mark.parametrize("directions", METHODS)
def test_elements_a_wavelength_apart_see_two_angles_alike(small, directions):
    wavelength_m = small.grid.wavelength_m
    site = small.receivers[0]
    site = replace(site, elements_m=ula(8, wavelength_m) @ site.rotation.T)
    generator = np.random.default_rng(4)
    snapshots = received(site, wavelength_m, (0.3, 0.55), 100.0, generator)
    found = arrival_cosines(snapshots, site, wavelength_m, directions, "mdl")
    if directions == "music":
        # As many peaks as sources, of the four that are equal.
        assert len(found) == 2
    for cosine in found:
        assert np.abs(np.array([0.3, 0.55, -0.7, -0.45]) - cosine).min() < 0.01
    if directions != "music":
        assert len(found) == 4


def test_frequencies_of_no_angle_are_left_out(small):
    # Elements a quarter of a wavelength apart: cosines from -1 to 1 have half of the frequencies.
    wavelength_m = small.grid.wavelength_m
    site = small.receivers[0]
    site = replace(site, elements_m=ula(8, wavelength_m / 4) @ site.rotation.T)
    generator = np.random.default_rng(5)
    noise = complex_normal(generator, (8, 9))
    found = arrival_cosines(noise, site, wavelength_m, "root_music", "aic")
    assert np.all(np.abs(found) <= 1) and len(found) < 7


@pytest.mark.parametrize("num_sources", ["aic", "mdl"])
def test_a_single_antenna_has_no_direction(small, num_sources):
    site = small.receivers[0]
    site = replace(site, elements_m=site.elements_m[:1])
    for directions in METHODS:
        snapshots = complex_normal(np.random.default_rng(6), (1, 50))
        wavelength_m = small.grid.wavelength_m
        assert not len(arrival_cosines(snapshots, site, wavelength_m, directions, num_sources))


def test_akaike_finds_weaker_sources_than_minimum_description_length(small):
    site = small.receivers[0]
    counts = {"aic": 0, "mdl": 0}
    for seed in range(30):
        for criterion in counts:
            found = found_at(
                site, small.grid.wavelength_m, (0.2,), 0.12, 20 + seed, "esprit", criterion
            )
            counts[criterion] += len(found)
    # A weak source: Akaike's criterion finds it more often.
    assert counts["mdl"] < 15 < counts["aic"]


@pytest.mark.parametrize("directions", ["root_music", "esprit"])
def test_sparse_arrays_are_refused_where_equal_distances_are_needed(small, directions):
    site = sparse(small.receivers[1], small.grid.wavelength_m, [0, 1, 2, 5])
    scene = replace(
        small,
        receivers=(small.receivers[0], site),
        sensing=replace(small.sensing, directions=directions, scheme="music"),
    )
    check_directions(scene, "rx1")
    with pytest.raises(ValueError, match=f"'{directions}'.*'rx2' has a nested array: use music or"):
        check_directions(scene, "rx2")
    with pytest.raises(ValueError, match="arrays of kind ula"):
        check_scheme("music_fine", scene)
    # Other schemes do not read the key, and are warned of it.
    check_scheme("compressed_sensing", scene)
    (line,) = unused_settings(["compressed_sensing"], scene)
    assert f"sensing.directions is {directions}, and compressed_sensing does not use it" in line
    assert "use scheme music or music_fine" in line

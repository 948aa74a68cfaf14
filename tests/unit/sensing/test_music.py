"""MUSIC finds directions of known sources, and paths along them."""

import numpy as np
import pytest

from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.music import MusicSearch, music_cosines
from cooperative_isac.sensing.path_finder import PathFinder
from cooperative_isac.sensing.path_parameters import arrival_direction


def snapshots(scene, cosines, snr, generator, count=2000):
    """Independent sources in white noise of unit power, [num_ant, count]."""
    receiver = scene.receivers[0]
    directions = arrival_direction(receiver, np.array(cosines))
    steering = steering_vectors(receiver.elements_m, directions, scene.grid.wavelength_m)
    signals = complex_normal(generator, (len(cosines), count), snr)
    return steering.T @ signals + complex_normal(generator, (receiver.num_ant, count))


@pytest.mark.parametrize("cosines", [(), (0.2,), (-0.5, 0.31), (-0.7, 0.0, 0.15)])
def test_directions_of_known_sources_are_found(small, cosines):
    received = snapshots(small, cosines, 10.0, np.random.default_rng(1))
    found = music_cosines(received, small.receivers[0], small.grid.wavelength_m)
    for cosine in cosines:
        assert np.abs(found - cosine).min() < 0.02
    assert len(found) <= len(cosines) + 2


def test_two_sources_within_a_beam_are_separated(small):
    # The beam of eight elements is 0.25 wide.
    found = music_cosines(
        snapshots(small, (0.1, 0.22), 100.0, np.random.default_rng(2)),
        small.receivers[0],
        small.grid.wavelength_m,
    )
    assert np.abs(found - 0.1).min() < 0.02 and np.abs(found - 0.22).min() < 0.02


def strongest(listener, echo):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    finder = PathFinder(
        listener.scene,
        listener.site,
        reference,
        reference.correlate(echo),
        listener.sensor.max_doppler_hz,
        listener.sensor.detection_threshold(reference),
    )
    return MusicSearch(finder, listener.sensor.search).strongest()


def test_paths_are_along_music_directions(plane, listen):
    listener, place = listen(plane), np.array([22.0, 31.0, 0.0])
    echo, paths = listener.echo([place], [(4.0, -6.0, 0.0)], 1e-5)
    found = strongest(listener, echo)
    assert np.linalg.norm(found.point_m - place) < 2.0
    assert found.doppler_hz == pytest.approx(paths.doppler_hz[found.transmitter], abs=50)


def test_in_silence_there_is_no_direction_and_no_path(plane, listen):
    listener = listen(plane)
    echo, _ = listener.echo([(22.0, 31.0, 0.0)], [(4.0, -6.0, 0.0)], 1e-12)
    assert strongest(listener, echo) is None

"""Paths along the directions of a receiver's sources."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.music import MusicSearch
from cooperative_isac.sensing.path_finder import PathFinder


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


@pytest.mark.parametrize("directions", ["music", "root_music", "esprit", "coarray_music"])
def test_paths_are_along_the_directions_of_sources(plane, listen, directions):
    scene = replace(plane, sensing=replace(plane.sensing, directions=directions))
    listener, place = listen(scene), np.array([22.0, 31.0, 0.0])
    echo, paths = listener.echo([place], [(4.0, -6.0, 0.0)], 1e-5)
    found = strongest(listener, echo)
    assert np.linalg.norm(found.point_m - place) < 2.0
    assert found.doppler_hz == pytest.approx(paths.doppler_hz[found.transmitter], abs=50)


def test_in_silence_there_is_no_direction_and_no_path(plane, listen):
    listener = listen(plane)
    echo, _ = listener.echo([(22.0, 31.0, 0.0)], [(4.0, -6.0, 0.0)], 1e-12)
    assert strongest(listener, echo) is None

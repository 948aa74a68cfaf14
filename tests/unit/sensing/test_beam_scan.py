"""A station that hears its own echo finds angle, range and velocity."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.sensing.beam_scan import BeamScan
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.path_finder import PathFinder


@pytest.mark.parametrize("place", [(22.0, 31.0, 0.0), (45.0, 50.0, 0.0), (56.0, 14.0, 0.0)])
def test_a_target_is_found_between_beams(plane, listen, place):
    station = replace(plane.transmitters[0], position_m=np.array([30.0, -2.0, 0.0]))
    listener = listen(replace(plane, transmitters=(station,), receivers=(station,)))
    echo, paths = listener.echo([place], [(4.0, -6.0, 0.0)], 1e-5)
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    finder = PathFinder(
        listener.scene,
        station,
        reference,
        reference.correlate(echo),
        listener.sensor.max_doppler_hz,
        listener.sensor.detection_threshold(reference),
    )
    found = BeamScan(finder, listener.sensor.search).strongest()
    away, wanted = found.point_m - station.position_m, np.array(place) - station.position_m
    # A beam is 0.25 wide.
    cosines = [vector @ station.axis / np.linalg.norm(vector) for vector in (away, wanted)]
    assert cosines[0] == pytest.approx(cosines[1], abs=0.01)
    assert np.linalg.norm(away) == pytest.approx(np.linalg.norm(wanted), abs=0.1)
    assert found.doppler_hz == pytest.approx(paths.doppler_hz[0], abs=30)

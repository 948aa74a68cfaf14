"""The information that an access point sends of a path, against the bound of the true path."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.bounds.crlb import path_information
from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.report import report_fit

PLACES = {"small": (22.0, 31.0, 0.0), "campus": (40.0, 60.0, 14.0)}
AMPLITUDE = (
    3e-5  # some 45 dB: the information, which goes with the measured power, errs by a per cent
)


@pytest.fixture(params=PLACES)
def scene(request, small):
    """A plane and a space; all symbols are payload, as the bound assumes."""
    full = small if request.param == "small" else load_scene(request.param)
    return replace(full, waveform=replace(full.waveform, reference_subcarrier_stride=0))


def test_reported_information_is_that_of_the_bound(scene):
    target = TargetState(
        "", TargetClass.UNKNOWN, np.array(PLACES[scene.name]), np.array([4.0, -6.0, 0.0])
    )
    site = scene.receivers[1]
    frame = transmit(scene, 1)
    generator = np.random.default_rng(1)
    paths = draw_paths(scene, site, [target], np.zeros((0, 3)), generator)
    paths.amplitude[:] *= AMPLITUDE / np.abs(paths.amplitude)
    echo = apply_paths(scene, frame, site, paths, generator)
    report = report_fit(site.name, LocalMl(scene, site, scene.grid).sense(echo, frame))[0]
    assert [path.transmitter for path in report.paths] == [0, 1]
    for row, path in enumerate(report.paths):
        bound = path_information(scene, frame, site, row, target, paths.amplitude[row])
        location, along = doppler_left_free(bound, scene.dimension)
        scale = np.sqrt(np.outer(np.diag(location), np.diag(location)))
        assert np.allclose(path.information / scale, location / scale, atol=0.05)
        # One shift measures the velocity along the sum of the path's directions only.
        slope = (paths.aod + paths.aoa)[row, : scene.dimension] / scene.grid.wavelength_m
        found = doppler_information(scene.grid, path.power) * (slope @ slope)
        assert found == pytest.approx(along, rel=0.05)


def doppler_left_free(bound, size):
    """Information about the location when velocity is unknown, and all information about
    velocity.
    """
    cross = bound[:size, size:]
    velocity = bound[size:, size:]
    free = (
        bound[:size, :size] - cross @ np.linalg.pinv(velocity, rcond=1e-4, hermitian=True) @ cross.T
    )
    return free, np.trace(velocity)

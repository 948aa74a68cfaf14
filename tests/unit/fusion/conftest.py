"""Reports of known targets, with the errors that their information matrices state."""

import numpy as np
import pytest

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport


@pytest.fixture
def target():
    """A target at a position and velocity; missing coordinates are zero."""

    def build(position, velocity):
        padded = [np.array([*values, 0.0, 0.0][:3], float) for values in (position, velocity)]
        return TargetState("", TargetClass.UNKNOWN, *padded)

    return build


@pytest.fixture
def reports_of():
    """Reports of one target at all receivers, exact or with errors drawn from a generator."""

    def build(scene, target, generator=None, power=1e3):
        return [_report(scene, site, target, generator, power) for site in scene.receivers]

    return build


def _report(scene, site, target, generator, power):
    size, paths = scene.dimension, []
    for tx, transmitter in enumerate(scene.transmitters):
        geometry = bistatic_geometry(
            transmitter.position_m,
            site.position_m,
            target.position_m,
            target.velocity_mps,
            scene.grid.wavelength_m,
        )
        along = geometry.range_gradient[:size]
        doppler = geometry.doppler_hz
        if generator is not None:
            doppler = doppler + generator.standard_normal() / np.sqrt(
                doppler_information(scene.grid, power)
            )
        information = power / 40 * (np.outer(along, along) + 0.3 * np.eye(size))
        paths.append(PathReport(tx, float(doppler), power, information))
    point = target.position_m.copy()
    if generator is not None:
        root = np.linalg.cholesky(sum(path.information for path in paths))
        point[:size] += np.linalg.solve(root.T, generator.standard_normal(size))
    return EchoReport(site.name, point, tuple(paths))

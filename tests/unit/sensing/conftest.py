"""Echoes of chosen paths for the tests of sensing."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.sensing.local_ml import LocalMl


@pytest.fixture(params=["small", "campus"])
def scene(request, small):
    """A plane with ULAs, and a space with planar arrays; all symbols are payload."""
    full = small if request.param == "small" else load_scene("campus")
    return replace(full, waveform=replace(full.waveform, reference_subcarrier_stride=0))


@pytest.fixture
def plane(small):
    """The plane alone."""
    return replace(small, waveform=replace(small.waveform, reference_subcarrier_stride=0))


class Listener:
    """One receiver of a scene, and echoes of targets with amplitudes of one's choice."""

    def __init__(self, scene, number=1):
        self.scene, self.site, self.frame = scene, scene.receivers[0], transmit(scene, number)
        self.sensor = LocalMl(scene, self.site, scene.grid)

    def echo(self, places, velocities, amplitude, seed=0):
        """The echo of targets whose paths all have one amplitude, noise included."""
        targets = [
            TargetState("", TargetClass.UNKNOWN, np.array(p, float), np.array(v, float))
            for p, v in zip(places, velocities)
        ]
        generator = np.random.default_rng(seed)
        paths = draw_paths(self.scene, self.site, targets, np.zeros((0, 3)), generator)
        paths.amplitude[:] *= amplitude / np.abs(paths.amplitude)
        return apply_paths(self.scene, self.frame, self.site, paths, generator), paths


@pytest.fixture
def listen():
    """Makes a listener of a scene."""
    return Listener


@pytest.fixture
def listener(scene):
    return Listener(scene)

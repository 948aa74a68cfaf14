"""Paths that targets predict, of several links at once."""

import numpy as np

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.target_offsets import (
    ObservedTargets,
    predicted_paths,
    predicted_paths_between,
)


def test_paths_of_several_links_are_those_of_each_alone():
    scene = load_scene("multi_bs")
    rng = np.random.default_rng(1)
    half = rng.normal(size=(3, 6, 6))
    targets = ObservedTargets(
        rng.uniform([5, 5, 8], [55, 55, 25], (3, 3)),
        rng.normal(size=(3, 3)),
        half @ half.swapaxes(1, 2),
    )
    pairs = [(0, 1), (3, 2), (1, 0)]
    found = predicted_paths_between(
        scene,
        np.array([scene.transmitters[transmitter].position_m for transmitter, _ in pairs]),
        np.array([scene.receivers[receiver].position_m for _, receiver in pairs]),
        targets,
    )
    for link, (transmitter, receiver) in enumerate(pairs):
        alone = predicted_paths(
            scene, scene.transmitters[transmitter], scene.receivers[receiver], targets
        )
        np.testing.assert_allclose(found.geometry.delay_s[link], alone.geometry.delay_s)
        np.testing.assert_allclose(found.geometry.doppler_hz[link], alone.geometry.doppler_hz)
        np.testing.assert_allclose(found.gradients[link], alone.gradients)
        np.testing.assert_allclose(found.covariances[link], alone.covariances)

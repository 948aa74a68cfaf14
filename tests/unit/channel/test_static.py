"""Static paths summed into a matrix against the same paths applied one by one."""

from dataclasses import replace

import numpy as np

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.channel.static import channel_matrix, static_echo
from cooperative_isac.pipeline import transmit


def test_the_matrix_gives_the_echo_of_its_paths(tilted):
    scene = replace(
        tilted,
        propagation=replace(
            tilted.propagation,
            noise_power_w=1e-40,
            timing_offset_std_s=0.0,
            frequency_offset_std_hz=0.0,
        ),
    )
    receiver = scene.receivers[0]
    frame = transmit(scene, 3)
    generator = np.random.default_rng(5)
    scatterers = generator.uniform(scene.box.low_m, scene.box.high_m, (7, 3))
    paths = draw_paths(scene, receiver, (), scatterers, generator)
    expected = apply_paths(scene, frame, receiver, paths, generator)
    found = static_echo(frame, channel_matrix(scene, receiver, paths))
    assert np.allclose(found, expected, atol=1e-5 * np.abs(expected).max())

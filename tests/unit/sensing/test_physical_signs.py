"""A target whose echo no function of the product made is found where it is."""

import numpy as np
import pytest
from unit.sensing.exact_echo import noise, target_echo

from cooperative_isac.pipeline import transmit
from cooperative_isac.sensing.local_ml import LocalMl

TARGETS = {
    "small": ((22.0, 31.0, 0.0), (4.0, -6.0, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (5.0, -4.0, 1.0)),
}
AMPLITUDE = 6e-7  # of a path between two elements; the location is then good to some centimeters


@pytest.mark.parametrize("number", [0, 1])
def test_a_point_of_exact_spherical_waves_is_found_within_five_deviations(scene, number):
    point, velocity = TARGETS[scene.name]
    receiver, frame = scene.receivers[number], transmit(scene, 1)
    echo = target_echo(scene, receiver, frame, point, velocity, AMPLITUDE)
    echo += noise(echo.shape, scene.propagation.noise_power_w, np.random.default_rng(2))

    fit = LocalMl(scene, receiver, scene.grid).sense(echo.astype(np.complex64), frame)

    assert fit is not None and fit.state.num_targets == 1 and fit.state.num_paths == 2
    away = (fit.state.points_m[0] - point)[: scene.dimension]
    assert away @ fit.target_information[0] @ away < 25
    assert np.linalg.norm(away) < 1.0

    # Doppler shift: positive when the path shortens
    for transmitter, doppler_hz in zip(fit.state.transmitter, fit.state.doppler_hz):
        site = scene.transmitters[transmitter]
        later = np.array(point) + 1e-3 * np.array(velocity)
        grown_m = sum(
            np.linalg.norm(later - place) - np.linalg.norm(np.array(point) - place)
            for place in (site.position_m, receiver.position_m)
        )
        assert doppler_hz == pytest.approx(
            -grown_m / 1e-3 * scene.grid.carrier_hz / 299_792_458.0, abs=60
        )


def test_the_mirror_image_of_the_receive_elements_is_not_found_there(scene):
    point, velocity = TARGETS[scene.name]
    receiver, frame = scene.receivers[0], transmit(scene, 1)
    echo = target_echo(scene, receiver, frame, point, velocity, AMPLITUDE)[::-1]
    echo = echo + noise(echo.shape, scene.propagation.noise_power_w, np.random.default_rng(2))

    fit = LocalMl(scene, receiver, scene.grid).sense(echo.astype(np.complex64), frame)

    distances = [np.linalg.norm(found - point) for found in fit.state.points_m] if fit else [np.inf]
    assert min(distances) > 1.0

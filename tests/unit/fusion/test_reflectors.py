"""Paths by way of known walls: geometry of the images, separation, location at the bound."""

from dataclasses import replace

import numpy as np
import pytest
from channel_draws import complex_normal
from scipy.optimize import minimize

from cooperative_isac.fusion.link_channel import (
    LinkChannel,
    link_response,
    path_of,
    steering_vectors,
)
from cooperative_isac.fusion.reflectors import (
    Reflector,
    image_link,
    locate_by_reflections,
    separate_paths,
)
from cooperative_isac.fusion.symbol_level import state_information

LIGHT_SPEED_MPS = 299_792_458
CARRIER_HZ = 24e9
WAVELENGTH_M = LIGHT_SPEED_MPS / CARRIER_HZ
OPPOSITE = Reflector(np.array([0.0, 20.0]), np.array([0.0, -1.0]))
SLANTED = Reflector(np.array([110.0, 0.0]), np.array([-np.cos(0.1), np.sin(0.1)]))
AXES_M = np.meshgrid(np.arange(60.0, 81, 2), np.arange(-46.0, -25, 2))
POINTS_M = np.stack(AXES_M, axis=-1).reshape(-1, 2)
AXIS_MPS = np.linspace(-15, 15, 5)
VELOCITIES_MPS = np.stack(np.meshgrid(AXIS_MPS, AXIS_MPS), axis=-1).reshape(-1, 2)

STATION = LinkChannel(
    values=np.zeros((8, 64, 32), complex),
    frequency_hz=240e3 * np.arange(64),
    time_s=4.46e-6 * np.arange(32),
    carrier_hz=CARRIER_HZ,
    noise_power=1.0,
    mask=np.ones((64, 32), bool),
    transmitter_m=np.zeros(2),
    receiver_m=np.zeros(2),
    elements_m=WAVELENGTH_M / 2 * np.multiply.outer(np.arange(8) - 3.5, [0.0, 1.0]),
)
WALLS = (OPPOSITE, SLANTED)
IMAGES = [image_link(STATION, outward, inward) for outward in WALLS for inward in WALLS]


def shortest_by_way_of(wall, start_m, end_m):
    """Point of the wall on the shortest way, by numerical search (Fermat)."""
    along = np.array([-wall.normal[1], wall.normal[0]])

    def length_m(step):
        point_m = wall.point_m + step * along
        return np.linalg.norm(point_m - start_m) + np.linalg.norm(end_m - point_m)

    found = minimize(length_m, x0=[0.0], method="Nelder-Mead", options={"xatol": 1e-9})
    return wall.point_m + found.x * along, found.fun


def received(rng, links, position_m, velocity_mps, snr):
    """The same sum of all paths, in unit noise, in each image link."""
    echo = complex_normal(rng, *STATION.values.shape)
    for link in links:
        amplitude = np.sqrt(snr) * np.exp(2j * np.pi * rng.random())
        echo = echo + amplitude * link_response(link, position_m, velocity_mps)
    return [replace(link, values=echo) for link in links]


@pytest.mark.parametrize("wall", WALLS, ids=["parallel", "slanted"])
def test_an_image_link_has_the_delay_and_direction_of_the_shortest_reflected_way(wall):
    target_m = np.array([70.0, -35.0])
    link = image_link(STATION, None, wall)
    reflection_m, reflected_m = shortest_by_way_of(wall, np.zeros(2), target_m)
    delay_s, _ = path_of(link, target_m, np.zeros(2))
    direct_m = np.linalg.norm(target_m)
    assert delay_s * LIGHT_SPEED_MPS == pytest.approx(direct_m + reflected_m, rel=1e-9)

    direction = reflection_m / np.linalg.norm(reflection_m)
    expected = np.exp(2j * np.pi / WAVELENGTH_M * STATION.elements_m @ direction)
    assert steering_vectors(link, target_m[None])[0] == pytest.approx(expected, abs=1e-4)


def test_without_walls_a_link_stays_itself():
    assert image_link(STATION) == STATION


def test_separated_paths_have_the_echoes_that_were_added():
    rng = np.random.default_rng(3)
    position_m = np.array([68.0, -32.0])
    velocity_mps = np.array([5.0, -8.0])
    amplitudes = np.exp(2j * np.pi * rng.random(4))
    echoes = [
        amplitude * link_response(link, position_m, velocity_mps)
        for amplitude, link in zip(amplitudes, IMAGES, strict=True)
    ]
    links = [replace(link, values=sum(echoes)) for link in IMAGES]
    separated = separate_paths(links, position_m, velocity_mps)
    for link, echo in zip(separated, echoes, strict=True):
        assert link.values == pytest.approx(echo, abs=1e-9)


def test_elements_outside_the_mask_stay_zero():
    mask = np.ones((64, 32), bool)
    mask[::2] = False
    links = [replace(link, mask=mask) for link in IMAGES]
    values = sum(link_response(link, POINTS_M[0], np.zeros(2)) for link in links)
    separated = separate_paths(
        [replace(link, values=values) for link in links], POINTS_M[0], np.zeros(2)
    )
    assert all(not link.values[:, ~mask].any() for link in separated)


def test_a_hidden_target_is_located_at_the_bound():
    rng = np.random.default_rng(4)
    snr = 0.03
    normalized = []
    for _ in range(30):
        position_m = rng.uniform([65, -42], [75, -30])
        velocity_mps = rng.uniform(-10, 10, 2)
        links = received(rng, IMAGES, position_m, velocity_mps, snr)
        state = locate_by_reflections(links, POINTS_M, VELOCITIES_MPS)
        error = np.concatenate([state.position_m - position_m, state.velocity_mps - velocity_mps])
        information = state_information(links, [snr] * 4, position_m, velocity_mps)
        normalized.append(error @ information @ error)
    # Mean of a chi-square variable with four degrees of freedom.
    assert np.mean(normalized) == pytest.approx(4, rel=0.4)


def test_an_echo_by_way_of_a_wall_that_is_unknown_gives_the_image_of_the_target():
    rng = np.random.default_rng(5)
    position_m = np.array([70.0, -35.0])
    link = image_link(STATION, OPPOSITE, OPPOSITE)
    [seen] = received(rng, [link], position_m, np.zeros(2), 1.0)
    image_m = OPPOSITE.image_of(position_m)
    offsets_m = POINTS_M - POINTS_M.mean(axis=0)
    state = locate_by_reflections(
        [replace(STATION, values=seen.values)], image_m + offsets_m, VELOCITIES_MPS
    )
    assert state.position_m == pytest.approx(image_m, abs=0.5)

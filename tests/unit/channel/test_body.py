"""Points of a body, and paths by way of them."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.bounds.path_basis import owners, receiver_basis
from cooperative_isac.channel.body import body_axes, body_points
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Body, TargetClass, TargetState

CAR = Body(np.array([4.4, 1.8, 1.5]), 13.3, 0.0)
NOTHING = np.zeros((0, 3))
LIGHT_MPS = 299_792_458.0


def state(velocity=(6.0, 8.0, 0.0), target_class=TargetClass.VEHICLE):
    return TargetState("a", target_class, np.array([40.0, 35.0, 1.0]), np.array(velocity))


def directions(generator, count):
    drawn = generator.normal(size=(count, 2, 3))
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def test_every_point_is_in_the_box_and_the_shares_make_the_whole():
    car = state()
    inside = body_axes(np.array([6.0, 8.0, 0.0]))
    for toward_tx, toward_rx in directions(np.random.default_rng(1), 200):
        points, shares = body_points(CAR, car, toward_tx, toward_rx)
        own = (points - car.position_m) @ inside
        assert np.all(np.abs(own) <= CAR.size_m / 2 + 1e-12)
        assert shares.sum() == pytest.approx(1) and np.all(shares > 0)


def test_the_glint_is_where_the_way_over_the_hull_is_shortest():
    # Fermat on the ellipsoid in the box: of all points of its visible side the specular one has the
    # shortest way.
    car = state()
    far = 1e4
    axes = body_axes(np.array([6.0, 8.0, 0.0]))
    generator = np.random.default_rng(2)
    drawn = generator.normal(size=(200_000, 3))
    hull = drawn / np.linalg.norm(drawn, axis=-1, keepdims=True) * CAR.size_m / 2
    hull = car.position_m + hull @ axes.T
    for toward in directions(generator, 5):
        ends = car.position_m + far * toward
        ways = sum(np.linalg.norm(hull - end, axis=-1) for end in ends)
        glint = body_points(CAR, car, *toward)[0][0]
        way = sum(np.linalg.norm(glint - end) for end in ends)
        assert way < ways.min() + 1e-6 and way > ways.min() - 0.01


def test_corners_behind_the_box_are_hidden():
    car = state((5.0, 0.0, 0.0))
    ahead = np.array([0.8, 0.6, 0.0])
    aside = np.array([0.6, 0.8, 0.0])
    corners = body_points(CAR, car, ahead, aside)[0][1:] - car.position_m
    assert sorted(map(tuple, corners.round(6))) == [
        (-2.2, 0.9, 0.0),
        (2.2, -0.9, 0.0),
        (2.2, 0.9, 0.0),
    ]
    between = body_points(CAR, car, ahead, -ahead)[0][1:] - car.position_m
    assert sorted(map(tuple, between.round(6))) == [(-2.2, 0.9, 0.0), (2.2, -0.9, 0.0)]


def test_a_standing_target_looks_along_x():
    assert np.array_equal(body_axes(np.array([0.0, 0.0, 3.0])), np.eye(3))
    assert np.allclose(body_axes(np.array([0.0, 2.0, 0.0]))[:, 0], [0, 1, 0])


@pytest.fixture(scope="module")
def yard():
    return load_scene("yard")


def test_body_paths_have_the_phases_of_their_points(yard):
    scene = replace(yard, bodies={**yard.bodies, TargetClass.VEHICLE: CAR})
    car = state()
    receiver = scene.receivers[2]
    site = scene.transmitters[0]
    paths = draw_paths(scene, receiver, [car], NOTHING, np.random.default_rng(3))
    chosen = paths.transmitter == 0
    ends = site.position_m, receiver.position_m
    toward = [(end - car.position_m) / np.linalg.norm(end - car.position_m) for end in ends]
    points, shares = body_points(CAR, car, *toward)
    lengths = sum(np.linalg.norm(points - end, axis=-1) for end in ends)
    later = sum(np.linalg.norm(points + 1e-6 * car.velocity_mps - end, axis=-1) for end in ends)
    wave = scene.grid.wavelength_m
    assert np.all(paths.scatterer == 0)
    assert paths.delay_s[chosen] * LIGHT_MPS == pytest.approx(lengths)
    assert paths.doppler_hz[chosen] == pytest.approx(
        (lengths - later) / 1e-6 / wave, rel=1e-3, abs=0.05
    )
    turned = paths.amplitude[chosen] * np.exp(2j * np.pi * lengths / wave)
    assert np.allclose(turned.imag, 0, atol=1e-6 * np.abs(turned).max()) and np.all(turned.real > 0)
    tx, rx = (np.linalg.norm(points - end, axis=-1) for end in ends)
    power = 13.3 * shares * wave**2 / ((4 * np.pi) ** 3 * tx**2 * rx**2) * 32 * 32
    assert np.abs(paths.amplitude[chosen]) ** 2 == pytest.approx(power)


def test_a_moving_body_glints_around_the_power_of_its_cross_section(yard):
    scene = replace(yard, world=None, bodies={**yard.bodies, TargetClass.VEHICLE: CAR})
    power = []
    single = []
    for step in range(400):
        car = replace(state(), position_m=np.array([40.0 + 0.013 * step, 35.0 - 0.007 * step, 1.0]))
        for body, found in ((CAR, power), (replace(CAR, size_m=np.zeros(3)), single)):
            own = replace(scene, bodies={TargetClass.VEHICLE: body})
            paths = draw_paths(own, own.receivers[2], [car], NOTHING, np.random.default_rng(step))
            found.append(abs(paths.amplitude[paths.transmitter == 0].sum()) ** 2)
    assert np.std(10 * np.log10(single)) < 1 < 2 < np.std(10 * np.log10(power))
    assert np.mean(power) == pytest.approx(np.mean(single), rel=0.25)


def test_the_bound_takes_the_points_of_a_body_as_one(yard):
    car = state()
    uav = replace(state(target_class=TargetClass.UAV), position_m=np.array([60.0, 40.0, 18.0]))
    receiver = yard.receivers[0]
    paths = draw_paths(yard, receiver, [car, uav], NOTHING, np.random.default_rng(4))
    assert len(paths.scatterer) > 4
    assert owners(paths, 2) == [0, 1, 0, 1]
    basis = receiver_basis(yard, transmit(yard, 0), receiver, [car, uav], paths)
    sums = [
        paths.amplitude[(paths.transmitter == t) & (paths.scatterer == q)].sum()
        for t in (0, 1)
        for q in (0, 1)
    ]
    assert [path.amplitude for path in basis] == pytest.approx(sums)

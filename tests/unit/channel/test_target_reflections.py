"""Target paths with reflections before and behind the target, against images of stations."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState

LIGHT_MPS = 299_792_458.0
NOTHING = np.zeros((0, 3))
# The facade opposite to the side street is the plane y = 18.
FACADE_Y_M = 18.0
FACADE = 10
CAR = TargetState("car", TargetClass.VEHICLE, np.array([61.0, -30, 1]), np.array([1.0, -4, 0.5]))


@pytest.fixture(scope="module")
def scene():
    return load_scene("side_street")


def paths_to_bs2(scene, reflections=2, block=None):
    """Paths of the car to station bs2, from one generator."""
    world = replace(scene.world, target_reflections=reflections)
    receiver = scene.receiver("bs2")
    generator = np.random.default_rng(5)
    return draw_paths(replace(scene, world=world), receiver, [CAR], NOTHING, generator, block)


def mirrored(point):
    return point * [1, -1, 1] + [0, 2 * FACADE_Y_M, 0]


def test_a_hidden_target_is_reached_by_way_of_the_facade_alone(scene):
    for reflections in (0, 1):
        assert not len(paths_to_bs2(scene, reflections).delay_s)
    paths = paths_to_bs2(scene)
    assert paths.transmitter.tolist() == [0, 1]
    assert paths.reflected.all() and (paths.mirror == FACADE).all()


def test_its_paths_are_straight_between_images(scene):
    paths = paths_to_bs2(scene)
    receiver = scene.receiver("bs2")
    for index, site in enumerate(scene.transmitters):
        # The whole path, mirrored: real stations, and the image of the target.
        image_m = mirrored(CAR.position_m)
        later_m = mirrored(CAR.position_m + 1e-6 * CAR.velocity_mps)
        ends_m = (site.position_m, receiver.position_m)
        legs_m = [np.linalg.norm(image_m - end_m) for end_m in ends_m]
        lengthening_m = sum(np.linalg.norm(later_m - end_m) for end_m in ends_m) - sum(legs_m)
        assert paths.delay_s[index] * LIGHT_MPS == pytest.approx(sum(legs_m))
        expected_hz = -lengthening_m / 1e-6 / scene.grid.wavelength_m
        assert paths.doppler_hz[index] == pytest.approx(expected_hz, rel=1e-4)
        assert np.allclose(paths.aod[index], (image_m - site.position_m) / legs_m[0])
        assert np.allclose(paths.aoa[index], (image_m - receiver.position_m) / legs_m[1])


def test_each_reflection_takes_its_loss(scene):
    facade = scene.world.boxes[2]
    perfect = replace(facade.material, reflection_loss_db=0.0)
    boxes = (*scene.world.boxes[:2], replace(facade, material=perfect))
    without_loss = replace(scene, world=replace(scene.world, boxes=boxes))
    lossy = paths_to_bs2(scene)
    ideal = paths_to_bs2(without_loss)
    # 2 dB each, before and behind the target.
    loss_db = 20 * np.log10(np.abs(ideal.amplitude / lossy.amplitude))
    assert np.allclose(loss_db, 4.0)


@pytest.mark.parametrize("block", [None, 3])
def test_further_routes_leave_the_others_as_they_are(scene, block):
    visible = replace(CAR, position_m=np.array([61.0, 5.0, 1.0]))

    def first_link(reflections):
        world = replace(scene.world, target_reflections=reflections)
        paths = draw_paths(
            replace(scene, world=world),
            scene.receiver("bs2"),
            [visible],
            NOTHING,
            np.random.default_rng(5),
            block,
        )
        return paths.chosen(paths.transmitter == 0)

    counts = []
    for fewer, more in ((0, 1), (1, 2)):
        before = first_link(fewer)
        after = first_link(more)
        counts.append(len(after.delay_s) - len(before.delay_s))
        same = after.chosen(slice(len(before.delay_s)))
        for name, column in vars(before).items():
            assert np.array_equal(column, getattr(same, name)), name
    assert min(counts) > 0

"""Clock offsets of links from the paths of targets: means, and half differences of directions."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fusion.link_clocks import LinkClocks, both_directions, common_errors
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.target_offsets import PathOffset

MEASURED = np.diag([1e-20, 25.0])
# Standard deviations of predictions: ten times as large.
PREDICTION = np.diag([1e-9, 50.0])
OFFSET_S = 40e-9
OFFSET_HZ = 300.0


@pytest.fixture(scope="module")
def scene():
    return load_scene("multi_bs")


def path(transmitter, target, sign, error_s=0.0, error_hz=0.0):
    """One path of the link between bs1 and bs2, with the error of its prediction."""
    clock = ClockOffset(sign * OFFSET_S + error_s, sign * OFFSET_HZ + error_hz, MEASURED)
    return PathOffset(transmitter, target, clock, PREDICTION)


def seen(errors_s):
    """Paths from bs1 to bs2 and back, with errors of prediction that both directions share."""
    return {
        "bs2": [path(0, target, +1, error_s) for target, error_s in enumerate(errors_s)],
        "bs1": [path(1, target, -1, error_s) for target, error_s in enumerate(errors_s)],
    }


def with_mode(scene, mode):
    return replace(scene, sensing=replace(scene.sensing, synchronization=mode))


def test_errors_of_predictions_cancel_in_both_directions(scene):
    paths = seen([2e-9, -1e-9, 1.5e-9])
    found = both_directions(scene, paths)
    assert found["bs2"][0].delay_s == pytest.approx(OFFSET_S, abs=1e-15)
    assert found["bs1"][1].delay_s == pytest.approx(-OFFSET_S, abs=1e-15)
    assert found["bs2"][0].frequency_hz == pytest.approx(OFFSET_HZ)
    # Half the difference of two measurements, over three targets.
    assert found["bs2"][0].covariance[0, 0] == pytest.approx(1e-20 / 2 / 3)

    # The mean of one direction has them.
    clocks = LinkClocks(with_mode(scene, "active_observation"), least=1)
    alone = clocks.updated(None, paths)
    assert alone["bs2"][0].delay_s - OFFSET_S == pytest.approx(2.5e-9 / 3, rel=1e-3)


def test_directions_that_do_not_agree_are_of_two_paths(scene):
    paths = seen([0.0, 0.0])
    paths["bs1"][1] = path(1, 1, -1, error_s=30e-9)
    assert both_directions(scene, paths)["bs2"][0].covariance[0, 0] == pytest.approx(1e-20 / 2)
    assert both_directions(scene, {"bs2": paths["bs2"], "bs1": paths["bs1"][1:]}) == {
        "bs1": {},
        "bs2": {},
    }


def test_one_direction_alone_gives_nothing(scene):
    assert both_directions(scene, {"bs2": seen([0.0])["bs2"], "bs1": []})["bs2"] == {}


def test_offsets_are_used_when_enough_frames_agree(scene):
    clocks = LinkClocks(with_mode(scene, "both_directions"))
    for number in range(3):
        assert clocks.predicted(number / 4)["bs2"] == {}
        offsets = clocks.updated(number / 4, seen([1e-9]))
    assert offsets["bs2"][0].delay_s == pytest.approx(OFFSET_S, abs=1e-12)

    # The offsets of a station are complete with those of all its links.
    assert clocks.complete("bs2", offsets) is None
    every = dict.fromkeys((0, 2, 3), offsets["bs2"][0])
    complete = clocks.complete("bs2", {"bs2": every})
    np.testing.assert_allclose(complete.timing_s, [OFFSET_S, 0, OFFSET_S, OFFSET_S], rtol=1e-6)


def joint_covariance(offsets, links):
    """Covariance of the timing offsets of some links, in ns^2, by their own and common errors."""
    common = common_errors(offsets)
    changes = np.array([common[receiver][index][0] for receiver, index in links])
    own = [offsets[receiver][index].own_covariance[0, 0] for receiver, index in links]
    return 1e18 * (changes @ changes.T + np.diag(own))


def test_errors_of_predictions_are_common_to_all_links(scene):
    """Against many draws of the errors of two targets, which three links see over some frames."""
    scene = with_mode(scene, "active_observation")
    rng = np.random.default_rng(5)
    links = [("bs2", 0), ("bs1", 1), ("bs3", 0)]
    gradients = {
        link: np.array([[factor, 0.3], [0.0, 50.0]]) for link, factor in zip(links, (1, 2, -1))
    }
    errors_ns = []
    for _ in range(600):
        clocks = LinkClocks(scene)
        for number in range(5):
            targets = rng.standard_normal((2, 2))
            paths = {name: [] for name in ("bs1", "bs2", "bs3")}
            for receiver, index in links:
                gradient = np.diag([1e-9, 1.0]) @ gradients[receiver, index]
                for target, error in enumerate(targets):
                    noise = np.sqrt(np.diag(MEASURED)) * rng.standard_normal(2)
                    value = np.array([OFFSET_S, OFFSET_HZ]) + noise - gradient @ error
                    clock = ClockOffset(*value, MEASURED)
                    paths[receiver].append(PathOffset(index, target, clock, gradient))
            offsets = clocks.updated(number / 4, paths)
        errors_ns.append([1e9 * (offsets[name][index].delay_s - OFFSET_S) for name, index in links])
    measured = np.cov(np.array(errors_ns).T)

    # They are those that the last offsets state, and far from independent.
    expected = joint_covariance(offsets, links)
    deviations = np.sqrt(np.diag(measured))
    np.testing.assert_allclose(
        expected / np.outer(deviations, deviations),
        measured / np.outer(deviations, deviations),
        atol=0.25,
    )
    assert measured[0, 1] > 0.8 * deviations[0] * deviations[1]


def test_errors_of_both_directions_are_opposite(scene):
    clocks = LinkClocks(with_mode(scene, "both_directions"))
    for number in range(4):
        offsets = clocks.updated(number / 4, seen([1e-9, 0.0]))
    covariance = joint_covariance(offsets, [("bs2", 0), ("bs1", 1)])
    assert covariance[0, 1] == pytest.approx(-covariance[0, 0], rel=0.05)


def test_offsets_of_a_frame_are_those_of_earlier_ones(scene):
    clocks = LinkClocks(with_mode(scene, "both_directions"))
    for number in range(4):
        clocks.updated(number / 4, seen([0.0]))
    wrong = {
        name: [
            replace(path, measured=replace(path.measured, delay_s=1.1 * path.measured.delay_s))
            for path in own
        ]
        for name, own in seen([0.0]).items()
    }
    offsets = clocks.updated(1.0, wrong)
    assert offsets["bs2"][0].delay_s == pytest.approx(OFFSET_S, abs=1e-12)
    assert clocks.predicted(1.25)["bs2"][0].delay_s > OFFSET_S + 1e-9

"""Clock offsets of links from the paths of targets: means, and half differences of directions."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fusion.link_clocks import LinkClocks, both_directions
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.target_offsets import PathOffset

MEASURED = np.diag([1e-20, 25.0])
# Errors of predictions: ten times as large.
PREDICTED = np.diag([1e-18, 2500.0])
OFFSET_S = 40e-9
OFFSET_HZ = 300.0


@pytest.fixture(scope="module")
def scene():
    return load_scene("multi_bs")


def path(transmitter, target, sign, error_s=0.0, error_hz=0.0):
    """One path of the link between bs1 and bs2, with the error of its prediction."""
    clock = ClockOffset(sign * OFFSET_S + error_s, sign * OFFSET_HZ + error_hz, MEASURED)
    return PathOffset(transmitter, target, clock, PREDICTED)


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

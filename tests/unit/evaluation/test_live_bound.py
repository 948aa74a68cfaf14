"""Errors of a run beside the bounds of its own draws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.bounds.crlb import Bound
from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.evaluation import live_bound
from cooperative_isac.evaluation.live_bound import BoundLog, frame_bound
from cooperative_isac.fusion.detection import PARTIAL, Detection
from cooperative_isac.pipeline import hear, paths_to, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState

TINY = Path(__file__).resolve().parents[2] / "scenes" / "tiny.yaml"


def truth(name, x, speed=0.0):
    return TargetState(
        name, TargetClass.UNKNOWN, np.array([x, 0.0, 0.0]), np.array([speed, 0.0, 0.0])
    )


def detection(x, speed=0.0, z=0.0):
    return Detection(np.array([x, 0.0, z]), np.array([speed, 0.0, 0.0]), np.eye(6), 20.0, (), 1)


BOUND = Bound(
    np.diag([0.01, 0.03, 0.02, 0.02, 0.5, 0.5, 0.5, 0.5]), 2
)  # root 0.2 m and 1 m/s for both targets


def test_ratios_are_rms_errors_over_root_bounds():
    log = BoundLog(2)
    ratios = log.add(
        BOUND,
        [truth("a", 0.0), truth("b", 50.0)],
        [detection(50.4, 3.0, z=9.0), detection(0.0, 0.0)],
    )
    assert ratios == pytest.approx((0.4 / 0.2 / np.sqrt(2), 3.0 / np.sqrt(2)))


def test_frames_add_up():
    log = BoundLog(2)
    for error in (0.3, 0.1):
        log.add(BOUND, [truth("a", 0.0), truth("b", 50.0)], [detection(error, error)])
    rms = np.sqrt((0.3**2 + 0.1**2) / 2)
    assert log.summary() == {
        "error_to_bound_location": pytest.approx(rms / 0.2),
        "error_to_bound_velocity": pytest.approx(rms),
        "error_to_bound_samples": 2,
    }


def test_what_is_not_detected_is_not_compared():
    log = BoundLog(2)
    assert log.add(BOUND, [truth("a", 0.0), truth("b", 50.0)], [detection(20.0)]) == (0.0, 0.0)
    assert log.add(BOUND, [], []) == (0.0, 0.0)
    assert (
        log.summary()["error_to_bound_samples"] == 0
        and log.summary()["error_to_bound_location"] is None
    )


@pytest.mark.parametrize("first", [(np.inf, np.inf), (np.nan, 0.03), (0.0, 0.0)])
def test_a_target_without_a_bound_is_left_out(first):
    log = BoundLog(2)
    bound = Bound(np.diag([*first, 0.02, 0.02, 0.5, 0.5, 0.5, 0.5]), 2)
    found = [detection(0.1), detection(50.4, 3.0)]
    assert log.add(bound, [truth("a", 0.0), truth("b", 50.0)], found) == pytest.approx((2.0, 3.0))
    assert log.summary()["error_to_bound_samples"] == 1


def test_a_velocity_without_a_bound_leaves_the_location_comparable():
    log = BoundLog(2)
    bound = Bound(np.diag([0.02, 0.02, 0.02, 0.02, np.inf, np.inf, 0.5, 0.5]), 2)
    found = [detection(0.4, 9.0), detection(50.2, 3.0)]
    ratios = log.add(bound, [truth("a", 0.0), truth("b", 50.0)], found)
    assert ratios == pytest.approx((np.sqrt((0.4**2 + 0.2**2) / 0.08), 3.0))
    assert log.summary()["error_to_bound_samples"] == 2


def test_the_bound_is_of_the_fading_that_is_heard(monkeypatch):
    scene, number = load_scene(TINY), 4
    targets, signal = scene_targets(scene, 1.0), transmit(scene, number)
    seen = {}
    monkeypatch.setattr(live_bound, "crlb", lambda *arguments: seen.update(paths=arguments[3]))
    frame_bound(scene, signal, targets)
    for site in scene.receivers:
        _, generator = paths_to(scene, number, site, targets)
        echo = apply_paths(scene, signal, site, seen["paths"][site.name], generator)
        assert np.array_equal(echo, hear(scene, signal, site.name, targets))


def test_more_power_lowers_the_bound():
    scene = load_scene(TINY)
    targets, signal = scene_targets(scene, 1.0), transmit(scene, 4)
    louder = replace(signal, precoders=signal.precoders * np.float32(10))
    weak, strong = (frame_bound(scene, frame, targets) for frame in (signal, louder))
    assert strong.location_m[0] == pytest.approx(weak.location_m[0] / 10, rel=1e-3)


def test_a_partial_detection_is_not_compared():
    log = BoundLog(2)
    partial = replace(detection(0.2), num_paths=PARTIAL)
    assert log.add(BOUND, [truth("a", 0.0), truth("b", 50.0)], [partial]) == (0.0, 0.0)

"""Errors of a run relative to the bounds of the same frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.bounds.crlb import Bound, crlb
from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.evaluation import live_bound
from cooperative_isac.evaluation.live_bound import BoundLog, network_bound, true_paths
from cooperative_isac.fusion.detection import PARTIAL, Detection
from cooperative_isac.pipeline import make_frame, paths_to, receive_echo
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.scene.station import LinkMode

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


def test_missed_targets_are_left_out():
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


def test_the_bound_has_the_fading_of_the_echo(monkeypatch):
    scene = load_scene(TINY)
    number = 4
    targets = scene_targets(scene, 1.0)
    frame = make_frame(scene, number)
    signal = frame.on("default")
    seen = {}
    monkeypatch.setattr(
        live_bound, "network_crlb", lambda *arguments: seen.update(paths=arguments[3])
    )
    network_bound(scene, frame, targets)
    for site in scene.receivers:
        _, generator = paths_to(scene, number, site, targets)
        echo = apply_paths(scene, signal, site, seen["paths"]["default"][site.name], generator)
        assert np.array_equal(echo, receive_echo(scene, signal, site.name, targets))


def test_more_power_lowers_the_bound():
    scene = load_scene(TINY)
    targets = scene_targets(scene, 1.0)
    frame = make_frame(scene, 4)
    signal = frame.on("default")
    louder = replace(signal, precoders=signal.precoders * np.float32(10))
    frames = (frame, replace(frame, signals={"default": louder}))
    weak, strong = (network_bound(scene, frame, targets) for frame in frames)
    assert strong.location_m[0] == pytest.approx(weak.location_m[0] / 10, rel=1e-3)


def test_a_partial_detection_is_not_compared():
    log = BoundLog(2)
    partial = replace(detection(0.2), num_paths=PARTIAL)
    assert log.add(BOUND, [truth("a", 0.0), truth("b", 50.0)], [partial]) == (0.0, 0.0)


def information(bound):
    return np.linalg.inv(bound.covariance)


def test_the_bound_of_one_band_is_that_of_its_signal(tiny):
    targets = scene_targets(tiny, 0.0)
    frame = make_frame(tiny, 3)
    one = crlb(tiny, frame.on("default"), targets, true_paths(tiny, 3, targets))
    assert np.array_equal(network_bound(tiny, frame, targets).covariance, one.covariance)


def test_information_of_bands_adds_up(two_tiny):
    """Links have independent reflections, so bands share the states of the targets only."""
    targets = scene_targets(two_tiny, 0.5)
    frame = make_frame(two_tiny, 4, 0.4)
    parts = []
    for band in frame.bands:
        only = replace(frame, signals={band: frame.on(band)})
        parts.append(information(network_bound(two_tiny, only, targets)))
    together = information(network_bound(two_tiny, frame, targets))
    assert np.allclose(together, sum(parts), rtol=1e-6, atol=1e-6 * np.abs(together).max())


def test_the_bound_has_poses_and_links_of_the_frame(two_tiny):
    targets = scene_targets(two_tiny, 0.5)
    there = make_frame(two_tiny, 4, 0.4)
    later = replace(there, poses=two_tiny.poses_at(9.0))
    near, far = (network_bound(two_tiny, frame, targets) for frame in (there, later))
    assert not np.allclose(near.location_m, far.location_m, rtol=1e-3)

    posed = two_tiny.posed(there.poses).on("high")
    all_links = crlb(posed, there.on("high"), targets, true_paths(posed, 4, targets))
    passive = replace(two_tiny, link_mode=LinkMode.PASSIVE)
    only_high = replace(there, signals={"high": there.on("high")})
    one_link = network_bound(passive, only_high, targets)
    assert np.all(one_link.location_m > all_links.location_m)

"""Broken echoes between good ones: no scheme fails on them."""

from dataclasses import replace

import numpy as np
import pytest
from chain import Chain

from cooperative_isac.fusion.detection import detection_problem
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.catalog import BUILT_IN, LEARNED
from cooperative_isac.schemes.known_symbols import LARGEST_SAMPLE, without_overflow
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.path_state import PathState


def all_zero(echo):
    return np.zeros_like(echo)


def constant(echo):
    return np.full_like(echo, 1e-3)


def huge(echo):
    return (echo / np.abs(echo).max() * 1e15).astype(np.complex64)


def one_sample(value):
    def broken(echo):
        spoiled = echo.copy()
        spoiled[0, 3, 5] = value
        return spoiled

    return broken


BROKEN = {
    "all zero": all_zero,
    "constant": constant,
    "all of 1e15": huge,
    "one of 1e3": one_sample(1e3),
    "one of 1e18": one_sample(1e18),
    "one of 3e38": one_sample(3e38),
}


# Schemes with the ways to suppress static paths that they have.
CASES = [
    (name, static_paths)
    for name in sorted(set(BUILT_IN) - set(LEARNED))
    for static_paths in ("keep", "project", "learn")
    if (name, static_paths) != ("symbol_level", "learn")
]


@pytest.mark.parametrize(("name", "static_paths"), CASES)
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_echoes_end_no_scheme(small, name, static_paths, kind):
    scene = replace(small, sensing=replace(small.sensing, static_paths=static_paths))
    scheme = Chain(name, scene, live=True)
    world = scheme.scene
    found = []
    for number in range(6):
        frame = transmit(world, number)
        packets = {}
        for site in world.receivers:
            echo = receive_echo(
                world, frame, site.name, scene_targets(scene, number / scene.update_rate_hz)
            )
            if number == 2:
                echo = BROKEN[kind](echo)
            packets[site.name] = scheme.encode(echo, frame, site.name)
            scheme.idle(site.name)
        detections = scheme.decode(packets, frame)
        assert all(detection_problem(one) is None for one in detections)
        found.append(len(detections))
    if kind in ("all zero", "all of 1e15"):
        assert found[2] == 0
    # A background estimated from a broken echo contradicts the next ones, and is reset.
    assert max(found[3:]) > 0 or found[1] == 0
    assert static_paths == "learn" or found[4] > 0 or found[1] == 0


def test_samples_that_overflow_become_zero(small):
    generator = np.random.default_rng(1)
    echo = generator.normal(size=(2, 3, 4)).astype(np.complex64)
    assert without_overflow(echo) is echo
    echo[1, 2, 3] = 2 * LARGEST_SAMPLE
    kept = without_overflow(echo)
    assert kept[1, 2, 3] == 0
    assert np.array_equal(np.delete(kept.ravel(), -1), np.delete(echo.ravel(), -1))


def test_two_equal_paths_share_one_echo(small):
    frame, targets = transmit(small, 1), scene_targets(small, 1.0)
    sensor = LocalMl(small, small.receivers[0], small.grid)
    joint = sensor.correlate(receive_echo(small, frame, "rx1", targets), frame)
    point = targets[0].position_m
    one = joint.match(PathState(point[None], np.zeros(1, int), np.zeros(1, int), np.zeros(1)))
    both = PathState(np.array([point, point]), np.arange(2), np.zeros(2, int), np.zeros(2))
    two = joint.match(both)
    climbed = joint.fisher_scoring(two, 4, 1.0)
    assert np.isfinite(climbed.power).all() and np.isfinite(climbed.state.points_m).all()
    assert two.amplitude.sum() == pytest.approx(one.amplitude[0], rel=1e-3)

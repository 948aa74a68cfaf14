"""Scheme symbol_level in consecutive frames: new targets, and those that a frame does not show."""

import math

import numpy as np
import pytest

from cooperative_isac.fusion.lattice import NUM_PARTS, Lattice
from cooperative_isac.pipeline import make_encoders, make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.sensing.memory import LONGEST_PREDICTION_S

# First frame, whose search is of the whole lattice.
FIRST = 4


class Chain:
    """Stations and center of a scene with one target, which echoes may contain or not."""

    def __init__(self, scene):
        self.scene = scene
        scheme = make_scheme("symbol_level", scene)
        self.encoders = make_encoders(scheme)
        self.center = scheme.center()

    def found(self, number, has_target):
        """The detections of a frame, and the location of the target."""
        time_s = number / self.scene.update_rate_hz
        frame = make_frame(self.scene, number, time_s)
        (target,) = scene_targets(self.scene, time_s)
        echoes = receive_all(self.scene, frame, [target] if has_target else [])
        packets = {
            station: self.encoders[station].encode(own, frame) for station, own in echoes.items()
        }
        return self.center.decode(packets, frame), target.position_m

    def part_of(self, point_m):
        """The part of the lattice that has a point."""
        lattice = self.center.lattice
        nearest = np.linalg.norm(lattice.points_m - point_m, axis=1).argmin()
        return next(part for part, chosen in enumerate(lattice.parts) if nearest in chosen)


@pytest.fixture
def chain(two_tiny):
    """A chain without earlier frames."""
    return Chain(two_tiny)


def without_search(monkeypatch):
    """From now on the center follows targets, and finds no others."""
    monkeypatch.setattr(Lattice, "search", lambda lattice, joints, known, *settings: known)


def test_a_target_is_followed_through_frames_that_do_not_show_it(chain, monkeypatch):
    assert len(chain.found(FIRST, has_target=True)[0]) == 1
    without_search(monkeypatch)
    for number in (FIRST + 1, FIRST + 2):
        assert not chain.found(number, has_target=False)[0]
    (one,), position_m = chain.found(FIRST + 3, has_target=True)
    assert np.linalg.norm(one.position_m - position_m) < 0.5


def test_a_target_is_given_up_after_the_longest_prediction(chain, monkeypatch):
    assert len(chain.found(FIRST, has_target=True)[0]) == 1
    without_search(monkeypatch)
    num_missed = math.floor(LONGEST_PREDICTION_S * chain.scene.update_rate_hz)
    numbers = range(FIRST + 1, FIRST + 1 + num_missed)
    for number in numbers:
        assert not chain.found(number, has_target=False)[0]
    assert not chain.found(numbers.stop, has_target=True)[0]


def test_a_new_target_is_found_when_its_part_is_searched(chain):
    assert not chain.found(FIRST, has_target=False)[0]
    for number in range(FIRST + 1, FIRST + 1 + NUM_PARTS):
        found, position_m = chain.found(number, has_target=True)
        if found:
            break
    assert number % NUM_PARTS == chain.part_of(position_m)
    assert np.linalg.norm(found[0].position_m - position_m) < 0.5

"""Scheme symbol_level in consecutive frames: new targets, and those that a frame does not show."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.lattice import NUM_PARTS, Lattice
from cooperative_isac.pipeline import make_encoders, make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.schemes.symbol_decoder import FOLLOWED_S, part_of

# First frame, whose search is of the whole lattice.
FIRST = 4


class Chain:
    """Stations and center of a scene with one target, which echoes may contain or not."""

    def __init__(self, scene):
        self.scene = scene
        scheme = make_scheme("symbol_level", scene)
        self.encoders = make_encoders(scheme)
        self.center = scheme.center()

    def target(self, number):
        """The scene's target in a frame."""
        (target,) = scene_targets(self.scene, number / self.scene.update_rate_hz)
        return target

    def sent(self, number, targets):
        """A frame, and its packets with the echoes of targets."""
        frame = make_frame(self.scene, number, number / self.scene.update_rate_hz)
        echoes = receive_all(self.scene, frame, targets)
        packets = {
            station: self.encoders[station].encode(own, frame) for station, own in echoes.items()
        }
        return frame, packets

    def found(self, number, has_target):
        """The detections of a frame, and the location of the target."""
        target = self.target(number)
        frame, packets = self.sent(number, [target] if has_target else [])
        return self.center.decode(packets, frame), target.position_m

    def part_with(self, point_m):
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
    for name in ("search", "search_part"):
        monkeypatch.setattr(Lattice, name, lambda lattice, joints, known, *settings: known)


def test_a_target_is_followed_through_frames_that_do_not_show_it(chain, monkeypatch):
    assert len(chain.found(FIRST, has_target=True)[0]) == 1
    without_search(monkeypatch)
    for number in (FIRST + 1, FIRST + 2):
        assert not chain.found(number, has_target=False)[0]
    (one,), position_m = chain.found(FIRST + 3, has_target=True)
    assert np.linalg.norm(one.position_m - position_m) < 0.5


def test_a_target_is_given_up_after_a_time(chain, monkeypatch):
    assert len(chain.found(FIRST, has_target=True)[0]) == 1
    without_search(monkeypatch)
    num_missed = math.floor(FOLLOWED_S * chain.scene.update_rate_hz)
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
    assert part_of(number) == chain.part_with(position_m)
    assert np.linalg.norm(found[0].position_m - position_m) < 0.5


@pytest.mark.parametrize("stride", range(1, 2 * NUM_PARTS))
def test_frames_at_any_stride_search_all_parts(stride):
    numbers = range(5, 5 + stride * NUM_PARTS**2, stride)
    assert {part_of(number) for number in numbers} == set(range(NUM_PARTS))
    if stride == 1:
        rounds = np.array([part_of(number) for number in range(NUM_PARTS**2)])
        assert np.all(np.sort(rounds.reshape(-1, NUM_PARTS)) == np.arange(NUM_PARTS))


def test_a_frame_that_is_decoded_again_leaves_later_ones_as_they_are(chain, monkeypatch):
    assert len(chain.found(FIRST, has_target=True)[0]) == 1
    without_search(monkeypatch)

    # A frame with one packet, then a later one, then the first one with all packets.
    frame, packets = chain.sent(FIRST + 1, [chain.target(FIRST + 1)])
    later, packets_later = chain.sent(FIRST + 2, [chain.target(FIRST + 2)])
    chain.center.decode(dict(list(packets.items())[:1]), frame)
    assert len(chain.center.decode(packets_later, later)) == 1
    (again,) = chain.center.decode(packets, frame)
    assert np.linalg.norm(again.position_m - chain.target(FIRST + 1).position_m) < 0.5

    # Both are followed to the next frame, and a frame from long ago begins a new run.
    assert len(chain.found(FIRST + 3, has_target=True)[0]) == 1
    assert not chain.found(0, has_target=False)[0]
    assert not chain.found(1, has_target=True)[0]


def test_a_new_run_does_not_follow_the_targets_of_the_last_one(chain, monkeypatch):
    rate_hz = round(chain.scene.update_rate_hz)
    for number in range(2 * rate_hz):
        assert len(chain.found(number, has_target=True)[0]) == 1

    # The run begins again without the target, which appears in a frame that the last run had, too.
    without_search(monkeypatch)
    assert not chain.found(0, has_target=False)[0]
    assert not chain.found(2 * rate_hz, has_target=True)[0]


def test_a_frame_has_as_many_targets_as_the_scene_allows(two_tiny):
    chain = Chain(replace(two_tiny, sensing=replace(two_tiny.sensing, max_targets=1)))

    def decoded(number, is_first, is_other):
        """Detections of a frame with the scene's target, another one, or both."""
        target = chain.target(number)
        other = replace(target, position_m=target.position_m - np.array([12.0, 6.0, 0.0]))
        targets = [target] * is_first + [other] * is_other
        frame, packets = chain.sent(number, targets)
        return chain.center.decode(packets, frame)

    # One target, then another one, which is found while the first one is expected.
    assert len(decoded(FIRST, True, False)) == 1
    others = [len(decoded(FIRST + frames, False, True)) for frames in (1, 2, 3)]
    assert max(others) == 1

    # Both at once.
    assert len(decoded(FIRST + 4, True, True)) == 1

"""Detections that come late: the same tracks as in order, with the identities as published."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene import motion_filters
from cooperative_isac.scene.model import Tracking
from cooperative_isac.scene.motion_filters import BUILT_IN_FILTERS
from cooperative_isac.tracking import in_order
from cooperative_isac.tracking.history import HISTORY_LISTS, HISTORY_S, REWIND_S
from cooperative_isac.tracking.own_filters import register_motion_filter
from cooperative_isac.tracking.track import TrackStatus
from cooperative_isac.tracking.tracker import Tracker

SETTINGS = Tracking()
PERIOD_S = 0.1
VELOCITY = np.array([5.0, 0.0, 0.0])


class Plain:
    """A motion filter of a user: constant velocity, with state that is written in place.

    lock: something that cannot be copied, or None
    """

    def __init__(self, lock=None):
        self.x = np.zeros(6)
        self.P = np.eye(6)
        self.lock = lock

    def predict(self, dt):
        motion = np.eye(6) + dt * np.eye(6, k=3)
        self.x[:] = motion @ self.x
        self.P[:] = motion @ self.P @ motion.T + dt * np.eye(6)

    def update(self, z, R):
        gain = self.P @ np.linalg.inv(self.P + R)
        self.x += gain @ (z - self.x)
        self.P[:] = (np.eye(6) - gain) @ self.P


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Motion filters of a user, for these tests only."""
    monkeypatch.setattr(motion_filters, "_registered", {})
    register_motion_filter("plain", lambda settings, dimension: Plain())
    register_motion_filter("locked", lambda settings, dimension: Plain(threading.Lock()))


def scenario(detect, seed, num_frames=40):
    """Lists of crossing targets, some of them missed, and of false detections."""
    rng = np.random.default_rng(seed)
    starts_m = rng.uniform(0, 30, (4, 3))
    velocities_mps = rng.normal(0, 4, (4, 3))
    born = rng.integers(0, num_frames // 2, 4)
    lists = []
    for number in range(num_frames):
        time_s = number * PERIOD_S
        found = [
            detect(place + time_s * speed + 0.1 * rng.standard_normal(3), speed)
            for place, speed, first in zip(starts_m, velocities_mps, born)
            if number >= first and rng.random() < 0.8
        ]
        if rng.random() < 0.2:
            found.append(detect(rng.uniform(0, 30, 3)))
        lists.append((time_s, found, rng.choice([1.0, 0.6])))
    return lists


def shuffled(lists, seed, most=8):
    """The lists, some of which come up to `most` frames late."""
    rng = np.random.default_rng(1000 + seed)
    delays = rng.integers(1, most, len(lists)) * (rng.random(len(lists)) < 0.3)
    delays[0] = 0
    return [lists[place] for place in np.argsort(np.arange(len(lists)) + delays, kind="stable")]


def content(track):
    """Everything of a track but its identity."""
    arrays = (track.position_m, track.velocity_mps, track.covariance)
    plain = replace(track, track_id=0, position_m=None, velocity_mps=None, covariance=None)
    return (*(array.tobytes() for array in arrays), plain)


def live(tracks):
    """Tracks that have not ended, by identity."""
    return {one.track_id: one for one in tracks if one.status is not TrackStatus.DELETED}


@pytest.mark.parametrize("model", [*BUILT_IN_FILTERS, "plain"])
@pytest.mark.parametrize("seed", range(2))
def test_lists_out_of_order_give_the_same_bytes(detect, model, seed):
    settings = Tracking(model=model)
    lists = scenario(detect, seed)
    in_order, late = Tracker(settings, 3), Tracker(settings, 3)
    for given in lists:
        expected = in_order.update(*given)
    order = shuffled(lists, seed)
    assert order != lists
    for given in order:
        tracks = late.update(*given)
        assert not late.was_late and not late.was_reset
    assert len(live(expected)) >= 3
    ours = sorted(map(repr, map(content, live(tracks).values())))
    assert ours == sorted(map(repr, map(content, live(expected).values())))
    assert late.period_s == in_order.period_s and late.time_s == in_order.time_s

    # and so on after the last one that was late
    following = [(lists[-1][0] + PERIOD_S, lists[-1][1])]
    ends = [tracker.update(*following[0]) for tracker in (in_order, late)]
    assert len({repr(sorted(map(repr, map(content, live(end).values())))) for end in ends}) == 1


@pytest.mark.parametrize("model", ["imm", "plain"])
@pytest.mark.parametrize("seed", range(3))
def test_identities_are_stable_and_every_track_ends_once(detect, model, seed):
    tracker = Tracker(Tracking(model=model, max_coast_s=0.3), 3)
    known, ended = {}, set()
    for given in shuffled(scenario(detect, seed), seed):
        tracks = tracker.update(*given)
        assert len({track.track_id for track in tracks}) == len(tracks)
        assert all(1 <= track.track_id <= tracker.num_born for track in tracks)

        # what was published goes on or ends now, and nothing ends twice or comes back
        now = live(tracks)
        over = {track.track_id for track in tracks} - set(now)
        assert set(known) <= set(now) | over
        assert not ended & {track.track_id for track in tracks}
        ended |= over

        # an established track is of the same target as before
        for number in set(known) & set(now):
            moved_m = np.linalg.norm(now[number].position_m - known[number].position_m)
            if known[number].status is TrackStatus.CONFIRMED:
                assert moved_m < 4.0
        known = now
    assert ended and known


def test_a_revised_frame_is_as_if_all_of_its_packets_had_been_in_time(detect):
    lists = scenario(detect, 7)
    complete, revised = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    for number, (time_s, found, answered) in enumerate(lists):
        expected = complete.update(time_s, found, answered)
        part = found[::2] if number % 5 == 0 else found
        tracks = revised.update(time_s, part, answered / 2 if number % 5 == 0 else answered)
        if number % 5 == 4:
            time_s, found, answered = lists[number - 4]
            tracks = revised.revise(time_s, found, answered)
            assert not revised.was_late
            ours, theirs = (map(content, live(some).values()) for some in (tracks, expected))
            assert sorted(map(repr, ours)) == sorted(map(repr, theirs))


def test_a_second_list_of_a_revised_frame_is_kept(detect):
    tracker, other = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    first, better, second = (detect((x, 0, 2), VELOCITY) for x in (0.0, 0.1, 0.2))
    for one, found in ((tracker, first), (other, better)):
        one.update(0.0, [found])
        tracks = one.update(0.0, [second])
    assert content(tracker.revise(0.0, [better])[0]) == content(tracks[0])


def test_a_target_that_a_late_list_shows_earlier_keeps_its_identity(detect):
    tracker = Tracker(SETTINGS, 3)
    for number in (0, 2, 3):
        found = [detect(VELOCITY * number * PERIOD_S, VELOCITY)] if number >= 2 else []
        (*_, before) = tracker.update(number * PERIOD_S, found) or (None,)
    assert (before.track_id, before.status) == (1, TrackStatus.TENTATIVE)
    (track,) = tracker.update(PERIOD_S, [detect(VELOCITY * PERIOD_S, VELOCITY)])
    assert (track.track_id, track.status) == (1, TrackStatus.CONFIRMED)
    assert track.age_s == pytest.approx(2 * PERIOD_S) and tracker.num_born == 1
    assert tracker.time_s == pytest.approx(3 * PERIOD_S)


def test_a_track_that_disappears_is_reported_deleted_where_it_was(detect):
    tracker = Tracker(SETTINGS, 3)
    tracker.update(0.0, [detect((0, 0, 2)), detect((20, 0, 2))])
    kept, gone = tracker.update(PERIOD_S, [])
    tracks = tracker.revise(0.0, [detect((0, 0, 2))])
    assert [(one.track_id, one.status.name) for one in tracks] == [
        (gone.track_id, "DELETED"),
        (kept.track_id, "TENTATIVE"),
    ]
    assert np.array_equal(tracks[0].position_m, gone.position_m)
    assert [one.track_id for one in tracker.update(2 * PERIOD_S, [])] == [kept.track_id]


def test_an_identity_that_has_ended_does_not_return(detect):
    tracker = Tracker(Tracking(max_coast_s=0.25), 3)

    def found(number):
        return [detect(VELOCITY * number * PERIOD_S, VELOCITY)]

    for number in range(5):
        tracker.update(number * PERIOD_S, found(number))
    ends = [tracker.update(number * PERIOD_S, []) for number in (5, 7, 8)]
    assert [(one.track_id, one.status.name) for one in ends[-1]] == [(1, "DELETED")]
    (track,) = tracker.update(6 * PERIOD_S, found(6))
    assert (track.track_id, track.status, track.num_detections) == (2, TrackStatus.COASTING, 6)
    (track,) = tracker.update(8.4 * PERIOD_S, found(8.4))
    assert (track.track_id, track.status) == (2, TrackStatus.CONFIRMED)


def test_a_list_of_a_stamp_with_others_adds_to_them(detect):
    tracker, other = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    first, second = detect((0, 0, 2), VELOCITY), detect((0.1, 0, 2), VELOCITY)
    tracker.update(0.0, [first])
    tracker.update(PERIOD_S, [])
    tracks = tracker.update(0.0, [second])
    for time_s, found in ((0.0, first), (0.0, second), (PERIOD_S, None)):
        expected = other.update(time_s, [found] if found is not None else [])
    assert [content(one) for one in tracks] == [content(one) for one in expected]
    assert tracks[0].num_detections == 2


def lived(detect, num_frames=40):
    """A tracker with a confirmed track, at 3.9 s."""
    tracker = Tracker(SETTINGS, 3)
    for number in range(num_frames):
        time_s = number * PERIOD_S
        tracks = tracker.update(time_s, [detect(VELOCITY * time_s, VELOCITY)])
    return tracker, tracks


@pytest.mark.parametrize("age_s", [HISTORY_S + 0.05, 3.0, REWIND_S - 0.05])
def test_older_lists_are_refused_and_change_nothing(detect, age_s):
    (tracker, before), (other, _) = lived(detect), lived(detect)
    tracks = tracker.update(3.9 - age_s, [detect((50, 50, 2))])
    assert tracker.was_late and not tracker.was_reset
    assert [content(one) for one in tracks] == [content(one) for one in before]
    given = (4.0, [detect(VELOCITY * 4.0, VELOCITY)])
    ours, theirs = tracker.update(*given), other.update(*given)
    assert [content(one) for one in ours] == [content(one) for one in theirs]
    assert not tracker.was_late


def test_lists_up_to_the_history_are_inserted(detect):
    tracker, _ = lived(detect)
    found = [detect(VELOCITY * (3.95 - HISTORY_S), VELOCITY)]
    (track,) = tracker.update(3.95 - HISTORY_S, found)
    assert not tracker.was_late and track.num_detections == 41


def test_a_clock_that_was_set_back_resets(detect):
    tracker, _ = lived(detect)
    tracks = tracker.update(3.9 - REWIND_S - 0.05, [detect((0, 0, 2))])
    assert tracker.was_reset and not tracker.was_late
    assert [(one.track_id, one.status.name) for one in tracks] == [(1, "DELETED"), (2, "TENTATIVE")]
    tracker.update(-6.0, [])
    assert not tracker.was_reset


def test_a_recording_in_a_loop_gives_the_same_tracks_again(detect):
    tracker = Tracker(SETTINGS, 3)
    passes = []
    for _ in range(2):
        given = [(0.5 * number, [detect((0, 0, 2))]) for number in range(25)]
        passes.append(
            [[content(one) for one in live(tracker.update(*one)).values()] for one in given]
        )
    assert passes[0] == passes[1] and tracker.num_born == 2


def test_the_history_is_bounded(detect):
    tracker = Tracker(SETTINGS, 3)
    for number in range(4 * HISTORY_LISTS):
        tracker.update(0.01 * number, [detect((0, 0, 2))])
    assert len(tracker._history) == HISTORY_LISTS
    tracker.update(tracker.time_s - 0.02 * HISTORY_LISTS, [])
    assert tracker.was_late


def test_a_refused_list_changes_nothing(detect):
    (tracker, before), (other, _) = lived(detect), lived(detect)
    unfit = replace(detect((0, 0, 0)), covariance=np.zeros((6, 6)))
    for call in (tracker.update, tracker.revise):
        with pytest.raises(ValueError, match="not positive definite"):
            call(3.5, [unfit])
    tracks = tracker.revise(3.55, [])  # no frame of that stamp
    assert tracker.was_late and [content(one) for one in tracks] == [content(one) for one in before]
    ours, theirs = (one.update(4.0, []) for one in (tracker, other))
    assert [content(one) for one in ours] == [content(one) for one in theirs]


def test_before_a_restored_state_there_is_no_history(detect):
    first, tracks = lived(detect)
    second = Tracker(SETTINGS, 3)
    second.restore(3.9, tracks, first.num_born, first.period_s)
    (track,) = second.update(3.5, [])
    assert second.was_late and not second.was_reset and track.track_id == 1
    second.update(4.1, [detect(VELOCITY * 4.1, VELOCITY)])
    (track,) = second.update(4.0, [detect(VELOCITY * 4.0, VELOCITY)])
    assert not second.was_late and track.num_detections == 42
    second.update(3.85, [])
    assert second.was_late


def test_nothing_is_inserted_after_a_reset_into_what_was_before(detect):
    tracker, _ = lived(detect)
    tracker.reset()
    assert tracker.revise(3.5, [detect((0, 0, 2))]) == () and tracker.was_late


def test_filters_that_cannot_be_copied_have_no_history(detect):
    tracker = Tracker(Tracking(model="locked"), 3)
    for number in range(HISTORY_LISTS + 2):
        tracks = tracker.update(number * PERIOD_S, [detect((0, 0, 2))])
    assert tracker.update(tracker.time_s - 0.05, [detect((0, 0, 2))]) == tracks and tracker.was_late
    assert tracks[0].status is TrackStatus.CONFIRMED


def test_a_further_source_sharpens_tracks_and_counts_no_miss(detect):
    """Its lists are between those of the frames, by 1 ms to half of a period."""
    for offset_s in (0.001, 0.05):
        tracker, alone = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
        for number in range(20):
            time_s = number * PERIOD_S
            found = [detect(VELOCITY * time_s, VELOCITY)] if number < 8 else []
            expected = alone.update(time_s, found)
            tracks = tracker.update(time_s, found)
            statuses = [[one.status for one in some] for some in (tracks, expected)]
            assert statuses[0] == statuses[1]
            between_s = time_s + offset_s
            seen = [detect(VELOCITY * between_s, VELOCITY)] if number < 8 else []
            tracks = tracker.update(between_s, seen, is_frame=False)
            if number == 7:
                assert tracks[0].num_detections == 16
                spread_m = [np.sqrt(some[0].covariance[0, 0]) for some in (tracks, expected)]
                assert spread_m[0] < 0.85 * spread_m[1]
        assert tracker.period_s == alone.period_s


def test_lists_of_a_further_source_may_be_late_too(detect):
    in_order, late = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    frames = [(n * PERIOD_S, [detect(VELOCITY * n * PERIOD_S, VELOCITY)]) for n in range(12)]
    further = [
        (time_s + 0.03, [detect(VELOCITY * (time_s + 0.03), VELOCITY)]) for time_s, _ in frames
    ]
    for frame, other in zip(frames, further):
        in_order.update(*frame)
        expected = in_order.update(*other, is_frame=False)
    for frame in frames[:8]:
        late.update(*frame)
    for other in further[:7]:
        late.update(*other, is_frame=False)
    for frame in frames[8:]:
        late.update(*frame)
    for other in further[7:]:
        tracks = late.update(*other, is_frame=False)
    assert [content(one) for one in tracks] == [content(one) for one in expected]


def crowd(detect, num_targets, x_m=0.0):
    """One detection of each of many targets in a row."""
    return [detect((x_m, 20.0 * place, 2)) for place in range(num_targets)]


def test_refused_starts_are_those_of_the_late_list_alone(detect, monkeypatch):
    monkeypatch.setattr(in_order, "MAX_TRACKS", 3)
    tracker = Tracker(SETTINGS, 3)
    tracker.update(0.0, [])
    tracker.update(PERIOD_S, crowd(detect, 5))
    assert tracker.num_refused == 2

    # none of an empty list, although the replay refuses those of the later frame again
    tracker.revise(0.0, [])
    assert tracker.num_refused == 0

    # its own, although the replay of the later frame refuses others
    tracker.revise(0.0, crowd(detect, 4))
    assert tracker.num_refused == 1


def test_a_failing_replay_changes_nothing(detect, monkeypatch):
    (tracker, _), (other, _) = lived(detect), lived(detect)

    def fail(*arguments):
        raise MemoryError

    with monkeypatch.context() as context:
        context.setattr(in_order, "beginnings", fail)
        with pytest.raises(MemoryError):
            tracker.update(3.55, [detect((50, 50, 2))])
    given = (4.0, [detect(VELOCITY * 4.0, VELOCITY), detect((50, 50, 2))])
    ours, theirs = tracker.update(*given), other.update(*given)
    assert [one.track_id for one in ours] == [one.track_id for one in theirs] == [1, 2]
    assert [content(one) for one in ours] == [content(one) for one in theirs]

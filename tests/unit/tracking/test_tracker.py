"""Guarantees of the tracker: identities, life, clock, gates, class, same bytes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cooperative_isac.fusion.detection import Detection, Evidence, detection_problem
from cooperative_isac.scene.limits import TRACK_MARGIN, state_problem
from cooperative_isac.scene.model import TargetClass, Tracking
from cooperative_isac.scene.motion_filters import BUILT_IN_FILTERS
from cooperative_isac.tracking import bank
from cooperative_isac.tracking.life import LONGEST_OUTAGE_S
from cooperative_isac.tracking.saved_tracks import loaded_scores, loaded_tracks, saved_tracks
from cooperative_isac.tracking.track import TrackStatus
from cooperative_isac.tracking.tracker import MAX_TRACKS, Tracker

VELOCITY = np.array([5.0, 0.0, 0.0])
SETTINGS = Tracking()


def feed(tracker, detect, frames, start_s=0.0, offset=(0, 0, 2), period_s=0.2):
    """Tracks of each frame of a target that moves along x; a frame that is False has no
    detection.
    """
    outputs = []
    for frame, seen in enumerate(frames):
        time_s = start_s + period_s * frame
        outputs.append(
            tracker.update(time_s, [detect(offset + VELOCITY * time_s, VELOCITY)] if seen else [])
        )
    return outputs


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_a_target_becomes_one_track_that_follows_it(detect, model, dimension):
    outputs = feed(Tracker(Tracking(model=model), dimension), detect, [True] * 10)
    assert [len(tracks) for tracks in outputs] == [1] * 10
    last = outputs[-1][0]
    assert last.track_id == 1 and last.status is TrackStatus.CONFIRMED
    assert np.allclose(last.position_m, [9, 0, 2], atol=1e-6)
    assert np.allclose(last.velocity_mps, VELOCITY, atol=1e-6)
    assert (
        last.age_s == pytest.approx(1.8) and last.since_update_s == 0 and last.num_detections == 10
    )


def test_a_track_confirms_coasts_and_is_reported_deleted_once(detect):
    outputs = feed(Tracker(SETTINGS, 3), detect, [True] * 3 + [False] * 8)
    statuses = [[track.status.name for track in tracks] for tracks in outputs]
    assert (
        statuses
        == [["TENTATIVE"]] * 2 + [["CONFIRMED"]] + [["COASTING"]] * 5 + [["DELETED"]] + [[]] * 2
    )
    assert outputs[7][0].since_update_s == pytest.approx(1.0)
    assert np.allclose(outputs[7][0].position_m, [7, 0, 2], atol=0.05)


def test_a_coasting_track_keeps_its_identity_when_its_target_returns(detect):
    outputs = feed(Tracker(SETTINGS, 3), detect, [True] * 5 + [False] * 4 + [True] * 3)
    assert [track.track_id for track in outputs[-1]] == [1]
    assert outputs[-1][0].status is TrackStatus.CONFIRMED


@pytest.mark.parametrize(
    ("gap_s", "expected"),
    [
        (0.8, [(1, TrackStatus.CONFIRMED)]),
        (5.0, [(1, TrackStatus.CONFIRMED)]),
        (LONGEST_OUTAGE_S + 1, [(1, TrackStatus.DELETED), (2, TrackStatus.TENTATIVE)]),
    ],
    ids=["lost frames", "no frames for seconds", "no frames for longer"],
)
def test_a_time_without_frames_is_bridged_up_to_a_limit(detect, gap_s, expected):
    tracker = Tracker(SETTINGS, 3)
    feed(tracker, detect, [True] * 5)
    tracks = feed(tracker, detect, [True], start_s=0.8 + gap_s)[0]
    assert [(track.track_id, track.status) for track in tracks] == expected


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
@pytest.mark.parametrize("gap_s", [0.2, 4.0])
def test_another_tracker_continues_saved_tracks(detect, model, gap_s):
    settings = Tracking(model=model)
    first, second = Tracker(settings, 3), Tracker(settings, 3)
    tracks = feed(first, detect, [True] * 20, offset=(0, 0, 8))[-1]
    second.restore(
        3.8, loaded_tracks(json.loads(json.dumps(saved_tracks(tracks)))), 7, first.period_s
    )
    stranger = detect((50, 50, 1))
    time_s = 3.8 + gap_s
    known = detect(np.array([0, 0, 8]) + VELOCITY * time_s, VELOCITY)
    one, other = (tracker.update(time_s, [known, stranger]) for tracker in (first, second))
    assert [track.track_id for track in other] == [1, 8]
    assert (other[0].status, other[0].target_class) == (TrackStatus.CONFIRMED, one[0].target_class)
    assert other[0].age_s == pytest.approx(one[0].age_s)
    assert other[0].num_detections == one[0].num_detections
    assert np.allclose(other[0].position_m, one[0].position_m, atol=0.1)


def test_a_restored_track_of_weak_detections_ends_as_it_would_have(detect):
    """Where its location is uncertain, not only after max_coast_s."""
    covariance = np.diag([0.3] * 3 + [4.0] * 3)
    found = detect((10, 10, 2), covariance=covariance)
    weak = replace(found, evidence=Evidence(20.0, -20.0))
    settings = Tracking(model="cv", max_coast_s=3.0)
    first, second = Tracker(settings, 3), Tracker(settings, 3)
    for number in range(4):
        tracks = first.update(0.2 * number, [weak])
    state = json.loads(json.dumps([saved_tracks(tracks), first.scores]))
    second.restore(0.6, loaded_tracks(state[0]), 1, first.period_s, loaded_scores(state[1]))

    def last_frame(tracker):
        """The frame without a detection in which the track ends."""
        for number in range(4, 30):
            (track,) = tracker.update(0.2 * number, ())
            if track.status is TrackStatus.DELETED:
                break
        return number

    assert last_frame(second) == last_frame(first) < 3 + settings.max_coast_s / 0.2
    assert loaded_scores({}) == {}


@pytest.mark.parametrize("saved", [[], {"one": 1.0}, {"1": None}, {"1": float("inf")}])
def test_values_that_are_no_scores_are_refused(saved):
    with pytest.raises(ValueError, match=r"score|invalid literal"):
        loaded_scores(saved)


def test_a_restored_track_that_fails_is_reported_deleted(detect):
    first, second = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    (track,) = feed(first, detect, [True] * 5)[-1]
    leaving = replace(track, track_id=2, position_m=np.array([9.9e8, 0, 0]))
    leaving = replace(leaving, velocity_mps=np.array([9e5, 0, 0]))
    second.restore(0.8, [track, leaving], 2, first.period_s)
    tracks = second.update(20.8, ())
    assert [(track.track_id, track.status) for track in tracks] == [
        (2, TrackStatus.DELETED),
        (1, TrackStatus.DELETED),
    ]
    assert second.failed == ("track 2: position_m is beyond 1e+09 m",)


def test_tentative_tracks_are_not_saved_but_their_identities_are_used(detect):
    first, second = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    tracks = feed(first, detect, [True])[-1]
    assert saved_tracks(tracks) == [] and first.num_born == 1
    second.restore(0.0, (), first.num_born, first.period_s)
    assert [track.track_id for track in feed(second, detect, [True], start_s=0.2)[0]] == [2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"covariance": np.zeros((6, 6)).tolist()}, "not positive definite"),
        ({"position_m": [1.0]}, "cannot reshape"),
        ({"velocity_mps": [0.0, np.nan, 0.0]}, "not finite"),
        ({"status": 9}, "not a valid TrackStatus"),
    ],
)
def test_invalid_saved_tracks_are_refused(detect, change, words):
    saved = saved_tracks(feed(Tracker(SETTINGS, 3), detect, [True] * 5)[-1])
    with pytest.raises(ValueError, match=words):
        loaded_tracks([{**saved[0], **change}])
    with pytest.raises(ValueError, match="not saved tracks"):
        loaded_tracks([{}])


def test_identities_are_never_used_again(detect):
    tracker, seen = Tracker(SETTINGS, 3), set()
    for life in range(3):
        for tracks in feed(tracker, detect, [True] * 3 + [False] * 7, start_s=10 * life):
            seen |= {track.track_id for track in tracks}
    assert seen == {1, 2, 3}


def test_a_clock_that_goes_backwards_resets_the_tracker(detect):
    tracker = Tracker(SETTINGS, 3)
    feed(tracker, detect, [True] * 5, start_s=100)
    assert not tracker.was_reset
    old, new = feed(tracker, detect, [True], start_s=50)[0]
    assert tracker.was_reset
    assert (old.track_id, old.status) == (1, TrackStatus.DELETED)
    assert (new.track_id, new.status) == (2, TrackStatus.TENTATIVE)
    assert old.age_s == pytest.approx(0.8) and old.since_update_s == 0
    tracks = feed(tracker, detect, [True], start_s=50.2)[0]
    assert not tracker.was_reset and [track.track_id for track in tracks] == [2]


@pytest.mark.parametrize("time_s", [np.nan, np.inf])
def test_a_stamp_that_is_not_finite_is_refused_and_changes_nothing(detect, time_s):
    tracker, other = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    feed(tracker, detect, [True] * 5)
    feed(other, detect, [True] * 5)
    with pytest.raises(ValueError, match="s is not finite"):
        tracker.update(time_s, [])
    assert_same(feed(tracker, detect, [True], 1.0), feed(other, detect, [True], 1.0))


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
def test_detections_of_one_stamp_may_come_in_two_lists(detect, model):
    together, apart = Tracker(Tracking(model=model), 3), Tracker(Tracking(model=model), 3)
    for frame in range(6):
        time_s = 0.2 * frame
        first = detect(VELOCITY * time_s, VELOCITY)
        second = detect(np.array([0, 30, 0]) - VELOCITY * time_s, -VELOCITY)
        expected = together.update(time_s, [first, second])
        apart.update(time_s, [first])
        tracks = apart.update(time_s, [second])
    assert [(t.track_id, t.status) for t in tracks] == [(t.track_id, t.status) for t in expected]
    assert apart.period_s == together.period_s == pytest.approx(0.2)
    for ours, theirs in zip(tracks, expected):
        assert np.allclose(ours.position_m, theirs.position_m, atol=1e-12)
        assert np.allclose(ours.covariance, theirs.covariance, atol=1e-12)


def test_a_second_list_of_a_frame_sharpens_a_track_and_confirms_none(detect):
    tracker = Tracker(SETTINGS, 3)
    once = tracker.update(0.0, [detect((0, 0, 2), VELOCITY)])[0]
    for _ in range(3):
        (again,) = tracker.update(0.0, [detect((0, 0, 2), VELOCITY)])
    assert again.status is TrackStatus.TENTATIVE and again.num_detections == 4
    assert np.allclose(again.covariance[0, 0], once.covariance[0, 0] / 4)


def test_an_unfit_detection_is_refused_and_changes_nothing(detect):
    tracker, other = Tracker(SETTINGS, 3), Tracker(SETTINGS, 3)
    feed(tracker, detect, [True] * 5)
    feed(other, detect, [True] * 5)
    with pytest.raises(ValueError, match="detection 0: covariance is not positive definite"):
        tracker.update(1.0, [replace(detect((0, 0, 0)), covariance=np.zeros((6, 6)))])
    assert_same(feed(tracker, detect, [True], 1.0), feed(other, detect, [True], 1.0))


def test_the_same_detections_give_the_same_bytes(detect):
    rng = np.random.default_rng(0)
    frames = [
        [detect(rng.uniform(-20, 20, 3), rng.normal(0, 3, 3)) for _ in range(3)] for _ in range(15)
    ]
    runs = []
    for _ in range(2):
        tracker = Tracker(SETTINGS, 3)
        runs.append([tracker.update(0.2 * k, frame) for k, frame in enumerate(frames)])
    assert_same(*runs)


def assert_same(first, second):
    for ours, theirs in zip(first, second, strict=True):
        assert [track.track_id for track in ours] == [track.track_id for track in theirs]
        for one, other in zip(ours, theirs):
            assert one.covariance.tobytes() == other.covariance.tobytes()
            assert one.position_m.tobytes() == other.position_m.tobytes()
            assert one.status is other.status and one.class_probability == other.class_probability


def test_snapshots_stay_what_they_were(detect):
    tracker = Tracker(SETTINGS, 3)
    first = feed(tracker, detect, [True] * 3)[-1][0]
    before = first.position_m.copy(), first.covariance.copy()
    feed(tracker, detect, [True] * 3, start_s=0.6)
    assert np.array_equal(first.position_m, before[0]) and np.array_equal(
        first.covariance, before[1]
    )


def test_crossing_targets_keep_their_identities(detect):
    tracker = Tracker(SETTINGS, 3)
    rng = np.random.default_rng(1)
    for frame in range(60):
        time_s = 0.2 * frame
        states = [((-30 + 5 * time_s, 0, 2), VELOCITY), ((30 - 5 * time_s, 0.5, 2), -VELOCITY)]
        detections = [
            detect(rng.normal(position, 0.15), rng.normal(velocity, 0.5))
            for position, velocity in rng.permutation(np.array(states))
        ]
        tracks = tracker.update(time_s, detections)
        headings = {track.track_id: np.sign(track.velocity_mps[0]) for track in tracks}
        if frame == 5:
            expected = headings
    assert headings == expected and len(tracks) == 2


def test_an_outlier_neither_ends_a_track_nor_starts_a_second_one(detect):
    tracker = Tracker(SETTINGS, 3)
    feed(tracker, detect, [True] * 10)
    tracks = tracker.update(2.0, [detect((10, 1.2, 2), VELOCITY)])
    assert [(track.track_id, track.status) for track in tracks] == [(1, TrackStatus.CONFIRMED)]
    assert abs(tracks[0].position_m[1]) < 0.3


def test_a_second_detection_of_a_known_target_starts_no_track(detect):
    tracker = Tracker(SETTINGS, 3)
    feed(tracker, detect, [True] * 10)
    split = [detect((10, 0, 2), VELOCITY), detect((10, 1.2, 2), VELOCITY)]
    assert len(tracker.update(2.0, split)) == 1
    apart = [detect((11, 0, 2), VELOCITY), detect((11, 5, 2), VELOCITY)]
    assert len(tracker.update(2.2, apart)) == 2


def test_no_track_jumps_further_than_a_target_can_move(detect):
    tracker = Tracker(Tracking(max_speed_mps=40.0), 3)
    feed(tracker, detect, [True] * 10)
    tracks = tracker.update(2.0, [detect((110, 0, 2), VELOCITY, position_std=20)])
    assert [(track.track_id, track.status) for track in tracks] == [
        (1, TrackStatus.COASTING),
        (2, TrackStatus.TENTATIVE),
    ]


def test_an_uncertain_track_does_not_take_the_detection_of_another(detect):
    tracker = Tracker(SETTINGS, 3)
    for frame in range(14):
        here = VELOCITY * 0.2 * frame
        neighbor = [detect(here + [0, 2, 0], VELOCITY)] if frame < 10 else []
        tracker.update(0.2 * frame, [detect(here, VELOCITY)] + neighbor)
    # Mahalanobis distance alone would give it to the neighbor, whose covariance has grown.
    tracks = tracker.update(2.8, [detect((14, 0.7, 0), VELOCITY)])
    assert [track.status for track in tracks] == [TrackStatus.CONFIRMED, TrackStatus.COASTING]


def test_false_alarms_confirm_nothing(detect):
    tracker, rng, statuses = Tracker(SETTINGS, 3), np.random.default_rng(2), set()
    for frame in range(200):
        alarm = detect(rng.uniform(-50, 50, 3), rng.normal(0, 5, 3))
        statuses |= {track.status for track in tracker.update(0.2 * frame, [alarm])}
    assert statuses == {TrackStatus.TENTATIVE, TrackStatus.DELETED}


def test_an_impossible_speed_starts_no_track(detect):
    tracker = Tracker(Tracking(max_speed_mps=20.0), 3)
    assert tracker.update(0.0, [detect((0, 0, 0), (30, 0, 0))]) == ()
    assert len(tracker.update(0.2, [detect((0, 0, 0), (30, 0, 0), velocity_std=5.0)])) == 1


def test_an_unknown_velocity_starts_from_the_prior(detect):
    covariance = np.diag([0.02] * 3 + [0.25, 0.25, 1e10])
    tracker = Tracker(Tracking(max_speed_mps=40.0), 3)
    track = tracker.update(0.0, [detect((1, 2, 3), (5, 0, 900), covariance=covariance)])[0]
    assert np.allclose([*track.position_m, *track.velocity_mps], [1, 2, 3, 5, 0, 0], atol=1e-3)
    assert np.allclose(np.diag(track.covariance), [0.02] * 3 + [0.25, 0.25, 1600], rtol=1e-3)


@pytest.mark.parametrize(
    ("height_m", "expected"), [(12, TargetClass.UAV), (0.5, TargetClass.VEHICLE)]
)
def test_the_class_is_unknown_first_and_then_decided_by_height(detect, height_m, expected):
    outputs = feed(Tracker(SETTINGS, 3), detect, [True] * 6, offset=(0, 0, height_m))
    assert (
        outputs[0][0].target_class is TargetClass.UNKNOWN and outputs[0][0].class_probability < 0.7
    )
    assert outputs[-1][0].target_class is expected and outputs[-1][0].class_probability > 0.9
    flat = feed(Tracker(SETTINGS, 2), detect, [True] * 6, offset=(0, 0, height_m))
    assert flat[-1][0].target_class is TargetClass.UNKNOWN and flat[-1][0].class_probability == 0.5


@pytest.mark.parametrize("variance", [1e-10, 1e6])
def test_an_exact_or_unknown_height_is_tolerated(detect, variance):
    covariance = np.diag([0.02, 0.02, variance, 0.25, 0.25, variance])
    tracker = Tracker(SETTINGS, 2)
    for frame in range(20):
        tracks = tracker.update(
            0.2 * frame, [detect((frame, 0, 1.5), VELOCITY, covariance=covariance)]
        )
    assert np.allclose(tracks[0].position_m, [19, 0, 1.5], atol=1e-6)
    assert np.linalg.eigvalsh(tracks[0].covariance).min() > 0


def test_equal_detections_make_one_track(detect):
    tracker = Tracker(SETTINGS, 3)
    for frame in range(6):
        here = VELOCITY * 0.2 * frame
        tracks = tracker.update(0.2 * frame, [detect(here, VELOCITY) for _ in range(10)])
        assert [track.track_id for track in tracks] == [1]
    assert tracks[0].status is TrackStatus.CONFIRMED


def test_targets_that_are_far_enough_apart_start_two_tracks(detect):
    tracker = Tracker(SETTINGS, 3)
    assert len(tracker.update(0.0, [detect((0, 0, 2)), detect((0, 0.4, 2))])) == 2


def test_more_tracks_than_a_frame_has_time_for_are_not_started(detect):
    tracker = Tracker(SETTINGS, 3)
    crowd = [detect((10 * number, 0, 2)) for number in range(MAX_TRACKS + 5)]
    assert len(tracker.update(0.0, crowd)) == MAX_TRACKS and tracker.num_refused == 5
    tracker.update(0.2, [])
    assert tracker.num_refused == 0


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
@pytest.mark.parametrize("step", ["predict", "update"])
def test_a_track_whose_filter_fails_is_dropped_and_the_others_go_on(
    detect, model, step, monkeypatch
):
    tracker = Tracker(Tracking(model=model), 3)
    for frame in range(5):
        tracker.update(
            0.2 * frame, [detect((frame, 0, 2), (5, 0, 0)), detect((frame, 40, 2), (5, 0, 0))]
        )

    step_of_the_bank = getattr(bank, step)

    def spoiled(*arguments):
        result = step_of_the_bank(*arguments)
        result.means[0] = np.nan
        return result

    monkeypatch.setattr(bank, step, spoiled)
    both = [detect((5, 0, 2), (5, 0, 0)), detect((5, 40, 2), (5, 0, 0))]
    tracks = {track.track_id: track for track in tracker.update(1.0, both)}
    assert tracks[1].status is TrackStatus.DELETED and tracks[2].status is TrackStatus.CONFIRMED
    assert np.isfinite(tracks[1].position_m).all()
    assert tracker.failed == ("track 1: position_m is not finite",)
    monkeypatch.undo()
    tracker.update(1.2, [])
    assert tracker.failed == ()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    model=st.sampled_from(["cv", "imm"]),
    dimension=st.sampled_from([2, 3]),
)
def test_every_track_of_extreme_detections_is_valid(seed, model, dimension):
    generator = np.random.default_rng(seed)
    tracker, time_s = Tracker(Tracking(model=model), dimension), 0.0
    base = 10 ** generator.uniform(0, 7) * generator.choice([-1, 1], 3)
    for _ in range(8):
        time_s += 10 ** generator.uniform(-3, 0)
        detections = [extreme(generator, base) for _ in range(generator.integers(0, 4))]
        tracks = tracker.update(
            time_s, [one for one in detections if detection_problem(one) is None]
        )
        for track in tracks:
            state = track.position_m, track.velocity_mps, track.covariance
            assert state_problem(*state, TRACK_MARGIN) is None


def extreme(generator, base):
    """A detection with a covariance of any size and shape."""
    axes, _ = np.linalg.qr(generator.normal(size=(6, 6)))
    variances = 10 ** (generator.uniform(-13, 11) + generator.uniform(-6, 6, 6))
    covariance = (axes * variances) @ axes.T
    position = base + generator.normal(size=3) * 10 ** generator.uniform(-2, 3)
    velocity = generator.normal(size=3) * 10 ** generator.uniform(-2, 3.5)
    return Detection(position, velocity, (covariance + covariance.T) / 2, 20.0, ("rx1",), 2)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match=r"dimension 4 is unknown; allowed: \[2, 3\]"):
        Tracker(SETTINGS, 4)
    with pytest.raises(ValueError, match="'singer' is unknown"):
        Tracker(Tracking(model="singer"), 3)

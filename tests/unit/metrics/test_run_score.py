"""A run's score over small stories whose outcome is known."""

import numpy as np
import pytest

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.run_score import RunScore
from cooperative_isac.scene.model import TargetClass, TargetState, Tracking
from cooperative_isac.tracking.track import Track, TrackStatus

SETTINGS = Tracking(confirm_window=2, max_coast_s=1.0)
COVARIANCE = np.diag([0.04] * 3 + [0.25] * 3)


def target(name="car", position=(0.0, 0.0, 0.0)):
    return TargetState(name, TargetClass.VEHICLE, np.array(position, float), np.zeros(3))


def track(track_id=1, position=(0.0, 0.0, 0.0), status=TrackStatus.CONFIRMED):
    return Track(
        track_id,
        status,
        TargetClass.UNKNOWN,
        0.5,
        np.array(position, float),
        np.zeros(3),
        COVARIANCE,
        1.0,
        0.0,
        5,
    )


def detection(position, velocity=(0.0, 0.0, 0.0)):
    return Detection(
        np.array(position, float), np.array(velocity, float), COVARIANCE, 20.0, ("rx1",), 2
    )


def play(frames, period_s=0.2, dimension=3):
    """Score of (truths, tracks) frame by frame; None is a frame that was lost."""
    score = RunScore(1.0, SETTINGS, dimension)
    for number, frame in enumerate(frames):
        if frame is not None:
            score.add(period_s * number, frame[0], [], frame[1])
    return score.summary()


def test_frames_of_confirmation_do_not_count():
    summary = play([([target()], [])] * 2 + [([target()], [track()])] * 8)
    assert (summary.frames, summary.confirmed_tracks, summary.false_tracks) == (10, 1, 0)
    assert summary.targets["car"].continuity == 1 and summary.targets["car"].frames == 8


def test_continuity_falls_with_missing_tentative_and_distant_tracks():
    good = ([target()], [track()])
    coasting = ([target()], [track(status=TrackStatus.COASTING)])
    bad = [
        ([target()], []),
        ([target()], [track(status=TrackStatus.TENTATIVE)]),
        ([target()], [track(status=TrackStatus.DELETED)]),
        ([target()], [track(position=(0, 2, 0))]),
    ]
    summary = play([good] * 5 + [coasting] * 3 + bad)
    assert summary.targets["car"].continuity == pytest.approx(6 / 10)
    assert summary.targets["car"].identity_switches == 0


def test_rmse_is_that_of_the_tracked_frames():
    frames = [([target()], [track(position=(error, 0, 0))]) for error in (0.9, 0.9, 0.3, 0.4, 7.0)]
    assert play(frames).targets["car"].rmse_m == pytest.approx(np.sqrt((0.09 + 0.16) / 2))


def test_a_change_of_track_is_a_switch_for_each_target():
    apart = [target("a"), target("b", (9, 0, 0))]
    before = [track(1), track(2, (9, 0, 0))]
    after = [track(2), track(1, (9, 0, 0))]
    summary = play([(apart, before)] * 4 + [(apart, after)] * 4)
    assert [score.identity_switches for score in summary.targets.values()] == [1, 1]
    assert summary.targets["a"].continuity == 1


def test_targets_that_meet_keep_their_tracks_while_these_are_near():
    apart = ([target("a"), target("b", (9, 0, 0))], [track(1), track(2, (9, 0, 0))])
    met = ([target("a"), target("b", (0.5, 0, 0))], [track(1, (0.3, 0, 0)), track(2, (0.2, 0, 0))])
    summary = play([apart] * 3 + [met] * 2 + [apart] * 2)
    assert [score.identity_switches for score in summary.targets.values()] == [0, 0]


def test_a_target_that_comes_back_after_a_while_appears_anew():
    first = ([target()], [track(1)])
    second = ([target()], [track(2)])
    for pause, switches, frames in ((2, 1, 6), (8, 0, 4)):
        score = play([first] * 4 + [None] * pause + [second] * 4).targets["car"]
        assert (score.identity_switches, score.frames) == (switches, frames)


def test_a_rewound_clock_begins_a_new_appearance():
    score = RunScore(1.0, SETTINGS, 3)
    for time_s, track_id in ((10.0, 1), (10.2, 1), (10.4, 1), (0.0, 2), (0.2, 2), (0.4, 2)):
        score.add(time_s, [target()], [], [track(track_id)])
    assert score.summary().targets["car"].identity_switches == 0
    assert score.summary().targets["car"].frames == 2


def test_ghosts_and_second_tracks_are_false():
    frame = (
        [target()],
        [
            track(1),
            track(2, (0.5, 0, 0)),
            track(3, (30, 0, 0)),
            track(4, (50, 0, 0), TrackStatus.TENTATIVE),
        ],
    )
    summary = play([frame] * 6)
    assert (summary.false_tracks, summary.confirmed_tracks) == (2, 3)
    # Two false tracks at 5 m^2 / 2 each.
    assert summary.gospa_m == pytest.approx(5.0)


def test_a_plane_scene_is_scored_in_the_plane():
    frames = [([target()], [track(position=(0.3, 0, 5))])] * 4
    assert play(frames, dimension=2).targets["car"].rmse_m == pytest.approx(0.3)
    assert play(frames, dimension=3).targets["car"].continuity == 0


def test_live_figures_judge_the_detections_of_true_targets():
    score = RunScore(1.0, SETTINGS, 3)
    found = detection((0.2, 0, 0), (0, 0.5, 0))  # one standard deviation in each of two axes
    figures = score.add(
        0.0, [target()], [found, detection((40, 0, 0))], [track(position=(0, 0.5, 0))]
    )
    assert figures.num_detected == 1
    assert figures.nees == pytest.approx(2)
    # Chi-square with 6 degrees of freedom, 2.5 % and 97.5 %.
    assert (figures.nees_low, figures.nees_high) == pytest.approx((1.237, 14.449), abs=1e-3)
    assert figures.error_to_bound == pytest.approx(1 / np.sqrt(3))
    assert (figures.gospa.distance_m, figures.gospa.num_missed) == (pytest.approx(0.5), 0)
    assert score.add(0.2, [target()], [found], [], {"car": 0.1}).error_to_bound == pytest.approx(2)
    assert score.summary().nees == pytest.approx(2)


def test_frames_without_detections_have_no_figures():
    score = RunScore(1.0, SETTINGS, 3)
    assert score.summary().gospa_m is None
    figures = score.add(0.0, [target()], [], [])
    assert (figures.num_detected, figures.nees, figures.error_to_bound) == (0, None, None)
    summary = score.summary()
    car = summary.targets["car"]
    assert (summary.nees, car.continuity, car.rmse_m) == (None, None, None)
    assert summary.gospa_m == pytest.approx(np.sqrt(12.5))


def test_an_infinite_figure_does_not_spoil_the_mean():
    score = RunScore(1.0, SETTINGS, 3)
    flat = Detection(np.zeros(3), np.array([1.0, 0, 0]), 5e-324 * np.eye(6), 20.0, ("rx1",), 2)
    assert not np.isfinite(score.add(0.0, [target()], [flat], []).nees)
    figures = score.add(0.2, [target()], [detection((0.2, 0, 0))], [])
    assert score.summary().nees == pytest.approx(figures.nees)


def test_a_class_may_have_a_threshold_of_its_own():
    """Both tracks are 1.5 m off; only a vehicle may be."""
    drone = TargetState("drone", TargetClass.UAV, np.array([50.0, 0, 0]), np.zeros(3))
    score = RunScore(1.0, SETTINGS, 3, {TargetClass.VEHICLE: 2.0})
    for number in range(10):
        tracks = [track(1, (0, 1.5, 0)), track(2, (50, 1.5, 0))]
        score.add(0.2 * number, [target(), drone], [], tracks)
    summary = score.summary()
    continuity = {name: item.continuity for name, item in summary.targets.items()}
    assert continuity == {"car": 1, "drone": 0}
    assert (summary.confirmed_tracks, summary.false_tracks) == (2, 1)


def test_quality_is_that_of_the_tracks_of_expected_targets():
    """A track 2 m off is an error, one 4 m off is false; frames of confirmation do not count."""
    early = ([target()], [track(position=(2.9, 0, 0))])
    near = ([target()], [track(position=(0.3, 0.4, 0.1))])
    off = ([target()], [track(position=(0, 0, 2))])
    far = ([target()], [track(position=(0, 4, 0))])
    missed = ([target()], [track(status=TrackStatus.TENTATIVE)])
    quality = play([early] * 2 + [near] * 5 + [off] + [far] * 2 + [missed] * 2).quality
    assert quality.num_samples == 6
    assert quality.horizontal_95_m == pytest.approx(0.5)
    assert quality.vertical_95_m == pytest.approx(2.0)
    assert quality.missed_share == pytest.approx(4 / 10)
    assert quality.false_share == pytest.approx(2 / 8)


def test_a_second_track_of_a_target_is_false_in_the_quality():
    frame = ([target()], [track(1), track(2, (0.5, 0, 0))])
    # Two frames of confirmation have one track that counts, the others two.
    assert play([frame] * 6).quality.false_share == pytest.approx(6 / 10)


def test_quality_in_a_plane_has_horizontal_errors_only():
    frames = [([target()], [track(position=(0.3, 0, 5))])] * 4
    quality = play(frames, dimension=2).quality
    assert quality.horizontal_95_m == pytest.approx(0.3) and quality.vertical_95_m is None

"""Sequential test of tracks with weak detections: Wald's bounds, and tracks that it confirms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.detection import Evidence
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.life import LEAST_DETECTIONS, Gains, advance, unborn
from cooperative_isac.tracking.measurement import stack
from cooperative_isac.tracking.motion_models import ACCELERATION_MEMORY_S
from cooperative_isac.tracking.sequential_test import (
    BOUND_SHARE,
    DISPLACEMENT_MARGIN,
    MISS_RATIO,
    SequentialTest,
    track_test,
)
from cooperative_isac.tracking.track import TrackStatus
from cooperative_isac.tracking.tracker import Tracker

SETTINGS = Tracking(confirm_hits=3, confirm_window=4, max_coast_s=1.0)
TEST = SequentialTest(4.0, -2.5)
CONFIRMED = TrackStatus.CONFIRMED.value
DELETED = TrackStatus.DELETED.value
PERIOD_S = 0.2


def advanced(life, log_ratios, hit=True, weak=True, test=TEST):
    """Lives after one more frame with the same kind of detection for all tracks."""
    evidence = Gains(np.full(len(log_ratios), weak), log_ratios, test)
    return advance(life, hit, 0.0, SETTINGS, evidence=evidence)


def shares_of_drawn_tracks(with_target, separation, test, num=20000):
    """Shares of tracks that are confirmed and deleted, and the scores of the confirmed ones.

    The ratios are those of a normal variable whose mean differs by `separation` deviations.
    """
    rng = np.random.default_rng(3)
    life = unborn(num)
    mean = separation**2 / 2 * (1 if with_target else -1)
    for _ in range(400):
        life = advanced(life, rng.normal(mean, separation, num), test=test)
        if life.deleted.sum() + (life.statuses == CONFIRMED).sum() == num:
            break
    confirmed = life.statuses == CONFIRMED
    return confirmed.mean(), life.deleted.mean(), life.scores[confirmed]


@pytest.mark.parametrize("separation", [0.5, 1.5])
def test_false_tracks_and_missed_targets_are_within_walds_bounds(separation):
    false, ended, _ = shares_of_drawn_tracks(False, separation, TEST)
    found, missed, scores = shares_of_drawn_tracks(True, separation, TEST)
    assert false + ended == 1.0 and found + missed == 1.0
    assert false <= found * math.exp(-TEST.accept)
    assert missed <= ended * math.exp(TEST.reject)

    # Wald's identity, by which scores of targets give the rate of false tracks.
    deviation = math.sqrt(false / 20000)
    assert false == pytest.approx(found * np.mean(np.exp(-scores)), abs=4 * deviation)


def test_excess_over_the_threshold_follows_siegmund():
    """Normal ratios: excess of 0.583 deviations, for ratios small beside the threshold."""
    separation = 0.5
    _, _, scores = shares_of_drawn_tracks(True, separation, TEST)
    excess = -math.log(np.mean(np.exp(-(scores - TEST.accept))))
    assert excess == pytest.approx(0.583 * separation, rel=0.15)


def test_lives_advance_as_in_a_plain_loop():
    rng = np.random.default_rng(5)
    num = 400
    life = unborn(num)
    scores = np.full(num, -np.inf)
    frames = np.zeros(num, int)
    hits = np.zeros(num, int)
    weaks = np.zeros(num, int)
    in_a_row = np.zeros(num, int)
    statuses = np.zeros(num, int)
    share = TEST.accept / SETTINGS.confirm_hits
    for _ in range(12):
        hit = rng.random(num) < 0.7
        weak = rng.random(num) < 0.6
        gains = rng.normal(0.5, 1.5, num)
        observed = bool(rng.random() < 0.8)
        evidence = Gains(weak, gains, TEST)
        life = advance(life, hit, 0.0, SETTINGS, 0.0, observed, evidence)
        for track in range(num):
            if hit[track] and not weak[track]:
                in_a_row[track] += 1
            elif hit[track] or observed:
                in_a_row[track] = 0
            if statuses[track] == DELETED:
                continue
            if statuses[track] != 0 and in_a_row[track] >= 3:
                scores[track] = -np.inf
            if statuses[track] != 0:
                statuses[track] = CONFIRMED if hit[track] else TrackStatus.COASTING.value
                continue
            if hit[track] or observed:
                frames[track] += 1
            if hit[track] and weak[track]:
                if scores[track] == -np.inf:
                    scores[track] = share * hits[track]
                scores[track] += gains[track]
                weaks[track] += 1
            elif hit[track]:
                scores[track] += share
                hits[track] += 1
            elif observed:
                scores[track] += MISS_RATIO
            by_number = hits[track] >= 3 and frames[track] <= 4
            enough = hits[track] + weaks[track] >= LEAST_DETECTIONS
            by_score = enough and scores[track] >= TEST.accept
            if by_number or by_score:
                statuses[track] = CONFIRMED
            elif hits[track] + 4 - frames[track] < 3 and scores[track] <= TEST.reject:
                statuses[track] = DELETED
        np.testing.assert_array_equal(life.statuses, statuses)
        alive = statuses != DELETED
        np.testing.assert_allclose(life.scores[alive], scores[alive])
        np.testing.assert_array_equal(life.num_strong, in_a_row)
    assert set(statuses) >= {1, 2, 3}


def test_threshold_follows_from_the_rate_of_false_tracks():
    test = track_test(0.05, PERIOD_S)
    noise_ratio = test.accept - DISPLACEMENT_MARGIN
    assert math.exp(-noise_ratio) * BOUND_SHARE == pytest.approx(0.05 * PERIOD_S / 60)
    assert track_test(0.5, PERIOD_S).accept == pytest.approx(test.accept - math.log(10))
    assert track_test(1e9, PERIOD_S).accept == 0.0


def weak_detections(detect, evidence, num_frames):
    """Tracks of each frame of a target at rest with weak detections."""
    tracker = Tracker(SETTINGS, 3)
    detection = replace(detect((10, 10, 2)), evidence=evidence)
    return [tracker.update(PERIOD_S * number, [detection]) for number in range(num_frames)]


def test_weak_detections_confirm_by_their_evidence_and_never_by_their_number(detect):
    # An innovation of zero has a density of about exp(-1).
    strong = weak_detections(detect, Evidence(6.0, -6.0), 2)
    assert [tracks[0].status for tracks in strong] == [
        TrackStatus.TENTATIVE,
        TrackStatus.CONFIRMED,
    ]
    dense = weak_detections(detect, Evidence(1.0, 20.0), 12)
    assert not any(track.status is TrackStatus.CONFIRMED for tracks in dense for track in tracks)


def test_one_weak_detection_confirms_none(detect):
    (tracks,) = weak_detections(detect, Evidence(100.0, 0.0), 1)
    assert tracks[0].status is TrackStatus.TENTATIVE


def test_score_of_a_second_detection_is_the_density_of_its_innovation(detect):
    """Closed form at rest: the covariance of the innovation is that of both detections and of the
    motion between them.
    """
    settings = Tracking(model="cv", max_speed_mps=1e6)
    tracker = Tracker(settings, 3)
    detection = replace(detect((10, 10, 2)), evidence=Evidence(3.0, -5.0))
    tracker.update(0.0, [detection])
    assert list(tracker.scores.values()) == [3.0]
    tracker.update(PERIOD_S, [detection])

    steps = np.eye(6) + PERIOD_S * np.eye(6, k=3)
    accelerations = [settings.accel_std_mps2] * 2 + [settings.vertical_accel_std_mps2]
    density = np.diag(2 * ACCELERATION_MEMORY_S * np.square(accelerations))
    noise = np.block(
        [
            [PERIOD_S**3 / 3 * density, PERIOD_S**2 / 2 * density],
            [PERIOD_S**2 / 2 * density, PERIOD_S * density],
        ]
    )
    spread = steps @ detection.covariance @ steps.T + noise + detection.covariance
    log_density = -0.5 * np.linalg.slogdet(2 * np.pi * spread)[1]
    assert tracker.scores[1] == pytest.approx(3.0 + log_density + 5.0, abs=1e-3)


def established_track(detect):
    """A tracker with an established track of a target at rest, after three frames."""
    tracker = Tracker(SETTINGS, 3)
    for number in range(3):
        (track,) = tracker.update(PERIOD_S * number, [detect((10, 10, 2))])
    assert track.status is TrackStatus.CONFIRMED
    return tracker


@pytest.mark.parametrize(
    ("log_false_density", "status", "num_detections"),
    [(-10.0, TrackStatus.CONFIRMED, 7), (50.0, TrackStatus.COASTING, 3)],
)
def test_weak_detections_keep_an_established_track_unless_they_are_false(
    detect, log_false_density, status, num_detections
):
    tracker = established_track(detect)
    weak = replace(detect((10, 10, 2)), evidence=Evidence(0.1, log_false_density))
    for number in range(3, 7):
        track = tracker.update(PERIOD_S * number, [weak])[0]
    assert track.status is status and track.num_detections == num_detections


def test_a_weak_detection_updates_by_the_probability_that_it_is_of_the_track(detect):
    """Of one as likely as a false one, the update is that of a detection with twice its covariance;
    of a sure one, that of a detection by stations.
    """
    near = detect((10.5, 10, 2))

    def updated(detection):
        """State and covariance after one more frame with a detection."""
        (track,) = established_track(detect).update(PERIOD_S * 3, [detection])
        return np.concatenate([track.position_m, track.velocity_mps, track.covariance.ravel()])

    # Log-likelihood of the innovation: the density at which the score of a new frame is zero.
    tracker = established_track(detect)._present
    measured = stack([near])
    tracker._predict(PERIOD_S)
    pairs = tracker._pairs(np.array([0]), measured, 1.0)
    (log_likelihood,) = pairs.log_likelihoods(6)

    sure = replace(near, evidence=Evidence(1.0, log_likelihood - 40.0))
    even = replace(near, evidence=Evidence(1.0, log_likelihood))
    twice = replace(near, covariance=2 * near.covariance)
    assert np.allclose(updated(sure), updated(near), rtol=1e-9)
    assert np.allclose(updated(even), updated(twice), rtol=1e-6)


@pytest.mark.parametrize(
    ("kinds", "num_frames"),
    [
        ("ww", 4),
        ("ss", 6),
        ("wwss", 6),  # stations have detected it as often as confirms a track
        ("wws", 4),
        ("wwsws", 5),
        ("wws.s", 5),
        ("wwssw", 6),
    ],
)
def test_only_a_weak_track_ends_where_its_prediction_is_uncertain(detect, kinds, num_frames):
    """With a velocity to 2 m/s, a prediction is off by more than 2 m after four frames.

    kinds: of the detections, weak, strong, or none
    """
    settings = replace(SETTINGS, confirm_hits=2, model="cv")
    tracker = Tracker(settings, 3)
    strong = detect((10, 10, 2), covariance=np.diag([0.3] * 3 + [4.0] * 3))
    detections = {
        "w": [replace(strong, evidence=Evidence(20.0, -20.0))],
        "s": [strong],
        ".": [],
    }
    for number, kind in enumerate(kinds):
        (track,) = tracker.update(PERIOD_S * number, detections[kind])
    assert track.status is TrackStatus.CONFIRMED

    statuses = []
    while track.status is not TrackStatus.DELETED:
        number += 1
        (track,) = tracker.update(PERIOD_S * number, [])
        statuses.append(track.status)
    assert statuses == [TrackStatus.COASTING] * (num_frames - 1) + [TrackStatus.DELETED]


def test_drawn_false_detections_confirm_fewer_tracks_than_walds_bound(detect):
    """False detections with the densities and ratios that they state, in a small box.

    Ratios l of targets' detections have the density exp(-l / 2) / 2, so those of false ones have
    exp(-l) times that, a third of one in a frame. The bound is exp(-accept) false tracks a frame.
    """
    rng = np.random.default_rng(7)
    accept = 1.0
    noise_ratio = accept - DISPLACEMENT_MARGIN
    rate = BOUND_SHARE * math.exp(-noise_ratio) * 60 / PERIOD_S
    assert track_test(rate, PERIOD_S).accept == pytest.approx(accept)
    tracker = Tracker(Tracking(false_tracks_per_minute=rate), 3)
    side_m = 2.0
    speed_mps = 1.0
    num_frames = 800
    established = set()
    for number in range(num_frames):
        detections = []
        for _ in range(rng.poisson(1 / 3)):
            velocity_mps = rng.normal(0, speed_mps, 3)
            log_density = -0.5 * np.sum(velocity_mps**2) / speed_mps**2
            log_density -= 3 * math.log(side_m * speed_mps * math.sqrt(2 * math.pi))
            ratio = rng.exponential(2 / 3)
            detection = detect(rng.uniform(0, side_m, 3), velocity_mps)
            evidence = Evidence(ratio, log_density - ratio)
            detections.append(replace(detection, evidence=evidence))
        tracks = tracker.update(PERIOD_S * number, detections)
        established |= {track.track_id for track in tracks if track.status is TrackStatus.CONFIRMED}
    bound = num_frames * math.exp(-accept)
    assert 0 < len(established) < bound

"""Frames with missing receivers: partial detections, and coasting without observation."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.detection import PARTIAL
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.life import LONGEST_OUTAGE_S
from cooperative_isac.tracking.track import TrackStatus
from cooperative_isac.tracking.tracker import Tracker

PERIOD_S = 0.2
VELOCITY = np.array([5.0, 0.0, 0.0])
SETTINGS = Tracking(max_coast_s=1.0)


@pytest.fixture
def seen(detect):
    """The detection of a target that moves along x, in frame `number`."""

    def build(number, **options):
        return detect((5 * PERIOD_S * number, 0, 2), VELOCITY, **options)

    return build


@pytest.fixture
def part(seen):
    """The same by one receiver: located, its velocity unobserved across x."""

    def build(number):
        covariance = np.diag([0.2, 0.2, 0.2, 0.3, 20.0, 20.0]) ** 2
        return replace(seen(number, covariance=covariance), num_paths=PARTIAL)

    return build


@pytest.fixture
def tracker(seen):
    """A tracker with one confirmed track, after frames 0 to 4."""
    tracker = Tracker(SETTINGS, 3)
    for number in range(5):
        tracker.update(PERIOD_S * number, [seen(number)])
    return tracker


def test_partial_detections_start_no_track(part):
    tracker = Tracker(SETTINGS, 3)
    for number in range(10):
        assert tracker.update(PERIOD_S * number, [part(number)], 1 / 3) == ()


def test_partial_detections_confirm_no_track(seen, part):
    tracker = Tracker(SETTINGS, 3)
    tracker.update(0.0, [seen(0)])
    statuses = {
        track.status
        for number in range(1, 20)
        for track in tracker.update(PERIOD_S * number, [part(number)], 1 / 3)
    }
    assert statuses == {TrackStatus.TENTATIVE, TrackStatus.DELETED}


def test_partial_detections_keep_a_track_that_would_drift(part):
    """A turn that begins when packets of all receivers but one are lost."""
    errors = {}
    for partial in (True, False):
        tracker = Tracker(SETTINGS, 3)
        for number in range(14):
            # Straight for eight frames, then to the left at 45 degrees a second.
            turned = np.radians(45) * PERIOD_S * max(number - 8, 0)
            radius = 5 / np.radians(45)
            straight = 5 * PERIOD_S * min(number, 8)
            place = (straight + radius * np.sin(turned), radius * (1 - np.cos(turned)), 2)
            speed = (5 * np.cos(turned), 5 * np.sin(turned), 0)
            detection = replace(
                part(number), position_m=np.array(place), velocity_mps=np.array(speed)
            )
            whole = replace(detection, num_paths=2, covariance=0.01 * np.eye(6))
            if number <= 8:
                (track,) = tracker.update(PERIOD_S * number, [whole])
            else:
                (track,) = tracker.update(PERIOD_S * number, [detection] * partial, 1 / 3)
        errors[partial] = np.linalg.norm(track.position_m - place)
        assert track.track_id == 1
    assert errors[True] < 0.2 and errors[False] > 1.0


def test_a_partial_detection_is_not_associated_with_inflated_covariance(tracker, part):
    away = replace(part(5), position_m=part(5).position_m + [0, 0, 1.5])
    (track,) = tracker.update(PERIOD_S * 5, [away], 1 / 3)
    assert track.status is TrackStatus.COASTING


def test_a_track_outlives_frames_without_any_packet(tracker, seen):
    for number in range(5, 15):
        (track,) = tracker.update(PERIOD_S * number, [], 0.0)
        assert track.status is TrackStatus.COASTING
    (track,) = tracker.update(PERIOD_S * 15, [seen(15)])
    assert (track.track_id, track.status) == (1, TrackStatus.CONFIRMED)


def test_a_miss_counts_in_proportion_to_the_packets_that_arrived(tracker):
    lived_s = 0.0
    number = 5
    while any(
        track.status is TrackStatus.COASTING for track in tracker.update(PERIOD_S * number, [], 0.5)
    ):
        lived_s += PERIOD_S
        number += 1
    assert lived_s == pytest.approx(2 * SETTINGS.max_coast_s)


def test_no_track_coasts_longer_than_the_longest_outage(tracker):
    last = int(4 + LONGEST_OUTAGE_S / PERIOD_S)
    for number in range(5, last + 1):
        (track,) = tracker.update(PERIOD_S * number, [], 0.0)
        assert track.status is TrackStatus.COASTING
    (track,) = tracker.update(PERIOD_S * (last + 1), [], 0.0)
    assert track.status is TrackStatus.DELETED


def test_frames_without_any_packet_end_no_tentative_track(seen):
    tracker = Tracker(SETTINGS, 3)
    tracker.update(0.0, [seen(0)])
    for number in range(1, 4):
        (track,) = tracker.update(PERIOD_S * number, [], 0.0)
    for number in (4, 5):
        (track,) = tracker.update(PERIOD_S * number, [seen(number)])
    assert (track.track_id, track.status) == (1, TrackStatus.CONFIRMED)

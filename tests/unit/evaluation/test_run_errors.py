"""Errors of the tracks of a run over time."""

import numpy as np

from cooperative_isac.evaluation.run_errors import track_errors
from cooperative_isac.evaluation.run_record import RunRecorder
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus

PLACE_M = np.array([10.0, 20.0, 5.0])
STILL = np.zeros(3)


def track(offset_m, status=TrackStatus.CONFIRMED, number=1):
    place_m = PLACE_M + offset_m
    covariance = np.diag([0.04, 0.09, 0.36, 1, 1, 1])
    return Track(number, status, TargetClass.UAV, 0.9, place_m, STILL, covariance, 1.0, 0.0, 4)


def record(*frames):
    """Record of a run of one target, with the given tracks of each frame."""
    recorder = RunRecorder()
    truth = TargetState("uav", TargetClass.UAV, PLACE_M, STILL)
    for number, tracks in enumerate(frames):
        recorder.add(number + 7, 10**12 + number * 200_000_000, [truth], [], tracks, True)
    return recorder.record()


def test_errors_are_those_of_the_nearest_established_track():
    run = record(
        [track([0.3, 0.4, 0.0]), track([1.0, 0, 0], number=2)],
        [track([0.1, 0, 0], TrackStatus.TENTATIVE), track([0.0, 0, 2.0], TrackStatus.COASTING)],
    )
    found = track_errors(run, 3)["uav"]
    assert np.allclose(found.seconds, [0.0, 0.2])
    assert np.allclose(found.error_m, [0.5, 2.0])
    assert np.allclose(found.reported_m, [0.7, 0.7])


def test_heights_do_not_count_in_a_plane():
    found = track_errors(record([track([0.3, 0.4, 9.0])]), 2)["uav"]
    assert np.allclose(found.error_m, 0.5)
    assert np.allclose(found.reported_m, np.sqrt(0.13))


def test_frames_without_a_near_track_are_gaps():
    found = track_errors(record([], [track([50.0, 0, 0])], [track([0.0, 0, 0])]), 3)["uav"]
    assert np.isnan(found.error_m).tolist() == [True, True, False]
    assert np.isnan(found.reported_m).tolist() == [True, True, False]


def test_an_empty_run_has_no_errors():
    assert track_errors(RunRecorder().record(), 3) == {}

"""Track life, frame by frame."""

import numpy as np
import pytest

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.life import advance, expired, unborn
from cooperative_isac.tracking.track import TrackStatus

SETTINGS = Tracking(confirm_hits=3, confirm_window=4, max_coast_s=1.0)
LETTERS = {
    TrackStatus.TENTATIVE: "t",
    TrackStatus.CONFIRMED: "C",
    TrackStatus.COASTING: "c",
    TrackStatus.DELETED: "D",
}


def lives(frames, settings=SETTINGS, period_s=0.2):
    """Status letters of a track with detections (x) and misses (.) every period_s."""
    life = unborn(1)
    silent = 0
    letters = ""
    for frame in frames:
        silent = 0 if frame == "x" else silent + 1
        life = advance(life, frame == "x", silent * period_s, settings)
        letters += LETTERS[TrackStatus(life.statuses[0])]
    return letters


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("xxx", "ttC"),
        ("x.xx", "tttC"),
        ("xx.x", "tttC"),
        ("x..", "ttD"),
        ("xx..", "tttD"),
        ("x.x.", "tttD"),
        ("xxx.x..x", "ttCcCccC"),
        ("xxx......", "ttCcccccD"),
        ("xxx.......x", "ttCcccccDDD"),
    ],
)
def test_a_track_is_born_confirmed_coasts_and_dies(frames, expected):
    assert lives(frames) == expected


def test_one_hit_may_be_enough():
    assert lives("x.", Tracking(confirm_hits=1, confirm_window=1)) == "Cc"


def test_a_tentative_track_does_not_outlive_the_coasting_time():
    assert lives("x.", Tracking(confirm_hits=3, confirm_window=20), period_s=1.1) == "tD"


def test_the_rounding_of_stamps_ends_no_track():
    assert not expired(1.0 + 1e-9, SETTINGS) and expired(1.001, SETTINGS)


def test_coasting_ends_after_its_time_whatever_the_frame_rate():
    assert lives("xxx" + "." * 10, period_s=0.1) == "ttC" + "c" * 10
    assert lives("xxx" + "." * 11, period_s=0.1) == "ttC" + "c" * 10 + "D"


def test_lives_of_many_tracks_advance_as_each_by_itself():
    rng = np.random.default_rng(0)
    together = unborn(200)
    apart = [unborn(1) for _ in range(200)]
    for _ in range(12):
        hits = rng.random(200) < 0.5
        silences = np.where(hits, 0.0, rng.uniform(0, 1.3, 200))
        unobserved = rng.uniform(0, 0.4, 200)
        observed = rng.random() < 0.7
        together = advance(together, hits, silences, SETTINGS, unobserved, observed)
        apart = [
            advance(life, bool(hit), silence, SETTINGS, without, observed)
            for life, hit, silence, without in zip(apart, hits, silences, unobserved)
        ]
        statuses = [life.statuses[0] for life in apart]
        assert np.array_equal(together.statuses, statuses)
        assert np.array_equal(together.established, np.isin(statuses, [1, 2]))
    assert set(together.statuses) == {1, 2, 3}


def test_an_unobserved_frame_does_not_count_for_a_tentative_track():
    life = advance(unborn(1), True, 0.0, SETTINGS)
    for _ in range(4):
        life = advance(life, False, 0.2, SETTINGS, observed=False)
    assert TrackStatus(life.statuses[0]) is TrackStatus.TENTATIVE

"""Tracker node: tracks as messages and odometry, resets, invalid detections, resumed runs."""

import math

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Detections, StageTiming, Track, Tracks
from nav_msgs.msg import Odometry

from cooperative_isac.fusion.detection import Detection, Evidence
from cooperative_isac_ros import qos
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import DetectionList, FrameStamp
from cooperative_isac_ros.nodes import tracker as nodes_tracker
from cooperative_isac_ros.nodes.tracker import TrackerNode


class Rig:
    """A tracker with detections of one target on a straight line at 10 frames/s."""

    def __init__(self, bench, **parameters):
        self.bench = bench
        self.node = bench.start(TrackerNode, **parameters)
        self.tracks = bench.listen(Tracks, "tracks")
        self.timings = bench.listen(StageTiming, "timing")
        self.publisher = bench.publisher(Detections, "detections", profile=qos.HISTORY)
        bench.until(lambda: self.node.count_subscribers(f"{bench.namespace}/tracks"))

    def message(self, number, run=1, seen=True, missing=(), evidence=None):
        place, velocity = np.array([10.0 + 0.5 * number, 20, 0]), np.array([5.0, 0, 0])
        covariance = np.diag([0.02, 0.02, 0.01, 0.2, 0.2, 0.01])
        one = Detection(place, velocity, covariance, 20.0, ("rx1",), 2, evidence=evidence)
        found = (one,) if seen else ()
        frame = FrameStamp(run, number, 10**12 + number * 10**8)
        return conversions.detections_message(DetectionList(frame, True, found, tuple(missing)))

    def say(self, numbers, **options):
        for number in numbers:
            before = len(self.tracks)
            self.publisher.publish(self.message(number, **options))
            self.bench.until(lambda: len(self.tracks) > before)


@pytest.fixture
def rig(bench):
    return Rig(bench)


def test_a_target_becomes_a_track_with_odometry_of_its_own(bench, rig):
    rig.say(range(5))
    odometry = bench.listen(Odometry, "tracks/track_1/odom")
    bench.until(lambda: bench.helper.count_publishers(f"{bench.namespace}/tracks/track_1/odom"))
    bench.spin(0.3)
    rig.say(range(5, 8))
    bench.until(lambda: odometry and odometry[-1].header == rig.tracks[-1].header)
    (track,) = rig.tracks[-1].tracks
    assert (track.id, track.status, rig.tracks[-1].number, rig.tracks[-1].run) == (
        1,
        Track.CONFIRMED,
        7,
        1,
    )
    assert abs(track.position.x - 13.5) < 0.2 and abs(track.velocity.x - 5.0) < 0.5
    assert (
        odometry[-1].child_frame_id == f"{bench.namespace[1:]}/track_1"
        and odometry[-1].header.frame_id == "map"
    )
    assert np.allclose(
        odometry[-1].pose.covariance.reshape(6, 6)[:3, :3], track.covariance.reshape(6, 6)[:3, :3]
    )
    bench.until(lambda: len(rig.timings) == 8)
    assert rig.timings[-1].stage == "track" and rig.timings[-1].sequence == 7


def test_the_topic_of_a_track_ends_with_it(bench, rig):
    rig.say(range(5))
    topic = f"{bench.namespace}/tracks/track_1/odom"
    bench.until(lambda: bench.helper.count_publishers(topic) == 1)
    rig.say(range(5, 20), seen=False)
    assert rig.tracks[5].tracks[0].status == Track.COASTING and not rig.tracks[-1].tracks
    bench.until(lambda: bench.helper.count_publishers(topic) == 0)


def test_another_run_resets_the_tracks(rig):
    rig.say(range(5))
    rig.say([5], run=2)
    assert rig.node.health.counts["resets"] == 1
    ended, started = rig.tracks[-1].tracks
    assert (ended.status, started.status) == (Track.DELETED, Track.TENTATIVE)
    assert started.id > ended.id


def test_a_looped_recording_leads_to_the_same_tracks_again(rig):
    rig.say(range(5))
    for number in range(5):
        rig.publisher.publish(rig.message(number))
    rig.bench.until(lambda: len(rig.tracks) == 10)
    assert rig.node.health.counts["resets"] == 1 and rig.node.health.counts["detections_stale"] == 1
    assert [track.status for track in rig.tracks[5].tracks] == [Track.DELETED, Track.TENTATIVE]
    again = [
        [(t.position.x, t.status) for t in m.tracks if t.status != Track.DELETED]
        for m in rig.tracks
    ]
    assert again[:5] == again[5:]


def begun_again(rig, state_file):
    """Another tracker in place of the rig's, with the same state file."""
    rig.bench.executor.remove_node(rig.node)
    rig.bench.nodes.remove(rig.node)
    rig.node.destroy_node()
    return Rig(rig.bench, state_file=str(state_file))


@pytest.mark.parametrize(
    ("number", "run", "first", "status"),
    [
        (6, 1, 1, Track.CONFIRMED),
        (30, 1, 1, Track.CONFIRMED),
        (2, 1, 2, Track.TENTATIVE),
        (6, 2, 1, Track.TENTATIVE),
    ],
    ids=["goes on", "goes on later", "plays again", "another run"],
)
def test_a_tracker_that_is_started_again_takes_up_the_tracks_of_its_run(
    bench, tmp_path, number, run, first, status
):
    state_file = tmp_path / "new" / "tracker.json"
    rig = Rig(bench, state_file=str(state_file))
    rig.say(range(5))
    rig = begun_again(rig, state_file)
    rig.node._end_catching_up()
    rig.say([number], run=run)
    assert [(track.id, track.status) for track in rig.tracks[-1].tracks] == [(first, status)]
    assert rig.node.health.counts["resets"] == 0


def test_a_tracker_that_is_started_again_knows_its_tracks_of_weak_detections(bench, tmp_path):
    state_file = tmp_path / "tracker.json"
    rig = Rig(bench, state_file=str(state_file))
    rig.say(range(5), evidence=Evidence(20.0, -20.0))
    scores = rig.node._tracker.scores
    rig = begun_again(rig, state_file)
    rig.node._end_catching_up()
    rig.say([5])
    assert rig.node._tracker.scores == scores and list(scores) == [1]


def test_a_tracker_that_is_started_again_catches_up_with_what_it_missed(bench, tmp_path):
    state_file = tmp_path / "tracker.json"
    rig = Rig(bench, state_file=str(state_file))
    rig.say(range(5))
    bench.executor.remove_node(rig.node)
    bench.nodes.remove(rig.node)
    rig.node.destroy_node()
    for number in range(5, 9):
        rig.publisher.publish(rig.message(number))
    tracks = bench.listen(Tracks, "tracks")
    again = bench.start(TrackerNode, state_file=str(state_file))
    bench.until(lambda: len(tracks) == 4)
    assert [message.number for message in tracks] == [5, 6, 7, 8]
    assert {(track.id, track.status) for message in tracks for track in message.tracks} == {
        (1, Track.CONFIRMED)
    }
    assert again.health.counts["detections_stale"] == 0


def test_a_tracker_takes_detections_of_a_publisher_that_keeps_none(bench, tmp_path):
    state_file = tmp_path / "tracker.json"
    state_file.write_text('{"run": 7}')
    node = bench.start(TrackerNode, state_file=str(state_file))
    tracks = bench.listen(Tracks, "tracks")
    publisher = bench.helper.create_publisher(Detections, "detections", qos.STREAM)
    node._end_catching_up()
    bench.until(
        lambda: (
            publisher.get_subscription_count()
            and node.count_subscribers(f"{bench.namespace}/tracks")
        )
    )
    publisher.publish(Rig.message(None, 0))
    bench.until(lambda: tracks)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"run": 1}',
        '{"run": 1, "num_born": 1, "number": 4, "stamp_ns": 0, "tracks": [{}]}',
        '{"run": 1, "num_born": 0, "number": 4, "stamp_ns": 0, "period_s": 1, "tracks": [], '
        '"scores": [1]}',
    ],
)
def test_a_damaged_state_costs_nothing_but_itself(bench, tmp_path, text):
    state_file = tmp_path / "tracker.json"
    state_file.write_text(text)
    rig = Rig(bench, state_file=str(state_file))
    rig.say(range(5, 9))
    assert [track.status for track in rig.tracks[-1].tracks] == [Track.CONFIRMED]


def test_a_damaged_state_of_the_run_repeats_no_identity(bench, tmp_path):
    state_file = tmp_path / "tracker.json"
    state_file.write_text(
        '{"run": 1, "num_born": 3, "number": 4, "stamp_ns": 0, "period_s": 0.1, "tracks": [{}]}'
    )
    rig = Rig(bench, state_file=str(state_file))
    rig.say([9])
    assert rig.node.health.counts["states_refused"] == 1
    assert [track.id for track in rig.tracks[-1].tracks] == [4]


def test_a_state_that_cannot_be_written_is_counted(bench, tmp_path):
    (tmp_path / "file").write_text("")
    rig = Rig(bench, state_file=str(tmp_path / "file" / "tracker.json"))
    rig.say(range(3))
    assert rig.node.health.counts["states_unwritten"] == 3


@pytest.mark.parametrize(
    ("number", "run", "event"),
    [(2, 1, "detections_stale"), (2, 7, "detections_stale"), (4, 1, "detections_repeated")],
    ids=["lower number", "ended run", "same number"],
)
def test_stale_detections_cost_no_track(rig, number, run, event):
    rig.say([0], run=7)
    rig.say(range(5))
    rig.publisher.publish(rig.message(number, run=run))
    rig.bench.until(lambda: rig.node.health.counts[event] == 1)
    rig.say([5])
    (track,) = rig.tracks[-1].tracks
    assert track.status == Track.CONFIRMED and rig.node.health.counts["resets"] == 1
    assert [message.number for message in rig.tracks] == [0, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            lambda m: setattr(m.detections[0].position, "x", math.nan),
            "detection 0: position_m is not finite",
        ),
        (lambda m: m.detections[0].covariance.fill(0.0), "positive definite"),
    ],
)
def test_invalid_detections_are_refused_and_tracking_continues(bench, rig, fault, reason):
    rig.say(range(5))
    message = rig.message(5)
    fault(message)
    rig.publisher.publish(message)
    bench.until(lambda: rig.node.health.counts["detections_refused"] == 1)
    assert reason in rig.node.health.status().message
    rig.say([6])
    assert [track.id for track in rig.tracks[-1].tracks] == [1]


def test_a_second_list_of_a_stamp_updates_the_tracks(bench, rig):
    rig.say(range(5))
    message = rig.message(5)
    message.header = conversions.map_header(10**12 + 4 * 10**8)
    message.detections[0].position = rig.message(4).detections[0].position
    rig.publisher.publish(message)
    bench.until(lambda: len(rig.tracks) == 6)
    (track,) = rig.tracks[-1].tracks
    assert (track.id, track.status, track.num_detections) == (1, Track.CONFIRMED, 6)
    assert rig.tracks[-1].header.stamp == rig.tracks[-2].header.stamp
    assert rig.node.health.counts["detections_refused"] == 0


def said_late(rig, number, **options):
    """Publish a list of late detections. Returns the tracks that follow."""
    before = len(rig.tracks)
    message = rig.message(number, **options)
    rig.late.publish(message)
    rig.bench.until(lambda: len(rig.tracks) > before)
    return rig.tracks[-1]


@pytest.fixture
def late_rig(bench):
    rig = Rig(bench)
    rig.late = bench.publisher(Detections, "detections/late")
    return rig


def plain(tracks):
    """Tracks of a message without its header."""
    return [(t.id, t.status, t.position, t.covariance.tolist()) for t in tracks.tracks]


def test_late_detections_of_a_frame_replace_those_that_it_had(bench, late_rig):
    rig = late_rig
    rig.say(range(4))
    expected = plain(rig.tracks[-1])
    rig.say([0], run=2)
    for number in (1, 2, 3):
        rig.say([number], run=2, seen=number != 2, missing=["rx1"] if number == 2 else [])
    before = rig.tracks[-1]
    message = said_late(rig, 2, run=2)
    (track,) = message.tracks
    assert (message.number, message.header) == (3, before.header)
    assert track.id == before.tracks[0].id and track.num_detections == 4
    assert [values[1:] for values in plain(message)] == [values[1:] for values in expected]
    assert rig.node.health.counts["detections_inserted"] == 1
    assert len(rig.timings) == 8 and rig.node.health.counts["frames"] == 8


def test_detections_of_a_further_source_are_inserted_by_their_stamp(bench, late_rig):
    rig = late_rig
    rig.say(range(5))
    message = rig.message(3)
    message.number = 10**6
    message.sequence = 10**6
    message.header = conversions.map_header(10**12 + 35 * 10**7)
    message.detections[0].position.x += 0.25
    rig.late.publish(message)
    bench.until(lambda: len(rig.tracks) == 6)
    (track,) = rig.tracks[-1].tracks
    assert (track.num_detections, rig.tracks[-1].number) == (6, 4)

    # one of the next frame waits for it
    message.header = conversions.map_header(10**12 + 45 * 10**7)
    rig.late.publish(message)
    bench.until(lambda: rig.node._waiting)
    rig.publisher.publish(rig.message(5))
    bench.until(lambda: len(rig.tracks) == 8)
    assert rig.tracks[-1].tracks[0].num_detections == 8


def test_many_late_lists_do_not_delay_the_frames(bench, late_rig):
    rig = late_rig
    rig.say(range(6))

    # no time is left: they wait, and of those of one frame only the newest
    rig.node._late_left_s = 0.0
    for number, seen in ((3, True), (4, False), (4, True), (4, False)):
        rig.late.publish(rig.message(number, seen=seen))
    bench.until(lambda: [one.frame.number for one in rig.node._waiting] == [3, 4])
    bench.spin(0.1)
    assert len(rig.tracks) == 6 and rig.node._waiting[-1].detections == ()

    # the next frame has some; a long replay takes that of the frames after it, too
    rig.node._late_left_s = -0.07
    rig.say([6])
    bench.spin(0.1)
    assert len(rig.node._waiting) == 2 and len(rig.tracks) == 7
    rig.say([7])
    bench.until(lambda: len(rig.tracks) == 10 and not rig.node._waiting)
    assert rig.tracks[-1].tracks[0].num_detections == 7
    assert rig.node.health.counts["detections_inserted"] == 2


def test_late_lists_beyond_the_limit_are_counted(bench, late_rig, monkeypatch):
    monkeypatch.setattr(nodes_tracker, "MAX_WAITING_LISTS", 2)
    rig = late_rig
    rig.say(range(3))
    for number in range(10, 13):
        rig.late.publish(rig.message(number))
    bench.until(lambda: rig.node.health.counts["detections_late"] == 1)
    assert [one.frame.number for one in rig.node._waiting] == [11, 12]


def test_a_track_that_late_detections_remove_is_published_as_deleted(bench, late_rig):
    rig = late_rig
    rig.say(range(2))
    statuses = []
    for number in range(2):
        (track,) = said_late(rig, number, seen=False).tracks
        statuses.append((track.id, track.status))
    assert statuses == [(1, Track.TENTATIVE), (1, Track.DELETED)]
    rig.say([2])
    assert [track.id for track in rig.tracks[-1].tracks] == [2]


@pytest.mark.parametrize(
    ("number", "run", "event"), [(8, 1, "detections_late"), (19, 7, "detections_stale")]
)
def test_detections_that_are_too_late_change_nothing(bench, late_rig, number, run, event):
    rig = late_rig
    rig.say(range(20))
    rig.late.publish(rig.message(number, run=run, seen=False))
    bench.until(lambda: rig.node.health.counts[event] == 1)
    bench.spin(0.1)
    assert len(rig.tracks) == 20 and rig.node.health.counts["resets"] == 0
    rig.say([20])
    assert rig.tracks[-1].tracks[0].num_detections == 21


def test_invalid_late_detections_are_refused(bench, late_rig):
    rig = late_rig
    rig.say(range(5))
    message = rig.message(3)
    message.detections[0].covariance.fill(0.0)
    rig.late.publish(message)
    bench.until(lambda: rig.node.health.counts["detections_refused"] == 1)
    rig.say([5])
    assert [track.id for track in rig.tracks[-1].tracks] == [1]


def test_a_track_outlives_frames_without_the_only_station_of_a_scheme(bench):
    rig = Rig(bench, num_receivers=1)
    rig.say(range(5))
    rig.say(range(5, 20), seen=False, missing=["bs"])
    assert [track.status for track in rig.tracks[-1].tracks] == [Track.COASTING]


def test_a_track_outlives_frames_without_any_receiver(rig):
    rig.say(range(5))
    sites = [site.name for site in rig.node.scene.receivers]
    rig.say(range(5, 20), seen=False, missing=sites)
    assert [track.status for track in rig.tracks[-1].tracks] == [Track.COASTING]
    rig.say([20])
    (track,) = rig.tracks[-1].tracks
    assert (track.id, track.status) == (1, Track.CONFIRMED)

"""Targets in the zones of a base station and UEs: which links locate them, and what is sent."""

from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.evaluation.sequence import measure_sequence
from cooperative_isac.fronthaul.delivery import deliver
from cooperative_isac.pipeline import make_encoders, make_frame, receive_all, run
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import parse_scene, scene_path
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.schedule import scheduled_bands
from cooperative_isac.tracking.tracker import Tracker

TEXT = scene_path("bs_ue_zones").read_text()
BETWEEN_SEARCHES = 3  # first frame after a search


def zoned(*changes):
    """The shipped scene with changes of its text."""
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return parse_scene(text, Path("zones.yaml"))


def alone(kind):
    """Changes of the scene's text to one kind of cooperation everywhere."""
    return ("kinds: [A, B, C]", f"kinds: [{kind}]"), ("  zones_m: [150, 400]", "  #")


# At 16 dB less power than usual, 312 bits reach 130 m instead of 443 m, and 696 bits 86 m.
SHORT_REACH = ("power_dbm: 23.0               # dBm, of a car,", "power_dbm: 7.0  #")


def followed(scene, num_frames, begin_s=0.0):
    """Targets, packets, detections, tracks and bands of frames from a time on."""
    scheme = make_scheme("local_ml", scene)
    encoders = make_encoders(scheme)
    center = scheme.center()
    tracker = Tracker(scene.tracking, scene.dimension)
    tracks = ()
    for number in range(num_frames):
        time_s = begin_s + number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        bands = scheduled_bands(scene, number, tracks, 1 / scene.update_rate_hz)
        frame = make_frame(scene, number, time_s, bands=bands)
        packets = {
            station: encoders[station].encode(echoes, frame)
            for station, echoes in receive_all(scene, frame, targets).items()
        }
        detections = center.decode(deliver(scene, frame, packets).packets, frame)
        tracks = tracker.update(time_s, detections)
        yield targets, packets, detections, tracks, bands


def kinds(scene, links):
    """Zones of links."""
    zone_of = {band.name: band.zone for band in scene.bands}
    return {zone_of[link.band] for link in links}


@pytest.mark.parametrize(
    ("begin_s", "before", "after", "senders"),
    [
        (4.4, "A", "B", ({"bs"}, {"ue1", "ue2", "ue3"})),
        (29.6, "B", "C", ({"ue1", "ue2", "ue3"}, {"ue1", "ue2", "ue3"})),
    ],
)
def test_a_target_that_changes_its_zone_stays_one_track(begin_s, before, after, senders):
    scene = zoned(("overlap_m: 20", "overlap_m: 3"))
    frames = list(followed(scene, 10, begin_s))

    found = [kinds(scene, detections[0].links) for _, _, detections, _, _ in frames if detections]
    assert found[0] == {before} and found[-1] == {after}
    assert all(one <= {before, after} for one in found)
    assert {track.track_id for frame in frames for track in frame[3]} == {1}
    for targets, _, detections, _, _ in frames[1:]:
        assert np.linalg.norm(detections[0].position_m - targets[0].position_m) < 2.0

    # Only the stations of the zone answer between searches.
    assert set(frames[BETWEEN_SEARCHES][1]) == senders[0]
    assert set(frames[-1][1]) == senders[1]


def test_a_target_without_a_track_is_found_in_the_zone_of_no_other():
    # One target in zone B; another one comes to zone A after the first search.
    newcomer = """\
  - name: late
    class: uav
    rcs_dbsm: -12.81
    appears_s: 11.25
    motion:
      kind: constant_velocity
      position_m: [100, -20, 40]
      velocity_mps: [4, 2, 0]
      duration_s: 6
"""
    changes = [
        ("zones_m: [150, 400]", "zones_m: [135, 400]"),
        ("overlap_m: 20", "overlap_m: 5"),
        ("search_every: 20", "search_every: 8"),
        ("targets:\n", "targets:\n" + newcomer),
    ]
    scene = zoned(*changes)
    assert len(scene.targets) == 2
    frames = list(followed(scene, 13, 10.0))

    # Until the search, no link that could see it is on the air.
    for _, packets, _, _, bands in frames[BETWEEN_SEARCHES:8]:
        assert bands == ("far_down",) and "bs" not in packets
    late = next(target for target in frames[-1][0] if target.name == "late")
    distances_m = [np.linalg.norm(track.position_m - late.position_m) for track in frames[-1][3]]
    assert len(distances_m) == 2 and min(distances_m) < 1.5
    assert "near_down" in frames[-1][4] and "side1" not in frames[-1][4]


def test_a_kind_alone_uses_its_own_links():
    scene = zoned(*alone("C"))
    *_, last = followed(scene, 4, 5.0)
    assert kinds(scene, last[2][0].links) == {"C"}
    assert last[4] == ("side1", "side2", "side3")


def test_reports_of_zone_b_do_not_arrive_beyond_the_uplink():
    scene = zoned(*alone("B"), SHORT_REACH)
    snapshots = list(run(scene, 24))
    assert not any(snapshot.undelivered for snapshot in snapshots[:4])
    assert any(snapshot.detections for snapshot in snapshots[:4])
    for snapshot in snapshots[-4:]:
        assert snapshot.undelivered == ("ue1", "ue2", "ue3") == tuple(snapshot.packets)
        assert not snapshot.detections
        assert snapshot.fused_at == "bs"

    # Frames without packets are no evidence against the target: its track coasts beyond 2 s.
    found = [snapshot.number for snapshot in snapshots if snapshot.detections]
    (track,) = snapshots[-1].tracks
    assert track.since_update_s == (23 - found[-1]) / 2 > scene.tracking.max_coast_s

    # The evaluation of sequences counts them.
    figures = measure_sequence(scene, ["local_ml"], 24)["local_ml"]
    assert figures.undelivered == sum(len(snapshot.undelivered) for snapshot in snapshots)
    assert figures.fused_at == {"bs": 24}


def test_ues_fuse_among_themselves_beyond_the_uplink():
    scene = zoned(*alone("C"), SHORT_REACH)
    snapshots = list(run(scene, 24))
    for snapshot in snapshots[-4:]:
        assert snapshot.fused_at == "ue3" and not snapshot.undelivered
        (detection,) = snapshot.detections
        assert detection.sites == ("ue1", "ue2", "ue3")

    # Results get to the base station over its uplink in the first frames, and none in the last.
    kept = [snapshot.result_sender == "" for snapshot in snapshots]
    assert snapshots[0].result_sender == "ue3" and kept[-4:] == [True] * 4
    figures = measure_sequence(scene, ["local_ml"], 24)["local_ml"]
    assert figures.kept == sum(kept) and 4 <= figures.longest_kept <= figures.kept

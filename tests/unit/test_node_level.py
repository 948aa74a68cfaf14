"""Shipped scenes of node-level cooperation (DC section IV): who observes a target, and how well."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.pipeline import make_encoders, make_frame, receive_all, run
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.track import ESTABLISHED

CONFIRMED = 5  # frames until a tracker must have all targets
FOUND_M = 3.0  # largest distance of a detection from its target


def nearest(target, found):
    """The detection or track nearest to a target, and its distance, m."""
    distances = [np.linalg.norm(item.position_m - target.position_m) for item in found]
    return found[int(np.argmin(distances))], min(distances)


@pytest.mark.parametrize(
    "name", ["multi_bs", "multi_bs_clocks", "macro_micro", "bs_ue", "bs_ue_zones", "nr_uav"]
)
def test_every_target_has_a_track(name):
    scene = load_scene(name)
    for snapshot in run(scene, 12):
        tracks = [track for track in snapshot.tracks if track.status in ESTABLISHED]
        if snapshot.number < CONFIRMED:
            continue
        assert len(tracks) == len(scene.targets)
        for target in snapshot.targets:
            assert nearest(target, tracks)[1] < scene.continuity_threshold_m


def links_of_detections(scene, times_s, name):
    """Links by which a target is detected, in independent frames at some times."""
    scheme = make_scheme("local_ml", scene)
    links = set()
    for number, time_s in enumerate(times_s):
        frame = replace(make_frame(scene, number), poses=scene.poses_at(time_s))
        targets = scene_targets(scene, time_s)
        encoders = make_encoders(scheme)
        packets = {
            station: encoders[station].encode(echoes, frame)
            for station, echoes in receive_all(scene, frame, targets).items()
        }
        target = next(target for target in targets if target.name == name)
        detection, distance_m = nearest(target, scheme.center().decode(packets, frame))
        assert distance_m < 1.0
        links.update(detection.links)
    return links


def test_all_base_stations_observe_a_uav_by_their_own_echoes_and_each_others():
    links = links_of_detections(load_scene("multi_bs"), [1.0, 2.0, 3.0], "large_uav")
    assert len(links) == 16


def test_only_the_macro_station_observes_a_target_far_from_the_micro_cells():
    scene = load_scene("macro_micro")
    assert {link.tx for link in links_of_detections(scene, [20.0, 21.0], "courier")} == {"macro"}
    within = links_of_detections(scene, [2.0, 3.0], "courier")
    assert {link.tx for link in within} == {"macro", "micro1", "micro2", "micro3"}


def test_the_cars_observe_what_is_beyond_the_range_of_the_base_station():
    scene = load_scene("bs_ue")
    far = links_of_detections(scene, [2.0, 4.0, 6.0], "far")
    assert {(link.tx, link.rx) for link in far} == {("bs", "ue1"), ("bs", "ue2"), ("bs", "ue3")}
    near = links_of_detections(scene, [2.0, 4.0, 6.0], "near")
    assert ("bs", "bs") in {(link.tx, link.rx) for link in near}


def test_a_line_of_sight_hides_no_target():
    # 50 to 60 dB above the targets, to cars that move and report a position with an error.
    scene = load_scene("bs_ue")
    num_frames = 0
    for snapshot in run(scene, 6):
        if snapshot.number < 2:
            continue
        num_frames += 1
        assert len(snapshot.detections) == len(snapshot.targets)
        for target in snapshot.targets:
            assert nearest(target, snapshot.detections)[1] < FOUND_M
    assert num_frames == 4


def squared_errors(target, detections):
    """Normalized squared error of the detection of a target; none where it is not found."""
    if not detections:
        return []
    detection, distance_m = nearest(target, detections)
    if distance_m > FOUND_M:
        return []
    error = np.r_[
        detection.position_m - target.position_m, detection.velocity_mps - target.velocity_mps
    ]
    return [error @ np.linalg.solve(detection.covariance, error)]


def test_detections_of_stations_with_uncertain_positions_are_consistent():
    scene = load_scene("bs_ue")
    # A center that takes the reported positions for exact.
    stations = tuple(replace(station, position_std_m=0.0) for station in scene.stations)
    exact = replace(scene, layout=replace(scene.layout, stations=stations))
    scheme = make_scheme("local_ml", scene)
    encoders = make_encoders(scheme)
    centers = {"uncertain": scheme.center(), "exact": make_scheme("local_ml", exact).center()}

    squares = {name: [] for name in centers}
    near_squares = []
    num_frames = 0
    for number in range(20):
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        targets = scene_targets(scene, time_s)
        packets = {
            station: encoders[station].encode(echoes, frame)
            for station, echoes in receive_all(scene, frame, targets).items()
        }
        if number < CONFIRMED:
            continue
        num_frames += 1
        far = next(target for target in targets if target.name == "far")
        near = next(target for target in targets if target.name == "near")
        for name, center in centers.items():
            detections = center.decode(packets, frame)
            squares[name] += squared_errors(far, detections)
            if name == "uncertain":
                near_squares += squared_errors(near, detections)

    # Errors of six degrees of freedom; the reports contradict each other where they count as exact.
    assert len(squares["uncertain"]) == num_frames
    assert 3.0 < np.mean(squares["uncertain"]) < 9.0
    assert len(squares["exact"]) < num_frames
    assert np.median(squares["exact"]) > 20.0

    # Between base station and cars, where departures from the station's array count as well.
    assert len(near_squares) >= num_frames - 1
    assert 3.0 < np.mean(near_squares) < 8.0

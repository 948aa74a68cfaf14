"""Markers of whole scenes, projected with the cameras of RViz's views."""

import numpy as np
import pytest
import yaml
from rviz_camera import Picture, contrast, inside, overlap, points_of
from visualization_msgs.msg import Marker

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.display import markers
from cooperative_isac_ros.display.rviz import scene_view
from cooperative_isac_ros.display.scene_layout import FIGURES_COLUMNS, FIGURES_LINES, scene_layout
from cooperative_isac_ros.messages.conversions import to_point

SCENES = ["campus", "yard", "cell_free_table1", "cell_free_compact", "one_pair"]
BACKGROUND = np.array([28, 30, 34]) / 255  # of config/rviz/scene.rviz
ERROR_M = np.array([0.3, -0.2, 0.1])
TIMES_S = range(0, 40, 4)


def moments(scene):
    """Truths, detections and tracks of the scene's targets along their ways."""
    for time_s in TIMES_S:
        truths, detections, tracks = [], [], []
        for number, target in enumerate(scene.targets):
            place_m, speed_mps = target.motion.state(float(time_s))
            truths.append(TargetState(target.name, target.target_class, place_m, speed_mps))
            detections.append(
                Detection(place_m - ERROR_M, speed_mps, 0.04 * np.eye(6), 20.0, ("rx1",), 4)
            )
            tracks.append(
                Track(
                    number,
                    TrackStatus.CONFIRMED,
                    target.target_class,
                    0.9,
                    place_m + ERROR_M,
                    speed_mps,
                    0.01 * np.eye(6),
                    1.0,
                    0.0,
                    4,
                )
            )
        yield truths, detections, tracks


def drawn(scene):
    """The markers of each moment."""
    layout = scene_layout(scene)
    trails = {}
    for truths, detections, tracks in moments(scene):
        for track in tracks:
            trails.setdefault(track.track_id, []).append(to_point(track.position_m))
        lines = [FIGURES_COLUMNS * "m"] * FIGURES_LINES
        yield [
            *markers.static_markers(scene, 0),
            *markers.truth_markers(truths, layout, 0, 2.0),
            *markers.detection_markers(detections, layout.size_m, 0, 2.0),
            *markers.track_markers(tracks, trails, layout, 0, 2.0),
            markers.figures_marker(scene, lines, 0),
        ]


def pictures(scene):
    """The view from the side and the one from above."""
    return [
        Picture(view)
        for view in yaml.safe_load(scene_view(scene))["Visualization Manager"]["Views"]["Saved"]
    ]


def turned(picture):
    """The view from the side from other directions and heights."""
    for yaw in (0.0, 0.8, 2.5, 4.0):
        for pitch in (0.3, 1.2, 1.5):
            yield Picture({**picture.view, "Yaw": yaw, "Pitch": pitch})


def named(shown, namespace):
    return [marker for marker in shown if marker.ns == namespace]


@pytest.mark.parametrize("name", SCENES)
def test_all_that_is_drawn_is_in_both_pictures(name):
    scene = load_scene(name)
    for shown in drawn(scene):
        for picture in pictures(scene):
            for marker in shown:
                assert inside(picture.project(points_of(marker))[0]), marker.ns
                if marker.type == Marker.TEXT_VIEW_FACING:
                    assert inside(np.reshape(picture.text(marker), (2, 2))), marker.ns


@pytest.mark.parametrize("name", SCENES)
def test_a_track_and_its_target_have_labels_apart_from_wherever_they_are_seen(name):
    scene = load_scene(name)
    from_the_side, from_above = pictures(scene)
    for shown in drawn(scene):
        for picture in (from_the_side, from_above, *turned(from_the_side)):
            for truth, track in zip(
                named(shown, "truth names"), named(shown, "track names"), strict=True
            ):
                assert not overlap(picture.text(truth), picture.text(track))


@pytest.mark.parametrize("name", SCENES)
def test_names_and_figures_are_clear_of_the_sites(name):
    scene = load_scene(name)
    shown = next(drawn(scene))
    (figures,) = named(shown, "figures")
    names = named(shown, "transmitter names") + named(shown, "receiver names")
    for picture in pictures(scene):
        texts = [picture.text(text) for text in (figures, *names)]
        for index, one in enumerate(texts):
            assert not any(overlap(one, other) for other in texts[index + 1 :])
        for box in named(shown, "transmitters") + named(shown, "receivers"):
            (middle,), (scale,) = picture.project(points_of(box))
            reach = 0.5 * scale * box.scale.x
            edges = (*(middle - reach), *(middle + reach))
            assert not any(overlap(text, edges) for text in texts)


@pytest.mark.parametrize("name", ["campus", "cell_free_table1"])
def test_texts_stand_out_from_the_background(name):
    for shown in drawn(load_scene(name)):
        for text in shown:
            if text.type == Marker.TEXT_VIEW_FACING:
                assert contrast([text.color.r, text.color.g, text.color.b], BACKGROUND) > 7


def test_truth_and_detection_are_seen_in_the_track():
    scene = load_scene("campus")
    for shown in drawn(scene):
        for body, truth, cross in zip(
            named(shown, "tracks"), named(shown, "truth"), named(shown, "detections")
        ):
            assert body.color.a < 0.5 and truth.color.a == cross.color.a == 1.0
            assert 2 * truth.scale.x < min(body.scale.x, body.scale.y)
            assert np.all(
                np.ptp(points_of(cross), axis=0) > [body.scale.x, body.scale.y, body.scale.z]
            )
        for shape in named(shown, "track uncertainty") + named(shown, "detection uncertainty"):
            assert 0.3 < shape.color.a < 0.9


def test_what_flies_has_a_line_to_its_footprint():
    scene = load_scene("campus")
    ground_m = scene_layout(scene).ground_m
    shown = next(drawn(scene))
    flying = [
        index
        for index, target in enumerate(scene.targets)
        if target.target_class is TargetClass.UAV
    ]
    lines = named(shown, "track heights")
    assert [line.id for line in lines] == flying
    for line, disc in zip(lines, named(shown, "track heights footprints"), strict=True):
        top, foot = line.points
        assert (top.x, top.y) == (foot.x, foot.y) == (disc.pose.position.x, disc.pose.position.y)
        assert foot.z == disc.pose.position.z == ground_m
    assert len(named(shown, "receiver masts")) == 3


def test_a_line_to_a_footprint_crosses_no_label_of_its_own():
    scene = load_scene("campus")
    picture, _ = pictures(scene)
    for shown in drawn(scene):
        labels = {label.id: label for label in named(shown, "track names")}
        for line in named(shown, "track heights"):
            pixels, _ = picture.project(points_of(line))
            edges = (*pixels.min(axis=0), *pixels.max(axis=0))
            assert not overlap(edges, picture.text(labels[line.id]))


def test_buildings_are_drawn_where_they_stand():
    scene = load_scene("yard")
    boxes = [marker for marker in markers.static_markers(scene, 0) if marker.ns == "buildings"]
    assert len(boxes) == len(scene.world.boxes) == 4
    for marker, box in zip(boxes, scene.world.boxes):
        size_m = np.array([marker.scale.x, marker.scale.y, marker.scale.z])
        (middle_m,) = points_of(marker)
        assert np.allclose(middle_m - size_m / 2, box.low_m) and np.allclose(
            middle_m + size_m / 2, box.high_m
        )
        assert marker.color.a < 0.5


def test_small_texts_have_no_spaces():
    scene = load_scene("indoor_uav")
    (text,) = [markers.figures_marker(scene, ["GOSPA 0.1 m"], 0)]
    assert text.text.strip() == "GOSPA_0.1_m"
    assert (
        markers.figures_marker(load_scene("campus"), ["GOSPA 0.1 m"], 0).text.strip()
        == "GOSPA 0.1 m"
    )

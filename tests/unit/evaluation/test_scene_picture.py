"""The picture of a run."""

import numpy as np
import pytest
from matplotlib.image import imread

from cooperative_isac.evaluation.run_record import RunRecorder
from cooperative_isac.evaluation.scene_picture import COLOURS, draw_scene_picture, picture_title
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus


def drawn(scene, path, status):
    """The picture, [height, width, 3], of one target that crosses the scene, tracked with one status."""
    recorder = RunRecorder()
    for number in range(30):
        place, speed = np.array([10.0 + 2 * number, 30.0, 1.0]), np.array([10.0, 0.0, 0.0])
        track = Track(1, status, TargetClass.VEHICLE, 0.9, place, speed, np.eye(6), 1.0, 0.0, number)
        recorder.add(number, number * 200_000_000, [TargetState("car", TargetClass.VEHICLE, place, speed)],
                     [Detection(place, speed, np.eye(6), 30.0, ("rx1",), 4)], [track], simulated=True)
    draw_scene_picture(scene, recorder.record(), path)
    return imread(path)[..., :3]


def pixels(image, colour):
    """How many pixels are about as colourful as a track of that colour."""
    wanted = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    return int(np.sum(np.all(np.abs(image - (0.75 * wanted + 0.25)) < 0.05, axis=-1)))


@pytest.mark.parametrize("name", ["campus", "cell_free_table1"])
def test_established_tracks_are_seen_and_tentative_ones_not(name, tmp_path):
    scene = load_scene(name)
    assert pixels(drawn(scene, tmp_path / "yes.png", TrackStatus.CONFIRMED), COLOURS[0]) > 300
    assert pixels(drawn(scene, tmp_path / "no.png", TrackStatus.TENTATIVE), COLOURS[0]) == 0


@pytest.mark.parametrize("simulated, title", [
    ((True, True), "2 frames in 3 s, simulated echoes"), ((False, False), "2 frames in 3 s, measured echoes"),
    ((False, True), "2 frames in 3 s, echoes simulated in 1 of them"), ((), "no frames")])
def test_the_title_says_what_was_simulated(simulated, title):
    recorder = RunRecorder()
    for number, flag in enumerate(simulated):
        recorder.add(number, number * 3 * 10**9, [], [], [], flag)
    assert picture_title(load_scene("campus"), recorder.record()) == f"campus: {title}"


def test_a_run_without_anything_has_a_picture_too(tmp_path):
    draw_scene_picture(load_scene("campus"), RunRecorder().record(), tmp_path / "empty.png")
    assert imread(tmp_path / "empty.png").shape[2] == 4

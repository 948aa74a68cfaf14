"""Picture of a run, and its map."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from networks import network

from cooperative_isac.evaluation.map_drawing import map_stations
from cooperative_isac.evaluation.run_record import RunRecorder
from cooperative_isac.evaluation.scene_picture import (
    COLORS,
    MARKED_S,
    MAX_MARKS,
    draw_scene_picture,
    mark_times,
    picture_title,
    scene_picture,
)
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def drawn(scene, path, status):
    """Picture [height, width, 3] of one target that crosses the scene, tracked with a status."""
    recorder = RunRecorder()
    for number in range(30):
        place = np.array([10.0 + 2 * number, 30.0, 1.0])
        speed = np.array([10.0, 0.0, 0.0])
        track = Track(
            1, status, TargetClass.VEHICLE, 0.9, place, speed, np.eye(6), 1.0, 0.0, number
        )
        recorder.add(
            number,
            number * 200_000_000,
            [TargetState("car", TargetClass.VEHICLE, place, speed)],
            [Detection(place, speed, np.eye(6), 30.0, ("rx1",), 4)],
            [track],
            simulated=True,
        )
    draw_scene_picture(scene, recorder.record(), path)
    return imread(path)[..., :3]


def pixels(image, color):
    """Number of pixels with about the color of a track."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return int(np.sum(np.all(np.abs(image - (0.75 * wanted + 0.25)) < 0.05, axis=-1)))


@pytest.mark.parametrize("name", ["campus", "cell_free_table1"])
def test_established_tracks_are_drawn_and_tentative_ones_are_not(name, tmp_path):
    scene = load_scene(name)
    assert pixels(drawn(scene, tmp_path / "yes.png", TrackStatus.CONFIRMED), COLORS[0]) > 300
    assert pixels(drawn(scene, tmp_path / "no.png", TrackStatus.TENTATIVE), COLORS[0]) == 0


@pytest.mark.parametrize(
    ("simulated", "title"),
    [
        ((True, True), "2 frames in 3 s, simulated echoes"),
        ((False, False), "2 frames in 3 s, measured echoes"),
        ((False, True), "2 frames in 3 s, echoes simulated in 1 of them"),
        ((), "no frames"),
    ],
)
def test_the_title_names_the_source_of_the_echoes(simulated, title):
    recorder = RunRecorder()
    for number, flag in enumerate(simulated):
        recorder.add(number, number * 3 * 10**9, [], [], [], flag)
    assert picture_title(load_scene("campus"), recorder.record()) == f"campus: {title}"


def test_a_run_without_frames_has_a_picture(tmp_path):
    draw_scene_picture(load_scene("campus"), RunRecorder().record(), tmp_path / "empty.png")
    assert imread(tmp_path / "empty.png").shape[2] == 4


@pytest.mark.parametrize("num_targets", [1, 9])
def test_any_number_of_targets_and_tracks_has_a_picture(num_targets, tmp_path):
    recorder = RunRecorder()
    speed = np.array([1.0, 0.0, 0.0])
    for number in range(10):
        places = [np.array([10.0 + number, 10.0 * index, 1.0]) for index in range(num_targets)]
        truths = [
            TargetState(f"t{index}", TargetClass.UAV, place, speed)
            for index, place in enumerate(places)
        ]
        tracks = [
            Track(
                index,
                TrackStatus.CONFIRMED,
                TargetClass.UAV,
                0.9,
                place,
                speed,
                np.eye(6),
                1.0,
                0.0,
                4,
            )
            for index, place in enumerate(places)
        ]
        recorder.add(number, number * 10**8, truths, [], tracks, simulated=True)
    draw_scene_picture(load_scene("campus"), recorder.record(), tmp_path / "many.png")
    assert imread(tmp_path / "many.png").shape[2] == 4


@pytest.mark.parametrize(
    ("span_s", "marks_s"),
    [
        (25.0, [0, 5, 10, 15, 20, 25]),
        (0.4, [0, 0.1, 0.2, 0.3, 0.4]),
        (0.0, [0]),
        (72.0, [45, 50, 55, 60, 65, 70]),
    ],
)
def test_time_is_marked_at_round_numbers(span_s, marks_s):
    assert mark_times(span_s) == pytest.approx(marks_s)
    assert len(marks_s) <= MAX_MARKS + 1 and marks_s[0] >= span_s - MARKED_S


@pytest.mark.parametrize("name", ["campus", "two_bands", EXAMPLES / "parking.yaml"])
def test_the_names_of_all_stations_are_inside_the_axes(name):
    scene = load_scene(name)
    plan = scene_picture(scene, RunRecorder().record()).axes[0]
    names = {station.name for station in scene.stations}
    texts = [text for text in plan.texts if text.get_text() in names]
    assert len(texts) == len(names)
    frame = plan.get_window_extent()
    assert all(frame.contains(*text.get_window_extent().min) for text in texts)
    assert all(frame.contains(*text.get_window_extent().max) for text in texts)


# Station `mast` works on the second band of the network only.
MAST = """  - name: mast
    position_m: [30, 63, 8]
    antennas:
      - {band: low, duplex: rx, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}
users: {num_users"""


def test_the_map_has_the_stations_of_all_bands(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    scene = network(("users: {num_users", MAST))
    draw_scene_picture(scene, RunRecorder().record(), tmp_path / "scene.png")
    names = [text.get_text() for axes in figures[0].axes for text in axes.texts]
    for station in ("west", "east", "car", "drone", "mast"):
        assert names.count(station) == 1


def test_a_station_on_the_map_has_the_roles_of_its_bands():
    # East receives on `low`, and also transmits on `high`.
    scene = network(("users: {num_users", MAST))
    roles = {
        band: {
            station.name: (station.transmits, station.receives)
            for station in map_stations([scene.on(band)])
        }
        for band in ("high", "low")
    }
    assert roles["low"] == {"west": (True, True), "east": (False, True), "mast": (False, True)}
    assert roles["high"]["east"] == (True, True)
    assert "mast" not in roles["high"]
    stations = {station.name: station for station in map_stations(scene.views)}
    assert stations["east"].transmits
    assert len(stations["east"].sites) == 2

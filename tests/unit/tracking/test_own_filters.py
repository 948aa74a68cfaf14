"""Motion filters of a user: the code of docs/tracking.md, named in each way; faulty ones."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from cooperative_isac.metrics.consistency import nees, rmse
from cooperative_isac.scene import motion_filters
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.motion_models import constant_velocity_transition
from cooperative_isac.tracking.own_filters import OwnFilters, register_motion_filter
from cooperative_isac.tracking.track import TrackStatus
from cooperative_isac.tracking.tracker import Tracker

ROOT = Path(__file__).resolve().parents[3]
PERIOD_S = 0.2
STDS = np.repeat([0.15, 0.5], 3)
DOCUMENTED = ("singer", "unscented_turn")


@pytest.fixture
def my_filters(tmp_path, monkeypatch):
    """Name of a module with the code of the document; importable, as with PYTHONPATH."""
    text = (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_filters.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_filters", raising=False)
    return "my_filters"


@pytest.fixture
def examples(monkeypatch):
    """The folder of examples, importable."""
    monkeypatch.syspath_prepend(ROOT / "examples")


@pytest.fixture
def register(monkeypatch):
    """`register_motion_filter`, undone after the test."""
    monkeypatch.setattr(motion_filters, "_registered", {})
    return register_motion_filter


def circle(num_frames, rate=0.3, speed=8.0):
    """States [num_frames, 6] on a level circle."""
    heading = rate * PERIOD_S * np.arange(num_frames)
    zeros = np.zeros(num_frames)
    position = speed / rate * np.stack([np.sin(heading), 1 - np.cos(heading), zeros], axis=1)
    velocity = speed * np.stack([np.cos(heading), np.sin(heading), zeros], axis=1)
    return np.hstack([position, velocity])


def follow(tracker, detect, states, rng, others=()):
    """Tracks of each frame of a target with these states, and of others that stand still."""
    outputs = []
    for frame, state in enumerate(states):
        value = state + STDS * rng.standard_normal(6)
        found = [detect(value[:3], value[3:]), *(detect(place) for place in others)]
        outputs.append(tracker.update(frame * PERIOD_S, found))
    return outputs


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_filter_follows_a_turning_target(detect, my_filters, name):
    states = circle(100)
    tracker = Tracker(Tracking(model=f"{my_filters}:{name}"), 3)
    outputs = follow(tracker, detect, states, np.random.default_rng(0))
    assert [[track.track_id for track in tracks] for tracks in outputs] == [[1]] * 100
    (last,) = outputs[-1]
    assert last.status is TrackStatus.CONFIRMED

    # Better than its detections, and as good as its covariance.
    positions = np.array([tracks[0].position_m for tracks in outputs])[20:]
    velocities = np.array([tracks[0].velocity_mps for tracks in outputs])[20:]
    covariances = np.array([tracks[0].covariance for tracks in outputs])[20:]
    errors = np.hstack([positions, velocities]) - states[20:]
    assert rmse(errors[:, :3]) < 0.13 * np.sqrt(3) and rmse(errors[:, 3:]) < 0.4 * np.sqrt(3)
    assert 2 < nees(errors, covariances).mean() < 9


def test_a_scene_names_a_filter_by_its_path(tmp_path, my_filters):
    scene = load_scene(scene_file(tmp_path, f"{my_filters}:singer"))
    assert scene.tracking.model == "my_filters:singer"
    assert Tracker(scene.tracking, scene.dimension).update(0.0, ()) == ()


def test_a_scene_names_an_installed_filter(tmp_path, my_filters):
    metadata = tmp_path / "my_filters-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-filters\nVersion: 1.0\n")
    points = "[cooperative_isac.motion_filters]\nunscented = my_filters:unscented_turn\n"
    (metadata / "entry_points.txt").write_text(points)
    scene = load_scene(scene_file(tmp_path, "unscented"))
    assert Tracker(scene.tracking, scene.dimension).update(0.0, ()) == ()
    assert "unscented" in motion_filters.motion_filter_names()


def test_a_scene_names_a_registered_filter(tmp_path, register):
    register("mine", lambda settings, dimension: Steady())
    scene = load_scene(scene_file(tmp_path, "mine"))
    assert Tracker(scene.tracking, scene.dimension).update(0.0, ()) == ()
    with pytest.raises(ValueError, match="motion filter 'imm' is built in"):
        register("imm", Steady)


def test_a_scene_that_names_no_filter_is_refused(tmp_path):
    words = "tracking.model: is 'singer'; must be one of cv, imm, or module:factory"
    with pytest.raises(SceneError, match=words):
        load_scene(scene_file(tmp_path, "singer"))


def scene_file(folder, model):
    """A scene file whose tracks have this motion model."""
    text = (ROOT / "tests" / "scenes" / "tiny.yaml").read_text(encoding="utf-8")
    assert "tracking:" not in text
    path = folder / "scene.yaml"
    path.write_text(f"{text}\ntracking:\n  model: {model}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("dimension", [2, 3])
def test_filterpys_objects_give_the_tracks_of_the_built_in_filter(detect, examples, dimension):
    rng = np.random.default_rng(1)
    ours = Tracker(Tracking(), dimension)
    theirs = Tracker(Tracking(model="filterpy_imm:make_filter"), dimension)
    starts = rng.uniform(-40, 40, (6, 3))
    velocities = rng.normal(0, 4, (6, 3))
    for frame in range(40):
        found = []
        for start, velocity in zip(starts, velocities):
            if rng.random() < 0.85:
                position = start + frame * PERIOD_S * velocity
                found.append(detect(rng.normal(position, 0.15), rng.normal(velocity, 0.5)))
        one = ours.update(frame * PERIOD_S, found)
        other = theirs.update(frame * PERIOD_S, found)
        assert [(t.track_id, t.status, t.target_class) for t in one] == [
            (t.track_id, t.status, t.target_class) for t in other
        ]
        for track, twin in zip(one, other):
            assert np.allclose(track.position_m, twin.position_m, rtol=1e-9, atol=1e-9)
            assert np.allclose(track.velocity_mps, twin.velocity_mps, rtol=1e-9, atol=1e-9)
            assert np.allclose(track.covariance, twin.covariance, rtol=1e-9, atol=1e-9)
    assert len(one) >= 6


class Steady(KalmanFilter):
    """Constant velocity with the mean as a column, as filterpy has it by default."""

    def __init__(self):
        super().__init__(dim_x=6, dim_z=6)
        self.H = np.eye(6)

    def predict(self, dt):
        super().predict(F=constant_velocity_transition(dt), Q=0.1 * dt * np.eye(6))


def test_a_mean_may_be_a_column(detect, register):
    register("column", lambda settings, dimension: Steady())
    outputs = follow(
        Tracker(Tracking(model="column"), 3), detect, np.zeros((10, 6)), np.random.default_rng(2)
    )
    assert outputs[-1][0].status is TrackStatus.CONFIRMED
    assert np.linalg.norm(outputs[-1][0].position_m) < 0.5


@pytest.mark.parametrize("step", ["factory", "predict", "update"])
def test_a_failing_filter_ends_its_own_track_only(detect, register, step):
    failing = []

    class Fragile(Steady):
        """Fails where the target stands at x = 40."""

        def predict(self, dt):
            if "predict" in failing and abs(float(self.x[0, 0]) - 40) < 5:
                raise ZeroDivisionError("no motion")
            super().predict(dt)

        def update(self, z, R):
            if "update" in failing and abs(z[0] - 40) < 5:
                raise np.linalg.LinAlgError("Singular matrix")
            super().update(z, R=R)

    def make(settings, dimension):
        if "factory" in failing:
            raise RuntimeError("no more filters")
        return Fragile()

    register("fragile", make)
    tracker = Tracker(Tracking(model="fragile"), 3)
    near, far, new = (detect((x, 0, 0)) for x in (0, 40, 80))
    for frame in range(4):
        tracker.update(frame * PERIOD_S, [near, far])
    failing.append(step)
    tracks = tracker.update(4 * PERIOD_S, [near, far, *([new] if step == "factory" else [])])
    statuses = {track.track_id: track.status for track in tracks}
    if step == "factory":
        assert statuses == {1: TrackStatus.CONFIRMED, 2: TrackStatus.CONFIRMED}
        assert tracker.failed == ("track 3: RuntimeError: no more filters",)
        return
    assert statuses[1] is TrackStatus.CONFIRMED and statuses[2] is TrackStatus.DELETED
    word = {"predict": "ZeroDivisionError: no motion", "update": "LinAlgError: Singular matrix"}
    assert tracker.failed == (f"track 2: {word[step]}",)


def test_filters_keep_the_order_of_the_tracks(register):
    register("steady", lambda settings, dimension: Steady())
    filters = OwnFilters(Tracking(model="steady"), 3)
    means = np.arange(24.0).reshape(4, 6)
    filters.start(means, np.tile(np.eye(6), (4, 1, 1)))
    filters.keep(np.array([True, False, True, True]))
    filters.update(np.array([2]), means[3:] + 1, 1e-6 * np.eye(6)[None])
    assert np.allclose(filters.means[:2], means[[0, 2]])
    assert np.allclose(filters.means[2], means[3] + 1, atol=1e-4)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda settings, dimension: object(), "makes no motion filter: .* no attribute 'x'"),
        (lambda settings: Steady(), "makes no motion filter: .* 1 positional argument"),
        (
            lambda settings, dimension: KalmanFilter(dim_x=4, dim_z=2),
            r"x has 4 entries and P the shape \(4, 4\); a motion filter has 6 states or more",
        ),
        (
            lambda settings, dimension: type("Half", (), {"x": np.zeros(6), "P": np.eye(6)})(),
            "the filter has no method predict",
        ),
    ],
)
def test_an_object_that_is_no_motion_filter_is_refused(register, factory, words):
    register("odd", factory)
    with pytest.raises(ValueError, match=f"tracking model 'odd'.*{words}"):
        Tracker(Tracking(model="odd"), 3)


@pytest.mark.parametrize("path", ["no_such_module:make", "filterpy_imm:no_such_factory"])
def test_a_path_without_a_filter_is_refused(examples, path):
    with pytest.raises(ValueError, match=f"tracking model '{path}' cannot be imported"):
        Tracker(Tracking(model=path), 3)

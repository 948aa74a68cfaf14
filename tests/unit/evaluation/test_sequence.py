"""`isac evaluate --sequence`: consecutive frames beside the truth of the scene or path file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from traced import car_arrays, write_scene
from typer.testing import CliRunner

from cooperative_isac.cli import app
from cooperative_isac.evaluation.monte_carlo import SchemeFailure
from cooperative_isac.evaluation.sequence import (
    FrameScore,
    measure_sequence,
    score_frame,
    sequence_figures,
    visible_targets,
)
from cooperative_isac.evaluation.sequence_command import evaluate_sequence
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.run_score import RunScore
from cooperative_isac.pipeline import run
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Body, TargetClass, TargetState


def target(name, kind, position, velocity=(0, 0, 0)):
    return TargetState(name, kind, np.array(position, float), np.array(velocity, float))


def detection(position, velocity=(0, 0, 0)):
    return Detection(
        np.array(position, float), np.array(velocity, float), np.eye(6), 20.0, ("rx1",), 2
    )


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """Scene of twelve frames with a car at high SNR."""
    return load_scene(
        write_scene(tmp_path_factory.mktemp("traced"), car_arrays(12), path_kinds=["targets"])
    )


def test_detections_are_counted_by_distance(tilted):
    """Errors of 0.5, 1.5 and 2.5 m, a missed target, and a false alarm."""
    large = replace(
        tilted,
        continuity_threshold_m=1.0,
        bodies={TargetClass.VEHICLE: Body(np.array([4.0, 2, 1.5]))},
    )
    targets = [
        target("a", TargetClass.UAV, (0, 0, 5), (1, 0, 0)),
        target("b", TargetClass.VEHICLE, (20, 0, 0)),
        target("c", TargetClass.UAV, (40, 0, 5)),
        target("d", TargetClass.UAV, (60, 0, 5)),
    ]
    found = [
        detection((0.5, 0, 5), (1, 0, 2)),
        detection((20, 1.5, 0), (3, 4, 0)),
        detection((40, 0, 7.5)),
        detection((90, 0, 5)),
    ]
    score = score_frame(large, targets, found, None, (80,))
    assert score.near.tolist() == [True, False, False, False]
    assert score.found.tolist() == [True, True, True, False]
    assert score.held.tolist() == [
        True,
        True,
        False,
        False,
    ]  # a vehicle with a body is held within 2 m
    assert score.num_false == 1
    assert np.allclose(score.location_errors_m, [0.5, 1.5, 2.5]) and np.allclose(
        score.velocity_errors_mps, [2, 5, 0]
    )
    point = score_frame(replace(large, bodies={}), targets, found, None, (80,))
    assert point.held.tolist() == [True, False, False, False]


def test_a_frame_may_have_no_targets_and_no_detections(tilted):
    empty = score_frame(tilted, [], [], None, ())
    assert len(empty.found) == 0 and empty.num_false == 0
    missed = score_frame(tilted, [target("a", TargetClass.UAV, (0, 0, 5))], [], None, ())
    assert missed.found.tolist() == [False]


def test_shares_count_pairs_of_target_and_frame(tiny):
    def frame(near, found, visible, num_false):
        flags = [np.array(item, bool) for item in (near, found, near, visible)]
        return FrameScore(*flags, np.array([0.5]), np.array([1.0]), num_false, (100, 200))

    frames = [frame([1, 0], [1, 1], [1, 0], 1), frame([0, 0], [0, 1], [1, 1], 0)]
    figures = sequence_figures(frames, RunScore(1.0, tiny.tracking, 2).summary())
    assert (figures.found_near, figures.found, figures.visible) == (0.25, 0.75, 0.75)
    assert (figures.found_near_visible, figures.found_visible) == (
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
    )
    assert (figures.false_per_frame, figures.uplink_bits) == (0.5, 150)
    assert (figures.median_location_m, figures.median_velocity_mps) == (0.5, 1.0)
    assert figures.quality.num_samples == 0


def test_a_sequence_agrees_with_the_pipeline(traced):
    frames = []
    figures = measure_sequence(traced, ["local_ml"], 12, lambda: frames.append(None))["local_ml"]
    score = RunScore(traced.continuity_threshold_m, traced.tracking, traced.dimension)
    bits = []
    near = []
    for snapshot in run(traced):
        score.add(snapshot.time_s, snapshot.targets, snapshot.detections, snapshot.tracks)
        bits += [8 * len(packet) for packet in snapshot.packets.values()]
        near.append(
            min(
                (
                    np.linalg.norm((found.position_m - snapshot.targets[0].position_m)[:2])
                    for found in snapshot.detections
                ),
                default=np.inf,
            )
            < 1
        )
    assert (
        len(frames) == 12
        and figures.found_near == pytest.approx(np.mean(near))
        and np.mean(near) > 0.7
    )
    assert figures.uplink_bits == pytest.approx(np.mean(bits))
    assert figures.continuity == {"car1": score.summary().targets["car1"].continuity}
    assert repr(figures.quality) == repr(score.summary().quality)
    assert figures.quality.num_samples > 0
    assert figures.visible == 1 and figures.found_near_visible == figures.found_near


def test_stations_are_idle_between_frames(traced, install_scheme):
    """After every packet the encoder is idle, as in the node."""
    install_scheme(
        "diary",
        """
from cooperative_isac.schemes import contract

CALLS = []

class Encoder(contract.Encoder):
    def __init__(self, station):
        self.station = station
    def encode(self, echoes, frame):
        CALLS.append((frame.number, self.station, list(echoes), frame.time_s))
        return b"x"
    def idle(self):
        CALLS.append(self.station)

class Decoder(contract.Decoder):
    def decode(self, packets, frame):
        CALLS.append(sorted(packets))
        return ()

class Scheme(contract.Scheme):
    def at(self, station):
        return Encoder(station)
    def center(self):
        return Decoder()
    def downlink_bits(self, frame):
        return 0
""",
    )
    measure_sequence(traced, ["diary"], 2)
    import diary_package

    expected = []
    for number, time_s in enumerate((0.0, 0.1)):
        for station in ("rx1", "rx2"):
            expected += [(number, station, ["default"], time_s), station]
        expected.append(["rx1", "rx2"])
    assert expected == diary_package.CALLS


def test_targets_with_few_links_are_not_visible(tmp_path):
    arrays = car_arrays(2)
    arrays["dyn_multi"] = np.array(arrays["dyn_multi"])
    arrays["dyn_multi"][[0, 2]] = True
    scene = load_scene(write_scene(tmp_path, arrays))
    assert [
        visible_targets(scene, number, scene_targets(scene, 0.1 * number)).tolist()
        for number in (0, 1)
    ] == [[False], [True]]


def test_scenes_without_a_path_file_are_measured(tiny):
    figures = measure_sequence(tiny, ["local_ml"], 10)["local_ml"]
    assert figures.visible is None and figures.found_visible is None
    assert figures.found_near > 0.7 and set(figures.continuity) == {"car1"}


def test_a_scheme_that_cannot_be_made_is_named(traced):
    with pytest.raises(
        SchemeFailure,
        match=r"scheme 'monostatic' cannot be made for scene 'traced'.*sites of its own",
    ):
        measure_sequence(traced, ["monostatic"], 1)


def test_results_are_shown_and_written(traced, tmp_path, capsys):
    path = tmp_path / "results.json"
    evaluate_sequence(traced, ["local_ml"], 100, 7, [30.0, 40.0], path)
    shown = capsys.readouterr()
    assert "has 12 frames: the sequence ends with them" in " ".join(shown.err.split())
    for words in (
        "traced: 12 consecutive simulated frames, seed 7",
        "identity",
        "car1",
        "3 links",
        "targets",
        "tracks: errors (95th percentile)",
        "TS 22.137, local_ml at 30 dBm:",
    ):
        assert words in " ".join(shown.out.split())
    results = json.loads(path.read_text())
    assert (results["frames"], results["seed"], results["sequence"]) == (12, 7, True)
    assert results["path_kinds"] == ["targets"] and results["paths"].endswith("car.npz")
    assert set(results["schemes"]["local_ml"]) == {"30", "40"}


def test_figures_without_detections_are_null_in_the_file(traced, tmp_path):
    path = tmp_path / "results.json"
    evaluate_sequence(traced, ["local_ml"], 3, None, [-60.0], path)
    figures = json.loads(path.read_text())["schemes"]["local_ml"]["-60"]
    assert (
        figures["median_location_m"] is None
        and figures["found"] == 0
        and figures["continuity"] == {"car1": None}
        and figures["quality"]["num_samples"] == 0
    )


def test_the_command_takes_all_frames_of_a_path_file(traced):
    done = CliRunner().invoke(app, ["evaluate", traced.source])
    assert done.exit_code == 0 and "12 consecutive simulated frames, seed 3" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--frames", "5"],
            "--frames draws independent frames, but the scene's echoes come from a path file; "
            "leave it out; --sequence sets the number of frames of the file",
        ),
    ],
)
def test_independent_frames_of_a_path_file_are_refused(traced, options, said):
    done = CliRunner().invoke(app, ["evaluate", traced.source, *options])
    assert done.exit_code == 1 and done.stderr == f"error: {said}\n"


def test_independent_and_consecutive_frames_exclude_each_other(tiny):
    done = CliRunner().invoke(app, ["evaluate", tiny.source, "--frames", "5", "--sequence", "5"])
    assert done.stderr == (
        "error: --frames draws independent frames, but --sequence takes consecutive ones; leave it "
        "out\n"
    )

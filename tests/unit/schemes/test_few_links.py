"""Scheme local_ml with few links: one pair of sites, or a network with missing receivers."""

from dataclasses import replace

import numpy as np
import pytest
from chain import Chain

from cooperative_isac.evaluation.monte_carlo import draw_frame, make_ends, measure_scheme
from cooperative_isac.evaluation.sequence import measure_sequence
from cooperative_isac.metrics.run_score import RunScore
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.tracker import Tracker


@pytest.fixture(params=["space", "plane"])
def pair(request, pair_plane):
    """One pair of sites in three dimensions and in two, with clutter."""
    return load_scene("one_pair") if request.param == "space" else pair_plane


def test_a_pair_tracks_its_targets(pair):
    figures = measure_sequence(pair, ["local_ml"], 60)["local_ml"]
    assert min(figures.continuity.values()) >= 0.9
    assert figures.found > 0.75 and figures.false_per_frame <= 0.05 and figures.false_tracks == 0
    assert figures.median_location_m < 0.2


@pytest.mark.parametrize("with_clutter", [False, True])
def test_a_pair_detects_nothing_where_nothing_moves(pair, with_clutter):
    scene = replace(pair, targets=())
    if not with_clutter:
        clutter = replace(pair.propagation.clutter, num_scatterers=0, positions_m=np.zeros((0, 3)))
        scene = replace(scene, propagation=replace(pair.propagation, clutter=clutter))
    figures = measure_sequence(scene, ["local_ml"], 60)["local_ml"]
    assert figures.false_per_frame <= 0.05 and figures.false_tracks == 0


def test_targets_anywhere_in_the_area_make_few_false_detections(pair):
    # Frames 1 and 14 of one_pair have strong targets near the transmitter: a coarse search starts
    # on their side lobes.
    ends = make_ends(make_scheme("local_ml", replace(pair, seed=1)))
    samples = [
        measure_scheme(ends, draw_frame(ends.scheme.scene, number), pair.dimension)
        for number in range(30)
    ]
    assert sum(sample.num_false for sample in samples) <= 3
    found = np.concatenate([sample.location_errors_m for sample in samples])
    assert len(found) > 0.85 * 30 * pair.draw.num_targets


def test_tracks_survive_with_one_receiver_left():
    scene = load_scene("campus")
    scheme = Chain("local_ml", scene, live=True)
    tracker = Tracker(scene.tracking, scene.dimension)
    score = RunScore(scene.continuity_threshold_m, scene.tracking, scene.dimension)
    for number in range(40):
        frame = transmit(scene, number)
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        packets = {}
        for name in ("rx1", "rx2", "rx3") if number < 8 else ("rx3",):
            packets[name] = scheme.encode(receive_echo(scene, frame, name, targets), frame, name)
            scheme.idle(name)
        detections = scheme.decode(packets, frame)
        score.add(time_s, targets, detections, tracker.update(time_s, detections))
    summary = score.summary()
    assert min(target.continuity for target in summary.targets.values()) >= 0.9
    assert summary.false_tracks == 0

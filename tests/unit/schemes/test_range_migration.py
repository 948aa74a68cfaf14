"""Scheme local_ml on consecutive long frames, in which targets migrate through range cells."""

from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import parse_scene
from cooperative_isac.schemes.registry import make_scheme

SCENE = Path(__file__).resolve().parents[2] / "scenes" / "small.yaml"
# Frames of 42 ms on 246 MHz, for a target that moves by 0.5 m and through 0.8 range cells.
LONG = {
    "  subcarrier_stride: 4": "  subcarrier_stride: 16",
    "  symbol_stride: 4": "  symbol_stride: 28",
    "  num_symbols: 64": "  num_symbols: 288",
    "position_m: [40, 25], velocity_mps: [-6, 0]": "position_m: [40, 20], velocity_mps: [-6, 11]",
    "turn_rate_degps: -20.0": "turn_rate_degps: 0.0, duration_s: 3.0",
}


def long_frames(handling):
    text = SCENE.read_text()
    for before, after in LONG.items():
        assert before in text
        text = text.replace(before, after)
    return parse_scene(
        text.replace("sensing: {", f"sensing: {{range_migration: {handling}, "), SCENE
    )


def errors_m(scene, num_frames=4):
    """Distance of the detection next to the fast target in each frame but the first, m.

    What the search in a frame finds is reported in the next one.
    """
    scheme = make_scheme("local_ml", scene)
    encoders = {site.name: scheme.at(site.name) for site in scene.receivers}
    center = scheme.center()
    found = []
    for number in range(num_frames):
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        targets = scene_targets(scene, time_s)
        packets = {
            name: encoder.encode(receive(scene, frame, name, targets), frame)
            for name, encoder in encoders.items()
        }
        detections = center.decode(packets, frame)
        for encoder in encoders.values():
            encoder.idle()
        away_m = [np.linalg.norm(one.position_m - targets[0].position_m) for one in detections]
        found.append(min(away_m, default=np.inf))
    return np.array(found[1:])


def test_a_target_is_followed_where_it_is_at_the_start_of_each_frame():
    scene = long_frames("compensate")
    assert scene.propagation.range_migration
    found_m = errors_m(scene)
    assert np.all(found_m < 0.1)

    # With constant delays it is where it was in the middle of the frame, or not found at all.
    moved_m = np.hypot(6.0, 11.0) / scene.grid.doppler_resolution_hz
    assert moved_m == pytest.approx(0.5, abs=0.05)
    assert errors_m(long_frames("ignore")).mean() > 0.3 * moved_m

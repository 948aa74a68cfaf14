"""The codec in a street: line of sight, ground, walls and bodies, simulated and traced."""

from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.pipeline import frame_count, make_encoders, make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.schemes.registry import make_scheme

ROOT = Path(__file__).resolve().parents[3]
TRACED = ROOT.parent / "shared" / "data" / "traced" / "yard.npz"
# Errors up to which a target is detected, m.
WITHIN_M = {TargetClass.UAV: 1.0, TargetClass.VEHICLE: 2.0}


def detected(scene, numbers):
    """Share of the targets of frames that are detected, by name; bits of a packet."""
    scheme = make_scheme("dvqvae", scene)
    encoders = make_encoders(scheme)
    decoder = scheme.center()
    hits = {}
    num_bits = []
    for number in numbers:
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        targets = scene_targets(scene, time_s)
        echoes = receive_all(scene, frame, targets)
        packets = {name: encoders[name].encode(echoes[name], frame) for name in encoders}
        num_bits += [8 * len(packet) for packet in packets.values()]
        found_m = [detection.position_m for detection in decoder.decode(packets, frame)]
        for target in targets:
            errors_m = [np.linalg.norm(place_m - target.position_m) for place_m in found_m]
            is_hit = min(errors_m, default=np.inf) < WITHIN_M[target.target_class]
            hits.setdefault(target.name, []).append(is_hit)
    return {name: np.mean(values) for name, values in hits.items()}, max(num_bits)


def test_the_simulated_yard_is_sensed_by_codewords():
    shares, num_bits = detected(load_scene("yard"), range(20, 28, 2))
    assert num_bits < 8_000, "most cells have no path; the plain indices are 20,480 bits"
    assert np.mean(list(shares.values())) >= 0.75


@pytest.mark.skipif(not TRACED.is_file(), reason=f"no path file {TRACED}")
def test_targets_of_the_traced_yard_are_detected(monkeypatch):
    monkeypatch.setenv("ISAC_PATHS", str(TRACED))
    scene = load_scene(ROOT / "examples" / "traced_yard.yaml")
    assert frame_count(scene, None) == 50

    # Frames in which the low UAV is near the car, whose echo is 10 dB stronger.
    shares, _ = detected(scene, range(6, 26, 4))
    assert min(shares.values()) >= 0.8

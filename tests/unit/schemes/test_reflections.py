"""Scheme local_ml with known reflectors: what they bring, and where they change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.pipeline import make_encoders, make_frame, receive_all
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.schemes.registry import make_scheme

HIDDEN = TargetState("car", TargetClass.VEHICLE, np.array([61.0, -30, 1]), np.array([0.0, -4, 0]))


@pytest.fixture(scope="module")
def scene():
    return replace(load_scene("side_street"), seed=11)


def keyed(scene, key):
    return replace(scene, sensing=replace(scene.sensing, reflections=key))


def one_frame(scene, target):
    """Packets and detections of one independent frame."""
    scheme = make_scheme("local_ml", scene)
    frame = make_frame(scene, 0)
    echoes = receive_all(scene, frame, [target])
    encoders = make_encoders(scheme)
    packets = {name: encoders[name].encode(echoes[name], frame) for name in encoders}
    return packets, scheme.center().decode(packets, frame)


def test_a_hidden_target_is_found_with_the_key_alone(scene):
    assert not one_frame(keyed(scene, "ignore"), HIDDEN)[1]
    (detection,) = one_frame(scene, HIDDEN)[1]
    assert np.linalg.norm(detection.position_m - HIDDEN.position_m) < 0.5
    assert np.linalg.norm(detection.velocity_mps - HIDDEN.velocity_mps) < 1.0


def test_where_nothing_is_hidden_the_key_changes_no_byte(scene):
    facade = replace(scene.world, boxes=scene.world.boxes[2:])
    open_scene = replace(scene, world=facade, layout=None)
    ignored, detections = one_frame(keyed(open_scene, "ignore"), HIDDEN)
    assert detections
    assert one_frame(open_scene, HIDDEN)[0] == ignored


def test_the_bound_counts_the_paths_that_the_key_uses(scene):
    frame = make_frame(scene, 0)
    assert np.isinf(network_bound(keyed(scene, "ignore"), frame, [HIDDEN]).location_m).all()
    assert 0.01 < network_bound(scene, frame, [HIDDEN]).location_m[0] < 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"world": None}, "no walls or boxes"),
        ({"sensing": {"candidate_bits": 4000}}, "weak candidates"),
        ({"sensing": {"synchronization": "both_directions"}}, "offsets by targets"),
    ],
)
def test_scenes_that_cannot_use_reflections_are_refused(scene, change, reason):
    if "sensing" in change:
        change = {"sensing": replace(scene.sensing, **change["sensing"])}
    with pytest.raises(ValueError, match=f"sensing.reflections: .*{reason}.*leave the key out"):
        make_scheme("local_ml", replace(scene, layout=None, **change))


def test_other_schemes_refuse_the_key(scene):
    with pytest.raises(ValueError, match="'raw_ml' does not locate targets by way of walls"):
        make_scheme("raw_ml", scene)

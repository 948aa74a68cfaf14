"""Weak candidates of one station."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.sensing.candidates import LEAST_GAIN, _scored, find_candidates
from cooperative_isac.sensing.path_state import PathState


@pytest.fixture(scope="module")
def weak_scene():
    return replace(with_power(load_scene("campus"), 22.0), seed=3)


def candidates_of(scene, number, site):
    """Likelihood of an echo, the targets in it, and candidates."""
    targets = scene_targets(scene, number / scene.update_rate_hz)
    frame = make_frame(scene, number, number / scene.update_rate_hz)
    encoder = make_scheme("local_ml", scene).at(site.name)
    (sensed,) = encoder._sense(receive(scene, frame, site.name, targets), frame).values()
    return (
        sensed.joint,
        targets,
        find_candidates(sensed.sensor, sensed.joint, None, 80, sensed.linked),
    )


def test_candidates_are_the_peaks_of_the_likelihood_each_once(weak_scene):
    """Twin: a general optimizer, which finds hardly more than the candidates have."""
    noise = replace(weak_scene, targets=())
    joint, _, found = candidates_of(noise, 0, noise.receivers[2])
    scales = np.array([0.3, 0.3, 0.3, 30.0])  # m, Hz: below the accuracy of weak paths
    missing = []
    for number in range(0, len(found), 6):

        def loss(steps, own=found.take(np.array([number]))):
            moved = np.append(own.point_m[0], own.doppler_hz[0]) + scales * steps
            state = PathState(moved[None, :3], np.zeros(1, int), own.transmitter, moved[3:])
            return -_scored(joint, joint.correlation, state).power[0]

        result = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"maxfev": 80})
        missing.append(-result.fun - found.power[number])
    assert len(found) > 40
    assert np.mean(missing) < LEAST_GAIN / 2

    # No two of a transmitter nearer than a share of a main lobe.
    away_m = np.linalg.norm(found.point_m[:, None] - found.point_m, axis=-1)
    away_hz = np.abs(found.doppler_hz[:, None] - found.doppler_hz)
    is_same = (away_m < 0.5) & (away_hz < 50.0)
    is_same &= found.transmitter[:, None] == found.transmitter
    assert is_same.sum() == len(found)


def test_strong_path_of_a_target_has_a_candidate_where_it_is(weak_scene):
    site = weak_scene.receivers[2]
    joint, targets, found = candidates_of(weak_scene, 1, site)
    truth = true_paths(weak_scene, site, 0, targets)
    power = _scored(joint, joint.correlation, truth).power
    strongest = int(power.argmax())
    assert power[strongest] > 100.0
    near = np.linalg.norm(found.point_m - truth.points_m[strongest], axis=1) < 0.5
    near &= found.transmitter == 0
    (own,) = np.flatnonzero(near)
    assert found.power[own] > power[strongest] - LEAST_GAIN
    assert found.doppler_hz[own] == pytest.approx(truth.doppler_hz[strongest], abs=40.0)


def true_paths(scene, site, transmitter, targets):
    """The paths of targets from one transmitter."""
    points_m = np.array([target.position_m for target in targets])
    path = bistatic_geometry(
        scene.transmitters[transmitter].position_m,
        site.position_m,
        points_m,
        np.array([target.velocity_mps for target in targets]),
        scene.grid.wavelength_m,
    )
    count = len(targets)
    return PathState(points_m, np.arange(count), np.full(count, transmitter), path.doppler_hz)

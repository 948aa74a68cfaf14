"""The joint likelihood of several receivers: gradient, Fisher scoring, evidence, detections."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.echo_links import EchoName, Targets
from cooperative_isac.fusion.joint_detect import detect_jointly
from cooperative_isac.fusion.joint_ml import JointMl
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.report import report_fit

STATES = {
    "small": [((22.0, 31.0, 0.0), (4.0, -6.0, 0.0)), ((41.0, 18.0, 0.0), (-5.0, 7.0, 0.0))],
    "campus": [((30.0, 45.0, 14.0), (4.0, -6.0, 1.0)), ((70.0, 60.0, 6.0), (-5.0, 7.0, 0.0))],
}


class Center:
    """A frame, the echoes of all receivers of a scene, and the joint likelihood."""

    def __init__(self, scene, targets, number=1):
        self.scene, self.targets = scene, targets
        frame = transmit(scene, number)
        self.sensors = {site.name: LocalMl(scene, site, scene.grid) for site in scene.receivers}
        self.search = self.sensors["rx1"]
        echoes = {name: receive_echo(scene, frame, name, targets) for name in self.sensors}
        joints = {
            EchoName(scene.band, name): sensor.correlate(echoes[name], frame)
            for name, sensor in self.sensors.items()
        }
        self.reference = joints[EchoName(scene.band, "rx1")].maker.reference
        self.joint = JointMl(scene, joints)
        self.reports = [
            report
            for name, sensor in self.sensors.items()
            for report in report_fit(name, sensor.sense(echoes[name], frame))
        ]

    def detect(self, reports):
        return detect_jointly(
            self.joint,
            reports,
            self.search.detection_threshold(self.reference),
            {self.scene.band: self.search.path_threshold(self.reference)},
        )


@pytest.fixture(params=["small", "campus"])
def center(request, small, target):
    full = small if request.param == "small" else load_scene("campus")
    clutter = replace(full.propagation.clutter, positions_m=None, num_scatterers=0)
    scene = replace(
        full,
        waveform=replace(full.waveform, reference_subcarrier_stride=0),
        propagation=replace(full.propagation, clutter=clutter),
    )
    return Center(scene, [target(*state) for state in STATES[request.param]])


def true_state(center):
    return Targets(
        np.array([one.position_m for one in center.targets]),
        np.array([one.velocity_mps for one in center.targets]),
    )


def log_likelihood(center, targets):
    """Log-likelihood of all echoes, a^H G a / sigma^2 at the best amplitudes, and the prior."""
    match = center.joint.match(targets)
    total = 0.0
    for fit in match.fits.values():
        scaled = fit.amplitude * np.sqrt(fit.replica.gram[:, 0, 0].real)
        total += np.real(scaled.conj() @ fit.coherence @ scaled)
    prior = np.sum((targets.velocities_mps / center.scene.sensing.max_speed_mps) ** 2) / 2
    return total / center.scene.propagation.noise_power_w - prior


def test_the_gradient_is_that_of_the_joint_likelihood(center):
    size = center.scene.dimension
    away = true_state(center).moved(np.tile(np.repeat([0.2, 0.4], size), (2, 1)))
    slope = center.joint.match(away).slope
    for target in range(2):
        for axis in range(2 * size):
            step = np.zeros((2, 2 * size))
            step[target, axis] = 0.01
            up, down = (log_likelihood(center, away.moved(sign * step)) for sign in (1, -1))
            wanted = (up - down) / 0.02
            scale = np.abs(slope[target].reshape(2, -1)[axis // size]).max()
            assert slope[target, axis] == pytest.approx(wanted, abs=0.06 * scale)


def test_fisher_scoring_ends_at_the_targets_within_their_covariance(center):
    size = center.scene.dimension
    true = true_state(center)
    start = true.moved(np.tile(np.repeat([0.5, 1.0], size), (2, 1)))
    match = center.joint.fisher_scoring(center.joint.match(start))
    for target in range(2):
        away = np.concatenate(
            [
                (match.targets.points_m - true.points_m)[target, :size],
                (match.targets.velocities_mps - true.velocities_mps)[target, :size],
            ]
        )
        assert away @ match.information[target] @ away < 25
    assert np.all(match.evidence > 50)


def test_evidence_of_an_empty_place_is_negative(center):
    true = true_state(center)
    empty = Targets(
        np.append(true.points_m, [[50.0, 55.0, true.points_m[0, 2]]], axis=0),
        np.append(true.velocities_mps, [[8.0, 8.0, 0.0]], axis=0),
    )
    assert center.joint.match(empty).evidence[2] < 0


def test_one_of_two_that_no_echo_separates_is_a_duplicate(center):
    size = center.scene.dimension
    true = true_state(center)
    assert center.joint.match(true).duplicate() is None
    steps = np.zeros((3, 2 * size))
    steps[2, 0] = 0.05
    assert center.joint.match(true.keep(np.array([0, 1, 1])).moved(steps)).duplicate() == 2
    steps[2, size:] = 5.0
    split = center.joint.match(true.keep(np.array([0, 1, 1])).moved(steps))
    assert split.duplicate() is None and split.evidence[:2].min() > 50 > split.evidence[2]


def test_each_target_is_detected_once_with_the_receivers_of_its_paths(center):
    detections = center.detect(center.reports)
    assert len(detections) == 2
    for one in center.targets:
        nearest = min(
            detections, key=lambda detection: np.linalg.norm(detection.position_m - one.position_m)
        )
        assert np.linalg.norm(nearest.position_m - one.position_m) < 0.5
        assert np.linalg.norm(nearest.velocity_mps - one.velocity_mps) < 2.0
        assert set(nearest.sites) <= set(center.sensors) and nearest.num_paths >= 2
    assert detections[0].snr_db >= detections[1].snr_db


def test_a_ghost_of_one_receiver_is_rejected(center):
    ghost = replace(center.reports[0], point_m=center.reports[0].point_m + [9.0, 5.0, 0.0])
    assert len(center.detect([*center.reports, ghost])) == 2
    assert center.detect([]) == ()

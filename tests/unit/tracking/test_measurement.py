"""Detections as arrays; those that are no Gaussians are reported."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.detection import Evidence
from cooperative_isac.tracking.measurement import detection_problem, stack


def test_detections_become_arrays_in_their_order(detect):
    measurements = stack([detect((1, 2, 3), (4, 5, 6)), detect((7, 8, 9))])
    assert np.array_equal(measurements.values, [[1, 2, 3, 4, 5, 6], [7, 8, 9, 0, 0, 0]])
    assert np.array_equal(measurements.covariances[1], np.diag([0.0225] * 3 + [0.25] * 3))
    assert np.array_equal(measurements.speeds_mps(), [np.sqrt(77), 0])
    assert np.allclose(measurements.speed_stds_mps(), np.sqrt(0.75))
    assert np.array_equal(measurements.at(np.array([False, True])).values, measurements.values[1:])


def test_evidence_of_weak_detections_is_in_their_rows(detect):
    weak = replace(detect((0, 0, 0)), evidence=Evidence(4.5, -12.0))
    measurements = stack([detect((1, 2, 3)), weak])
    assert measurements.weak.tolist() == [False, True]
    assert measurements.log_ratios.tolist() == [0.0, 4.5]
    assert measurements.log_false_densities.tolist() == [0.0, -12.0]
    assert measurements.at(np.array([1])).log_ratios.tolist() == [4.5]


def test_no_detections_are_empty_arrays():
    assert stack([]).values.shape == (0, 6) and stack([]).covariances.shape == (0, 6, 6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"position_m": np.array([1, np.nan, 2])}, "position_m is not finite"),
        ({"velocity_mps": np.array([1, np.inf, 2])}, "velocity_mps is not finite"),
        ({"velocity_mps": np.zeros(2)}, r"velocity_mps has shape \(2,\), it must be \(3,\)"),
        ({"covariance": np.full((6, 6), np.nan)}, "covariance is not finite"),
        ({"covariance": np.eye(3)}, r"covariance has shape \(3, 3\), it must be \(6, 6\)"),
        ({"covariance": np.diag([1, 1, 1, 1, 1, 0.0])}, "covariance is not positive definite"),
        ({"covariance": np.diag([1, 1, -1, 1, 1, 1.0])}, "covariance is not positive definite"),
        ({"covariance": np.eye(6) + np.eye(6, k=1) * 0.1}, "covariance is not symmetric"),
    ],
)
def test_an_unfit_detection_is_reported_with_its_fault(detect, change, words):
    with pytest.raises(ValueError, match=f"^detection 1: {words}$"):
        stack([detect((0, 0, 0)), replace(detect((0, 0, 0)), **change)])


@pytest.mark.parametrize("variance", [1e-12, 1e8])
def test_a_height_may_be_exact_or_unknown(detect, variance):
    covariance = np.diag([0.02, 0.02, variance, 0.2, 0.2, variance])
    assert detection_problem(detect((0, 0, 0), covariance=covariance)) is None

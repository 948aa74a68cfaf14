"""Figures of a few frames, compared with values computed by hand."""

import numpy as np
import pytest

from cooperative_isac.evaluation.figures import bound_figures, scheme_figures
from cooperative_isac.evaluation.monte_carlo import FrameSample, SchemeSample


def sample(
    location, velocity, num_false=0, bits=(100, 200), downlink=7, encode_s=0.25, decode_s=0.001
):
    errors = (np.array(values, float).reshape(-1, 2) for values in (location, velocity))
    return SchemeSample(*errors, num_false, bits, downlink, encode_s, decode_s)


def test_errors_are_over_detected_targets_and_rates_over_all():
    samples = [
        sample([[3, 4], [0, 1]], [[1, 0], [2, 0]], num_false=3),
        sample([], []),
        sample([[0, 2]], [[0, 6]], bits=(300, 400), downlink=9, encode_s=0.75, decode_s=0.003),
    ]
    figures = scheme_figures(samples, 6)
    assert figures.rmse_location_m == pytest.approx(np.sqrt((25 + 1 + 4) / 3))
    assert figures.rmse_velocity_mps == pytest.approx(np.sqrt((1 + 4 + 36) / 3))
    assert figures.median_location_m == figures.median_velocity_mps == 2
    assert figures.detection_rate == 0.5 and figures.false_alarms_per_frame == 1
    assert figures.fronthaul_bits == pytest.approx(1300 / 6)
    assert figures.fronthaul_downlink_bits == pytest.approx(23 / 3)
    assert figures.encode_ms == pytest.approx(1250 / 3) and figures.decode_ms == pytest.approx(
        5 / 3
    )
    assert figures.quality.num_samples == 3
    assert (figures.quality.horizontal_95_m, figures.quality.horizontal_95_mps) == (5, 6)
    assert (figures.quality.missed_share, figures.quality.false_share) == (0.5, 0.5)


def test_errors_without_detections_are_nan():
    figures = scheme_figures([sample([], [])], 2)
    assert np.isnan(figures.rmse_location_m) and np.isnan(figures.median_velocity_mps)
    assert figures.detection_rate == 0


def test_the_bound_has_root_mean_and_median():
    frames = [
        FrameSample(np.array(location), np.array(velocity), 1.0, {})
        for location, velocity in (([1.0, 7.0], [2.0, 2.0]), ([2.0], [4.0]))
    ]
    bound = bound_figures(frames)
    assert (
        bound.root_mean_location_m == pytest.approx(np.sqrt(54 / 3))
        and bound.median_location_m == 2
    )
    assert (
        bound.root_mean_velocity_mps == pytest.approx(np.sqrt(24 / 3))
        and bound.median_velocity_mps == 2
    )

"""Figures of many frames; their field names are the keys of the results file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.evaluation.monte_carlo import FrameSample, SchemeSample
from cooperative_isac.metrics.consistency import median_error, rmse


@dataclass(frozen=True)
class SchemeFigures:
    """Accuracy over detected targets, and cost of one scheme; errors are nan where nothing was
    detected.

    fronthaul_bits: mean per receiver and frame; fronthaul_downlink_bits: mean that each receiver
    must be told of a frame; encode_ms: mean per receiver and frame, decode_ms: mean per frame, both
    processor time.
    """

    rmse_location_m: float
    median_location_m: float
    rmse_velocity_mps: float
    median_velocity_mps: float
    detection_rate: float
    false_alarms_per_frame: float
    fronthaul_bits: float
    fronthaul_downlink_bits: float
    encode_ms: float
    decode_ms: float


@dataclass(frozen=True)
class BoundFigures:
    """Root CRLB over all drawn targets: root of the mean, and median of the roots."""

    root_mean_location_m: float
    median_location_m: float
    root_mean_velocity_mps: float
    median_velocity_mps: float


def scheme_figures(samples: Sequence[SchemeSample], num_targets: int) -> SchemeFigures:
    """Figures of one scheme over its frames, which held num_targets targets altogether."""
    location = np.concatenate([sample.location_errors_m for sample in samples])
    velocity = np.concatenate([sample.velocity_errors_mps for sample in samples])
    return SchemeFigures(
        rmse(location),
        median_error(location),
        rmse(velocity),
        median_error(velocity),
        len(location) / num_targets,
        _mean(sample.num_false for sample in samples),
        _mean(bits for sample in samples for bits in sample.packet_bits),
        _mean(sample.downlink_bits for sample in samples),
        1e3 * _mean(sample.encode_s for sample in samples),
        1e3 * _mean(sample.decode_s for sample in samples),
    )


def bound_figures(samples: Sequence[FrameSample]) -> BoundFigures:
    """Figures of the bound over all frames' targets."""
    location = np.concatenate([sample.location_bounds_m for sample in samples])
    velocity = np.concatenate([sample.velocity_bounds_mps for sample in samples])
    return BoundFigures(
        _root_mean_square(location),
        float(np.median(location)),
        _root_mean_square(velocity),
        float(np.median(velocity)),
    )


def _mean(values) -> float:
    return float(np.mean([*values]))


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))

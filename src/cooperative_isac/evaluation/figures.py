"""Accuracy and cost over many frames. The names of the fields are the keys of the results file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.evaluation.monte_carlo import FrameSample, SchemeSample
from cooperative_isac.metrics.consistency import median_error, rmse
from cooperative_isac.metrics.requirements import SensingQuality, sensing_quality


@dataclass(frozen=True)
class SchemeFigures:
    """Accuracy of one scheme over its detected targets, and its cost.

    rmse_*, median_*: of the errors, m and m/s; nan if no target was detected
    detection_rate: share of targets with a detection within DETECTION_CUTOFF_M
    false_alarms_per_frame: mean number of detections without a target
    fronthaul_bits: uplink, mean per station and frame
    fronthaul_downlink_bits: side information for one station, mean per frame
    encode_ms: processor time, mean per station and frame
    decode_ms: processor time, mean per frame
    quality: of the detections; errors of the detected targets
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
    quality: SensingQuality


@dataclass(frozen=True)
class BoundFigures:
    """Root CRLB over all drawn targets.

    root_mean_*: square root of the mean CRLB
    median_*: median of the square roots
    """

    root_mean_location_m: float
    median_location_m: float
    root_mean_velocity_mps: float
    median_velocity_mps: float


def scheme_figures(samples: Sequence[SchemeSample], num_targets: int) -> SchemeFigures:
    """Summarize the samples of one scheme.

    num_targets: number of targets in all frames together
    """
    location_errors_m = np.concatenate([sample.location_errors_m for sample in samples])
    velocity_errors_mps = np.concatenate([sample.velocity_errors_mps for sample in samples])
    num_found = len(location_errors_m)
    num_false = sum(sample.num_false for sample in samples)
    return SchemeFigures(
        rmse_location_m=rmse(location_errors_m),
        median_location_m=median_error(location_errors_m),
        rmse_velocity_mps=rmse(velocity_errors_mps),
        median_velocity_mps=median_error(velocity_errors_mps),
        detection_rate=num_found / num_targets,
        false_alarms_per_frame=_mean(sample.num_false for sample in samples),
        fronthaul_bits=_mean(bits for sample in samples for bits in sample.packet_bits),
        fronthaul_downlink_bits=_mean(sample.downlink_bits for sample in samples),
        encode_ms=1e3 * _mean(sample.encode_s for sample in samples),
        decode_ms=1e3 * _mean(sample.decode_s for sample in samples),
        quality=sensing_quality(
            location_errors_m,
            velocity_errors_mps,
            num_found=num_found,
            num_targets=num_targets,
            num_estimates=num_found + num_false,
        ),
    )


def bound_figures(samples: Sequence[FrameSample]) -> BoundFigures:
    """Summarize the bounds of the targets in all frames."""
    location_m = np.concatenate([sample.location_bounds_m for sample in samples])
    velocity_mps = np.concatenate([sample.velocity_bounds_mps for sample in samples])
    return BoundFigures(
        root_mean_location_m=_root_mean_square(location_m),
        median_location_m=float(np.median(location_m)),
        root_mean_velocity_mps=_root_mean_square(velocity_mps),
        median_velocity_mps=float(np.median(velocity_mps)),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))

"""Sensing quality by 3GPP TS 22.137, and the sensing service category that it reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

# Share of the found targets that keep an error: the confidence level of all categories.
CONFIDENCE = 0.95
# Samples from which the largest error is, at a confidence of CONFIDENCE, above the error that
# CONFIDENCE of all targets keep: 1 - 0.95^n >= 0.95, so that 59 are needed. With fewer, nothing can
# be said about that error.
LEAST_SAMPLES = math.ceil(math.log(1 - CONFIDENCE) / math.log(CONFIDENCE))
# Relative excess over a limit that is rounding: shares and frame periods are quotients.
ROUNDING = 1e-9


@dataclass(frozen=True)
class SensingQuality:
    """Quality of a sensing service, in the terms of 3GPP TS 22.137.

    Errors are those that CONFIDENCE of the found targets keep; missed targets have no error, they
    have a share of their own. None: not measured; nan: measured, without samples.

    num_samples: number of found targets, over all frames
    horizontal_95_m, vertical_95_m: errors of location, m; vertical None in a plane of known height
    horizontal_95_mps, vertical_95_mps: lengths of the errors of velocity, m/s
    missed_share: of the true targets, over all frames
    false_share: of the detections or tracks, over all frames
    latency_99_ms: 99th percentile of the time from a frame to its result, ms
    refresh_s: mean time between two results, s
    """

    num_samples: int
    horizontal_95_m: float
    vertical_95_m: float | None
    horizontal_95_mps: float
    vertical_95_mps: float | None
    missed_share: float
    false_share: float
    latency_99_ms: float | None = None
    refresh_s: float | None = None

    @property
    def has_few_samples(self) -> bool:
        """True where there are fewer samples than a category needs at its confidence."""
        return self.num_samples < LEAST_SAMPLES


@dataclass(frozen=True)
class SensingCategory:
    """Largest values of the figures of SensingQuality in a category; None: no requirement."""

    number: int
    horizontal_95_m: float
    vertical_95_m: float
    horizontal_95_mps: float | None
    vertical_95_mps: float | None
    missed_share: float
    false_share: float
    latency_99_ms: float
    refresh_s: float


# Object detection and tracking. Where the standard has a range of values for different use cases,
# the largest is taken. Its limits of velocity for pedestrians (1.5 m/s) and vehicles (15 m/s) in
# category 4 are left out, as a scene may have targets of several classes, and its limits of
# resolution, which errors do not show.
# Source: 3GPP TS 22.137, Table 6.2-1.
CATEGORIES = (
    SensingCategory(
        number=1,
        horizontal_95_m=10.0,
        vertical_95_m=10.0,
        horizontal_95_mps=None,
        vertical_95_mps=None,
        missed_share=0.05,
        false_share=0.02,
        latency_99_ms=1000.0,
        refresh_s=1.0,
    ),
    SensingCategory(
        number=2,
        horizontal_95_m=2.0,
        vertical_95_m=5.0,
        horizontal_95_mps=1.0,
        vertical_95_mps=None,
        missed_share=0.05,
        false_share=0.05,
        latency_99_ms=1000.0,
        refresh_s=0.2,
    ),
    SensingCategory(
        number=3,
        horizontal_95_m=1.0,
        vertical_95_m=1.0,
        horizontal_95_mps=1.0,
        vertical_95_mps=1.0,
        missed_share=0.02,
        false_share=0.02,
        latency_99_ms=1000.0,
        refresh_s=1.0,
    ),
    SensingCategory(
        number=4,
        horizontal_95_m=0.5,
        vertical_95_m=0.5,
        horizontal_95_mps=0.1,
        vertical_95_mps=None,
        missed_share=0.01,
        false_share=0.03,
        latency_99_ms=5000.0,
        refresh_s=0.1,
    ),
)

# Names of the figures that categories limit, in the order of SensingCategory.
LIMITED = tuple(item.name for item in fields(SensingCategory) if item.name != "number")


@dataclass(frozen=True)
class CategoryResult:
    """The highest category whose limits are kept. Categories are not nested: a higher one may allow
    a larger share of false alarms.

    category: its number; None: none is reached
    exceeded: names of the figures that exceed a limit of the next higher category, or of the lowest
        one if none is reached
    not_compared: names of the figures that were not measured
    """

    category: int | None
    exceeded: tuple[str, ...]
    not_compared: tuple[str, ...]


def sensing_quality(
    location_errors_m: np.ndarray,
    velocity_errors_mps: np.ndarray,
    num_found: int,
    num_targets: int,
    num_estimates: int,
) -> SensingQuality:
    """Quality of the detections, or tracks, of a number of frames.

    location_errors_m: [num_errors, dim], float64, m; dim 2 in a plane of known height, else 3
    velocity_errors_mps: [num_errors, dim], float64, m/s
    num_found: targets that were found, over all frames; more than errors where only some are kept
    num_targets: true targets, over all frames
    num_estimates: detections or tracks, over all frames, with the false ones
    """
    dimension = location_errors_m.shape[1]
    vertical_95_m = None
    vertical_95_mps = None
    if dimension > 2:
        vertical_95_m = _kept_error(location_errors_m[:, 2:])
        vertical_95_mps = _kept_error(velocity_errors_mps[:, 2:])
    return SensingQuality(
        num_samples=num_found,
        horizontal_95_m=_kept_error(location_errors_m[:, :2]),
        vertical_95_m=vertical_95_m,
        horizontal_95_mps=_kept_error(velocity_errors_mps[:, :2]),
        vertical_95_mps=vertical_95_mps,
        missed_share=_share(num_targets - num_found, num_targets),
        false_share=_share(num_estimates - num_found, num_estimates),
    )


def reached_category(quality: SensingQuality) -> CategoryResult:
    """The highest category of TS 22.137 that a measured quality reaches."""
    reached = [item.number for item in CATEGORIES if not exceeded_limits(quality, item)]
    number = max(reached, default=None)
    following = next_category(number)
    return CategoryResult(
        category=number,
        exceeded=exceeded_limits(quality, following) if following is not None else (),
        not_compared=tuple(name for name in LIMITED if getattr(quality, name) is None),
    )


def next_category(number: int | None) -> SensingCategory | None:
    """The category after a number, None for none; None after the last one."""
    following = [item for item in CATEGORIES if item.number > (number or 0)]
    return following[0] if following else None


def exceeded_limits(quality: SensingQuality, category: SensingCategory) -> tuple[str, ...]:
    """Names of the measured figures that exceed a limit of a category, or have no samples."""
    exceeded = []
    for name in LIMITED:
        value = getattr(quality, name)
        limit = getattr(category, name)
        if value is None or limit is None:
            continue

        # Not `value > limit`: nan, without samples, keeps no limit.
        is_kept = value <= limit * (1 + ROUNDING)
        if not is_kept:
            exceeded.append(name)
    return tuple(exceeded)


def quality_report(quality: SensingQuality) -> dict[str, Any]:
    """Quality and category, with the keys of result files."""
    result = reached_category(quality)
    return {
        **asdict(quality),
        "has_few_samples": quality.has_few_samples,
        "sensing_category": result.category,
        "exceeded": result.exceeded,
        "not_compared": result.not_compared,
    }


def reported_quality(report: Mapping[str, Any]) -> SensingQuality:
    """The quality of a result of quality_report, whose figures without samples may be None."""
    figures = {item.name: report[item.name] for item in fields(SensingQuality)}

    # JSON has no nan: a measured figure without samples is null there.
    for name in LIMITED:
        if figures[name] is None and name not in report["not_compared"]:
            figures[name] = math.nan
    return SensingQuality(**figures)


def _kept_error(errors: np.ndarray) -> float:
    """Least length of error that CONFIDENCE of all errors keep; nan without errors.

    errors: [num_errors, dim], float64
    """
    if len(errors) == 0:
        return math.nan
    lengths = np.linalg.norm(errors, axis=1)
    return float(np.quantile(lengths, CONFIDENCE, method="inverted_cdf"))


def _share(num: int, total: int) -> float:
    """Quotient of two numbers; nan of nothing."""
    return num / total if total else math.nan

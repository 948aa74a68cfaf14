"""Sensing quality and categories of TS 22.137: closed forms, a plain loop, counts by hand."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.evaluation.summary_file import finite_or_none
from cooperative_isac.metrics.quality_log import ERRORS_KEPT, QualityLog
from cooperative_isac.metrics.requirements import (
    CATEGORIES,
    LEAST_SAMPLES,
    LIMITED,
    SensingQuality,
    exceeded_limits,
    quality_report,
    reached_category,
    reported_quality,
    sensing_quality,
)

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "sensing_categories.md"
# Better than every limit.
GOOD = SensingQuality(100, 0.1, 0.1, 0.05, 0.05, 0.0, 0.0, 50.0, 0.05)


def of(location, velocity, **counts):
    """Quality of given errors, with all targets found and nothing false unless counts differ."""
    counts = {key: len(location) for key in ("num_found", "num_targets", "num_estimates")} | counts
    return sensing_quality(np.array(location, float), np.array(velocity, float), **counts)


def test_gaussian_errors_have_the_quantiles_of_rayleigh_and_half_normal():
    rng = np.random.default_rng(5)
    location = rng.normal(0.0, (0.3, 0.3, 2.0), (400_000, 3))
    velocity = rng.normal(0.0, (0.7, 0.7, 0.1), (400_000, 3))
    quality = of(location, velocity)
    rayleigh = math.sqrt(-2 * math.log(0.05))
    half_normal = 1.959964
    assert quality.horizontal_95_m == pytest.approx(0.3 * rayleigh, rel=5e-3)
    assert quality.vertical_95_m == pytest.approx(2.0 * half_normal, rel=5e-3)
    assert quality.horizontal_95_mps == pytest.approx(0.7 * rayleigh, rel=5e-3)
    assert quality.vertical_95_mps == pytest.approx(0.1 * half_normal, rel=5e-3)


@pytest.mark.parametrize("num", [1, 2, 19, 20, 21, 39, 40, 100, 341])
def test_the_error_is_the_least_one_that_95_percent_keep(num):
    rng = np.random.default_rng(num)
    errors = rng.normal(size=(num, 2))
    lengths = sorted(math.hypot(*error) for error in errors)
    kept = [
        length for length in lengths if 100 * sum(other <= length for other in lengths) >= 95 * num
    ]
    assert of(errors, errors).horizontal_95_m == pytest.approx(kept[0], rel=1e-12)


def test_missed_targets_and_false_detections_are_shares_and_no_errors():
    errors = [[3.0, 4.0]] * 8
    quality = of(errors, errors, num_targets=10, num_estimates=32)
    assert (quality.horizontal_95_m, quality.missed_share, quality.false_share) == (5, 0.2, 0.75)
    assert quality.num_samples == 8


def test_a_plane_has_no_vertical_errors():
    quality = of([[0.1, 0.1]], [[0.05, 0.05]])
    assert quality.vertical_95_m is None and quality.vertical_95_mps is None
    result = reached_category(quality)
    assert (result.category, result.exceeded) == (4, ())
    assert result.not_compared == ("vertical_95_m", "vertical_95_mps", "latency_99_ms", "refresh_s")


def test_nothing_found_reaches_no_category():
    quality = of(np.zeros((0, 3)), np.zeros((0, 3)), num_targets=5, num_estimates=0)
    assert quality.missed_share == 1 and math.isnan(quality.false_share)
    result = reached_category(quality)
    assert result.category is None
    assert result.exceeded == ("horizontal_95_m", "vertical_95_m", "missed_share", "false_share")


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.number)
def test_a_category_is_reached_at_its_limits_and_not_beyond_one_of_them(category):
    limits = {
        name: getattr(category, name) for name in LIMITED if getattr(category, name) is not None
    }
    at_limits = replace(GOOD, **limits)
    assert exceeded_limits(at_limits, category) == ()
    assert reached_category(at_limits).category >= category.number

    for name, limit in limits.items():
        beyond = replace(at_limits, **{name: 1.001 * limit})
        assert exceeded_limits(beyond, category) == (name,)
        assert reached_category(beyond).category != category.number


@pytest.mark.parametrize(
    ("changes", "category", "exceeded"),
    [
        ({}, 4, ()),
        # Category 4 allows 3 % of false alarms, categories 1 and 3 only 2 %.
        ({"false_share": 0.025}, 4, ()),
        ({"false_share": 0.025, "missed_share": 0.015}, 2, ("false_share",)),
        ({"horizontal_95_mps": 0.6, "refresh_s": 0.2}, 3, ("horizontal_95_mps", "refresh_s")),
        ({"vertical_95_m": 3.0}, 2, ("vertical_95_m",)),
        ({"horizontal_95_mps": 20.0}, 1, ("horizontal_95_mps",)),
        ({"missed_share": 0.06}, None, ("missed_share",)),
        ({"latency_99_ms": 1200.0}, 4, ()),
        ({"latency_99_ms": 1200.0, "refresh_s": 0.5}, None, ("latency_99_ms",)),
        # A quotient that exceeds the limit by its rounding only.
        ({"refresh_s": 0.1 + 2e-17}, 4, ()),
    ],
)
def test_the_highest_category_is_reached(changes, category, exceeded):
    result = reached_category(replace(GOOD, **changes))
    assert (result.category, result.exceeded, result.not_compared) == (category, exceeded, ())


@pytest.mark.parametrize(
    "quality",
    [
        GOOD,
        of([[0.1, 0.1]], [[5.0, 0.05]]),
        of(np.zeros((0, 2)), np.zeros((0, 2)), num_targets=3),
    ],
)
def test_a_report_is_read_as_it_was_written(quality):
    report = json.loads(json.dumps(finite_or_none(quality_report(quality)), allow_nan=False))
    found = reported_quality(report)
    assert repr(found) == repr(quality)
    result = reached_category(found)
    assert report["sensing_category"] == result.category
    assert report["exceeded"] == list(result.exceeded)


def test_the_largest_of_59_errors_exceeds_the_95th_percentile_at_95_percent_confidence():
    assert 1 - 0.95**LEAST_SAMPLES >= 0.95 > 1 - 0.95 ** (LEAST_SAMPLES - 1)
    generator = np.random.default_rng(2)
    exceeds = generator.random((20_000, LEAST_SAMPLES)).max(axis=1) > 0.95
    assert exceeds.mean() == pytest.approx(0.9515, abs=0.006)


@pytest.mark.parametrize(("num_samples", "is_few"), [(0, True), (58, True), (59, False)])
def test_a_category_of_few_samples_is_marked(num_samples, is_few):
    quality = replace(GOOD, num_samples=num_samples)
    assert quality.has_few_samples == is_few
    assert quality_report(quality)["has_few_samples"] == is_few
    assert reported_quality(quality_report(quality)) == quality


def test_a_log_keeps_the_latest_errors_and_all_counts():
    log = QualityLog(2)
    log.add(np.full((10, 4), 9.0), num_targets=20, num_estimates=10)
    log.add(np.tile([0.6, 0.8, 3.0, 4.0], (ERRORS_KEPT, 1)), ERRORS_KEPT, ERRORS_KEPT + 30)
    quality = log.quality()
    assert quality.horizontal_95_m == pytest.approx(1.0)
    assert quality.horizontal_95_mps == pytest.approx(5.0)
    assert quality.num_samples == ERRORS_KEPT + 10
    assert quality.missed_share == pytest.approx(10 / (ERRORS_KEPT + 20))
    assert quality.false_share == pytest.approx(30 / (ERRORS_KEPT + 40))


def test_the_document_has_the_limits():
    rows = re.findall(r"^\| [1-4] \|.*\|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    found = [[cell.split()[0] for cell in row.strip("|").split("|")] for row in rows]
    expected = []
    for category in CATEGORIES:
        limits = {name: getattr(category, name) for name in LIMITED}
        limits["missed_share"] *= 100
        limits["false_share"] *= 100
        cells = ["-" if limit is None else f"{limit:g}" for limit in limits.values()]
        expected.append([str(category.number), *cells])
    assert found == expected

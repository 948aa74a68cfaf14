"""Figures by transmit power and scheme, as tables and as entries of results files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.summary_file import finite_or_none
from cooperative_isac.metrics.requirements import (
    CONFIDENCE,
    LEAST_SAMPLES,
    SensingQuality,
    next_category,
    quality_report,
    reached_category,
)

# Their modules load slowly, and the report of a run needs none of them.
if TYPE_CHECKING:
    from cooperative_isac.evaluation.figures import SchemeFigures
    from cooperative_isac.evaluation.sequence import SequenceFigures

# Name, unit and factor to it of the figures that sensing categories limit.
QUANTITIES = {
    "horizontal_95_m": ("horizontal error", "m", 1.0),
    "vertical_95_m": ("vertical error", "m", 1.0),
    "horizontal_95_mps": ("horizontal velocity error", "m/s", 1.0),
    "vertical_95_mps": ("vertical velocity error", "m/s", 1.0),
    "missed_share": ("missed", "%", 100.0),
    "false_share": ("false", "%", 100.0),
    "latency_99_ms": ("latency", "ms", 1.0),
    "refresh_s": ("refresh", "s", 1.0),
}
# Figures that a scene of known height does not have.
VERTICAL = ("vertical_95_m", "vertical_95_mps")
# Limits of the standard that no figure shows.
NEVER_COMPARED = "resolution"


@dataclass(frozen=True)
class QualityRow:
    """Sensing quality of a scheme at a transmit power, which is a text in dBm."""

    power: str
    scheme: str
    quality: SensingQuality


def figures_dict(figures: SchemeFigures | SequenceFigures) -> dict[str, Any]:
    """Figures with the keys of results files. Numbers that are not finite become None."""
    return finite_or_none({**asdict(figures), "quality": quality_report(figures.quality)})


def figures_table(title: str, headers: Sequence[str]) -> Table:
    """An empty table of figures by power and scheme."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("dBm", justify="right", no_wrap=True)
    table.add_column("scheme", no_wrap=True)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def show_quality(rows: Sequence[QualityRow], found: str, console: Console) -> None:
    """Print the table of sensing quality, and a line for the category of each row.

    found: what was found of targets: detections or tracks
    """
    console.print(quality_table(rows, found))
    for row in rows:
        line = f"TS 22.137, {row.scheme} at {row.power} dBm: {category_text(row.quality)}"
        line += f"; {samples_text(row.quality)}"
        console.print(line, markup=False, highlight=False)

    # The figures that were not measured are the same in all rows.
    not_compared = not_compared_text(rows[0].quality)
    console.print(f"not compared: {not_compared}\n", markup=False, highlight=False, soft_wrap=True)


def quality_table(rows: Sequence[QualityRow], found: str) -> Table:
    """Table of the 95th percentiles of errors, and of missed and false shares."""
    table = figures_table(
        f"{found}: errors (95th percentile), shares, and category of 3GPP TS 22.137",
        (
            "hor.\n(m)",
            "vert.\n(m)",
            "hor.\n(m/s)",
            "vert.\n(m/s)",
            "missed",
            "false",
            "category",
        ),
    )
    for row in rows:
        quality = row.quality
        category = reached_category(quality).category
        table.add_row(
            row.power,
            row.scheme,
            number_text(quality.horizontal_95_m),
            number_text(quality.vertical_95_m),
            number_text(quality.horizontal_95_mps),
            number_text(quality.vertical_95_mps),
            percent_text(quality.missed_share),
            percent_text(quality.false_share),
            "-" if category is None else str(category),
        )
    return table


def category_text(quality: SensingQuality) -> str:
    """The category that is reached, and in brackets what the next one lacks."""
    if not quality.num_samples:
        had_targets = not math.isnan(quality.missed_share)
        return f"no category, as nothing was {'found' if had_targets else 'compared'}"
    result = reached_category(quality)
    text = "no category"
    if result.category is not None:
        text = f"category {result.category}"
    following = next_category(result.category)
    if following is None:
        return text

    needs = []
    for name in result.exceeded:
        words, unit, factor = QUANTITIES[name]
        need = f"{words} {factor * getattr(following, name):g} {unit}"
        value = getattr(quality, name)
        if not math.isnan(value):
            need += f", has {factor * value:.3g}"
        needs.append(need)
    return f"{text} (category {following.number} needs {'; '.join(needs)})"


def samples_text(quality: SensingQuality) -> str:
    """The number of samples, and how many a category needs where they are too few."""
    text = f"{quality.num_samples} samples"
    if quality.has_few_samples:
        text += (
            f", too few: {LEAST_SAMPLES} are needed at a confidence of {CONFIDENCE:.0%}, so "
            "evaluate more frames"
        )
    return text


def not_compared_text(quality: SensingQuality) -> str:
    """Requirements of the categories that a measured quality does not show."""
    names = reached_category(quality).not_compared
    words = [QUANTITIES[name][0] for name in names if name not in VERTICAL]
    if set(VERTICAL) & set(names):
        words.insert(0, "vertical errors (not estimated: known height)")
    return ", ".join([*words, NEVER_COMPARED])


def percent_text(share: float | None) -> str:
    """A share in percent; a dash without any."""
    return "-" if share is None or math.isnan(share) else f"{share:.1%}"


def number_text(value: float | None) -> str:
    """A figure with three decimals; a dash without any."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"

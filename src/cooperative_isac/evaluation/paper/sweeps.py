"""What varies in each figure of CF section V: curves and points as changes of a scene file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cooperative_isac.schemes.catalog import CLASSICAL, LEARNED

SCALES = {"compact": "cell_free_compact", "table1": "cell_free_table1"}


@dataclass(frozen=True)
class Point:
    """One place of a figure. curve: "" where a figure has one for each scheme; changes: see
    changed_scene.
    """

    value: float
    changes: Mapping[str, object]
    curve: str = ""


@dataclass(frozen=True)
class Sweep:
    """One figure. schemes: who is in it, wherever it can run."""

    number: int
    title: str
    axis: str
    points: tuple[Point, ...]
    schemes: tuple[str, ...] = CLASSICAL + LEARNED


def sweep(number: int, scale: str) -> Sweep:
    """Figure 6, 7, 8, 9, 13 or 14 at a scale."""
    return SWEEPS[number](scale)


def _power(scale: str) -> Sweep:
    middle = {"compact": 33.0, "table1": 30.0}[scale]
    points = tuple(
        Point(middle + step, {"waveform.power_dbm": middle + step}) for step in (-10, -5, 0, 5, 10)
    )
    return Sweep(6, "maximum transmit power", "P (dBm)", points)


def _targets(scale: str) -> Sweep:
    return Sweep(
        7, "number of targets", "Q", tuple(Point(q, {"draw.num_targets": q}) for q in (1, 2, 3))
    )


def _symbols(scale: str) -> Sweep:
    most = {"compact": 64, "table1": 256}[scale]
    points = tuple(
        Point(count, {"waveform.num_symbols": count}) for count in (most // 4, most // 2, most)
    )
    return Sweep(8, "number of OFDM symbols", "T_s", points)


def _antennas(scale: str) -> Sweep:
    most = {"compact": 16, "table1": 16}[scale]
    points = tuple(
        Point(count, {"receivers.*.array.num_elements": count})
        for count in (most // 4, most // 2, most)
    )
    return Sweep(9, "receive antennas", "M_r", points)


def _clutter(scale: str) -> Sweep:
    points = tuple(
        Point(
            count,
            {"propagation.clutter": {"num_scatterers": count, "reflection_variance": variance}},
            f"clutter variance {variance:g}",
        )
        for variance in (0.01, 0.1, 1.0)
        for count in (3, 6, 9, 12, 15, 18)
    )
    return Sweep(13, "clutter scatterers", "S", points, ("dvqvae", "local_ml"))


def _offsets(scale: str) -> Sweep:
    points = tuple(
        Point(
            round(1e9 * timing, 3),
            {
                "propagation.timing_offset_std_s": timing,
                "propagation.frequency_offset_std_hz": frequency,
            },
            f"frequency offset {frequency:g} Hz",
        )
        for frequency in (0.0, 1000.0, 5000.0)
        for timing in (0.0, 30e-9, 100e-9, 300e-9)
    )
    return Sweep(
        14,
        "clock offsets",
        "standard deviation of the timing offset (ns)",
        points,
        ("dvqvae", "local_ml"),
    )


SWEEPS = {6: _power, 7: _targets, 8: _symbols, 9: _antennas, 13: _clutter, 14: _offsets}

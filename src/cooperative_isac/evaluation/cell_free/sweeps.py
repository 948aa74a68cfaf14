"""Swept quantities of the figures of CF section V: each point is a change of a scene file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cooperative_isac.schemes.catalog import CLASSICAL, LEARNED

# Scenes of the scales of `isac figures cf`.
SCALES = {"compact": "cell_free_compact", "table1": "cell_free_table1"}
# Schemes of figures with three curves a scheme: the learned codec of CF, and maximum likelihood.
FEW_SCHEMES = ("dvqvae", "local_ml")


@dataclass(frozen=True)
class Point:
    """One point of a figure.

    value: value of the swept quantity
    changes: changes of the scene file, as changed_scene takes them
    curve: name of the curve, in figures with several curves of a scheme
    """

    value: float
    changes: Mapping[str, object]
    curve: str = ""


@dataclass(frozen=True)
class Sweep:
    """One figure.

    number: number of the figure in CF
    title: what is swept
    axis: label of the horizontal axis
    schemes: schemes that the figure shows at the points at which they can run
    """

    number: int
    title: str
    axis: str
    points: tuple[Point, ...]
    schemes: tuple[str, ...] = CLASSICAL + LEARNED


def sweep(number: int, scale: str) -> Sweep:
    """Sweep of figure 6, 7, 8, 9, 13 or 14 at one of SCALES."""
    return SWEEPS[number](scale)


def _power(scale: str) -> Sweep:
    """Transmit power, around the power of the scene."""
    # 33 dBm give the compact scene the energy that 30 dBm give CF Table I.
    middle_dbm = {"compact": 33.0, "table1": 30.0}[scale]
    powers_dbm = [middle_dbm + step for step in (-10, -5, 0, 5, 10)]
    points = tuple(Point(power, {"waveform.power_dbm": power}) for power in powers_dbm)
    return Sweep(6, "maximum transmit power", "maximum transmit power P (dBm)", points)


def _targets(scale: str) -> Sweep:
    """Number of targets, the same at both scales."""
    points = tuple(Point(count, {"draw.num_targets": count}) for count in (1, 2, 3))
    return Sweep(7, "number of targets", "number of targets Q", points)


def _symbols(scale: str) -> Sweep:
    """Number of OFDM symbols, up to that of the scene."""
    most = {"compact": 64, "table1": 256}[scale]
    counts = (most // 4, most // 2, most)
    points = tuple(Point(count, {"waveform.num_symbols": count}) for count in counts)
    return Sweep(8, "number of OFDM symbols", "number of OFDM symbols $T_s$", points)


def _antennas(scale: str) -> Sweep:
    """Number of receive antennas, the same at both scales."""
    points = tuple(Point(count, {"receivers.*.array.num_elements": count}) for count in (4, 8, 16))
    return Sweep(9, "receive antennas", "receive antennas per access point $M_r$", points)


def _clutter(scale: str) -> Sweep:
    """Number of clutter scatterers and their variance, the same at both scales."""
    points = []
    for variance in (0.01, 0.1, 1.0):
        for count in (3, 6, 9, 12, 15, 18):
            clutter = {"num_scatterers": count, "reflection_variance": variance}
            changes = {"propagation.clutter": clutter}
            points.append(Point(count, changes, f"clutter variance {variance:g}"))
    return Sweep(13, "clutter", "number of clutter scatterers S", tuple(points), FEW_SCHEMES)


def _offsets(scale: str) -> Sweep:
    """Standard deviations of the clock offsets, the same at both scales."""
    points = []
    for frequency_hz in (0.0, 1000.0, 5000.0):
        for timing_s in (0.0, 30e-9, 100e-9, 300e-9):
            changes = {
                "propagation.timing_offset_std_s": timing_s,
                "propagation.frequency_offset_std_hz": frequency_hz,
            }
            # Rounded, as the product has rounding errors.
            timing_ns = round(1e9 * timing_s, 3)
            points.append(Point(timing_ns, changes, f"frequency offset {frequency_hz:g} Hz"))
    axis = "standard deviation of the timing offset (ns)"
    return Sweep(14, "clock offsets", axis, tuple(points), FEW_SCHEMES)


# Sweep of each figure, a function of the scale.
SWEEPS = {6: _power, 7: _targets, 8: _symbols, 9: _antennas, 13: _clutter, 14: _offsets}

"""Rate and distortion: errors over the bits of a packet, of estimates, of learned and plain codecs.

Beyond CF Fig. 12, whose bits are those of one codec. Three kinds of packets:

    estimates   an access point estimates, and rounds the estimates to fields of few bits
    codewords   a learned codec, with codebooks of several sizes
    samples     the echo itself, with few bits a sample

For one encoder with a noisy observation and a mean square error, estimating before quantization is
optimal at every rate (Dobrushin and Tsybakov 1962; Wolf and Ziv 1970), so that the error of packets
of estimates should end at the accuracy of the estimates within a few bits a target. Packets that
locate all targets have no smaller error than Shannon's bound for the locations alone
(location_bound_m); where few targets are detected, errors are of these alone, and may be smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from cooperative_isac.evaluation.cell_free.plots import (
    FOUND_PANEL,
    LOCATION_PANEL,
    PANELS,
    SHARE_LIMIT,
    Row,
    add_legend,
    save_picture,
    set_error_scale,
)
from cooperative_isac.evaluation.cell_free.results import CRLB
from cooperative_isac.evaluation.cell_free.styles import BOUND_COLOR, scheme_style
from cooperative_isac.scene.model import Scene

# Keys of a row: bits of a packet, and the panels.
KEYS = ("fronthaul_bits", *(key for key, _ in PANELS))
# Packets for which Shannon's bound is drawn, bits.
BOUND_BITS = np.geomspace(10, 1e4, 200)
# Errors above which the bound is not drawn, m: detections end at a cutoff of 3 m.
MOST_BOUND_M = 3.0
# Learned codec whose codebooks are replaced.
CODEC = "dvqvae"
# The paper's network at Table I scale: its bits, and the error that the paper states as an upper
# limit, m (CF section V-C and Fig. 10).
PAPER_BITS = 81_920
PAPER_MOST_M = 1.0


@dataclass(frozen=True)
class RateCurve:
    """One curve: a scheme with one key of the scene file at several values.

    label: in the legend
    scheme: name of the scheme
    key: dotted key of the scene file; "" for the scheme as it is
    values: of the key
    line: style of the line
    """

    label: str
    scheme: str
    key: str = ""
    values: tuple[int, ...] = (0,)
    line: str = "-"

    def changes(self) -> tuple[dict[str, object], ...]:
        """Changes of the scene file at each point, as changed_scene takes them."""
        if not self.key:
            return ({},)
        return tuple({self.key: value} for value in self.values)


CURVES = (
    RateCurve(
        "local_ml, fields of 6 to 16 bits", "local_ml", "sensing.report_bits", (6, 8, 10, 16)
    ),
    RateCurve(
        "local_ml, with weak candidates", "local_ml", "sensing.candidate_bits", (1000, 4000), ":"
    ),
    RateCurve(
        "symbol_level, 1 to 8 bits a sample", "symbol_level", "sensing.symbol_bits", (1, 2, 8)
    ),
    RateCurve("dvae", "dvae"),
    RateCurve("compressed_sensing", "compressed_sensing"),
    RateCurve("raw_ml", "raw_ml"),
)


def location_bound_m(scene: Scene, num_targets: int, packet_bits: np.ndarray) -> np.ndarray:
    """Smallest RMSE of locations that packets of a number of bits can have, without any noise.

    Shannon's lower bound for targets anywhere in the area of a plane, in any order, that all
    receivers' packets describe together. Other contents of a packet have no bits in it.

    scene: in a plane
    num_targets: in the area
    packet_bits: [...], float64, bits of the packet of one receiver
    Returns [...], float64, m.
    """
    # Bits a target: all packets together. Targets are not numbered, which saves log2(Q!).
    order_bits = math.lgamma(num_targets + 1) / math.log(2)
    all_bits = len(scene.receivers) * packet_bits + order_bits
    bits = all_bits / num_targets

    # Rate of a location of squared error D: the entropies of a uniform distribution over the area
    # and of a Gaussian one with D / 2 along each axis differ by log2(area / (pi e D)).
    extent_m = scene.box.high_m - scene.box.low_m
    area_m2 = extent_m[0] * extent_m[1]
    squared_m2 = area_m2 / (np.pi * np.e) * 2.0**-bits
    return np.sqrt(squared_m2)


def rate_rows(
    curves: Sequence[RateCurve],
    measured: Sequence[Sequence[Mapping]],
    bound: Mapping,
    power_dbm: float,
) -> list[dict]:
    """Rows of the curves at one power, and one of the root CRLB.

    measured: figures of each point of each curve by name of the scheme (PointStore.figures)
    bound: figures of the bound
    """
    rows: list[dict] = []
    for curve, points in zip(curves, measured, strict=True):
        for value, figures in zip(curve.values, points, strict=True):
            row = {"power_dbm": power_dbm, "curve": curve.label, "value": value or ""}
            rows.append(row | {key: figures[curve.scheme][key] for key in KEYS})

    # The bound does not depend on the bits.
    rows.append(
        {
            "power_dbm": power_dbm,
            "curve": CRLB,
            "rmse_location_m": bound["root_mean_location_m"],
            "rmse_velocity_mps": bound["root_mean_velocity_mps"],
        }
    )
    return rows


def codec_rows(codebooks: Sequence[Row], power_dbm: float) -> list[dict]:
    """Rows of the learned codec.

    codebooks: as fronthaul.codebook_rows returns them
    """
    sizes = [str(row["scheme"]).rpartition(" ")[2] for row in codebooks]
    label = f"{CODEC}, codebooks of {sizes[0]} to {sizes[-1]}"
    return [
        {"power_dbm": power_dbm, "curve": label, "value": size, **{key: row[key] for key in KEYS}}
        for size, row in zip(sizes, codebooks, strict=True)
    ]


def draw_rates(scene: Scene, rows: Sequence[Row], path: Path) -> list[Path]:
    """Draw errors and share of targets found over the bits, a row of panels for each power.

    rows: of rate_rows and codec_rows
    path: PNG file

    Returns the file that was written.
    """
    # A row of panels for each power.
    powers_dbm = list(dict.fromkeys(row["power_dbm"] for row in rows))
    figure = Figure(figsize=(14, 4.2 * len(powers_dbm)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(powers_dbm), len(PANELS), squeeze=False)

    # Curves, and axes of the bits with decades alone.
    for power_dbm, line in zip(powers_dbm, grid):
        own = [row for row in rows if row["power_dbm"] == power_dbm]
        for axes, (key, label) in zip(line, PANELS):
            _draw_panel(axes, scene, own, key)
            axes.set(xscale="log", ylabel=label, title=f"{power_dbm:g} dBm")
            axes.xaxis.set_major_locator(LogLocator(10))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("uplink bits per access point and frame")

    # Legend and title of the figure.
    add_legend(figure)
    figure.suptitle(f"Rate and distortion; {scene.name}, simulated")
    return [save_picture(figure, path, 1)]


def _draw_panel(axes: Axes, scene: Scene, rows: Sequence[Row], key: str) -> None:
    """Draw one figure of all curves at one power."""
    # Curves that found targets; the one that is not of CURVES is of the learned codec.
    curves = {curve.label: curve for curve in CURVES}
    labels = dict.fromkeys(row["curve"] for row in rows if row["curve"] != CRLB)
    for label in labels:
        curve = curves.get(label, RateCurve(label, CODEC))
        points = [
            (row["fronthaul_bits"], row[key])
            for row in rows
            if row["curve"] == label and row[key] is not None
        ]
        style = scheme_style(curve.scheme)
        axes.plot(
            *zip(*points),
            label=label,
            color=style.color,
            marker=style.marker,
            markersize=5,
            linewidth=1.2,
            linestyle=curve.line,
        )
    if key == FOUND_PANEL[0]:
        axes.set_ylim(0, SHARE_LIMIT)
        return

    # Accuracy at any rate.
    set_error_scale(axes)
    (bound,) = (row[key] for row in rows if row["curve"] == CRLB)
    axes.axhline(bound, color="0.4", linestyle="--", linewidth=1.0, label="root CRLB")
    if key == LOCATION_PANEL[0]:
        _draw_location_bound(axes, scene, bound)


def _draw_location_bound(axes: Axes, scene: Scene, crlb_m: float) -> None:
    """Draw Shannon's bound of locations, down to half the root CRLB, and the paper's point."""
    shannon_m = location_bound_m(scene, scene.draw.num_targets, BOUND_BITS)
    is_shown = (shannon_m < MOST_BOUND_M) & (shannon_m > crlb_m / 2)
    axes.fill_betweenx(
        shannon_m[is_shown],
        BOUND_BITS[0],
        BOUND_BITS[is_shown],
        color=BOUND_COLOR,
        linewidth=0,
        label="fewer bits than Shannon's bound",
    )
    axes.plot(
        PAPER_BITS,
        PAPER_MOST_M,
        color="black",
        marker=r"$\downarrow$",
        markersize=9,
        linestyle="",
        label="CF's D-VQVAE at Table I: below 1 m",
    )

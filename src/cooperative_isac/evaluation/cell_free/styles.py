"""Colors, markers and line styles of schemes, the same in every figure.

A panel has at most MAX_CURVES curves: the schemes of the paper are in a first picture, the others
in further ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

# More curves in one panel are hard to distinguish.
MAX_CURVES = 6
# Color of the region below the Cramer-Rao bound.
BOUND_COLOR = "0.9"
# Line styles of the curves of one scheme, where a figure has several.
CURVE_LINES = ("-", "--", ":")


@dataclass(frozen=True)
class SchemeStyle:
    """Style of a scheme. Variants of a scheme share its color if they are in different pictures."""

    color: str
    marker: str
    line: str = "-"


# Colors of Okabe and Ito and four others, that readers with protanopia, deuteranopia or tritanopia
# can distinguish within each picture.
_BLUE = "#0072B2"
_SKY = "#56B4E9"
_ORANGE = "#E69F00"
_VERMILION = "#D55E00"
_GREEN = "#009E73"
_PURPLE = "#CC79A7"
_BLACK = "#000000"
_BROWN = "#8C510A"
_DARK_RED = "#8B0000"
_GRAY = "#8C8C8C"

# Schemes that CF compares.
PAPER = {
    "dvqvae": SchemeStyle(_BLUE, "o"),
    "dvae": SchemeStyle(_SKY, "D"),
    "cnn": SchemeStyle(_ORANGE, "v"),
    "compressed_sensing": SchemeStyle(_VERMILION, "s"),
    "music": SchemeStyle(_GREEN, "^"),
    "monostatic": SchemeStyle(_PURPLE, "P"),
}
# Classical schemes beyond CF: maximum likelihood, and interpolation between grid points.
OTHER_CLASSICAL = {
    "local_ml": SchemeStyle(_BLACK, "o"),
    "raw_ml": SchemeStyle(_BROWN, "X"),
    "symbol_level": SchemeStyle(_ORANGE, "p", "--"),
    "music_fine": SchemeStyle(_GREEN, ">", "--"),
    "monostatic_fine": SchemeStyle(_PURPLE, "<", "--"),
}
# Learned schemes with other inputs and networks. Fig. 12 shows them beside dvqvae.
OTHER_LEARNED = {
    "dvqvae_demodulated": SchemeStyle(_DARK_RED, "h", "--"),
    "dvqvae_paper": SchemeStyle(_GRAY, "*", ":"),
    "cnn_paper": SchemeStyle(_ORANGE, "d", ":"),
}
SCHEME_GROUPS = (PAPER, OTHER_CLASSICAL, OTHER_LEARNED)
STYLES = PAPER | OTHER_CLASSICAL | OTHER_LEARNED
# Markers of schemes of installed packages, which are black and dash-dotted.
_FOREIGN_MARKERS = "123410+x|_"


def scheme_style(scheme: str) -> SchemeStyle:
    """Style of a scheme. That of a scheme of an installed package follows from its name."""
    if scheme in STYLES:
        return STYLES[scheme]
    index = zlib.crc32(scheme.encode()) % len(_FOREIGN_MARKERS)
    return SchemeStyle(_BLACK, _FOREIGN_MARKERS[index], "-.")


def pictures(schemes: Sequence[str], curves_per_scheme: int = 1) -> list[list[str]]:
    """Distribute schemes over pictures of at most MAX_CURVES curves.

    Returns the schemes of each picture. All are in one picture if they fit.
    """
    most_schemes = max(MAX_CURVES // curves_per_scheme, 1)
    if len(schemes) <= most_schemes:
        return [list(schemes)]

    # The groups of the table, and schemes of installed packages.
    groups = [[name for name in group if name in schemes] for group in SCHEME_GROUPS]
    groups.append([name for name in schemes if name not in STYLES])

    # Groups that are too large take several pictures.
    return [
        group[first : first + most_schemes]
        for group in groups
        for first in range(0, len(group), most_schemes)
    ]

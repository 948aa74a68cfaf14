"""Keys of antenna arrays in scene files, and of their orientation."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cooperative_isac.scene.file.keys import Count, Finite, Positive, Section, Vector, later
from cooperative_isac.scene.station import Antenna

Pattern = Literal["isotropic", "tr38901"]


class Ula(Section):
    """A uniform linear array along its own y axis."""

    kind: Literal["ula"]
    num_elements: Count
    """Elements along the y axis, from the origin."""
    spacing_wavelengths: Positive = 0.5
    """Distance between neighboring elements in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """Radiation pattern of each element: `isotropic`, or `tr38901` of 3GPP TR 38.901 table 7.3-1 (8
    dBi at boresight, 65 degrees between the half-power directions of both planes, 30 dB less
    behind). It scales the amplitudes of paths to targets, clutter, the static world and users.
    """


class Nested(Section):
    """A nested linear array along its own y axis: more aperture with as many elements as a ULA."""

    kind: Literal["nested"]
    num_inner: Count
    """Elements of the dense part, from the origin."""
    num_outer: Count
    """Elements of the sparse part, `num_inner` + 1 spacings apart."""
    spacing_wavelengths: Positive = 0.5
    """Distance between neighboring elements of the dense part in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""


class Coprime(Section):
    """An extended coprime linear array along its own y axis: two ULAs of sparse elements."""

    kind: Literal["coprime"]
    first: Count
    """Spacings between elements of the ULA of `second` elements; below `second`."""
    second: Count
    """Spacings between elements of the ULA of 2 `first` elements; coprime to `first`. Together
    they have 2 `first` + `second` - 1 elements.
    """
    spacing_wavelengths: Positive = 0.5
    """One spacing in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""

    @model_validator(mode="after")
    def _has_coprime_numbers(self) -> Self:
        if self.first >= self.second or math.gcd(self.first, self.second) > 1:
            raise ValueError(
                f"has first {self.first} and second {self.second}; the second must be larger, "
                "without a common divisor, such as 2 and 3"
            )
        return self


class Planar(Section):
    """A uniform planar array of rows and columns, across its look direction."""

    kind: Literal["planar"]
    num_horizontal: Count
    """Columns along the y axis, centered on the origin."""
    num_vertical: Count
    """Rows along the z axis, centered on the origin."""
    spacing_wavelengths: Positive = 0.5
    """Distance between neighboring elements in wavelengths."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""


class Custom(Section):
    """An array of any shape, by the positions of its elements."""

    kind: Literal["custom"]
    elements_m: Annotated[list[Vector], Field(min_length=1)]
    """Positions of the elements in the array's axes."""
    pattern: Pattern = later(Antenna.pattern)
    """As of `kind: ula`."""


ArrayEntry = Ula | Nested | Coprime | Planar | Custom


class Orientation(Section):
    """Orientation of an array; all 0: its boresight is the x axis of the map."""

    yaw_deg: Finite = 0.0
    """Counter-clockwise from the x axis of the map."""
    pitch_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    """Elevation of the look direction; positive looks up."""
    roll_deg: Finite = 0.0
    """About the look direction."""

"""Keys of the static world in scene files: ground, walls and boxes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cooperative_isac.scene.file.keys import (
    Finite,
    Limits,
    NotNegative,
    Pair,
    Positive,
    Section,
    Vector,
)


class MaterialEntry(Section):
    """Material of a surface: reflection and scattering."""

    permittivity: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Real part of the relative permittivity; by default 5.24, concrete of ITU-R P.2040."""
    conductivity_spm: NotNegative | None = None
    """Conductivity; by default that of concrete, or 0 beside `permittivity`."""
    reflection_loss_db: NotNegative | None = None
    """Loss of every specular reflection, instead of the two keys above."""
    scattering: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share S of the reflected field that is scattered diffusely."""


class GroundEntry(Section):
    """The ground, a horizontal plane below the scene."""

    height_m: Finite = 0.0
    """Height of the ground; below everything else."""
    margin_m: NotNegative = 20.0
    """Extent of the ground beyond sites and area."""
    material: MaterialEntry = MaterialEntry()
    """Material of the ground."""


class WallEntry(Section):
    """A wall: a corner and two edges, or an upright one between two points."""

    corner_m: Vector | None = None
    """A corner of the wall."""
    edges_m: Annotated[list[Vector], Field(min_length=2, max_length=2)] | None = None
    """Two edges from that corner."""
    from_m: Pair | None = None
    """Beginning `[x, y]` of an upright wall, instead of `corner_m` and `edges_m`."""
    to_m: Pair | None = None
    """End `[x, y]` of an upright wall."""
    height_m: Limits | None = None
    """Lower and upper edge of an upright wall."""
    material: MaterialEntry = MaterialEntry()
    """Material of the wall."""


class BoxEntry(Section):
    """A building or another axis-aligned box."""

    low_m: Vector
    """Corner with the least coordinates."""
    high_m: Vector
    """Opposite corner."""
    material: MaterialEntry = MaterialEntry()
    """Material of all faces."""


class WorldEntry(Section):
    """The static world: line of sight, ground, walls and boxes."""

    line_of_sight: bool = True
    """Direct paths between sites (Friis), where nothing blocks them."""
    ground: GroundEntry | None = None
    """A horizontal plane below everything; by default none."""
    walls: list[WallEntry] = []
    """Rectangles."""
    boxes: list[BoxEntry] = []
    """Buildings."""
    tile_m: Positive = 2.0
    """Largest size of the tiles that scatter diffusely."""
    target_reflections: bool | Literal["twice"] = False
    """Target paths with one reflection at a surface, before or behind the target; with `twice` also
    those with one before and one behind it, by which stations detect targets that a building hides.
    """

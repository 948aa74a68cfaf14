"""Build the static world that the channel uses from the `world` section of a scene file."""

from __future__ import annotations

import math

import numpy as np

from cooperative_isac.scene.file import world_keys
from cooperative_isac.scene.world import Building, Material, Surface, World

# Electric constant eps_0.
VACUUM_PERMITTIVITY_F_PER_M = 8.8541878128e-12
# Concrete of ITU-R P.2040-3 Table 3: relative permittivity, and conductivity c f^d in S/m with f in
# GHz.
CONCRETE_PERMITTIVITY = 5.24
CONCRETE_CONDUCTIVITY_SPM = 0.0462
CONCRETE_CONDUCTIVITY_EXPONENT = 0.7822

# Most reflections of a target path by the key `target_reflections`.
MOST_REFLECTIONS: dict[bool | str, int] = {False: 0, True: 1, "twice": 2}


def build_material(entry: world_keys.MaterialEntry, carrier_hz: float) -> Material:
    """A material at the carrier; concrete if the file has neither of its constants."""
    permittivity = entry.permittivity
    conductivity_spm = entry.conductivity_spm
    if conductivity_spm is None:
        conductivity_spm = 0.0 if permittivity is not None else _concrete_conductivity(carrier_hz)
    if permittivity is None:
        permittivity = CONCRETE_PERMITTIVITY
    loss = conductivity_spm / (2 * math.pi * carrier_hz * VACUUM_PERMITTIVITY_F_PER_M)
    return Material(permittivity - 1j * loss, entry.reflection_loss_db, entry.scattering)


def _concrete_conductivity(carrier_hz: float) -> float:
    """Conductivity of concrete at the carrier, S/m."""
    return CONCRETE_CONDUCTIVITY_SPM * (carrier_hz / 1e9) ** CONCRETE_CONDUCTIVITY_EXPONENT


def build_world(entry: world_keys.WorldEntry, carrier_hz: float, places_m: np.ndarray) -> World:
    """The static world.

    places_m: [num_places, 3], float64, m, sites and corners of the area; the ground reaches
    margin_m beyond them
    """
    ground = None
    if entry.ground:
        ground = _ground(entry.ground, carrier_hz, places_m)
    return World(
        line_of_sight=entry.line_of_sight,
        ground=ground,
        walls=tuple(_wall(wall, carrier_hz) for wall in entry.walls),
        boxes=tuple(_building(box, carrier_hz) for box in entry.boxes),
        tile_m=entry.tile_m,
        target_reflections=MOST_REFLECTIONS[entry.target_reflections],
    )


def _ground(entry: world_keys.GroundEntry, carrier_hz: float, places_m: np.ndarray) -> Surface:
    """The rectangle of the ground below all places [num_places, 3], m, with a margin."""
    low_m = places_m[:, :2].min(axis=0) - entry.margin_m
    high_m = places_m[:, :2].max(axis=0) + entry.margin_m

    # Edges [2] along both axes, m.
    x, y = np.diag(high_m - low_m)
    return Surface(
        corner_m=np.append(low_m, entry.height_m),
        first_m=np.append(x, 0.0),
        second_m=np.append(y, 0.0),
        material=build_material(entry.material, carrier_hz),
    )


def _wall(entry: world_keys.WallEntry, carrier_hz: float) -> Surface:
    """A wall of a corner and two edges, or an upright one between two points."""
    material = build_material(entry.material, carrier_hz)
    if entry.edges_m is not None:
        first_m, second_m = np.array(entry.edges_m)
        return Surface(np.array(entry.corner_m), first_m, second_m, material)

    assert entry.from_m is not None and entry.to_m is not None and entry.height_m is not None
    lowest_m, highest_m = entry.height_m
    start_m = np.array([*entry.from_m, lowest_m])
    end_m = np.array([*entry.to_m, lowest_m])
    upright_m = np.array([0.0, 0.0, highest_m - lowest_m])
    return Surface(start_m, end_m - start_m, upright_m, material)


def _building(entry: world_keys.BoxEntry, carrier_hz: float) -> Building:
    """A building of a box of the file."""
    material = build_material(entry.material, carrier_hz)
    return Building(np.array(entry.low_m), np.array(entry.high_m), material)

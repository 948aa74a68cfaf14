"""From the `world` section of a scene file to the world that the channel uses."""

from __future__ import annotations

import math

import numpy as np

from cooperative_isac.scene.file import schema
from cooperative_isac.scene.world import Building, Material, Surface, World

VACUUM_PERMITTIVITY_F_PER_M = 8.8541878128e-12
# Concrete of ITU-R P.2040-3 Table 3: relative permittivity, and conductivity c f^d in S/m with f in
# GHz.
CONCRETE_PERMITTIVITY = 5.24
CONCRETE_CONDUCTIVITY = (0.0462, 0.7822)


def build_material(entry: schema.MaterialEntry, carrier_hz: float) -> Material:
    """A material at the carrier; concrete where the file says nothing."""
    permittivity, conductivity = entry.permittivity, entry.conductivity_spm
    if conductivity is None:
        scale, exponent = CONCRETE_CONDUCTIVITY
        conductivity = scale * (carrier_hz / 1e9) ** exponent if permittivity is None else 0.0
    if permittivity is None:
        permittivity = CONCRETE_PERMITTIVITY
    loss = conductivity / (2 * math.pi * carrier_hz * VACUUM_PERMITTIVITY_F_PER_M)
    return Material(permittivity - 1j * loss, entry.reflection_loss_db, entry.scattering)


def build_world(entry: schema.WorldEntry, carrier_hz: float, places_m: np.ndarray) -> World:
    """The static world.

    places_m: [num_places, 3], sites and corners of the area; the ground reaches margin_m beyond
    them
    """
    ground = _ground(entry.ground, carrier_hz, places_m) if entry.ground else None
    walls = tuple(_wall(wall, carrier_hz) for wall in entry.walls)
    boxes = tuple(
        Building(
            np.array(box.low_m), np.array(box.high_m), build_material(box.material, carrier_hz)
        )
        for box in entry.boxes
    )
    return World(entry.line_of_sight, ground, walls, boxes, entry.tile_m, entry.target_reflections)


def _ground(entry: schema.GroundEntry, carrier_hz: float, places_m: np.ndarray) -> Surface:
    low = places_m[:, :2].min(axis=0) - entry.margin_m
    high = places_m[:, :2].max(axis=0) + entry.margin_m
    x, y = np.diag(high - low)
    corner = np.append(low, entry.height_m)
    return Surface(
        corner, np.append(x, 0.0), np.append(y, 0.0), build_material(entry.material, carrier_hz)
    )


def _wall(entry: schema.WallEntry, carrier_hz: float) -> Surface:
    material = build_material(entry.material, carrier_hz)
    if entry.edges_m is not None:
        first, second = np.array(entry.edges_m)
        return Surface(np.array(entry.corner_m), first, second, material)
    assert entry.from_m is not None and entry.to_m is not None and entry.height_m is not None
    low, high = entry.height_m
    start = np.array([*entry.from_m, low])
    end = np.array([*entry.to_m, low])
    return Surface(start, end - start, np.array([0.0, 0.0, high - low]), material)

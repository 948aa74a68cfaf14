"""Interferers of scene files: names, bands, subcarriers of orthogonal ones, and their places."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from cooperative_isac.scene.band import Interferer
from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.build import num_networks
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.propagation_keys import PropagationEntry
from cooperative_isac.scene.file.station_physics import (
    LEAST_CLEARANCE_M,
    Way,
    nearest_approach,
    way_of_target,
)
from cooperative_isac.scene.file.world_physics import place_faults
from cooperative_isac.scene.model import OBSERVED_MODES, Scene

# Largest distance of an interferer from a receiver, m: 1000 km, beyond every horizon.
MOST_DISTANCE_M = 1e6


def interferer_names(entry: PropagationEntry) -> list[tuple[str, str]]:
    """Key and name of each interferer."""
    return [
        (f"propagation.interferers[{i}].name", interferer.name)
        for i, interferer in enumerate(entry.interferers)
    ]


def interferer_bands(entry: PropagationEntry, bands: Sequence[str]) -> Iterator[Problem]:
    """The bands of interferers exist.

    bands: names of those of the scene
    """
    for index, interferer in enumerate(entry.interferers):
        if interferer.band is not None and interferer.band not in bands:
            yield Problem(
                f"propagation.interferers[{index}].band",
                f"is '{interferer.band}'; allowed: {', '.join(bands)}",
            )


def on_band(entry: PropagationEntry, band: str) -> tuple[PropagationEntry, list[tuple[str, str]]]:
    """The sensing channel with the interferers of one band, as in a file of that band alone.

    Returns it, and pairs of a pattern of that file's keys and the key of the whole file for it.
    """
    places = []
    chosen = []
    for place, interferer in enumerate(entry.interferers):
        if interferer.band in (None, band):
            places.append(place)
            chosen.append(interferer.model_copy(update={"band": None}))

    # The last first: places rise, and no key is renamed twice.
    keys = [
        (rf"\binterferers\[{index}\]", f"interferers[{place}]")
        for index, place in reversed(list(enumerate(places)))
    ]
    return entry.model_copy(update={"interferers": chosen}), keys


def interferer_faults(file: schema.SceneFile) -> Iterator[Problem]:
    """Interferers are for simulated paths, and orthogonal ones leave the band whole groups."""
    propagation = file.propagation
    if not propagation.interferers:
        return
    if propagation.paths is not None:
        yield Problem(
            "propagation.interferers",
            "places stations, but with propagation.paths all paths come from that file; leave one "
            "of the two keys out",
        )
    for i, interferer in enumerate(propagation.interferers):
        if interferer.band is not None:
            yield Problem(
                f"propagation.interferers[{i}].band", "is for scenes with `bands`; leave it out"
            )

    # What receivers do against them.
    sensing = file.sensing
    if sensing.synchronization in OBSERVED_MODES:
        yield Problem(
            "sensing.synchronization",
            f"is '{sensing.synchronization}', whose receivers do not expect the interference of "
            "propagation.interferers; set line_of_sight or none, or leave the interferers out",
        )
    if sensing.interference == "nulls" and sensing.static_paths == "learn":
        yield Problem(
            "sensing.static_paths",
            "is 'learn', whose background is that of beams without nulls; set project or keep "
            "beside interference: nulls",
        )

    # Subcarriers that orthogonal interferers leave.
    wave = file.waveform
    networks = num_networks(propagation)
    units = networks * math.lcm(wave.group_size, wave.reference_subcarrier_stride or 1)
    if networks > 1 and wave.num_subcarriers % units:
        yield Problem(
            "waveform.num_subcarriers",
            f"is {wave.num_subcarriers}, of which {networks} networks take turns "
            f"(propagation.interferers with signal: orthogonal); must be a multiple of {units}, "
            "for whole precoder groups and combs of reference symbols",
        )


def interferer_places(scene: Scene) -> Iterator[Problem]:
    """Interferers stand where they can, and receivers have enough antennas against them."""
    for index, interferer in enumerate(scene.propagation.interferers):
        key = f"propagation.interferers[{index}].position_m"
        # Numbers far beyond overflow in the other checks.
        too_far = list(_in_reach(scene, key, interferer))
        yield from too_far or _place(scene, key, interferer)

    # A null takes one antenna, and the targets need another one.
    num_nulls = len(scene.propagation.on_own_elements)
    if scene.sensing.interference != "nulls":
        return
    for site in scene.receivers:
        if site.num_ant <= num_nulls:
            yield Problem(
                "sensing.interference",
                f"is 'nulls', but receiver '{site.name}' has {site.num_ant} antennas against "
                f"{num_nulls} interferers; give it more antennas than interferers, or set noise",
            )


def _in_reach(scene: Scene, key: str, interferer: Interferer) -> Iterator[Problem]:
    """An interferer is at most MOST_DISTANCE_M from all receivers."""
    for site in scene.receivers:
        distance_m = math.dist(site.position_m, interferer.position_m)
        if distance_m > MOST_DISTANCE_M:
            yield Problem(
                key,
                f"is {distance_m:.3g} m from receiver '{site.name}'; must be at most "
                f"{MOST_DISTANCE_M:g} m away",
            )
            return


def _place(scene: Scene, key: str, interferer: Interferer) -> Iterator[Problem]:
    """An interferer is clear of arrays, targets, ground and buildings."""
    for site in scene.receivers:
        distance_m = math.dist(site.position_m, interferer.position_m)
        radius_m = float(np.linalg.norm(site.elements_m, axis=1).max())
        least_m = radius_m + LEAST_CLEARANCE_M
        if distance_m < least_m:
            yield Problem(
                key,
                f"is {distance_m:.3g} m from receiver '{site.name}'; must be at least "
                f"{least_m:.3g} m away, clear of its array",
            )
    yield from place_faults(scene.world, key, interferer.position_m)
    yield from _clear_of_targets(scene, interferer)


def _clear_of_targets(scene: Scene, interferer: Interferer) -> Iterator[Problem]:
    """Targets keep LEAST_CLEARANCE_M from an interferer."""
    place = Way(lambda _: interferer.position_m, None, False)
    for index, target in enumerate(scene.targets):
        nearest = nearest_approach(place, way_of_target(target), LEAST_CLEARANCE_M)
        if nearest is None:
            continue
        distance_m, time_s = nearest
        yield Problem(
            f"targets[{index}].motion",
            f"comes within {distance_m:.2f} m of interferer '{interferer.name}' at {time_s:.1f} s; "
            f"must stay {LEAST_CLEARANCE_M:g} m away: move its way or the interferer",
        )


def share_remedy(scene: Scene) -> str:
    """A further remedy for wide subcarrier strides where other networks take turns, or nothing."""
    propagation = scene.propagation
    num_orthogonal = len(propagation.interferers) - len(propagation.on_own_elements)
    return ", or have fewer orthogonal propagation.interferers" if num_orthogonal else ""

"""Properties of a scene on which weights depend, and how those of two scenes differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from cooperative_isac.scene.file.errors import quoted
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site


def scene_facts(scene: Scene) -> dict[str, object]:
    """Properties of a scene on which weights depend: geometry, arrays and resource grid.

    Power, noise and clutter may differ.
    """
    grid = asdict(scene.grid)
    if not scene.grid.fragments:
        del grid["fragments"]
    facts: dict[str, object] = {
        "dimension": scene.dimension,
        "num_users": scene.users.num_users,
        **grid,
        "area_m": _rounded([scene.box.low_m, scene.box.high_m]),
        "sensing.max_speed_mps": scene.sensing.max_speed_mps,
    }
    for role, sites in (("transmitter", scene.transmitters), ("receiver", scene.receivers)):
        facts[f"{role}s"] = [site.name for site in sites]
        for site in sites:
            for name, value in _site_facts(site).items():
                facts[f"{role} {site.name} {name}"] = value
    return facts


def fact_differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Differences between the facts of two scenes, one phrase each."""
    return [
        f"{quoted(name)} {quoted(before.get(name))} there, {quoted(now.get(name))} here"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def _site_facts(site: Site) -> dict[str, object]:
    return {
        "num_ant": site.num_ant,
        "position_m": _rounded(site.position_m),
        "elements_m": _rounded(site.elements_m),
    }


def _rounded(values) -> list:
    return np.round(np.array(values, float), 6).tolist()

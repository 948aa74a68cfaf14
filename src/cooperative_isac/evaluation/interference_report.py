"""What `isac check` says of the interference of other networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cooperative_isac.channel.interference import interference_over_noise
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import counting, ignoring

# Ratio to the noise of an antenna above which interference is worth a warning, dB: as much as the
# noise itself.
WARNED_DB = 0.0


def interference_rows(scene: Scene) -> list[tuple[str, str]]:
    """Rows of `isac check`: each interferer, and its level at every receiver of its bands."""
    rows = []
    for view in scene.views:
        band = f" on {view.band}" if scene.layout is not None else ""
        levels = levels_db(view)
        for interferer in view.propagation.interferers:
            text = "orthogonal: it leaves its subcarriers to this network, and has the others"
            if interferer.name in levels:
                parts = [f"{name} {_shown(at)}" for name, at in levels[interferer.name].items()]
                text = f"{interferer.signal}, over the noise of an antenna: {', '.join(parts)}"
            rows.append((f"interferer {interferer.name}{band}", text))
    if any(view.propagation.on_own_elements for view in scene.views):
        rows.append(("interference", _mode(scene)))
    return rows


def levels_db(view: Scene) -> dict[str, dict[str, float]]:
    """Level of each interferer over the noise at each receiver of a band, dB.

    An interferer that is blocked has -inf.
    """
    levels: dict[str, dict[str, float]] = {}
    if not view.propagation.on_own_elements:
        return levels
    for receiver in view.receivers:
        for name, ratio in interference_over_noise(view, receiver).items():
            level_db = 10 * np.log10(ratio) if ratio > 0 else -np.inf
            levels.setdefault(name, {})[receiver.name] = float(level_db)
    return levels


def _shown(level_db: float) -> str:
    """A level in words; an interferer that is blocked has none."""
    return f"{level_db:.1f} dB" if np.isfinite(level_db) else "blocked"


def interference_warnings(scene: Scene, schemes: Sequence[str]) -> Iterator[str]:
    """Likely mistakes about interferers, one line each.

    schemes: names of the schemes in use
    """
    num_interferers = sum(len(view.propagation.on_own_elements) for view in scene.views)
    if scene.sensing.interference == "nulls" and not num_interferers:
        yield (
            "sensing.interference is 'nulls', but no interferer sends on the scene's resource "
            "elements: leave it out, or add propagation.interferers"
        )
    for view in scene.views:
        yield from _of_band(view, schemes)


def _of_band(view: Scene, schemes: Sequence[str]) -> Iterator[str]:
    """Warnings about the interferers of one band."""
    # Copies of the own signal.
    for interferer in view.propagation.on_own_elements:
        if interferer.signal != "same":
            continue
        own = f"interferer '{interferer.name}' sends the symbols of the band's own transmitters"
        if view.sensing.static_paths == "keep":
            yield (
                f"{own}, and sensing.static_paths is 'keep': its line of sight stays in the "
                "echoes as false targets, and hides others where it is strong; set "
                "sensing.static_paths: project, or signal: coded, which makes it noise"
            )
        else:
            yield (
                f"{own}: its signals look like echoes, and are found as false targets; signal: "
                "coded makes them noise"
            )

    # Interference above the noise that is not nulled.
    levels = levels_db(view)
    pairs = [(at, name, site) for name, own in levels.items() for site, at in own.items()]
    if not pairs or max(pairs)[0] <= WARNED_DB:
        return
    level_db, name, site = max(pairs)
    above = f"interferer '{name}' is {level_db:.1f} dB above the noise at '{site}'"
    blind = ignoring(schemes, view, "interference")
    if blind:
        yield (
            f"{above}, and {counting(blind)} with the receiver's own noise alone: expect false "
            "alarms; use scheme local_ml"
        )
    elif view.sensing.interference == "noise":
        yield (
            f"{above}, which hides weak targets, and false alarms come from its direction; set "
            "sensing.interference: nulls, or its signal: orthogonal"
        )


def _mode(scene: Scene) -> str:
    """What receivers do against interference, in words."""
    if scene.sensing.interference == "nulls":
        return "nulls: receive beams have nulls at the interferers"
    return "noise: receivers measure its power, and count it as white noise"

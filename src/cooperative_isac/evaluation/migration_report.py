"""What `isac check` says of the migration of targets through range cells within a frame."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cooperative_isac.estimation.accumulation import gain_after_migration
from cooperative_isac.scene.band import LEAST_MIGRATION_CELLS
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import counting, ignoring

# How receivers match paths that migrate, in words.
HANDLING = {
    "ignore": "receivers ignore it",
    "compensate": "receivers compensate it",
}


def most_cells(view: Scene) -> float:
    """Range resolution cells through which the fastest target moves in a frame of a band.

    Both legs of its path shorten with its speed at most.
    """
    return view.grid.migration_cells(2 * view.sensing.max_speed_mps)


def migration_rows(scene: Scene, schemes: Sequence[str]) -> list[tuple[str, str]]:
    """Rows of `isac check`: migration in each band where it matters, or echoes have it.

    schemes: names of the schemes in use
    """
    rows = []
    for view in scene.views:
        cells = most_cells(view)
        has_migration = view.propagation.range_migration
        if not has_migration and cells <= LEAST_MIGRATION_CELLS:
            continue
        band = f" on {view.band}" if scene.layout is not None else ""
        simulated = "simulated" if has_migration else "left out of simulated echoes"
        blind = ignoring(schemes, view, "range_migration")
        handling = HANDLING["ignore" if blind else view.sensing.range_migration]
        rows.append((f"range migration{band}", f"{_amount(cells)}; {simulated}, {handling}"))
    return rows


def migration_warnings(scene: Scene, schemes: Sequence[str]) -> Iterator[str]:
    """Bands on which receivers do not treat targets as their echoes move, one line each.

    Targets that migrate lose SNR without compensation; compensation of simulated echoes with
    constant delays shifts their locations.

    schemes: names of the schemes in use
    """
    for view in scene.views:
        cells = most_cells(view)
        if cells <= LEAST_MIGRATION_CELLS:
            continue
        frame = f"a frame of band '{view.band}'" if scene.layout is not None else "a frame"
        moves = f"in {frame} targets move by up to {_amount(cells)}"
        compensates = view.sensing.range_migration == "compensate"
        if not view.propagation.range_migration:
            if compensates:
                yield (
                    f"{moves}, which receivers compensate (sensing.range_migration), and simulated "
                    "echoes have none; leave it out, or remove propagation.range_migration: false"
                )
            continue
        blind = ignoring(schemes, view, "range_migration")
        if blind:
            yield (
                f"{moves}, and {counting(blind)} with constant delays: use scheme local_ml with "
                "sensing.range_migration: compensate, or fewer symbols"
            )
        elif not compensates:
            yield (
                f"{moves}, which receivers ignore: set sensing.range_migration: compensate, or "
                "use fewer symbols"
            )


def _amount(cells: float) -> str:
    """Migration and its loss in words."""
    loss_db = -10 * math.log10(gain_after_migration(cells))
    return f"{cells:.2g} range cells at sensing.max_speed_mps (a loss of {loss_db:.1f} dB)"

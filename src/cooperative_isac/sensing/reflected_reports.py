"""Reports of targets that a receiver sees by way of a surface of the world alone.

A receiver finds such a target at its image behind the surface, in whose geometry all paths are
straight. The mirror image of that location, of its information and of the stations is exact.

Source: image method; DC section III-E, use of multi-path in localization.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from cooperative_isac.scene.images import HiddenRegion
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.reflected import locates, over, sees
from cooperative_isac.scene.world import Surface
from cooperative_isac.sensing.report import EchoReport


def at_their_places(view: Scene, reports: Iterable[EchoReport]) -> tuple[EchoReport, ...]:
    """Reports with their targets at the places of which a receiver sees images.

    Left out are those behind obstacles at whose places no single surface shows a target: echoes by
    way of several surfaces.

    view: the scene on the band of the reports
    reports: of one receiver, with locations in straight continuation of its beams
    """
    placed = (_at_its_place(view, report) for report in reports)
    return tuple(report for report in placed if report is not None)


def _at_its_place(view: Scene, report: EchoReport) -> EchoReport | None:
    """A report with its target at its place; None where a receiver sees no such place."""
    assert view.world is not None  # reflections are those of a world
    if sees(view, view.receiver(report.receiver), report.point_m[None])[0]:
        return report
    for region in view.hidden_regions[report.receiver]:
        mirror = view.world.surfaces[region.surface]
        placed = _mirrored(report, region.surface, mirror)
        if _is_in(view, region, placed):
            return placed
    return None


def _is_in(view: Scene, region: HiddenRegion, report: EchoReport) -> bool:
    """True where a report by way of a surface is of a place in a hidden region."""
    place_m = report.point_m[None]
    image_view = over(view, region.surface)
    is_seen = locates(image_view, image_view.receiver(report.receiver), place_m)
    return bool((is_seen & region.box.contains(place_m))[0])


def _mirrored(report: EchoReport, index: int, mirror: Surface) -> EchoReport:
    """The mirror image of a report, by way of the surface of an index."""
    # Reflection of vectors, [3, 3], which is symmetric.
    reflection = mirror.mirrored_directions(np.eye(3))
    paths = tuple(
        replace(path, information=reflection @ path.information @ reflection)
        for path in report.paths
    )
    return replace(report, point_m=mirror.mirrored(report.point_m), paths=paths, surface=index)

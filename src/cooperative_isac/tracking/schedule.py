"""The base station's schedule: bands on the air in a frame, by where the tracks are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.tracking.track import Track, TrackStatus


def scheduled_bands(
    scene: Scene, number: int, tracks: Sequence[Track], elapsed_s: float
) -> tuple[str, ...]:
    """Names of the bands on the air in frame `number`, in the scene's order.

    In a scene with cooperation by zones these are the bands of the zones in which tracks, also
    tentative ones, are expected; of all zones in frames of a search (scene.cooperation).

    tracks: after an earlier frame
    elapsed_s: time since that frame, s
    """
    on_air = scene.on_air(number)
    if scene.cooperation is None:
        return on_air

    # Locations of the tracks in the frame.
    live = [track for track in tracks if track.status != TrackStatus.DELETED]
    expected_m = [track.position_m + elapsed_s * track.velocity_mps for track in live]
    points_m = np.reshape(expected_m, (-1, 3))

    # Bands of the frame whose zones have one of them.
    zones = [band.zone for band in scene.bands if band.name in on_air]
    scheduled = scene.cooperation.scheduled(zones, number, points_m)
    return tuple(name for name, is_scheduled in zip(on_air, scheduled) if is_scheduled)

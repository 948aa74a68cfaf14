"""Stations and bands whose packets take part in the fusion of a frame."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cooperative_isac.scene.model import Scene


@dataclass(frozen=True)
class Received:
    """Stations and bands of a frame whose packets arrived.

    stations: names of those whose reports arrived, even without a target; None: all
    bands: names of those that the frame contains; None: all
    without_reports: names of those whose packets arrived, but contain no reports
    """

    stations: Collection[str] | None = None
    bands: Collection[str] | None = None
    without_reports: Collection[str] = ()

    def has_station(self, name: str) -> bool:
        """True where the reports of a station arrived."""
        return self.stations is None or name in self.stations

    def has_band(self, name: str) -> bool:
        """True where the frame contains a band."""
        return self.bands is None or name in self.bands

    def is_incomplete(self, scene: Scene) -> bool:
        """True where the packet of a station with links on the frame's bands is missing."""
        return any(
            not self.has_station(site.name) and site.name not in self.without_reports
            for view in scene.views
            if self.has_band(view.band)
            for site in view.receivers
            if view.linked_transmitters(site.name)
        )

"""Layout of a scene: its bands and stations, and the sites of these on each band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cooperative_isac.scene.band import Band
from cooperative_isac.scene.station import Pose, Site, Station


@dataclass(frozen=True)
class Layout:
    """Bands and stations of a scene whose file names them."""

    bands: tuple[Band, ...]
    stations: tuple[Station, ...]

    @cached_property
    def fixed_sites(self) -> dict[tuple[str, str], Site]:
        """Sites of the stations at time 0, by names of station and band."""
        return {
            (station.name, band): station.site(band, station.pose_at(0.0))
            for station in self.stations
            for band in station.bands
        }

    def sites(self, band: str, poses: Mapping[str, Pose]) -> dict[str, tuple[Site, ...]]:
        """Transmitters and receivers of a band, in the order of the stations.

        poses: by name of the station, of those that are not where they were at time 0
        Returns the fields `transmitters` and `receivers` of a Scene on the band.
        """
        transmitters = []
        receivers = []
        for station in self.stations:
            antenna = station.antenna(band)
            if antenna is None:
                continue
            if station.name in poses:
                site = station.site(band, poses[station.name])
            else:
                site = self.fixed_sites[station.name, band]
            if antenna.duplex.transmits:
                transmitters.append(site)
            if antenna.duplex.receives:
                receivers.append(site)
        return {"transmitters": tuple(transmitters), "receivers": tuple(receivers)}

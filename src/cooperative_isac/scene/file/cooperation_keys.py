"""Keys of cooperation in scene files: zones, and the radio link of the UEs' packets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cooperative_isac.scene.cooperation import Cooperation
from cooperative_isac.scene.file.keys import (
    MOST_LEVEL_DB,
    Level,
    Name,
    NoiseFigure,
    NotNegative,
    Section,
    ZoneLimits,
    later,
)
from cooperative_isac.scene.radio_link import RadioLink


class RadioLinkEntry(Section):
    """Link budget of the simulated packets of UEs: one that does not fit into the capacity of its
    link does not arrive.
    """

    carrier_hz: Annotated[float, Field(ge=1e6, le=1e13)] | None = None
    """Carrier frequency; by default that of the first band."""
    power_dbm: Level = 23.0
    """Power that a UE radiates toward the receiver, with the gains of both antennas."""
    bandwidth_hz: Annotated[float, Field(ge=1, le=1e12)] = 360.0e3
    """Bandwidth of a packet; two resource blocks of 15 kHz subcarriers by default."""
    duration_s: Annotated[float, Field(ge=1e-9, le=1e6)] = 1.0e-3
    """Time on the air of a packet, at most the period of the frames; a slot by default."""
    noise_figure_db: NoiseFigure = 7.0
    """Noise figure of the receiver."""
    path_loss_exponent: Annotated[float, Field(ge=1, le=10)] = RadioLink.path_loss_exponent
    """Exponent of the path loss beyond the 1 m that is free space; 3.0 is that of a macro base
    station without line of sight (3GPP TR 38.901), 2.0 free space.
    """
    margin_db: Annotated[float, Field(ge=0, le=MOST_LEVEL_DB)] = RadioLink.margin_db
    """Loss by shadowing, fading and finite code length that a packet must bear."""


class CooperationEntry(Section):
    """Cooperation of a base station and UEs by the distance of a target from the base station."""

    base_station: Name
    """Name of the base station, from which distances count."""
    kinds: Annotated[list[Literal["A", "B", "C"]], Field(min_length=1)] = ["A", "B", "C"]
    """Zones whose bands are used: kinds of cooperation that are switched on."""
    zones_m: ZoneLimits | None = None
    """Outer limits of zones A and B; without them every kind is used everywhere."""
    overlap_m: NotNegative = Cooperation.overlap_m
    """Width on both sides of a limit in which the links of both zones are used."""
    search_every: Annotated[int, Field(ge=4, le=1000)] = Cooperation.search_every
    """Frames from one search to the next: for three frames the bands of all kinds are on the air,
    and find targets that have no track. Between searches, those of zones with tracks are.
    """
    radio_link: RadioLinkEntry | None = later(None)
    """Link budget of the packets of UEs; by default every packet arrives."""

"""Build the cooperation of a base station and UEs from the validated file."""

from __future__ import annotations

from collections.abc import Sequence

from cooperative_isac.scene.cooperation import Cooperation
from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.build import dbm_to_w, thermal_noise_w
from cooperative_isac.scene.file.cooperation_keys import RadioLinkEntry
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.radio_link import RadioLink
from cooperative_isac.scene.station import Station


def build_cooperation(file: schema.NetworkFile, stations: Sequence[Station]) -> Cooperation | None:
    """Cooperation of base station and UEs by zones, of a file without faults."""
    entry = file.cooperation
    if entry is None:
        return None
    base = next(station for station in stations if station.name == entry.base_station)
    limits_m = None if entry.zones_m is None else (entry.zones_m[0], entry.zones_m[1])
    radio_link = None
    if entry.radio_link is not None:
        radio_link = _radio_link(entry.radio_link, file.bands[0].carrier_hz)
    return Cooperation(
        base_station=base.name,
        base_station_m=base.pose.position_m,
        kinds=tuple(entry.kinds),
        limits_m=limits_m,
        overlap_m=entry.overlap_m,
        search_every=entry.search_every,
        radio_link=radio_link,
    )


def _radio_link(entry: RadioLinkEntry, carrier_hz: float) -> RadioLink:
    """Radio link of the UEs' packets.

    carrier_hz: where the entry has none, Hz
    """
    return RadioLink(
        wavelength_m=SPEED_OF_LIGHT_MPS / (entry.carrier_hz or carrier_hz),
        power_w=dbm_to_w(entry.power_dbm),
        noise_w=thermal_noise_w(entry.bandwidth_hz, entry.noise_figure_db),
        bandwidth_hz=entry.bandwidth_hz,
        duration_s=entry.duration_s,
        path_loss_exponent=entry.path_loss_exponent,
        margin_db=entry.margin_db,
    )

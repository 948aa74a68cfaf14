"""Checks of cooperation in a scene file: zones of a base station and UEs, clocks of links."""

from __future__ import annotations

from collections.abc import Iterator

from cooperative_isac.scene.cooperation import ZONES
from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.cooperation_keys import CooperationEntry
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.physics import RATE_TOLERANCE
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Duplex, LinkMode

# Ends of the links of each zone: whether the base station or UEs transmit and receive.
BASE = "the base station"
UES = "UEs"
TRANSMITTING = {"A": (BASE, UES), "B": (BASE,), "C": (UES,)}
RECEIVING = {"A": (BASE,), "B": (UES,), "C": (UES,)}


def cooperation_faults(file: schema.NetworkFile) -> Iterator[Problem]:
    """Faults of the zones of a scene file.

    The links of zones are compared with their base station only if there is one at rest.
    """
    entry = file.cooperation
    if entry is None:
        for index, band in enumerate(file.bands):
            if band.zone is not None:
                yield Problem(
                    f"bands[{index}].zone",
                    f"is '{band.zone}', but the scene has no cooperation; add that key, or leave "
                    "this one out",
                )
        return

    # The base station, at rest.
    base = next((one for one in file.stations if one.name == entry.base_station), None)
    if base is None:
        names = ", ".join(station.name for station in file.stations)
        yield Problem(
            "cooperation.base_station",
            f"is '{entry.base_station}', which is no station of the scene; allowed: {names}",
        )
        return
    yield from _limits(entry)
    yield from _kinds(file, entry)
    yield from _rates(file, entry)
    yield from _airtime(file, entry)
    if base.motion is not None or base.odometry is not None or base.tf_frame is not None:
        yield Problem(
            "cooperation.base_station",
            f"is '{base.name}', which moves; the zones need a station with position_m alone",
        )
        return
    for index, band in enumerate(file.bands):
        if band.zone is not None:
            yield from _ends(file, entry.base_station, index)


def synchronization_faults(scene: Scene) -> Iterator[Problem]:
    """Fault of a correction of clocks where every link has one clock."""
    mode = scene.sensing.synchronization
    if mode != "none" and all(link.is_monostatic for link in scene.links):
        yield Problem(
            "sensing.synchronization",
            f"is '{mode}', but stations receive their own echoes only (links: {scene.link_mode}), "
            "and those need no correction of clocks; leave it out, or add links between stations "
            "(links: active-passive)",
        )


def _limits(entry: CooperationEntry) -> Iterator[Problem]:
    """Limits rise, and zones are wider than their overlap."""
    if entry.zones_m is None:
        return
    first_m, second_m = entry.zones_m
    if not 0 < first_m < second_m:
        yield Problem(
            "cooperation.zones_m",
            f"is {entry.zones_m}; must be two positive distances, the second one the larger",
        )
    elif 2 * entry.overlap_m >= min(first_m, second_m - first_m):
        yield Problem(
            "cooperation.overlap_m",
            f"is {entry.overlap_m:g}; must be less than half of the width of zones A and B "
            f"({first_m:g} and {second_m - first_m:g} m)",
        )


def _kinds(file: schema.NetworkFile, entry: CooperationEntry) -> Iterator[Problem]:
    """Each kind is named once, and has a band."""
    zones = [band.zone for band in file.bands]
    for kind in ZONES:
        if entry.kinds.count(kind) > 1:
            yield Problem("cooperation.kinds", f"lists '{kind}' twice")
        if kind in entry.kinds and kind not in zones:
            yield Problem(
                "cooperation.kinds",
                f"lists '{kind}', but no band has zone: {kind}; give a band that zone, or leave "
                "the kind out",
            )


def _rates(file: schema.NetworkFile, entry: CooperationEntry) -> Iterator[Problem]:
    """Bands that the schedule chooses could be on the air in any frame."""
    for index, band in enumerate(file.bands):
        rate_hz = band.frame_rate_hz or file.update_rate_hz
        is_slow = rate_hz < (1 - RATE_TOLERANCE) * file.update_rate_hz
        if entry.zones_m is not None and band.zone is not None and is_slow:
            yield Problem(
                f"bands[{index}].frame_rate_hz",
                f"is {rate_hz:g}, but cooperation.zones_m chooses band '{band.name}' frame by "
                "frame; remove the key, so that it has the update_rate_hz "
                f"({file.update_rate_hz:g}) of the scene",
            )


def _airtime(file: schema.NetworkFile, entry: CooperationEntry) -> Iterator[Problem]:
    """A packet has left before the next frame."""
    period_s = 1 / file.update_rate_hz
    if entry.radio_link is not None and entry.radio_link.duration_s > period_s:
        yield Problem(
            "cooperation.radio_link.duration_s",
            f"is {entry.radio_link.duration_s:g}; must be at most {period_s:g}, the period of the "
            "frames (update_rate_hz)",
        )


def _ends(file: schema.NetworkFile, base: str, index: int) -> Iterator[Problem]:
    """The links of a band have the ends of its zone, and each of its receivers has a link.

    base: name of the base station
    index: of the band
    """
    band = file.bands[index]
    zone = band.zone or ""
    key = f"bands[{index}].zone"

    # Stations at both ends.
    transmitters = [one for one, duplex in _on(file, band.name) if duplex.transmits]
    receivers = [one for one, duplex in _on(file, band.name) if duplex.receives]
    for stations, action, allowed in (
        (transmitters, "transmits", TRANSMITTING[zone]),
        (receivers, "receives", RECEIVING[zone]),
    ):
        for station in stations:
            end = BASE if station.name == base else UES if station.role == "ue" else None
            if end is None:
                yield Problem(
                    key,
                    f"is '{zone}', but station '{station.name}', which {action} on the band, is "
                    "neither the base station nor of role ue",
                )
            elif end not in allowed:
                yield Problem(
                    key,
                    f"is '{zone}', where {' or '.join(allowed)} may be the station that {action}; "
                    f"on band '{band.name}' '{station.name}' {action}: change its duplex, or the "
                    "zone",
                )

    # Receivers without a link would send empty packets.
    mode = LinkMode(file.links)
    for station in receivers:
        if not any(mode.allows(sender.name, station.name) for sender in transmitters):
            yield Problem(
                key,
                f"is '{zone}', but '{station.name}' has no link on band '{band.name}' with links: "
                f"{mode}; change links, or its duplex",
            )


def _on(file: schema.NetworkFile, band: str) -> Iterator[tuple[schema.StationEntry, Duplex]]:
    """Stations with an array on a band, and what each does on it."""
    for station in file.stations:
        for antenna in station.antennas:
            if antenna.band == band:
                yield station, Duplex(antenna.duplex)

"""Delivery of simulated packets to the station that fuses a frame, within the range of UEs.

Source: DC section IV-C, Fig. 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Role
from cooperative_isac.waveform.frame import Frame


@dataclass(frozen=True)
class Delivery:
    """Packets of a frame that arrive where it is fused, and stations of those that do not.

    packets: by station
    undelivered: names of the stations whose packets do not arrive, in alphabetical order
    fused_at: name of the station that fuses the frame; empty: all packets arrive, wherever it is
    """

    packets: Mapping[str, bytes]
    undelivered: tuple[str, ...] = ()
    fused_at: str = ""


def deliver(scene: Scene, frame: Frame, packets: Mapping[str, bytes]) -> Delivery:
    """Deliver the packets of a frame to the station that fuses it.

    A packet of a UE is within the capacity of its uplink to the base station, which forwards it, or
    of its sidelink to a UE that fuses the frame. Downlinks reach all UEs. Without a radio link in
    the scene all packets arrive.

    packets: simulated ones, by station
    """
    cooperation = scene.cooperation
    if cooperation is None or cooperation.radio_link is None:
        return Delivery(packets)

    # Stations to which a UE may send: the one that fuses, and the base station.
    fused_at = fusing_station(scene, frame)
    receivers = {fused_at, cooperation.base_station}

    arrived = {}
    for name, packet in packets.items():
        needs_radio = name != fused_at and scene.station(name).role == Role.UE
        way_m = min(distance_m(scene, frame, name, receiver) for receiver in receivers)
        if not needs_radio or cooperation.radio_link.carries(8 * len(packet), way_m):
            arrived[name] = packet
    undelivered = tuple(sorted(packets.keys() - arrived.keys()))
    return Delivery(arrived, undelivered, fused_at)


def fusing_station(scene: Scene, frame: Frame) -> str:
    """Name of the station that fuses a frame of a scene with cooperation by zones.

    It is the base station; in a frame with bands of zone C, of the UEs that receive on them the one
    with the least sum of distances to the others. Bands and poses of a frame are known before it,
    so that every node finds the same one.
    """
    cooperation = scene.cooperation
    assert cooperation is not None, "the scene has cooperation by zones"

    # UEs that receive signals of UEs.
    sidelink = [band.name for band in scene.bands if band.zone == "C" and band.name in frame.bands]
    receivers = {site.name for band in sidelink for site in scene.on(band).receivers}
    ues = [station.name for station in scene.stations if station.name in receivers]
    if not ues:
        return cooperation.base_station

    # The one in the middle; of several the first in the scene.
    return min(ues, key=lambda ue: sum(distance_m(scene, frame, ue, other) for other in ues))


def distance_m(scene: Scene, frame: Frame, first: str, second: str) -> float:
    """Distance of two stations in a frame, m.

    first, second: names of the stations
    """
    offset_m = _position_m(scene, frame, first) - _position_m(scene, frame, second)
    return float(np.linalg.norm(offset_m))


def _position_m(scene: Scene, frame: Frame, name: str) -> np.ndarray:
    """Position of a station in a frame, [3], m, map."""
    pose = frame.poses.get(name) or scene.station(name).pose
    return pose.position_m

"""Delivery of packets to the station that fuses a frame, and of its result to the network.

Source: DC section IV-C, Fig. 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cooperative_isac.fronthaul.envelope import CHECKSUM_BYTES, WIDE_HEADER
from cooperative_isac.fronthaul.quantize import SCALE_DB, information_widths
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Role
from cooperative_isac.waveform.frame import Frame

# Fields of a result that a UE has fused, bits: the number of its targets; a location axis and a
# velocity axis, as the location in a short report.
NUM_TARGETS_BITS = 8
STATE_BITS = 16


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


def result_bits(dimension: int, num_targets: int) -> int:
    """Size of a fused result on its way from a UE to the base station, bits.

    Of each target it has the location with its information, as a report, and the velocity with the
    deviation of each axis.

    dimension: of the scene
    """
    location = dimension * STATE_BITS + sum(information_widths(dimension))
    velocity = dimension * (STATE_BITS + SCALE_DB.width)
    payload = NUM_TARGETS_BITS + num_targets * (location + velocity)
    return 8 * (WIDE_HEADER.size + math.ceil(payload / 8) + CHECKSUM_BYTES)


def result_sender(scene: Scene, frame: Frame, fused_at: str, num_targets: int) -> str:
    """Name of the station over whose uplink the fused result of a frame gets to the base station.

    It is the UE that fuses, where its uplink carries the result; otherwise, of the UEs that its
    sidelink reaches, the one nearest to the base station, if that one's uplink does. A result of
    the base station is there already.

    fused_at: name of the station that fuses the frame; empty: the scene has no radio link
    num_targets: in the result
    Returns the name; empty: no station, and the UE that fuses keeps the result.
    """
    cooperation = scene.cooperation
    if cooperation is None or cooperation.radio_link is None or not fused_at:
        return ""
    base = cooperation.base_station
    if fused_at == base:
        return base
    num_bits = result_bits(scene.dimension, num_targets)

    def carries(sender: str, receiver: str) -> bool:
        way_m = distance_m(scene, frame, sender, receiver)
        return cooperation.radio_link.carries(num_bits, way_m)

    # Over the uplink of the UE that fuses.
    if carries(fused_at, base):
        return fused_at

    # Over one hop, to the UE nearest to the base station.
    ues = [station.name for station in scene.stations if station.role == Role.UE]
    in_reach = [ue for ue in ues if carries(fused_at, ue)]
    relay = min(in_reach, key=lambda ue: distance_m(scene, frame, ue, base), default="")
    return relay if relay and carries(relay, base) else ""


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

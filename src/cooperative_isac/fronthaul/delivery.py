"""Delivery of the simulated packets of a frame: those of UEs within the range of their radio.

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
    """Packets of a frame that arrive at the fusion center, and stations of those that do not.

    packets: by station
    undelivered: names of the stations whose packets do not arrive, in alphabetical order
    """

    packets: Mapping[str, bytes]
    undelivered: tuple[str, ...] = ()


def deliver(scene: Scene, frame: Frame, packets: Mapping[str, bytes]) -> Delivery:
    """Deliver the packets of a frame: those of UEs within the capacity of their uplink.

    Without a radio link in the scene all packets arrive.

    packets: simulated ones, by station
    """
    cooperation = scene.cooperation
    if cooperation is None or cooperation.radio_link is None:
        return Delivery(packets)

    arrived = {}
    for name, packet in packets.items():
        num_bits = 8 * len(packet)
        is_wired = scene.station(name).role != Role.UE
        uplink_m = distance_m(scene, frame, name, cooperation.base_station)
        if is_wired or cooperation.radio_link.carries(num_bits, uplink_m):
            arrived[name] = packet
    return Delivery(arrived, tuple(sorted(packets.keys() - arrived.keys())))


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

"""The packet of the distributed schemes of CF section V-A: three single-precision numbers a target
(III-D).

    payload  per target: transmitter 8 | angle, range, range rate 32 each, big-endian floats

CF counts the 96 bits of the parameters; which transmitter's path they describe takes 8 more.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from cooperative_isac.fronthaul.envelope import PacketError, seal, unseal
from cooperative_isac.scene.file.physics import largest_excess_path
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.path_parameters import PathParameters

TARGET = struct.Struct(">Bfff")
LARGEST = 2.0
ROUNDING = 1e-6


def pack_parameters(
    scene: Scene, format_number: int, receiver: str, number: int, targets: Sequence[PathParameters]
) -> bytes:
    """Parameters of one receiver's targets in frame `number` as a packet; the first
    `sensing.max_targets`.
    """
    kept = targets[: scene.sensing.max_targets]
    payload = b"".join(TARGET.pack(*astuple(target)) for target in kept)
    return seal(scene, format_number, receiver, number, payload)


def unpack_parameters(
    scene: Scene, format_number: int, receiver: str, number: int, packet: bytes
) -> tuple[PathParameters, ...]:
    """The parameters in a packet. PacketError says why one is refused."""
    payload = unseal(scene, format_number, receiver, number, packet)
    if len(payload) % TARGET.size:
        raise PacketError(
            receiver,
            f"its {len(payload)} bytes are no whole number of targets ({TARGET.size} bytes each)",
        )
    most = scene.sensing.max_targets
    if len(payload) > most * TARGET.size:  # the center compares all pairs of targets
        raise PacketError(
            receiver,
            f"it has {len(payload) // TARGET.size} targets; sensing.max_targets "
            f"of the scene allows {most}",
        )
    targets = tuple(PathParameters(*values) for values in TARGET.iter_unpack(payload))
    for target in targets:
        _check(scene, receiver, target)
    return targets


def _check(scene: Scene, receiver: str, target: PathParameters) -> None:
    """PacketError unless a target of the scene can have such parameters, with room for errors."""
    if target.transmitter >= len(scene.transmitters):
        raise PacketError(
            receiver, f"it names transmitter {target.transmitter} of {len(scene.transmitters)}"
        )
    site, other = scene.transmitters[target.transmitter], scene.receiver(receiver)
    longest = np.linalg.norm(site.position_m - other.position_m) + largest_excess_path(
        scene.box, site.position_m, other.position_m
    )
    limits = {
        "angle": (target.angle_rad, 0, math.pi + ROUNDING),
        "range": (target.range_m, 0, LARGEST * longest),
        "range rate": (abs(target.range_rate_mps), 0, LARGEST * 2 * scene.sensing.max_speed_mps),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise PacketError(
                receiver, f"its {name} is {value:g}; must be between {low:.4g} and {high:.4g}"
            )

"""The packet of CF's classical schemes: three single-precision numbers for each target.

    payload  per target: transmitter 8 | angle, range, range rate 32 each, big-endian floats

CF (sections III-D and V-A) counts the 96 bits of the parameters; the transmitter of the path takes
8 more.
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
# Largest range and range rate that are accepted, over those of the scene: room for errors of the
# estimates.
ERROR_FACTOR = 2.0
# Rounding of an angle of pi in single precision, rad.
ANGLE_ROUNDING_RAD = 1e-6


def pack_parameters(
    scene: Scene, format_number: int, receiver: str, number: int, targets: Sequence[PathParameters]
) -> bytes:
    """The packet of one receiver's targets in frame `number`: the first `sensing.max_targets`."""
    kept = targets[: scene.sensing.max_targets]
    payload = b"".join(TARGET.pack(*astuple(target)) for target in kept)
    return seal(scene, format_number, receiver, number, payload)


def unpack_parameters(
    scene: Scene, format_number: int, receiver: str, number: int, packet: bytes
) -> tuple[PathParameters, ...]:
    """The parameters in a packet; PacketError with the reason why it is refused."""
    # Whole number of targets
    payload = unseal(scene, format_number, receiver, number, packet)
    if len(payload) % TARGET.size:
        raise PacketError(
            receiver,
            f"its {len(payload)} bytes are no whole number of targets ({TARGET.size} bytes each)",
        )

    # Not too many: the center compares all pairs of targets.
    most = scene.sensing.max_targets
    if len(payload) > most * TARGET.size:
        raise PacketError(
            receiver,
            f"it has {len(payload) // TARGET.size} targets; sensing.max_targets "
            f"of the scene allows {most}",
        )

    # Plausible parameters
    targets = tuple(PathParameters(*values) for values in TARGET.iter_unpack(payload))
    for target in targets:
        _check(scene, receiver, target)
    return targets


def _check(scene: Scene, receiver: str, target: PathParameters) -> None:
    """Raise PacketError unless a target of the scene can have such parameters."""
    if target.transmitter >= len(scene.transmitters):
        raise PacketError(
            receiver, f"it names transmitter {target.transmitter} of {len(scene.transmitters)}"
        )

    # Longest path over the box, and fastest change of its length.
    transmitter_m = scene.transmitters[target.transmitter].position_m
    receiver_m = scene.receiver(receiver).position_m
    direct_m = np.linalg.norm(transmitter_m - receiver_m)
    longest_m = direct_m + largest_excess_path(scene.box, transmitter_m, receiver_m)
    fastest_mps = 2 * scene.sensing.max_speed_mps

    limits = {
        "angle": (target.angle_rad, 0, math.pi + ANGLE_ROUNDING_RAD),
        "range": (target.range_m, 0, ERROR_FACTOR * longest_m),
        "range rate": (abs(target.range_rate_mps), 0, ERROR_FACTOR * fastest_mps),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise PacketError(
                receiver, f"its {name} is {value:g}; must be between {low:.4g} and {high:.4g}"
            )

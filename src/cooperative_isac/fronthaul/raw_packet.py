"""The packet of centralized sensing: the whole echo at 64 M_r N_s T_s bits (CF section III-D)."""

from __future__ import annotations

import numpy as np

from cooperative_isac.fronthaul.envelope import PacketError, seal, unseal
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.limits import LARGEST_ECHO_DB
from cooperative_isac.scene.model import Scene

# Format number of packets.
RAW_ECHO = 36
# Bytes of a sample, complex64.
SAMPLE_BYTES = 8


def pack_echo(scene: Scene, receiver: str, number: int, echo: np.ndarray) -> bytes:
    """The packet of one receiver's echo in frame `number`, little-endian.

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    """
    return seal(scene, RAW_ECHO, receiver, number, np.ascontiguousarray(echo, "<c8").tobytes())


def unpack_echo(
    scene: Scene, grid: OfdmGrid, receiver: str, number: int, packet: bytes
) -> np.ndarray:
    """The echo in a packet.

    grid: resource elements of the echo
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    Raises PacketError with the reason why a packet is refused.
    """
    # Size
    payload = unseal(scene, RAW_ECHO, receiver, number, packet)
    shape = (scene.receiver(receiver).num_ant, grid.num_subcarriers, grid.num_symbols)
    num_bytes = SAMPLE_BYTES * int(np.prod(shape))
    if len(payload) != num_bytes:
        raise PacketError(
            receiver, f"its echo has {len(payload)} bytes, those of the scene have {num_bytes}"
        )

    # Samples
    echo = np.frombuffer(payload, "<c8").reshape(shape)
    if not np.isfinite(echo.view("<f4")).all():
        raise PacketError(receiver, "its echo has samples that are not finite")

    # A magnitude beyond float32 is infinite, and refused as too strong.
    with np.errstate(over="ignore"):
        largest = float(np.abs(echo).max())
    limit_w = 10 ** (LARGEST_ECHO_DB / 10) * scene.propagation.noise_power_w
    if largest > np.sqrt(limit_w):
        raise PacketError(
            receiver, f"its echo has samples more than {LARGEST_ECHO_DB:g} dB above the noise"
        )
    return echo

"""The contract that every scheme keeps, and the errors of a packet that breaks it."""

from __future__ import annotations

from typing import Mapping, Protocol

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.waveform.frame import TransmitFrame


class PacketError(ValueError):
    """A packet that cannot be trusted: damaged, truncated, of another version, scene or frame."""

    def __init__(self, receiver: str, reason: str):
        super().__init__(f"packet of '{receiver}' refused: {reason}")
        self.receiver = receiver


class Scheme(Protocol):
    """Encode at the access point, decode at the centre; the packet's bytes are all that travels between them."""

    name: str

    def encode(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> bytes:
        """Compress one echo [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), to a packet."""

    def decode(self, packets: Mapping[str, bytes], frame: TransmitFrame) -> tuple[Detection, ...]:
        """Detections from the packets of the receivers that were heard. PacketError names a damaged one."""

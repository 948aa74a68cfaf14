"""Scheme local_ml: maximum likelihood at each access point, weighted least squares at the centre."""

from __future__ import annotations

from functools import cached_property
from typing import Mapping

import numpy as np

from cooperative_isac.fronthaul.packet import pack_reports, unpack_reports
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.memory import Memory
from cooperative_isac.sensing.path_state import NO_PATHS, PathState
from cooperative_isac.sensing.report import EchoReport, report_fit
from cooperative_isac.waveform.frame import TransmitFrame


class LocalMlScheme:
    """Access points find targets by themselves and send a few numbers per path.

    With the scene's `symbols: reference_only` they use the public reference symbols alone. Live, they start
    from where the last frame's targets should be by now, which takes a quarter of the time.
    """

    name = "local_ml"
    period_s: float | None = None

    def __init__(self, scene: Scene):
        self.scene = scene
        self.known = KnownSymbols(scene)
        self._memories: dict[str, Memory] = {}

    @cached_property
    def _sensors(self) -> dict[str, LocalMl]:
        return {site.name: LocalMl(self.scene, site, self.known.grid) for site in self.scene.receivers}

    def sensor(self, receiver: str) -> LocalMl:
        """The maximum-likelihood search at one receiver."""
        return self._sensors[receiver]

    def encode(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> bytes:
        """Packet of the targets that one receiver heard; see schemes.contract."""
        reports = self.reports(self.known.of_echo(echo), frame, receiver)
        return pack_reports(self.scene, receiver, frame.number, reports)

    def reports(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> tuple[EchoReport, ...]:
        """What one receiver finds in the known part of its echo, [num_rx_ant, num_subcarriers, num_symbols],
        complex64, sqrt(W)."""
        sensor = self.sensor(receiver)
        expected = self._expected(sensor, frame.number) if self.period_s else None
        fit = sensor.sense(echo, self.known.of_frame(frame), expected)
        if self.period_s and fit is not None:
            self._memories[receiver] = Memory(frame.number, fit.state)
        return report_fit(receiver, fit)

    def _expected(self, sensor: LocalMl, number: int) -> PathState:
        memory = self._memories.get(sensor.receiver.name)
        return memory.recall(self.scene, sensor.receiver, number, self.period_s) if memory else NO_PATHS

    def decode(self, packets: Mapping[str, bytes], frame: TransmitFrame) -> tuple[Detection, ...]:
        """Detections from the packets of the receivers that were heard; see schemes.contract."""
        reports = [report for receiver, packet in sorted(packets.items())
                   for report in unpack_reports(self.scene, receiver, frame.number, packet)]
        return fuse(self.scene, reports)

    def downlink_bits(self, frame: TransmitFrame) -> int:
        """The payload of the frame, packed; nothing with reference symbols only."""
        return self.known.downlink_bits(frame)

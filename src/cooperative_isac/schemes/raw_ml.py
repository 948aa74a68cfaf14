"""Scheme raw_ml: raw echoes on the fronthaul, joint maximum likelihood over all of them at the centre."""

from __future__ import annotations

from typing import Mapping

import numpy as np

from cooperative_isac.fronthaul.raw_packet import pack_echo, unpack_echo
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.joint_detect import detect_jointly
from cooperative_isac.fusion.joint_ml import JointMl
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.local_ml import LocalMlScheme
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.waveform.frame import TransmitFrame


class RawMlScheme:
    """The ceiling of accuracy, for a fronthaul without limit: the centre hears what all access points hear.

    It begins with what each echo alone tells (local_ml at the centre), so it follows live targets as that
    does. The access points need not know the frame.
    """

    name = "raw_ml"

    def __init__(self, scene: Scene):
        self.scene = scene
        self._local = LocalMlScheme(scene)
        self._known = self._local.known

    @property
    def period_s(self) -> float | None:
        """Time from one frame to the next; see schemes.contract."""
        return self._local.period_s

    @period_s.setter
    def period_s(self, period_s: float | None) -> None:
        self._local.period_s = period_s

    def encode(self, echo: np.ndarray, frame: TransmitFrame, receiver: str) -> bytes:
        """Packet of the whole echo, or of its reference symbols; see schemes.contract."""
        return pack_echo(self.scene, receiver, frame.number, self._known.of_echo(echo))

    def decode(self, packets: Mapping[str, bytes], frame: TransmitFrame) -> tuple[Detection, ...]:
        """Detections from the packets of the receivers that were heard; see schemes.contract."""
        echoes = {receiver: unpack_echo(self.scene, self._known.grid, receiver, frame.number, packet)
                  for receiver, packet in sorted(packets.items())}
        prepared = {receiver: self._local.prepare(echo, frame, receiver) for receiver, echo in echoes.items()}
        reports = [report for receiver, (echo, static) in prepared.items()
                   for report in self._local.reports(echo, static, frame, receiver)]
        if not reports:
            return ()
        search = self._local.sensor(self.scene.receivers[0].name)
        reference = stream_reference(self._known.of_frame(frame), search.max_doppler_hz)
        correlations = {receiver: reference.correlate(echo) for receiver, (echo, _) in prepared.items()}
        statics = {receiver: static for receiver, (_, static) in prepared.items()}
        return detect_jointly(JointMl(self.scene, reference, correlations, statics), reports,
                              search.detection_threshold(reference), search.path_threshold(reference))

    def downlink_bits(self, frame: TransmitFrame) -> int:
        """Nothing: only the centre uses the symbols, and it made them."""
        return 0

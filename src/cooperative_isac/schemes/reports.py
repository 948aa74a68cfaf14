"""Decoder of packets with reports, which can be fused with those of other formats."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.fusion.reports import links_of
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Decoder
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.waveform.frame import Frame


class ReportDecoder(Decoder):
    """Unpacks reports from packets and fuses them."""

    def __init__(self, scene: Scene):
        self.scene = scene
        # Links of stations at rest; those of moving ones are computed in each frame.
        self._links = links_of(scene)

    @abstractmethod
    def unpack(self, station: str, packet: bytes, frame: Frame) -> tuple[EchoReport, ...]:
        """The reports in the packet of one station; PacketError where it is refused."""

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        reports = [
            report
            for station, packet in sorted(packets.items())
            for report in self.unpack(station, packet, frame)
        ]
        scene = self.scene.posed(frame.poses)
        links = self._links if scene is self.scene else None
        return fuse(scene, reports, packets.keys(), frame.bands, links=links)

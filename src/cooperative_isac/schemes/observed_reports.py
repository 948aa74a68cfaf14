"""Ends of schemes whose stations synchronize their links by targets, and send single paths."""

from __future__ import annotations

from collections.abc import Mapping

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.envelope import PacketError
from cooperative_isac.fronthaul.offset_packet import pack_offsets, unpack_offsets
from cooperative_isac.fronthaul.report_packet import count_outside, pack_reports, unpack_reports
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.report_clocks import ReportClocks
from cooperative_isac.fusion.reports import links_of
from cooperative_isac.fusion.single_paths import StationReports
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Encoder
from cooperative_isac.schemes.local_receiver import at_noise_power
from cooperative_isac.schemes.observing_receiver import ObservingReceiver
from cooperative_isac.schemes.reports import ReportDecoder
from cooperative_isac.schemes.views import StationView
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.waveform.frame import Frame


class ObservingEncoder(Encoder):
    """Encoder of one station: single paths, and the clock offsets with which they were fitted."""

    def __init__(self, scene: Scene, station: str):
        self.scene = scene
        self.station = station
        self._receiver = ObservingReceiver(StationView(scene, station))

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of the paths that the station detects; see schemes.contract."""
        # Paths in the known part of the echo.
        echo = echoes[self.scene.band]
        scaled = at_noise_power(echo, self.scene.propagation.noise_power_w)
        samples = self._receiver.known.of_echo(scaled)
        seen = self._receiver.sense(samples, frame)

        # Those of the links in use.
        linked = self.scene.linked_transmitters(self.station)
        reports = [one for one in seen.reports if one.paths[0].transmitter in linked]
        self.num_left_out = count_outside(self.scene, reports)

        # Packet of both, paths and offsets.
        packet = pack_reports(self.scene, self.station, frame.number, reports)
        return pack_offsets(self.scene, self.station, frame.number, packet, seen.offsets)

    def idle(self) -> None:
        """Search the last echo for targets that are not followed yet; see schemes.contract."""
        self._receiver.idle()


class ObservingDecoder(ReportDecoder):
    """Decoder at the center: estimates the offsets of all links, then fuses corrected paths."""

    def __init__(self, scene: Scene):
        super().__init__(scene)
        self.clocks = ReportClocks(scene, links_of(scene))

    def unpack(self, station: str, packet: bytes, frame: Frame) -> tuple[EchoReport, ...]:
        """The paths in the packet of one station, by its own clock offsets."""
        return self._contents(station, packet, frame).reports

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        contents = {
            station: self._contents(station, packet, frame)
            for station, packet in sorted(packets.items())
        }
        return self.clocks.located(contents, frame.time_s)

    def _contents(self, station: str, packet: bytes, frame: Frame) -> StationReports:
        """The paths and the offsets in the packet of one station.

        Raises PacketError where a report is not a single path, or where its link has no offset.
        """
        inner, offsets = unpack_offsets(self.scene, station, frame.number, packet)
        reports = unpack_reports(self.scene, station, frame.number, inner)
        for report in reports:
            if len(report.paths) > 1:
                raise PacketError(station, f"a report has {len(report.paths)} paths instead of one")
            index = report.paths[0].transmitter
            if index not in offsets and self.scene.transmitters[index].name != station:
                raise PacketError(station, f"it has no clock offset of transmitter {index}")
        return StationReports(reports, offsets)

"""Scheme local_ml: maximum likelihood at each station, weighted least squares at the center."""

from __future__ import annotations

from collections.abc import Mapping

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.report_packet import (
    FORMATS,
    count_outside,
    pack_reports,
    unpack_reports,
)
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Encoder, Scheme
from cooperative_isac.schemes.known_symbols import frame_downlink_bits
from cooperative_isac.schemes.local_receiver import LocalReceiver
from cooperative_isac.schemes.reports import ReportDecoder
from cooperative_isac.schemes.views import receiving_views
from cooperative_isac.sensing.report import EchoReport, report_fit
from cooperative_isac.waveform.frame import Frame


class LocalMlScheme(Scheme):
    """Stations detect targets by themselves and send a few numbers for each path.

    With the scene's `symbols: reference_only` they use the public reference symbols alone. On
    consecutive frames they follow targets (schemes.local_receiver).
    """

    formats = FORMATS

    def at(self, station: str) -> LocalMlEncoder:
        """A new encoder for one station; see schemes.contract."""
        return LocalMlEncoder(self.scene, station)

    def center(self) -> LocalMlDecoder:
        """A new decoder for the center; see schemes.contract."""
        return LocalMlDecoder(self.scene)

    def downlink_bits(self, frame: Frame) -> int:
        """Size of the packed symbols and precoders; zero with reference symbols only."""
        return frame_downlink_bits(self.scene, frame)


class LocalMlEncoder(Encoder):
    """Encoder of one station: a search on each band on which it receives."""

    def __init__(self, scene: Scene, station: str):
        self.scene = scene
        self.station = scene.station(station).name
        self.receivers = {
            place.band: LocalReceiver(place) for place in receiving_views(scene, station)
        }

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of the targets that the station detects; see schemes.contract."""
        reports = self.reports(echoes, frame)
        self.num_left_out = count_outside(self.scene, reports)
        return pack_reports(self.scene, self.station, frame.number, reports)

    def reports(self, echoes: Mapping[str, Echo], frame: Frame) -> tuple[EchoReport, ...]:
        """Reports of the targets that the station detects in its echoes, band by band."""
        reports: list[EchoReport] = []
        for band, echo in echoes.items():
            receiver = self.receivers.get(band)
            if receiver is None:
                continue
            sensed = receiver.sense(receiver.prepare(echo, frame), frame)
            reports += report_fit(self.station, sensed.main, band)
        return tuple(reports)

    def idle(self) -> None:
        """Search the last echoes for targets that are not followed yet; see schemes.contract."""
        for receiver in self.receivers.values():
            receiver.idle()


class LocalMlDecoder(ReportDecoder):
    """Decoder at the center: unpacks reports and fuses them."""

    def unpack(self, station: str, packet: bytes, frame: Frame) -> tuple[EchoReport, ...]:
        """The reports in the packet of one station; see schemes.reports."""
        return unpack_reports(self.scene, station, frame.number, packet)

"""Mixture of schemes: stations with different schemes, packets of several formats in a frame."""

from __future__ import annotations

from collections.abc import Mapping

from cooperative_isac.fronthaul.envelope import packet_format
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.fusion.merge import merge_detections
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Decoder, Encoder, PacketError, Scheme
from cooperative_isac.schemes.reports import ReportDecoder
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.waveform.frame import Frame


class MixedScheme(Scheme):
    """Every station encodes with its own scheme; the center separates packets by their formats.

    schemes: scheme of each receiving station, by name of the station
    """

    def __init__(self, scene: Scene, name: str, schemes: Mapping[str, Scheme]):
        super().__init__(scene, name)
        self.schemes = dict(schemes)
        self.formats = tuple({number for one in self._distinct for number in one.formats})
        for scheme in self._distinct:
            if not scheme.formats:
                raise ValueError(
                    f"scheme '{scheme.name}' does not name the formats of its packets, so that the "
                    "center cannot separate them from other schemes; give its class `formats`"
                )

    def at(self, station: str) -> Encoder:
        """A new encoder of the station's own scheme; see schemes.contract."""
        if station not in self.schemes:
            raise KeyError(f"no receiving station '{station}'; there are {list(self.schemes)}")
        return self.schemes[station].at(station)

    def name_of(self, station: str) -> str:
        """Name of the station's own scheme."""
        return self.schemes[station].name

    def center(self) -> MixedDecoder:
        """A new decoder for the center; see schemes.contract."""
        return MixedDecoder(self.scene, self.schemes)

    def downlink_bits(self, frame: Frame) -> int:
        """Downlink bits of the station whose scheme needs the most."""
        return max(scheme.downlink_bits(frame) for scheme in self._distinct)

    @property
    def _distinct(self) -> list[Scheme]:
        """Every scheme once."""
        return list({scheme.name: scheme for scheme in self.schemes.values()}.values())


class MixedDecoder(Decoder):
    """Decoder at the center for stations with several schemes.

    Reports of all formats that carry reports are fused together. Other formats are decoded by their
    own schemes, and their detections are merged with the fused ones.
    """

    def __init__(self, scene: Scene, schemes: Mapping[str, Scheme]):
        self.scene = scene
        self._formats = {
            station: (scheme.name, scheme.formats) for station, scheme in schemes.items()
        }
        self._decoders = {scheme.name: scheme.center() for scheme in schemes.values()}
        self.follows = any(decoder.follows for decoder in self._decoders.values())
        self._scheme_of_format = {
            number: scheme.name for scheme in schemes.values() for number in scheme.formats
        }

    def prepare(self) -> None:
        """Prepare the decoders of all schemes; see schemes.contract."""
        for decoder in self._decoders.values():
            decoder.prepare()

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract.

        packets: by name of the station
        frame: in which the stations encoded them
        """
        if not packets:
            return ()

        # Group packets by the scheme that decodes them, in a fixed order of the stations.
        by_scheme: dict[str, dict[str, bytes]] = {}
        for station, packet in sorted(packets.items()):
            by_scheme.setdefault(self._scheme_of(station, packet), {})[station] = packet

        # Unpack reports, and decode the packets of other formats.
        reports: list[EchoReport] = []
        reporting: list[str] = []
        groups: list[tuple[Detection, ...]] = []
        for scheme, scheme_packets in by_scheme.items():
            decoder = self._decoders[scheme]
            if isinstance(decoder, ReportDecoder):
                reporting.extend(scheme_packets)
                for station, packet in scheme_packets.items():
                    reports.extend(decoder.unpack(station, packet, frame))
            else:
                groups.append(decoder.decode(scheme_packets, frame))

        # Fuse the reports. The stations whose packets carry none are named, as the absence of their
        # reports is no evidence against a target.
        if reporting:
            others = packets.keys() - reporting
            scene = self.scene.posed(frame.poses)
            groups.insert(0, fuse(scene, reports, reporting, frame.bands, others))
        return merge_detections(self.scene.dimension, groups)

    def _scheme_of(self, station: str, packet: bytes) -> str:
        """Name of the scheme that decodes a packet: the station's own, if formats are shared."""
        # Several schemes may share a format: that of the station comes first.
        number = packet_format(station, packet)
        own_name, own_formats = self._formats.get(station, ("", ()))
        if number in own_formats:
            return own_name

        # Else any scheme of the scene with this format.
        if number not in self._scheme_of_format:
            known = ", ".join(map(str, sorted(self._scheme_of_format)))
            raise PacketError(station, f"its format is {number}, expected one of {known}")
        return self._scheme_of_format[number]

"""Scheme local_ml: maximum likelihood at each station, weighted least squares at the center."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.candidate_packet import (
    CANDIDATES_FORMAT,
    count_fitting,
    pack_candidates,
    unpack_candidates,
)
from cooperative_isac.fronthaul.envelope import packet_format
from cooperative_isac.fronthaul.offset_packet import OFFSETS_FORMAT
from cooperative_isac.fronthaul.report_packet import (
    FORMATS,
    MOST_SECTIONS,
    count_outside,
    pack_reports,
    sections,
    unpack_reports,
)
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.soft_fusion import SoftFusion
from cooperative_isac.scene.model import OBSERVED_MODES, Scene
from cooperative_isac.schemes.contract import Encoder, Scheme
from cooperative_isac.schemes.known_symbols import frame_downlink_bits
from cooperative_isac.schemes.local_receiver import LocalReceiver, ReceiverFit
from cooperative_isac.schemes.observed_reports import ObservingDecoder, ObservingEncoder
from cooperative_isac.schemes.reports import ReportDecoder
from cooperative_isac.schemes.views import check_observed, moving_suppression, receiving_views
from cooperative_isac.sensing.candidates import NO_CANDIDATES, Candidates, find_candidates
from cooperative_isac.sensing.reflected_reports import at_their_places
from cooperative_isac.sensing.report import EchoReport, report_fit
from cooperative_isac.waveform.frame import Frame


class LocalMlScheme(Scheme):
    """Stations detect targets by themselves and send a few numbers for each path.

    With the scene's `symbols: reference_only` they use the public reference symbols alone. On
    consecutive frames they follow targets (schemes.local_receiver). Where targets give the clock
    offsets, stations send single paths (schemes.observed_reports). With the scene's
    `candidate_bits` they also send weak candidates, which the center adds up over stations.

    Raises ValueError where weak candidates, reflections or the compensation of range migration are
    asked for in a scene that cannot have them.
    """

    formats = (*FORMATS, CANDIDATES_FORMAT, OFFSETS_FORMAT)
    synchronizes = ("line_of_sight", *OBSERVED_MODES)
    uses = ("candidate_bits", "report_bits", "reflections", "interference", "range_migration")
    whitens = True
    cooperates = True

    def __init__(self, scene: Scene, name: str):
        self._is_observed = scene.sensing.synchronization in OBSERVED_MODES
        if scene.sensing.candidate_bits:
            _check_weak(scene)
        if scene.sensing.reflections == "use":
            _check_reflections(scene)
        if scene.sensing.range_migration == "compensate":
            _check_migration(scene)
        if self._is_observed:
            check_observed(scene, name)
        super().__init__(scene, name)

    def at(self, station: str) -> LocalMlEncoder | ObservingEncoder:
        """A new encoder for one station; see schemes.contract."""
        if self._is_observed:
            return ObservingEncoder(self.scene, self.scene.receiver(station).name)
        return LocalMlEncoder(self.scene, station)

    def center(self) -> LocalMlDecoder | ObservingDecoder:
        """A new decoder for the center; see schemes.contract."""
        return ObservingDecoder(self.scene) if self._is_observed else LocalMlDecoder(self.scene)

    def downlink_bits(self, frame: Frame) -> int:
        """Size of the packed symbols and precoders; zero with reference symbols only."""
        return frame_downlink_bits(self.scene, frame)


def _check_weak(scene: Scene) -> None:
    """Raise ValueError with the reason why a scene cannot have weak candidates, if there is one."""
    reasons = {
        "several bands": len(scene.bands) > 1,
        "bodies": scene.has_bodies,
        "stations that move": any(station.is_mobile for station in scene.stations),
        "position_std_m": any(station.position_std_m for station in scene.stations),
        "offsets by targets": scene.sensing.synchronization in OBSERVED_MODES,
    }
    found = [reason for reason, applies in reasons.items() if applies]
    if found:
        raise ValueError(
            "sensing.candidate_bits: weak candidates are for point targets on one band, and "
            "stations that stand still at known positions; this scene has "
            f"{', '.join(found)}: leave the key out"
        )


def _check_reflections(scene: Scene) -> None:
    """Raise ValueError with the reason why a scene cannot use reflections, if there is one."""
    worlds = [view.world for view in scene.views if view.world is not None]
    reasons = {
        "no walls or boxes in a `world`": not any(world.walls or world.boxes for world in worlds),
        "bodies": scene.has_bodies,
        "stations that move": any(station.is_mobile for station in scene.stations),
        "position_std_m": any(station.position_std_m for station in scene.stations),
        "weak candidates (candidate_bits)": scene.sensing.candidate_bits > 0,
        "offsets by targets": scene.sensing.synchronization in OBSERVED_MODES,
        f"more than {MOST_SECTIONS} bands and reflectors": len(sections(scene)) > MOST_SECTIONS,
    }
    found = [reason for reason, applies in reasons.items() if applies]
    if found:
        raise ValueError(
            "sensing.reflections: known walls locate point targets, of stations that stand still "
            f"at known positions; this scene has {', '.join(found)}: leave the key out"
        )


def _check_migration(scene: Scene) -> None:
    """Raise ValueError with the reason why range migration cannot be compensated, if there is one.

    Weak candidates, static paths of stations that move, and clock offsets are fitted with constant
    delays.
    """
    sensing = scene.sensing
    suppression = moving_suppression(scene)
    reasons = {
        "bodies": scene.has_bodies,
        suppression: bool(suppression),
        f"synchronization: {sensing.synchronization}": sensing.synchronization != "none",
        "weak candidates (candidate_bits)": sensing.candidate_bits > 0,
        "reflections: use": sensing.reflections == "use",
    }
    found = [reason for reason, applies in reasons.items() if applies]
    if found:
        # Without the suppression that a world needs, its static paths would hide the targets.
        is_needed = suppression and sensing.static_paths_by_default
        remedy = "leave range_migration out" if is_needed else "leave the key out, or these"
        raise ValueError(
            "sensing.range_migration: compensation is for point targets alone, with constant "
            f"clocks; this scene has {', '.join(found)}: {remedy}"
        )


def _matches_samples(view: Scene) -> bool:
    """True where paths are matched with samples of the echo: fewer than the correlation has values.

    With clock offsets transmitters have streams of their own, and where antennas send one after
    another in time each of these. Weak candidates and paths that migrate are matched in the
    correlation with the streams all the same.

    view: scene on one band
    """
    if view.sensing.candidate_bits or view.sensing.range_migration == "compensate":
        return False
    return view.sensing.synchronization != "none" or view.waveform.splices_in_time


class LocalMlEncoder(Encoder):
    """Encoder of one station: a search on each band on which it receives."""

    def __init__(self, scene: Scene, station: str):
        self.scene = scene
        self.station = scene.station(station).name

        sensing = scene.sensing
        self.receivers = {
            place.band: LocalReceiver(
                place,
                by_samples=_matches_samples(place.view),
                interference=sensing.interference,
                compensates_migration=sensing.range_migration == "compensate",
            )
            for place in receiving_views(scene, station)
        }

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of the targets that the station detects; see schemes.contract."""
        # Reports of the targets.
        sensed = self._sense(echoes, frame)
        reports = self.reports_of(sensed)
        self.num_left_out = count_outside(self.scene, reports)
        packet = pack_reports(self.scene, self.station, frame.number, reports)
        most_bits = self.scene.sensing.candidate_bits
        if not most_bits:
            return packet

        # Weak candidates in the remaining bits; scenes that have them have one band.
        most = count_fitting(self.scene, packet, most_bits)
        candidates = NO_CANDIDATES
        for one in sensed.values():
            candidates = find_candidates(one.sensor, one.joint, one.fit, most, one.linked)
        return pack_candidates(self.scene, self.station, frame.number, packet, candidates)

    def reports(self, echoes: Mapping[str, Echo], frame: Frame) -> tuple[EchoReport, ...]:
        """Reports of the targets that the station detects in its echoes, band by band."""
        return self.reports_of(self._sense(echoes, frame))

    def _sense(self, echoes: Mapping[str, Echo], frame: Frame) -> dict[str, ReceiverFit]:
        """Paths in the echoes, band by band."""
        sensed = {}
        for band, echo in echoes.items():
            receiver = self.receivers.get(band)
            if receiver is None:
                continue
            sensed[band] = receiver.sense(receiver.prepare(echo, frame), frame)
        return sensed

    def reports_of(self, sensed: Mapping[str, ReceiverFit]) -> tuple[EchoReport, ...]:
        """Reports of the paths in the echoes, band by band, where links of the band are used."""
        reports: list[EchoReport] = []
        for band, one in sensed.items():
            found = report_fit(self.station, one.main, band)
            if self.scene.sensing.reflections == "use":
                found = at_their_places(self.scene.on(band), found)
            points_m = np.reshape([report.point_m for report in found], (-1, 3))
            used = self.scene.uses(band, points_m)
            reports += [report for report, is_used in zip(found, used) if is_used]
        return tuple(reports)

    def idle(self) -> None:
        """Search the last echoes for targets that are not followed yet; see schemes.contract."""
        for receiver in self.receivers.values():
            receiver.idle()


class LocalMlDecoder(ReportDecoder):
    """Decoder at the center: unpacks reports and weak candidates, and fuses them."""

    def __init__(self, scene: Scene):
        super().__init__(scene)
        self._soft = SoftFusion(scene) if scene.sensing.candidate_bits else None

    def unpack(self, station: str, packet: bytes, frame: Frame) -> tuple[EchoReport, ...]:
        """The reports in the packet of one station; see schemes.reports."""
        return self._contents(station, packet, frame)[0]

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections of the reports, then those of weak candidates alone; see schemes.contract."""
        detections = super().decode(packets, frame)
        if self._soft is None:
            return detections
        reports: list[EchoReport] = []
        candidates = {}
        for station, packet in sorted(packets.items()):
            own_reports, candidates[station] = self._contents(station, packet, frame)
            reports += own_reports
        return self._soft.fuse(reports, candidates, detections)

    def _contents(
        self, station: str, packet: bytes, frame: Frame
    ) -> tuple[tuple[EchoReport, ...], Candidates]:
        """The reports and the weak candidates in the packet of one station."""
        candidates = NO_CANDIDATES
        if packet_format(station, packet) == CANDIDATES_FORMAT:
            packet, candidates = unpack_candidates(self.scene, station, frame.number, packet)
        return unpack_reports(self.scene, station, frame.number, packet), candidates

"""Scheme raw_ml: raw echoes on the fronthaul, joint maximum likelihood at the center."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.raw_packet import RAW_ECHO, pack_echo, unpack_echo
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.echo_links import EchoName, Targets
from cooperative_isac.fusion.joint_bodies import SensedEcho, detect_bodies
from cooperative_isac.fusion.joint_detect import detect_jointly, detections_of, significant
from cooperative_isac.fusion.joint_ml import JointMl
from cooperative_isac.fusion.report_clocks import ReportClocks
from cooperative_isac.fusion.reports import links_of
from cooperative_isac.fusion.single_paths import StationReports
from cooperative_isac.scene.model import OBSERVED_MODES, Scene
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.schemes.local_receiver import LocalReceiver, PreparedEcho, at_noise_power
from cooperative_isac.schemes.observing_receiver import ObservedEcho, ObservingReceiver
from cooperative_isac.schemes.views import StationView, check_observed, check_plain
from cooperative_isac.sensing.report import report_fit
from cooperative_isac.waveform.frame import Frame


class RawMlScheme(Scheme):
    """Upper limit of accuracy, for an unlimited fronthaul: the center has all echoes.

    The center first fits each echo by itself, as local_ml does, and so follows targets over
    consecutive frames. Point targets are then fitted with one location in all echoes, bodies with
    one location in each. The stations do not need the frame.
    """

    formats = (RAW_ECHO,)
    synchronizes = ("line_of_sight", *OBSERVED_MODES)
    whitens = True

    def __init__(self, scene: Scene, name: str):
        check_plain(scene, name)
        self._is_observed = scene.sensing.synchronization in OBSERVED_MODES
        if self._is_observed:
            check_observed(scene, name)
        super().__init__(scene, name)

    def at(self, station: str) -> RawEncoder:
        """A new encoder for one station; see schemes.contract."""
        return RawEncoder(self.scene, self.scene.receiver(station).name, KnownSymbols(self.scene))

    def center(self) -> RawMlDecoder | ObservingRawDecoder:
        """A new decoder for the center; see schemes.contract."""
        return ObservingRawDecoder(self.scene) if self._is_observed else RawMlDecoder(self.scene)

    def downlink_bits(self, frame: Frame) -> int:
        """Zero: only the center, which generates the symbols, needs them."""
        return 0


class RawEncoder(Encoder):
    """Encoder of one station: sends the raw echo.

    known: sends the reference symbols of the echo alone; None: sends all of it
    """

    def __init__(self, scene: Scene, station: str, known: KnownSymbols | None = None):
        self.scene = scene
        self.station = station
        self._known = known

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of the whole echo; see schemes.contract."""
        samples = at_noise_power(echoes[self.scene.band], self.scene.propagation.noise_power_w)
        if self._known is not None:
            samples = self._known.of_echo(samples)
        return pack_echo(self.scene, self.station, frame.number, samples)


class RawMlDecoder(Decoder):
    """Decoder at the center: searches every echo, then all of them together."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self._receivers = {
            site.name: LocalReceiver(StationView(scene, site.name)) for site in scene.receivers
        }
        self._grid = KnownSymbols(scene).grid

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        # Unpack all packets first: a damaged one must not change the state of any receiver.
        echoes = {
            station: unpack_echo(self.scene, self._grid, station, frame.number, packet)
            for station, packet in sorted(packets.items())
        }

        # Remove static paths, then detect.
        prepared = {
            station: self._receivers[station].prepare_known(echo, frame)
            for station, echo in echoes.items()
        }
        if self.scene.has_bodies:
            return self._bodies(prepared, frame)
        return self._points(prepared, frame)

    def _points(self, prepared: Mapping[str, PreparedEcho], frame: Frame) -> tuple[Detection, ...]:
        """Detections of point targets: one location and velocity for all echoes."""
        # Fit each echo by itself.
        sensed = {
            station: self._receivers[station].sense(echo, frame)
            for station, echo in prepared.items()
        }
        reports = []
        for station, fitted in sensed.items():
            reports += report_fit(station, fitted.main, self.scene.band)
        if not reports:
            return ()

        # Thresholds of any receiver, except one whose array faces away from the box.
        sensors = (receiver.sensor(frame) for receiver in self._receivers.values())
        search = next(sensor for sensor in sensors if len(sensor.search.points_m))

        # Fit all echoes jointly.
        band = self.scene.band
        joints = {EchoName(band, station): fitted.joint for station, fitted in sensed.items()}
        reference = joints[min(joints)].maker.reference
        return detect_jointly(
            JointMl(self.scene, joints),
            reports,
            search.detection_threshold(reference),
            {band: search.path_threshold(reference)},
        )

    def _bodies(self, prepared: Mapping[str, PreparedEcho], frame: Frame) -> tuple[Detection, ...]:
        """Detections of targets with bodies: a fit of each echo, guided by the others."""
        sensed = {}
        for station, echo in prepared.items():
            fitted = self._receivers[station].sense_all(echo, frame)
            sensed[station] = SensedEcho(fitted.joint, fitted.fit, fitted.main)
        return detect_bodies(self.scene, sensed)


class ObservingRawDecoder(Decoder):
    """Decoder at the center for stations whose clock offsets targets give.

    Every echo is fitted with the offsets that earlier frames predict. The paths of all stations
    together give those of this frame (fusion.report_clocks) and the targets, which are then fitted
    with one location in all echoes whose links are all in use.
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        self._receivers = {
            site.name: ObservingReceiver(StationView(scene, site.name)) for site in scene.receivers
        }
        self._grid = KnownSymbols(scene).grid
        self.clocks = ReportClocks(scene, links_of(scene))

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        # Unpack all packets first: a damaged one must not change the state of any receiver.
        echoes = {
            station: unpack_echo(self.scene, self._grid, station, frame.number, packet)
            for station, packet in sorted(packets.items())
        }

        # Paths in each echo, with the offsets that the center predicts.
        predicted = self.clocks.predicted(frame.time_s)
        seen = {
            station: self._receivers[station].sense(echo, frame, predicted[station])
            for station, echo in echoes.items()
        }

        # Targets by the paths of all stations.
        contents = {
            station: StationReports(one.reports, one.offsets) for station, one in seen.items()
        }
        return self._joint(self.clocks.located(contents, frame.time_s), seen)

    def _joint(
        self, detections: Sequence[Detection], seen: Mapping[str, ObservedEcho]
    ) -> tuple[Detection, ...]:
        """Detections fitted in all echoes of stations whose links are all in use."""
        num_links = len(self.scene.transmitters) - 1
        band = self.scene.band
        joints = {
            EchoName(band, station): one.sensed.joint
            for station, one in seen.items()
            if len(one.offsets) == num_links
        }
        if not joints or not detections:
            return tuple(detections)

        # Thresholds of any of these receivers.
        first = min(joints)
        sensor = seen[first.receiver].sensed.sensor
        reference = joints[first].maker.reference
        targets = Targets(
            np.array([one.position_m for one in detections]),
            np.array([one.velocity_mps for one in detections]),
        )
        match = significant(
            JointMl(self.scene, joints), targets, sensor.detection_threshold(reference)
        )
        if match is None:
            return tuple(detections)
        return detections_of(self.scene, match, {band: sensor.path_threshold(reference)})

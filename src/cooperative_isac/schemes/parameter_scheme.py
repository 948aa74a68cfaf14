"""Schemes music and compressed_sensing, and base classes of monostatic (CF section V-A).

Stations send angle, range and range rate of each target, 96 bits; the center triangulates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.parameter_packet import pack_parameters, unpack_parameters
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.triangulate import Measurement, linearized, triangulate
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Encoder, Scheme
from cooperative_isac.schemes.known_symbols import KnownSymbols, frame_downlink_bits
from cooperative_isac.schemes.local_receiver import at_noise_power
from cooperative_isac.schemes.reports import ReportDecoder
from cooperative_isac.schemes.views import only_view
from cooperative_isac.sensing.arrival_angles import check_directions
from cooperative_isac.sensing.beam_scan import BeamScan
from cooperative_isac.sensing.compressed_sensing import DELAY_CELLS, DelaySearch
from cooperative_isac.sensing.music import MusicSearch
from cooperative_isac.sensing.parameter_sensor import ParameterSensor
from cooperative_isac.sensing.path_finder import PathSearch
from cooperative_isac.sensing.path_parameters import (
    BIN_CELLS,
    INTERPOLATED_CELLS,
    PathParameters,
    accuracy_of,
    check_plane,
    location_of,
    on_bins,
)
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.frame import Frame

# Format numbers of packets.
MUSIC = 33
COMPRESSED_SENSING = 34
MONOSTATIC = 35


@dataclass(frozen=True)
class ParameterMethod:
    """A method of estimating paths, and the accuracy of its estimates.

    search: search of an echo for paths
    packet_format: format number of its packets
    bins: report the nearest bins of the frame's DFT, as CF's baselines do; otherwise interpolate
    cells: standard deviations of range and range rate, in resolution cells, which packets do not
    carry
    """

    search: type[PathSearch]
    packet_format: int
    bins: bool
    cells: tuple[float, float]


# Methods by name of the scheme.
METHODS = {
    # Angles by subspaces, then range and velocity at peaks of a two-dimensional DFT (CF's [11]).
    "music": ParameterMethod(MusicSearch, MUSIC, True, (BIN_CELLS, BIN_CELLS)),
    # Beyond the paper: peaks are interpolated between bins, for the same bits.
    "music_fine": ParameterMethod(
        MusicSearch, MUSIC, False, (INTERPOLATED_CELLS, INTERPOLATED_CELLS)
    ),
    # Delays by block-sparse recovery, then angle and Doppler shift of each (CF's [25]).
    "compressed_sensing": ParameterMethod(
        DelaySearch, COMPRESSED_SENSING, False, (DELAY_CELLS, INTERPOLATED_CELLS)
    ),
    # One full-duplex base station that scans its beams (CF's [13]).
    "monostatic": ParameterMethod(BeamScan, MONOSTATIC, True, (BIN_CELLS, BIN_CELLS)),
    # Beyond the paper: range and velocity are interpolated, for the same bits.
    "monostatic_fine": ParameterMethod(
        BeamScan, MONOSTATIC, False, (INTERPOLATED_CELLS, INTERPOLATED_CELLS)
    ),
}


class ParameterScheme(Scheme):
    """Stations send angle, range and range rate of each target, from linear arrays in a plane."""

    def __init__(self, scene: Scene, name: str):
        check_plane(scene, name)
        super().__init__(scene, name)
        self.method = METHODS[name]
        self.formats = (self.method.packet_format,)

    def at(self, station: str) -> ParameterEncoder:
        """A new encoder for one station; see schemes.contract."""
        return ParameterEncoder(self.scene, station, self.name, self.method)

    def center(self) -> ParameterDecoder:
        """A new decoder for the center; see schemes.contract."""
        return ParameterDecoder(self.scene, self.name, self.method)

    def downlink_bits(self, frame: Frame) -> int:
        """Size of the packed symbols and precoders; zero with reference symbols only."""
        return frame_downlink_bits(self.scene, frame)


class MusicScheme(ParameterScheme):
    """Stations estimate angles from subspaces, then range and range rate along each."""

    uses = ("directions", "num_sources")

    def at(self, station: str) -> ParameterEncoder:
        """A new encoder for one station; see schemes.contract.

        Raises ValueError where its array is not one for the estimator of angles. Other stations
        may have arrays of any kind, and schemes of their own.
        """
        check_directions(only_view(self.scene, station, self.name).view, station)
        return super().at(station)


class RecoveryScheme(ParameterScheme):
    """Stations estimate delays by sparse recovery, then angle and range rate of each."""

    uses = ("recovery",)

    def __init__(self, scene: Scene, name: str):
        super().__init__(scene, name)
        if scene.sensing.recovery == "newtonized_omp":
            # Refined delays are as accurate as interpolated peaks.
            self.method = replace(self.method, cells=(INTERPOLATED_CELLS, INTERPOLATED_CELLS))


class ParameterEncoder(Encoder):
    """Encoder of one station: estimates one path of each target."""

    def __init__(self, scene: Scene, station: str, name: str, method: ParameterMethod):
        self._place = only_view(scene, station, name)
        self._method = method
        self._known = KnownSymbols(self._place.view)
        receiver = self._place.view.receiver(self._place.station)
        self._static = StaticStage(self._place.view, receiver)
        self._sensor: ParameterSensor | None = None

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of the targets that the station detects; see schemes.contract."""
        place = self._place
        echo = echoes.get(place.band)
        targets = [] if echo is None else self._targets(echo, frame)
        return pack_parameters(
            place.view, self._method.packet_format, place.station, frame.number, targets
        )

    def _targets(self, echo: Echo, frame: Frame) -> list[PathParameters]:
        """Targets in the echo of one frame, the strongest path of each."""
        # Keep the resource elements with known symbols, and suppress static paths.
        view = self._place.view
        signal = self._known.of_frame(frame.on(self._place.band))
        samples = self._known.of_echo(at_noise_power(echo, view.propagation.noise_power_w))
        samples, static = self._static.prepare(samples, signal, frame.time_s)

        # The sensor serves until the station or a transmitter moves, which makes a new scene.
        scene = self._place.scene(frame)
        if self._sensor is None or self._sensor.scene is not scene:
            receiver = scene.receiver(self._place.station)
            self._sensor = ParameterSensor(scene, receiver, self._known.grid, self._method.search)

        # Estimate one path of each target, rounded to bins where the method does so.
        found = self._sensor.sense(samples, signal, static, self._place.linked)
        if self._method.bins:
            return [on_bins(scene, target) for target in found]
        return list(found)


class ParameterDecoder(ReportDecoder):
    """Decoder at the center: triangulates measurements."""

    def __init__(self, scene: Scene, name: str, method: ParameterMethod):
        super().__init__(scene)
        self._name = name
        self._method = method

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        measurements = [
            measurement
            for station, packet in sorted(packets.items())
            for measurement in self._measurements(station, packet, frame)
        ]
        return self.locate(self.scene.posed(frame.poses), measurements)

    def locate(self, scene: Scene, measurements: Sequence[Measurement]) -> tuple[Detection, ...]:
        """Detections from all measurements of a frame."""
        return triangulate(scene, measurements)

    def unpack(self, station: str, packet: bytes, frame: Frame) -> tuple[EchoReport, ...]:
        """Reports of the measurements in a packet, each linearized about its own location."""
        scene = self._view(station).posed(frame.poses)
        return tuple(
            linearized(
                scene,
                measurement,
                location_of(scene, measurement.receiver, measurement.parameters),
            )
            for measurement in self._measurements(station, packet, frame)
        )

    def _view(self, station: str) -> Scene:
        """The scene on the band of a station."""
        return only_view(self.scene, station, self._name).view

    def _measurements(self, station: str, packet: bytes, frame: Frame) -> list[Measurement]:
        """The measurements in a packet, with the accuracy of the method."""
        view = self._view(station)
        targets = unpack_parameters(view, self._method.packet_format, station, frame.number, packet)
        scene = view.posed(frame.poses)
        receiver = scene.receiver(station)
        accuracy = accuracy_of(scene, receiver, *self._method.cells)
        return [Measurement(receiver, target, accuracy) for target in targets]

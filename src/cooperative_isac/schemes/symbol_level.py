"""Scheme symbol_level: echoes of a few bits a sample, summed at the center over all links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.symbol_packet import SYMBOLS_FORMAT, pack_symbols, unpack_symbols
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.joint_detect import detections_of, significant
from cooperative_isac.fusion.joint_ml import JointMatch, JointMl, Targets
from cooperative_isac.fusion.lattice import Lattice
from cooperative_isac.fusion.link_clocks import LEAST_ACTIVE_SITES, LinkClocks, Offsets
from cooperative_isac.scene.model import OBSERVED_MODES, Scene
from cooperative_isac.scene.station import LinkMode
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.schemes.known_symbols import KnownSymbols, frame_downlink_bits
from cooperative_isac.schemes.local_receiver import LocalReceiver
from cooperative_isac.schemes.views import StationView, check_observed, check_plain
from cooperative_isac.sensing.clock_stage import synchronized
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.memory import LONGEST_PREDICTION_S
from cooperative_isac.sensing.static_paths import suppress, unknown_static
from cooperative_isac.sensing.target_offsets import ObservedTargets, PathOffset, echo_offsets
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Component

NO_TARGETS = Targets(np.zeros((0, 3)), np.zeros((0, 3)))

# Samples [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), and the clock offsets of
# the links; None: they count as synchronous.
ReceivedEcho = tuple[np.ndarray, ClockOffsets | None]


class SymbolLevelScheme(Scheme):
    """Fusion of symbols: the center registers the echoes of all links in space and adds them up.

    Stations subtract known static paths, suppress others and estimate their clock offsets. They
    send the rest of the echo, `sensing.symbol_bits` for each part of a sample, which is below the
    noise. The center searches a lattice of locations in all echoes together (fusion.lattice).

    Raises ValueError for scenes of several bands, moving stations or bodies.
    """

    formats = (SYMBOLS_FORMAT,)
    synchronizes = ("line_of_sight", *OBSERVED_MODES)
    uses = ("symbol_bits",)
    whitens = True

    def __init__(self, scene: Scene, name: str):
        check_plain(scene, name)
        if scene.has_bodies:
            raise ValueError(
                f"scheme '{name}' is for point targets, and scene '{scene.name}' has `bodies`; use "
                "scheme raw_ml or local_ml"
            )
        if scene.sensing.synchronization in OBSERVED_MODES:
            check_observed(scene, name)
        super().__init__(scene, name)

    def at(self, station: str) -> SymbolEncoder:
        """A new encoder for one station; see schemes.contract."""
        return SymbolEncoder(self.scene, self.scene.receiver(station).name)

    def center(self) -> SymbolDecoder:
        """A new decoder for the center; see schemes.contract."""
        return SymbolDecoder(self.scene)

    def downlink_bits(self, frame: Frame) -> int:
        """Symbols and precoders, where stations need them for clocks or static paths."""
        sensing = self.scene.sensing
        if sensing.static_paths == "keep" and sensing.synchronization != "line_of_sight":
            return 0
        return frame_downlink_bits(self.scene, frame)


class SymbolEncoder(Encoder):
    """Encoder of one station: its echo without static paths, quantized."""

    def __init__(self, scene: Scene, station: str):
        self.scene = scene
        self.station = station
        self._receiver = LocalReceiver(StationView(scene, station))

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of the quantized echo; see schemes.contract."""
        prepared = self._receiver.prepare(echoes[self.scene.band], frame)

        # Leave out elements without known symbols: static paths were not subtracted there.
        is_known = np.any(prepared.signal.streams != 0, axis=1)
        return pack_symbols(
            self.scene,
            self.station,
            frame.number,
            np.where(is_known, prepared.samples, 0),
            self.scene.sensing.symbol_bits,
            prepared.offsets,
        )


@dataclass(frozen=True)
class _Memory:
    """Detections of an earlier frame.

    time_s: of the frame, s
    targets: locations and velocities in that frame
    """

    time_s: float
    targets: Targets


@dataclass(frozen=True)
class _Matched:
    """Targets of a frame, and the links that locate them.

    lattice: of the links
    joints: likelihood of each station's echo
    match: None: no target
    """

    lattice: Lattice
    joints: Mapping[str, JointFit]
    match: JointMatch | None


class SymbolDecoder(Decoder):
    """Decoder at the center: follows the targets of the last frame, and searches for others.

    With `synchronization: active_observation` or `both_directions` it locates targets by the
    stations' own echoes first, which have one clock each, and estimates the offsets of all other
    links from the paths of these targets. All links are added up when their offsets are known.
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        self._known = KnownSymbols(scene)
        sensors = {site.name: LocalMl(scene, site, self._known.grid) for site in scene.receivers}
        self._all = Lattice(scene, sensors)
        self._active = Lattice(replace(scene, link_mode=LinkMode.ACTIVE), sensors)
        self._memory: _Memory | None = None
        self.clocks = LinkClocks(scene)

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        # Echoes of the stations.
        echoes = {
            station: unpack_symbols(self.scene, self._known.grid, station, frame.number, packet)
            for station, packet in sorted(packets.items())
        }
        if not echoes:
            return ()

        # Targets of the last frame and others on the lattice, all of them together.
        signal = self._known.of_frame(frame.on(self.scene.band))
        if self.scene.sensing.synchronization in OBSERVED_MODES:
            matched = self._observed(echoes, signal, frame)
        else:
            matched = self._located(self._all, self._joints(echoes, signal, frame), frame)
        match = matched.match
        if frame.time_s is not None:
            targets = NO_TARGETS if match is None else match.targets
            self._memory = _Memory(frame.time_s, targets)
        if match is None:
            return ()

        # Detections: of each target the paths above the threshold of a single one, which depends on
        # the number of Doppler bins: that of any station stands for all.
        station = min(matched.joints)
        reference = matched.joints[station].maker.reference
        path_threshold = matched.lattice.sensors[station].path_threshold(reference)
        detections = detections_of(self.scene, match, path_threshold)
        if matched.lattice is self._all:
            return detections

        # Echoes of links whose offsets are unknown make ghosts, which few stations share.
        return tuple(one for one in detections if len(one.sites) >= LEAST_ACTIVE_SITES)

    def _located(self, lattice: Lattice, joints: Mapping[str, JointFit], frame: Frame) -> _Matched:
        """The expected targets and others that the links of a lattice have."""
        # Expected targets that are there.
        joint = JointMl(lattice.scene, joints)
        followed = significant(joint, self._expected(frame.time_s), lattice.threshold)
        known = NO_TARGETS if followed is None else followed.targets

        # Others, then a fit of all together.
        found = lattice.search(joints, known, self.scene.sensing.max_targets)
        return _Matched(lattice, joints, significant(joint, found, lattice.threshold))

    def _observed(
        self, echoes: Mapping[str, ReceivedEcho], signal: Component, frame: Frame
    ) -> _Matched:
        """Targets by all links where earlier frames predict their offsets, else by active ones.

        The targets of the active links then give the offsets in this frame.
        """
        aligned = self._aligned(echoes, self.clocks.predicted(frame.time_s))
        if aligned is not None:
            joints = self._joints(aligned, signal, frame)
            matched = self._located(self._all, joints, frame)
            active = None
            if matched.match is not None:
                joint = JointMl(self._active.scene, joints)
                active = significant(joint, matched.match.targets, self._active.threshold)
            self.clocks.updated(frame.time_s, self._path_offsets(echoes, signal, active))
            return matched

        # Independent frames have no earlier ones: once more, with the offsets of this frame.
        matched = self._located(self._active, self._joints(echoes, signal, frame), frame)
        paths = self._path_offsets(echoes, signal, matched.match)
        offsets = self.clocks.updated(frame.time_s, paths)
        aligned = self._aligned(echoes, offsets)
        if frame.time_s is not None or aligned is None:
            return matched
        return self._located(self._all, self._joints(aligned, signal, frame), frame)

    def _path_offsets(
        self,
        echoes: Mapping[str, ReceivedEcho],
        signal: Component,
        active: JointMatch | None,
    ) -> dict[str, list[PathOffset]]:
        """Offsets of all paths from what the targets of the active links predict, by station."""
        targets = _observed_targets(active)
        return {
            station: echo_offsets(
                self.scene, self.scene.receiver(station), signal, samples, targets
            )
            for station, (samples, _) in echoes.items()
        }

    def _aligned(
        self, echoes: Mapping[str, ReceivedEcho], offsets: Offsets
    ) -> dict[str, ReceivedEcho] | None:
        """Echoes with the clock offsets of their links; None where those of a link are unknown."""
        aligned: dict[str, ReceivedEcho] = {}
        for station, (samples, _) in echoes.items():
            own = self.clocks.complete(station, offsets)
            if own is None:
                return None
            aligned[station] = (samples, own)
        return aligned

    def _joints(
        self, echoes: Mapping[str, ReceivedEcho], signal: Component, frame: Frame
    ) -> dict[str, JointFit]:
        """Likelihoods of the echoes of the stations."""
        # What a learned background leaves is so small that replicas do without it.
        mode = self.scene.sensing.static_paths
        is_projected = mode == "project" or (mode == "learn" and frame.time_s is None)
        joints = {}
        for station, (samples, offsets) in echoes.items():
            received = synchronized(signal, offsets)
            static = None
            if is_projected:
                # Quantization is noise among static paths, which replicas do not expect.
                static = unknown_static(received.streams)
                samples = suppress(samples, received.streams, static)
            sensor = self._all.sensors[station]
            joints[station] = sensor.correlate(samples, received, static=static)
        return joints

    def _expected(self, time_s: float | None) -> Targets:
        """Targets of the last frame at a time; none of a later one, or of one long ago."""
        memory = self._memory
        if memory is None or time_s is None:
            return NO_TARGETS
        elapsed_s = time_s - memory.time_s
        if not 0 < elapsed_s <= LONGEST_PREDICTION_S:
            return NO_TARGETS
        targets = memory.targets
        return Targets(
            targets.points_m + elapsed_s * targets.velocities_mps, targets.velocities_mps
        )


def _observed_targets(match: JointMatch | None) -> ObservedTargets:
    """Targets of a fit with their covariances."""
    if match is None:
        return ObservedTargets(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 6, 6)))
    covariances = np.linalg.pinv(match.information, hermitian=True)
    return ObservedTargets(match.targets.points_m, match.targets.velocities_mps, covariances)

"""Scheme symbol_level: echoes of a few bits a sample, summed at the center over all links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.symbol_packet import SYMBOLS_FORMAT, pack_symbols, unpack_symbols
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.joint_detect import detections_of, significant
from cooperative_isac.fusion.joint_ml import JointMl, Targets
from cooperative_isac.fusion.lattice import Lattice
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.schemes.known_symbols import KnownSymbols, frame_downlink_bits
from cooperative_isac.schemes.local_receiver import LocalReceiver
from cooperative_isac.schemes.views import StationView, check_plain
from cooperative_isac.sensing.clock_stage import synchronized
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.static_paths import suppress, unknown_static
from cooperative_isac.waveform.frame import Frame

# Longest time over which the targets of a frame are predicted, s.
LONGEST_PREDICTION_S = 1.0

NO_TARGETS = Targets(np.zeros((0, 3)), np.zeros((0, 3)))


class SymbolLevelScheme(Scheme):
    """Fusion of symbols: the center registers the echoes of all links in space and adds them up.

    Stations subtract known static paths, suppress others and estimate their clock offsets. They
    send the rest of the echo, `sensing.symbol_bits` for each part of a sample, which is below the
    noise. The center searches a lattice of locations in all echoes together (fusion.lattice).

    Raises ValueError for scenes of several bands, moving stations or bodies.
    """

    formats = (SYMBOLS_FORMAT,)
    synchronizes = True

    def __init__(self, scene: Scene, name: str):
        check_plain(scene, name)
        if scene.has_bodies:
            raise ValueError(
                f"scheme '{name}' is for point targets, and scene '{scene.name}' has `bodies`; use "
                "scheme raw_ml or local_ml"
            )
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
        if sensing.static_paths == "keep" and sensing.synchronization == "none":
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

        # Elements without known symbols, where static paths are as strong as ever.
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
    """

    time_s: float
    targets: Targets


class SymbolDecoder(Decoder):
    """Decoder at the center: follows the targets of the last frame, and searches for others."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self._known = KnownSymbols(scene)
        sensors = {site.name: LocalMl(scene, site, self._known.grid) for site in scene.receivers}
        self._lattice = Lattice(scene, sensors)
        self._memory: _Memory | None = None

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        joints = {
            station: self._joint(station, packet, frame)
            for station, packet in sorted(packets.items())
        }
        if not joints:
            return ()
        lattice = self._lattice
        joint = JointMl(self.scene, joints)

        # Targets of the last frame, then others on the lattice, then all of them together.
        followed = significant(joint, self._expected(frame.time_s), lattice.threshold)
        known = NO_TARGETS if followed is None else followed.targets
        found = lattice.search(joints, known, self.scene.sensing.max_targets)
        match = significant(joint, found, lattice.threshold)
        if frame.time_s is not None:
            targets = NO_TARGETS if match is None else match.targets
            self._memory = _Memory(frame.time_s, targets)
        if match is None:
            return ()

        station = min(joints)
        reference = joints[station].maker.reference
        path_threshold = lattice.sensors[station].path_threshold(reference)
        return detections_of(self.scene, match, path_threshold)

    def _joint(self, station: str, packet: bytes, frame: Frame) -> JointFit:
        """The likelihood of the echo in a packet."""
        echo, offsets = unpack_symbols(self.scene, self._known.grid, station, frame.number, packet)
        signal = synchronized(self._known.of_frame(frame.on(self.scene.band)), offsets)

        # What a learned background leaves is so small that replicas do without it.
        mode = self.scene.sensing.static_paths
        is_projected = mode == "project" or (mode == "learn" and frame.time_s is None)
        static = None
        if is_projected:
            # Quantization is noise among static paths, which replicas do not expect.
            static = unknown_static(signal.streams)
            echo = suppress(echo, signal.streams, static)
        return self._lattice.sensors[station].correlate(echo, signal, static=static)

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

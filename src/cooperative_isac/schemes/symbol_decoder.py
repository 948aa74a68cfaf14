"""Center of scheme symbol_level: targets in the sum over the links of all bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.fronthaul.symbol_packet import BandEcho, unpack_symbols
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.echo_links import EchoName, Targets
from cooperative_isac.fusion.joint_detect import detections_of, significant
from cooperative_isac.fusion.joint_ml import JointMatch, JointMl
from cooperative_isac.fusion.lattice import NUM_PARTS, Lattice
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Decoder
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.schemes.views import StationView
from cooperative_isac.sensing.clock_stage import synchronized
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.memory import ROUNDING_S
from cooperative_isac.sensing.static_paths import suppress, unknown_static
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Component

# Time over which targets are followed without a detection, s: a center that searched the whole
# lattice has missed frames, and still knows where the targets went.
FOLLOWED_S = 3.0
# Time between two frames after which they are of different runs, s. The whole lattice is searched
# then, which must take less time.
LONGEST_GAP_S = 10.0
# Time by which a frame may come after later ones, or again with late packets, s.
LONGEST_DELAY_S = 1.0
# Longest period of frames that take turns with the parts of the lattice, s: at a lower rate each
# frame has the time for all of them.
LONGEST_PERIOD_S = 1.0

NO_TARGETS = Targets(np.zeros((0, 3)), np.zeros((0, 3)))


@dataclass(frozen=True)
class _Memory:
    """Targets that are followed from frame to frame.

    time_s: of the last frame, s
    targets: locations and velocities in that frame
    seen_s: [num_targets], float64, s, time of the last frame in which each was detected
    """

    time_s: float
    targets: Targets
    seen_s: np.ndarray

    def at(self, time_s: float) -> _Memory:
        """The targets as predicted for a later time.

        Those that were not detected for FOLLOWED_S are left out.
        """
        elapsed_s = time_s - self.time_s
        points_m = self.targets.points_m + elapsed_s * self.targets.velocities_mps
        predicted = Targets(points_m, self.targets.velocities_mps)
        is_recent = time_s - self.seen_s <= FOLLOWED_S + ROUNDING_S
        return _Memory(time_s, predicted.keep(is_recent), self.seen_s[is_recent])


@dataclass(frozen=True)
class Matched:
    """Targets of a frame, and the links that locate them.

    lattice: of the links
    joints: likelihood of each echo
    match: None: no target
    is_whole: whether the whole lattice was searched
    least_sites: number of receivers that a detection must have
    """

    lattice: Lattice
    joints: Mapping[EchoName, JointFit]
    match: JointMatch | None
    is_whole: bool
    least_sites: int = 1


class SymbolDecoder(Decoder):
    """Decoder at the center: follows the targets of the last frame, and searches for others.

    lattice: of the links of all bands
    """

    follows = True

    def __init__(self, scene: Scene):
        self.scene = scene
        self._known = {view.band: KnownSymbols(view) for view in scene.views}
        self._places = {
            EchoName(view.band, site.name): StationView(view, site.name)
            for view in scene.views
            for site in view.receivers
        }
        sensors = {name: self._sensor(name, place.view) for name, place in self._places.items()}
        self.lattice = Lattice(scene, sensors)
        # Of the last frames, in the order of their times: frames may come late, or again.
        self._memories: tuple[_Memory, ...] = ()

    def prepare(self) -> None:
        """Compute the cells of the lattice; see schemes.contract."""
        self.lattice.prepare()

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        # The lattice, with the poses that the stations have in the frame.
        self._move(frame)

        # Echoes of the stations on the bands that are on the air.
        echoes: dict[EchoName, BandEcho] = {}
        grids = {band: self._known[band].grid for band in frame.bands}
        for station, packet in sorted(packets.items()):
            own = unpack_symbols(self.scene, grids, station, frame.number, packet)
            echoes |= {EchoName(band, station): echo for band, echo in own.items()}
        if not echoes:
            return ()

        # Targets of the last frame and others on the lattice, all of them together.
        matched = self.matched(echoes, frame)
        match = matched.match
        if frame.time_s is not None:
            self._remember(self._updated(frame.time_s, matched))
        if match is None:
            return ()

        # Detections: of each target the paths above the threshold of a single one, which depends on
        # the number of Doppler bins: that of any station stands for all on its band.
        path_thresholds = {
            name.band: matched.lattice.sensors[name].path_threshold(joint.maker.reference)
            for name, joint in matched.joints.items()
        }
        detections = detections_of(matched.lattice.scene, match, path_thresholds)
        return tuple(one for one in detections if len(one.sites) >= matched.least_sites)

    def matched(self, echoes: Mapping[EchoName, BandEcho], frame: Frame) -> Matched:
        """The targets in the echoes of a frame."""
        return self.located(self.lattice, self.joints(echoes, frame), frame)

    def located(
        self,
        lattice: Lattice,
        joints: Mapping[EchoName, JointFit],
        frame: Frame,
        whole: bool = False,
    ) -> Matched:
        """The expected targets and others that the links of a lattice have.

        whole: search the whole lattice in every frame
        """
        # Expected targets that are there.
        memory = self._expected(frame.time_s)
        expected = NO_TARGETS if memory is None else memory.targets
        joint = JointMl(lattice.scene, joints)
        followed = significant(joint, expected, lattice.threshold)
        most = self.scene.sensing.max_targets
        known = NO_TARGETS
        if followed is not None:
            strongest = np.sort(np.argsort(-followed.evidence)[:most])
            known = followed.targets.keep(strongest)

        # Others, in the whole lattice or in one of its parts, then a fit of all.
        is_fast = 1 / self.scene.update_rate_hz <= LONGEST_PERIOD_S
        is_whole = whole or memory is None or not is_fast
        if is_whole:
            found = lattice.search(joints, known, most)
        else:
            found = lattice.search_part(joints, known, most, part_of(frame.number))
        match = significant(joint, found, lattice.threshold)
        return Matched(lattice, joints, match, is_whole)

    def joints(self, echoes: Mapping[EchoName, BandEcho], frame: Frame) -> dict[EchoName, JointFit]:
        """Likelihoods of the echoes of the stations."""
        joints = {}
        for name, echo in echoes.items():
            samples = echo.samples
            received = synchronized(self.signal(name.band, frame), echo.offsets)
            static = None
            sensor = self.lattice.sensors[name]
            if link_suppression(sensor.scene, sensor.receiver) == "project":
                # Quantization is noise among static paths, which replicas do not expect.
                static = unknown_static(received.streams)
                samples = suppress(samples, received.streams, static)
            joints[name] = sensor.correlate(samples, received, static=static)
        return joints

    def signal(self, band: str, frame: Frame) -> Component:
        """The known symbols of a frame on a band."""
        return self._known[band].of_frame(frame.on(band))

    def _sensor(self, name: EchoName, view: Scene) -> LocalMl:
        """Search of one receiver, with the poses of a scene on its band."""
        return LocalMl(view, view.receiver(name.receiver), self._known[name.band].grid)

    def _move(self, frame: Frame) -> None:
        """Give the lattice the poses of a frame; receivers whose links stay keep their search."""
        if not frame.poses:
            return
        sensors = dict(self.lattice.sensors)
        for name, place in self._places.items():
            view = place.scene(frame)
            if sensors[name].scene is not view:
                sensors[name] = self._sensor(name, view)
        scene = self.scene.posed(frame.poses)
        self.lattice = replace(self.lattice, scene=scene, sensors=sensors)

    def _expected(self, time_s: float | None) -> _Memory | None:
        """The followed targets at a time; None: no frame shortly before it is known."""
        if time_s is None:
            return None
        earlier = [one for one in self._memories if 0 < time_s - one.time_s <= LONGEST_GAP_S]
        return earlier[-1].at(time_s) if earlier else None

    def _updated(self, time_s: float, matched: Matched) -> _Memory:
        """The targets of a frame, and those that are followed though it did not show them.

        A weak target is below the threshold in single frames: it is expected where it moves to, as
        the next frame may search another part of the lattice.
        """
        detected = NO_TARGETS if matched.match is None else matched.match.targets
        seen_s = np.full(len(detected), time_s)
        expected = self._expected(time_s)
        if expected is None or matched.is_whole:
            return _Memory(time_s, detected, seen_s)

        # Expected targets without a detection, those that were detected last first.
        is_lost = [
            not self.lattice.is_near(detected, point_m).any()
            for point_m in expected.targets.points_m
        ]
        lost = np.flatnonzero(is_lost)
        by_age = lost[np.argsort(-expected.seen_s[lost], kind="stable")]
        kept = by_age[: self.scene.sensing.max_targets - len(detected)]
        return _Memory(
            time_s,
            detected.and_also(expected.targets.keep(kept)),
            np.concatenate([seen_s, expected.seen_s[kept]]),
        )

    def _remember(self, memory: _Memory) -> None:
        """Add the memory of a frame, in place of one of the same frame, to those shortly before.

        A frame that is earlier by more than a late packet begins a new run.
        """
        # Those of this run.
        earlier = self._memories
        if earlier and earlier[-1].time_s - memory.time_s > LONGEST_DELAY_S:
            earlier = ()

        # Those of other frames shortly before, and this one, in the order of their times.
        others = [
            one for one in earlier if ROUNDING_S < abs(one.time_s - memory.time_s) <= LONGEST_GAP_S
        ]
        self._memories = tuple(sorted([*others, memory], key=lambda one: one.time_s))


def part_of(number: int) -> int:
    """The part of the lattice that a frame searches.

    Parts take turns, and each round begins one part later: bands that are on the air in every n-th
    frame, and frames that are lost periodically, come to all parts.

    number: of the frame
    """
    return (number + number // NUM_PARTS) % NUM_PARTS

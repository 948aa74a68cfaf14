"""Center of scheme symbol_level where targets give the clock offsets of links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cooperative_isac.fronthaul.symbol_packet import BandEcho
from cooperative_isac.fusion.echo_links import EchoName
from cooperative_isac.fusion.joint_detect import significant
from cooperative_isac.fusion.joint_ml import JointMatch, JointMl
from cooperative_isac.fusion.lattice import Lattice
from cooperative_isac.fusion.link_clocks import LEAST_ACTIVE_SITES, LinkClocks, Offsets
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import LinkMode
from cooperative_isac.schemes.symbol_decoder import Matched, SymbolDecoder
from cooperative_isac.sensing.target_offsets import ObservedTargets, PathOffset, echo_offsets
from cooperative_isac.waveform.frame import Frame


class ObservingSymbolDecoder(SymbolDecoder):
    """Decoder at the center for stations on one band, whose clock offsets targets give.

    It locates targets by the stations' own echoes first, which have one clock each, and estimates
    the offsets of all other links from the paths of these targets. All links are added up when
    their offsets are known.
    """

    def __init__(self, scene: Scene):
        super().__init__(scene)
        self._active = Lattice(replace(scene, link_mode=LinkMode.ACTIVE), self.lattice.sensors)
        self.clocks = LinkClocks(scene)

    def matched(self, echoes: Mapping[EchoName, BandEcho], frame: Frame) -> Matched:
        """Targets by all links where earlier frames predict their offsets, else by active ones.

        The targets of the active links then give the offsets in this frame.
        """
        aligned = self._aligned(echoes, self.clocks.predicted(frame.time_s))
        if aligned is not None:
            joints = self.joints(aligned, frame)
            matched = self.located(self.lattice, joints, frame)
            active = None
            if matched.match is not None:
                joint = JointMl(self._active.scene, joints)
                active = significant(joint, matched.match.targets, self._active.threshold)
            self.clocks.updated(frame.time_s, self._path_offsets(echoes, frame, active))
            return matched

        # Echoes of links whose offsets are unknown make ghosts, which few stations share.
        matched = self.located(self._active, self.joints(echoes, frame), frame, whole=True)
        matched = replace(matched, least_sites=LEAST_ACTIVE_SITES)

        # Independent frames have no earlier ones: once more, with the offsets of this frame.
        paths = self._path_offsets(echoes, frame, matched.match)
        offsets = self.clocks.updated(frame.time_s, paths)
        aligned = self._aligned(echoes, offsets)
        if frame.time_s is not None or aligned is None:
            return matched
        return self.located(self.lattice, self.joints(aligned, frame), frame, whole=True)

    def _path_offsets(
        self, echoes: Mapping[EchoName, BandEcho], frame: Frame, active: JointMatch | None
    ) -> dict[str, list[PathOffset]]:
        """Offsets of all paths from what the targets of the active links predict, by station."""
        signal = self.signal(self.scene.band, frame)
        targets = _observed_targets(active)
        return {
            name.receiver: echo_offsets(
                self.scene, self.scene.receiver(name.receiver), signal, echo.samples, targets
            )
            for name, echo in echoes.items()
        }

    def _aligned(
        self, echoes: Mapping[EchoName, BandEcho], offsets: Offsets
    ) -> dict[EchoName, BandEcho] | None:
        """Echoes with the clock offsets of their links; None where those of a link are unknown."""
        aligned: dict[EchoName, BandEcho] = {}
        for name, echo in echoes.items():
            own = self.clocks.complete(name.receiver, offsets)
            if own is None:
                return None
            aligned[name] = BandEcho(echo.samples, own)
        return aligned


def _observed_targets(match: JointMatch | None) -> ObservedTargets:
    """Targets of a fit with their covariances."""
    if match is None:
        return ObservedTargets(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 6, 6)))
    covariances = np.linalg.pinv(match.information, hermitian=True)
    return ObservedTargets(match.targets.points_m, match.targets.velocities_mps, covariances)

"""Scheme local_ml: maximum likelihood at each access point, weighted least squares at the
center.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from cooperative_isac.fronthaul.report_packet import pack_reports, unpack_reports
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.sensing.joint_fit import Fit, JointFit
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.memory import Memory
from cooperative_isac.sensing.path_state import NO_PATHS, PathState
from cooperative_isac.sensing.report import EchoReport, report_fit
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.signal import Signal


class LocalMlScheme:
    """Access points find targets by themselves and send a few numbers per path.

    With the scene's `symbols: reference_only` they use the public reference symbols alone. Live,
    they tell of the last frame's targets, from where these should be by now; others are searched
    for when the packet is on its way, and told of in the next frame.
    """

    name = "local_ml"
    period_s: float | None = None

    def __init__(self, scene: Scene):
        self.scene = scene
        self.known = KnownSymbols(scene)
        self.static = StaticStage(scene)
        self._memories: dict[str, Memory] = {}
        self._unsearched: dict[str, tuple[int, JointFit, Fit | None]] = {}

    @cached_property
    def _sensors(self) -> dict[str, LocalMl]:
        return {
            site.name: LocalMl(self.scene, site, self.known.grid) for site in self.scene.receivers
        }

    def sensor(self, receiver: str) -> LocalMl:
        """The maximum-likelihood search at one receiver."""
        return self._sensors[receiver]

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> bytes:
        """Packet of the targets that one receiver heard; see schemes.contract."""
        reports = self.reports(
            *self.prepare(self.known.of_echo(echo), frame, receiver), frame, receiver
        )
        return pack_reports(self.scene, receiver, frame.number, reports)

    def prepare(
        self, echo: np.ndarray, frame: Signal, receiver: str
    ) -> tuple[np.ndarray, StaticNuisance | None]:
        """The known part of an echo without its static paths; see sensing.static_stage. Once for
        each frame.
        """
        return self.static.prepare(echo, self.known.of_frame(frame), receiver, self.period_s)

    def reports(
        self, echo: np.ndarray, static: StaticNuisance | None, frame: Signal, receiver: str
    ) -> tuple[EchoReport, ...]:
        """Reports of the targets that one receiver finds in a prepared echo.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        static: the static paths that were taken out of it
        """
        joint, fit = self.sense(echo, static, frame, receiver)
        return report_fit(receiver, self.sensor(receiver).main_targets(fit, joint.maker))

    def sense(
        self, echo: np.ndarray, static: StaticNuisance | None, frame: Signal, receiver: str
    ) -> tuple[JointFit, Fit | None]:
        """Fit the targets of one receiver's prepared echo, and return what it was fitted with
        beside it.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        static: the static paths that were taken out of it
        """
        sensor = self.sensor(receiver)
        joint = sensor.listen(echo, self.known.of_frame(frame), static=static)
        if not self.period_s:
            return joint, sensor.find(joint)
        self.after_sending(receiver)
        expected = self._expected(sensor, frame.number)
        if sensor.budget.searches_first and not expected.num_paths:
            # Nothing to follow: the search comes before the packet.
            joint.effort.matches_left = sensor.budget.search_matches
            fit = sensor.find(joint, searches=1)
        else:
            joint.effort.matches_left = sensor.budget.follow_matches
            fit = sensor.follow(joint, expected)
        self._unsearched[receiver] = frame.number, joint, fit
        return joint, fit

    def after_sending(self, receiver: str) -> None:
        """Search the last echo for targets that are not followed yet; see schemes.contract."""
        number, joint, fit = self._unsearched.pop(receiver, (0, None, None))
        if joint is None:
            return
        sensor = self.sensor(receiver)
        if fit is None or sensor.has_turn(number):
            joint.effort.matches_left = sensor.budget.search_matches
            fit = sensor.find(joint, fit, searches=1)
        if fit is not None and fit.state.is_finite:
            self._memories[receiver] = Memory(number, fit.state)

    def _expected(self, sensor: LocalMl, number: int) -> PathState:
        memory = self._memories.get(sensor.receiver.name)
        if memory is None or self.period_s is None:
            return NO_PATHS
        return memory.recall(self.scene, sensor.receiver, number, self.period_s)

    def decode(self, packets: Mapping[str, bytes], frame: Signal) -> tuple[Detection, ...]:
        """Detections from the packets of the receivers that were heard; see schemes.contract."""
        reports = [
            report
            for receiver, packet in sorted(packets.items())
            for report in unpack_reports(self.scene, receiver, frame.number, packet)
        ]
        return fuse(self.scene, reports, packets.keys())

    def downlink_bits(self, frame: Signal) -> int:
        """The payload of the frame, packed; nothing with reference symbols only."""
        return self.known.downlink_bits(frame)

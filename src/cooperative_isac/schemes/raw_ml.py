"""Scheme raw_ml: raw echoes on the fronthaul, joint maximum likelihood over all of them at the
center.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cooperative_isac.fronthaul.raw_packet import pack_echo, unpack_echo
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.joint_bodies import SensedEcho, detect_bodies
from cooperative_isac.fusion.joint_detect import detect_jointly
from cooperative_isac.fusion.joint_ml import JointMl
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.local_ml import LocalMlScheme
from cooperative_isac.sensing.memory import Memory
from cooperative_isac.sensing.path_state import NO_PATHS
from cooperative_isac.sensing.report import report_fit
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.waveform.signal import Signal

PreparedEcho = tuple[
    np.ndarray, StaticNuisance | None
]  # an echo, and the static paths that were taken out of it


class RawMlScheme:
    """The ceiling of accuracy, for a fronthaul without limit: the center hears what all access
    points hear.

    It begins with what each echo alone tells (local_ml at the center), so it follows live targets
    as that does. Point targets are fitted with one location in all echoes, bodies with one in each.
    The access points need not know the frame.
    """

    name = "raw_ml"

    def __init__(self, scene: Scene):
        self.scene = scene
        self._local = LocalMlScheme(scene)
        self._known = self._local.known
        self._memories: dict[str, Memory] = {}

    @property
    def period_s(self) -> float | None:
        """Time from one frame to the next; see schemes.contract."""
        return self._local.period_s

    @period_s.setter
    def period_s(self, period_s: float | None) -> None:
        self._local.period_s = period_s

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> bytes:
        """Packet of the whole echo, or of its reference symbols; see schemes.contract."""
        return pack_echo(self.scene, receiver, frame.number, self._known.of_echo(echo))

    def decode(self, packets: Mapping[str, bytes], frame: Signal) -> tuple[Detection, ...]:
        """Detections from the packets of the receivers that were heard; see schemes.contract."""
        echoes = {
            receiver: unpack_echo(self.scene, self._known.grid, receiver, frame.number, packet)
            for receiver, packet in sorted(packets.items())
        }
        prepared = {
            receiver: self._local.prepare(echo, frame, receiver)
            for receiver, echo in echoes.items()
        }
        if self.scene.has_bodies:
            return self._bodies(prepared, frame)
        return self._points(prepared, frame)

    def _points(self, prepared: Mapping[str, PreparedEcho], frame: Signal) -> tuple[Detection, ...]:
        """Detections of point targets: one point and velocity fit all echoes."""
        sensed = {
            receiver: self._local.sense(*echo, frame, receiver)
            for receiver, echo in prepared.items()
        }
        reports = []
        for receiver, (joint, fit) in sensed.items():
            main = self._local.sensor(receiver).main_targets(fit, joint.maker)
            reports += report_fit(receiver, main)
        if not reports:
            return ()
        # A receiver whose array faces away from the area has no threshold of its own.
        sensors = (self._local.sensor(site.name) for site in self.scene.receivers)
        search = next(sensor for sensor in sensors if len(sensor.search.points_m))
        joints = {receiver: joint for receiver, (joint, _) in sensed.items()}
        reference = joints[min(joints)].maker.reference
        return detect_jointly(
            JointMl(self.scene, joints),
            reports,
            search.detection_threshold(reference),
            search.path_threshold(reference),
        )

    def _bodies(self, prepared: Mapping[str, PreparedEcho], frame: Signal) -> tuple[Detection, ...]:
        """Detections of targets with bodies: a fit for each echo, and paths that the others
        predict.
        """
        sensed = {
            receiver: self._sensed(echo, frame, receiver) for receiver, echo in prepared.items()
        }
        return detect_bodies(self.scene, sensed)

    def _sensed(self, prepared: PreparedEcho, frame: Signal, receiver: str) -> SensedEcho:
        """Targets of one receiver's echo: those of the last frame, and others that it holds."""
        sensor = self._local.sensor(receiver)
        echo, static = prepared
        joint = sensor.listen(echo, self._known.of_frame(frame), static=static)
        if not self.period_s:
            fit = sensor.find(joint)
            return SensedEcho(joint, fit, sensor.main_targets(fit, joint.maker))

        # Follow what was there.
        joint.effort.matches_left = sensor.budget.follow_matches
        memory = self._memories.get(receiver)
        expected = NO_PATHS
        if memory is not None:
            expected = memory.recall(self.scene, sensor.receiver, frame.number, self.period_s)
        fit = sensor.follow(joint, expected)

        # Search what is left; the center has every echo before it answers.
        joint.effort.matches_left = sensor.budget.search_matches
        fit = sensor.find(joint, fit, searches=1)
        if fit is not None and fit.state.is_finite:
            self._memories[receiver] = Memory(frame.number, fit.state)
        return SensedEcho(joint, fit, sensor.main_targets(fit, joint.maker))

    def downlink_bits(self, frame: Signal) -> int:
        """Nothing: only the center uses the symbols, and it made them."""
        return 0

"""Where an access point's echoes come from: simulated from odometry, or a topic that a radio
feeds.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import numpy as np
from cooperative_isac_msgs.msg import Echo
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile

from cooperative_isac.pipeline import hear
from cooperative_isac.scene.model import Site
from cooperative_isac.waveform.signal import Signal
from cooperative_isac_ros import conversions, qos
from cooperative_isac_ros.announcements import signal_or_fault
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.records import Announcement, EchoRecord
from cooperative_isac_ros.target_watch import TargetWatch

FRAMES_KEPT = 8
OnEcho = Callable[[Announcement, Signal, np.ndarray, bool], None]


class FrontEnd(Protocol):
    """Turns announcements into echoes; calls on_echo(announcement, signal, echo, simulated) for
    each.
    """

    frame_profile: QoSProfile

    def announce(self, announcement: Announcement) -> None:
        """A frame is on the air."""

    def waiting_for(self) -> str:
        """What is still missing before echoes can come, or nothing."""


class SimulatedFrontEnd:
    """Echoes of all targets that publish odometry. Only the newest frame is worked on."""

    frame_profile = qos.NEWEST

    def __init__(self, node: SceneNode, site: Site, on_echo: OnEcho):
        self._node, self._site, self._on_echo = node, site, on_echo
        self._pending: Announcement | None = None
        self._echo = node.create_publisher(Echo, "echo", qos.BULK)
        self._watch = TargetWatch(node, on_sample=self._answer_if_complete)
        # Odometry at or after the stamp gives all nodes the same truth; a silent robot must not
        # stop them.
        self._patience = node.create_timer(
            node.settings["odometry_wait_s"],
            self._answer,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._patience.cancel()

    def announce(self, announcement: Announcement) -> None:
        """A frame is on the air."""
        if self._pending is not None:
            self._node.health.fault(
                "frames_dropped", f"frame {self._pending.frame.number} was overtaken by the next"
            )
        self._pending = announcement
        self._patience.reset()
        self._answer_if_complete()

    def waiting_for(self) -> str:
        """The scene's targets that were not heard yet."""
        return self._watch.waiting_for()

    def _answer_if_complete(self) -> None:
        if self._pending is not None and self._watch.registry.is_complete(
            self._pending.frame.stamp_ns
        ):
            self._answer()

    def _answer(self) -> None:
        self._patience.cancel()
        announcement, self._pending = self._pending, None
        if announcement is None:
            return
        signal = signal_or_fault(self._node, announcement)
        if signal is None:
            return
        began_s = time.perf_counter()
        scene = self._node.scene_of(announcement)
        targets = self._watch.registry.at(announcement.frame.stamp_ns)
        try:
            echo = _finite(hear(scene, signal, self._site.name, targets), "the echo")
        except ValueError as error:
            self._node.health.fault("echoes_refused", f"frame {announcement.frame.number}: {error}")
            return
        self._node.health.figures["front_end_ms"] = f"{(time.perf_counter() - began_s) * 1e3:.1f}"
        self._on_echo(announcement, signal, echo, True)
        if self._node.settings["publish_echo"]:
            record = EchoRecord(
                announcement.frame, self._site.name, True, scene.propagation.noise_power_w, echo
            )
            self._echo.publish(conversions.echo_message(record))


class TopicFrontEnd:
    """Echoes that a radio publishes on `echo`, checked against scene and announcements."""

    frame_profile = qos.STREAM  # an echo may come long after its announcement

    def __init__(self, node: SceneNode, site: Site, on_echo: OnEcho):
        self._node, self._site, self._on_echo = node, site, on_echo
        self._known: OrderedDict[tuple[int, int], Announcement] = OrderedDict()
        self._early: Echo | None = None
        self._subscription = node.create_subscription(Echo, "echo", self._hear, qos.NEWEST)

    def announce(self, announcement: Announcement) -> None:
        """A frame is on the air."""
        key = announcement.frame.run, announcement.frame.number
        self._known[key] = announcement
        if len(self._known) > FRAMES_KEPT:
            self._known.popitem(last=False)
        if self._early is not None and (self._early.run, self._early.number) == key:
            self._hear(self._early)

    def waiting_for(self) -> str:
        """A publisher of echoes."""
        heard = self._node.count_publishers(self._subscription.topic_name)
        return "" if heard else f"echoes on {self._subscription.topic_name}"

    def _hear(self, message: Echo) -> None:
        if (message.run, message.number) not in self._known:
            if self._early is not None:
                self._node.health.fault(
                    "echoes_unannounced", f"no announcement of frame {self._early.number}"
                )
            self._early = message
            return
        self._early = None
        try:
            record = conversions.echo_record(message)
            echo = self._checked(record)
        except ValueError as error:
            self._node.health.fault("echoes_refused", str(error))
            return
        announcement = self._known.pop((record.frame.run, record.frame.number))
        signal = signal_or_fault(self._node, announcement)
        if signal is not None:
            self._on_echo(announcement, signal, echo, record.simulated)

    def _checked(self, record: EchoRecord) -> np.ndarray:
        """The echo [num_rx_ant, num_subcarriers, num_symbols], complex64, at the noise power of the
        scene.
        """
        grid = self._node.scene.grid
        shape = self._site.num_ant, grid.num_subcarriers, grid.num_symbols
        if record.site != self._site.name:
            raise ValueError(f"echo is of site '{record.site}', this node is '{self._site.name}'")
        if record.echo.shape != shape:
            raise ValueError(f"echo has sizes {record.echo.shape}, the scene has {shape}")
        # Schemes know the scene's noise power; scaling keeps the signal-to-noise ratio of the
        # radio's.
        noise_power_w = self._node.scene.propagation.noise_power_w
        with np.errstate(over="ignore", invalid="ignore"):
            echo = np.float32(np.sqrt(noise_power_w / record.noise_power_w)) * record.echo
        return _finite(
            echo,
            f"the echo with noise_power_w {record.noise_power_w:g}, scaled to {noise_power_w:g},",
        )


def _finite(echo: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.vdot(echo, echo)
    if not np.isfinite(energy):
        raise ValueError(f"{name} has no finite energy")
    return echo


FRONT_ENDS: dict[str, Callable[[SceneNode, Site, OnEcho], FrontEnd]] = {
    "simulated": SimulatedFrontEnd,
    "topic": TopicFrontEnd,
}

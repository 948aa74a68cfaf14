"""Where a station's echoes come from: simulated from odometry, or a topic that a radio feeds."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from cooperative_isac_msgs.msg import Echo as EchoMessage
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile

from cooperative_isac.channel.echo import DrawnNoise, Echo
from cooperative_isac.pipeline import noise_ahead, receive
from cooperative_isac.scene.station import Station
from cooperative_isac.waveform.frame import Frame
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.inputs.announcements import frame_or_fault
from cooperative_isac_ros.inputs.pose_watch import PoseGate, PoseWatch
from cooperative_isac_ros.inputs.target_watch import TargetWatch
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import announced_bands
from cooperative_isac_ros.messages.records import Announcement, EchoRecord

FRAMES_KEPT = 8
OnEchoes = Callable[[Announcement, Frame, Mapping[str, Echo], bool], None]


class FrontEnd(Protocol):
    """Turns announcements into echoes; calls on_echoes(announcement, frame, echoes, simulated) for
    each frame in which a band of the station is on the air, with the echoes by band.
    """

    frame_profile: QoSProfile

    def announce(self, announcement: Announcement) -> None:
        """A frame is on the air, and the station receives on one of its bands at least."""

    def prepare(self, announcement: Announcement) -> None:
        """Do what can be done for the next frame before it is on the air.

        announcement: of the last one
        """

    def waiting_for(self) -> str:
        """What is still missing before echoes can come, or nothing."""


class SimulatedFrontEnd:
    """Echoes of all targets that publish odometry. Only the newest frame is worked on."""

    frame_profile = qos.NEWEST

    def __init__(self, node: SceneNode, station: Station, on_echoes: OnEchoes):
        self._node, self._station, self._on_echoes = node, station, on_echoes
        self._pending: Announcement | None = None
        self._noise: dict[str, DrawnNoise] = {}
        self._echo = node.create_publisher(EchoMessage, "echo", qos.bulk(len(station.bands)))
        self._watch = TargetWatch(node, on_sample=self._answer_if_complete)
        self._poses = PoseWatch(node, on_sample=self._answer_if_complete)
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

    def prepare(self, announcement: Announcement) -> None:
        """Draw the signals and the noise of the next frame."""
        self._noise = {}
        frame = self._node.prepare_frame(announcement)
        if frame is None:
            return
        scene = self._node.scene_of(announcement)
        targets = self._watch.registry.at(announcement.frame.stamp_ns)
        # Targets that cannot be simulated are refused in the frame itself.
        with suppress(ValueError):
            self._noise = noise_ahead(scene, frame, self._station.name, targets)

    def waiting_for(self) -> str:
        """The scene's targets and the poses of stations that were not heard yet."""
        return ", ".join(filter(None, (self._watch.waiting_for(), self._poses.waiting_for())))

    def _answer_if_complete(self) -> None:
        if self._pending is None:
            return
        stamp_ns = self._pending.frame.stamp_ns
        if self._watch.registry.is_complete(stamp_ns) and self._poses.is_complete(stamp_ns):
            self._answer()

    def _answer(self) -> None:
        self._patience.cancel()
        announcement, self._pending = self._pending, None
        if announcement is None:
            return
        frame = frame_or_fault(self._node, announcement, self._poses.poses)
        if frame is None:
            return
        began_s = time.perf_counter()
        scene = self._node.scene_of(announcement)
        targets = self._watch.registry.at(announcement.frame.stamp_ns)
        try:
            echoes = receive(scene, frame, self._station.name, targets, self._noise)
            for band, echo in echoes.items():
                _finite(echo.samples, f"the echo on band {band}")
        except ValueError as error:
            self._node.health.fault("echoes_refused", f"frame {announcement.frame.number}: {error}")
            return
        self._node.health.figures["front_end_ms"] = f"{(time.perf_counter() - began_s) * 1e3:.1f}"
        self._on_echoes(announcement, frame, echoes, True)
        if self._node.settings["publish_echo"]:
            for echo in echoes.values():
                self._echo.publish(conversions.echo_message(_record(announcement, echo)))


def _record(announcement: Announcement, echo: Echo) -> EchoRecord:
    """A simulated echo as it is published."""
    return EchoRecord(
        announcement.frame, echo.station, True, echo.noise_power_w, echo.samples, echo.band
    )


@dataclass
class _Awaited:
    """A frame whose echoes are gathered.

    bands: on the air on which the station receives
    echoes: those that came, by band
    """

    announcement: Announcement
    bands: tuple[str, ...]
    echoes: dict[str, EchoRecord] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether all bands are in."""
        return len(self.echoes) == len(self.bands)


class TopicFrontEnd:
    """Echoes that a radio publishes on `echo`, checked against scene and announcements.

    A frame is answered when the echoes of all its bands are in, or band_wait_s after the latest.
    """

    frame_profile = qos.STREAM  # an echo may come long after its announcement

    def __init__(self, node: SceneNode, station: Station, on_echoes: OnEchoes):
        self._node, self._station, self._on_echoes = node, station, on_echoes
        self._sites = {
            view.band: site
            for view in node.scene.views
            for site in view.receivers
            if site.name == station.name
        }
        self._known: OrderedDict[tuple[int, int], _Awaited] = OrderedDict()
        self._early: dict[str, EchoMessage] = {}
        self._gate: PoseGate[_Awaited] = PoseGate(node, self._answer)
        self._patience = node.create_timer(
            node.settings["band_wait_s"],
            self._answer_begun,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._patience.cancel()
        self._subscription = node.create_subscription(
            EchoMessage, "echo", self._hear, qos.newest(len(self._sites))
        )

    def announce(self, announcement: Announcement) -> None:
        """A frame is on the air."""
        key = announcement.frame.run, announcement.frame.number
        on_air = announced_bands(self._node.scene, announcement)
        bands = tuple(band for band in on_air if band in self._sites)
        self._known[key] = _Awaited(announcement, bands)
        if len(self._known) > FRAMES_KEPT:
            self._known.popitem(last=False)
        early = [message for message in self._early.values() if _key(message) == key]
        for message in early:
            self._hear(message)

    def prepare(self, announcement: Announcement) -> None:
        """Draw the signals of the next frame."""
        self._node.prepare_frame(announcement)

    def waiting_for(self) -> str:
        """A publisher of echoes, and the poses of stations that were not heard yet."""
        heard = self._node.count_publishers(self._subscription.topic_name)
        echoes = "" if heard else f"echoes on {self._subscription.topic_name}"
        return ", ".join(filter(None, (echoes, self._gate.watch.waiting_for())))

    def _hear(self, message: EchoMessage) -> None:
        key = _key(message)
        if key not in self._known:
            self._keep_early(message)
            return
        self._early.pop(message.band, None)
        awaited = self._known[key]
        try:
            record = conversions.echo_record(message)
            band = self._band_of(record, awaited)
            awaited.echoes[band] = self._checked(record, band)
        except ValueError as error:
            self._node.health.fault("echoes_refused", str(error))
            return
        if awaited.is_complete:
            self._answer_up_to(key)
        else:
            self._patience.reset()

    def _keep_early(self, message: EchoMessage) -> None:
        """Keep an echo whose announcement is still on its way; of each band the latest."""
        before = self._early.get(message.band)
        if before is not None:
            self._node.health.fault(
                "echoes_unannounced", f"no announcement of frame {before.number}"
            )
        if before is not None or len(self._early) < len(self._sites):
            self._early[message.band] = message
        else:
            self._node.health.fault(
                "echoes_unannounced", f"no announcement of frame {message.number}"
            )

    def _band_of(self, record: EchoRecord, awaited: _Awaited) -> str:
        """Band of an echo. ValueError: it cannot be of that frame, or came already."""
        number = record.frame.number
        if not record.band and len(self._node.scene.bands) > 1:
            raise ValueError(
                f"echo of frame {number} names no band; the scene has several: "
                f"{', '.join(self._sites)}"
            )
        band = record.band or self._node.scene.band
        if band not in awaited.bands:
            raise ValueError(
                f"echo is of band '{band}', on which '{self._station.name}' receives nothing in "
                f"frame {number}; there it receives {', '.join(awaited.bands)}"
            )
        if band in awaited.echoes:
            raise ValueError(f"second echo of frame {number} on band '{band}'")
        return band

    def _answer_begun(self) -> None:
        """Answer all frames of which an echo came, with the bands that are in."""
        self._patience.cancel()
        begun = [key for key, awaited in self._known.items() if awaited.echoes]
        if begun:
            self._answer_up_to(begun[-1])

    def _answer_up_to(self, last: tuple[int, int]) -> None:
        """Answer the frames up to one of which an echo came, in their order."""
        keys = list(self._known)
        for key in keys[: keys.index(last) + 1]:
            awaited = self._known[key]
            if not awaited.echoes:
                continue
            del self._known[key]
            missing = [band for band in awaited.bands if band not in awaited.echoes]
            if missing:
                self._node.health.fault(
                    "echoes_missing",
                    f"frame {awaited.announcement.frame.number} is reported without band "
                    f"{', '.join(missing)}",
                    len(missing),
                )
            self._gate.put(awaited.announcement.frame.stamp_ns, awaited)
        if not any(awaited.echoes for awaited in self._known.values()):
            self._patience.cancel()

    def _answer(self, awaited: _Awaited) -> None:
        frame = frame_or_fault(self._node, awaited.announcement, self._gate.watch.poses)
        if frame is None:
            return
        echoes = {
            band: Echo(record.site, band, frame.number, record.echo, self._noise_power_w(band))
            for band, record in awaited.echoes.items()
        }
        in_order = {band: echoes[band] for band in awaited.bands if band in echoes}
        simulated = any(record.simulated for record in awaited.echoes.values())
        self._on_echoes(awaited.announcement, frame, in_order, simulated)

    def _noise_power_w(self, band: str) -> float:
        """Noise power of the scene on a band, W."""
        return self._node.scene.on(band).propagation.noise_power_w

    def _checked(self, record: EchoRecord, band: str) -> EchoRecord:
        """The echo [num_rx_ant, num_subcarriers, num_symbols], complex64, at the noise power of the
        scene.
        """
        grid = self._node.scene.on(band).grid
        shape = self._sites[band].num_ant, grid.num_subcarriers, grid.num_symbols
        name = self._station.name
        if record.site != name:
            raise ValueError(f"echo is of site '{record.site}', this node is '{name}'")
        if record.echo.shape != shape:
            raise ValueError(f"echo has sizes {record.echo.shape}, the scene has {shape}")
        # Schemes know the scene's noise power; scaling keeps the signal-to-noise ratio of the
        # radio's.
        noise_power_w = self._noise_power_w(band)
        with np.errstate(over="ignore", invalid="ignore"):
            echo = np.float32(np.sqrt(noise_power_w / record.noise_power_w)) * record.echo
        _finite(
            echo,
            f"the echo with noise_power_w {record.noise_power_w:g}, scaled to {noise_power_w:g},",
        )
        return replace(record, echo=echo)


def _key(message: EchoMessage) -> tuple[int, int]:
    return message.run, message.number


def _finite(echo: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.vdot(echo, echo)
    if not np.isfinite(energy):
        raise ValueError(f"{name} has no finite energy")
    return echo


FRONT_ENDS: dict[str, Callable[[SceneNode, Station, OnEchoes], FrontEnd]] = {
    "simulated": SimulatedFrontEnd,
    "topic": TopicFrontEnd,
}

"""Front ends of a station: echoes simulated from odometry, or from the topic of a radio."""

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
from cooperative_isac.scene.draw import scene_targets
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

# Announced frames that wait for the echoes of a radio.
MAX_OPEN_FRAMES = 8
# Called with the announcement, its frame, the echoes by band, and whether they are simulated.
OnEchoes = Callable[[Announcement, Frame, Mapping[str, Echo], bool], None]


class FrontEnd(Protocol):
    """Source of the echoes of announced frames, which are passed to an OnEchoes callback.

    frame_profile: quality of service for the subscription to announcements
    """

    frame_profile: QoSProfile

    def announce(self, announcement: Announcement) -> None:
        """Request the echoes of a frame in which the station receives on at least one band."""

    def prepare(self, announcement: Announcement | None) -> None:
        """Prepare signals and noise of the next frame before it is on the air.

        announcement: of the last one; None: the next one is frame 0
        """

    def waiting_for(self) -> str:
        """Description of what is missing before echoes can be delivered; empty when ready."""


class SimulatedFrontEnd:
    """Echoes simulated from the odometry of all targets, of the newest frame only."""

    frame_profile = qos.NEWEST

    def __init__(self, node: SceneNode, station: Station, on_echoes: OnEchoes):
        self._node = node
        self._station = station
        self._on_echoes = on_echoes
        self._pending: Announcement | None = None
        self._noise: dict[str, DrawnNoise] = {}
        self._echo = node.create_publisher(EchoMessage, "echo", qos.bulk(len(station.bands)))
        self._watch = TargetWatch(node, on_sample=self._simulate_if_complete)
        self._poses = PoseWatch(node, on_sample=self._simulate_if_complete)

        # With odometry at or after the stamp all nodes compute the same truth; the timeout is for a
        # robot that stopped publishing.
        self._timeout = node.create_timer(
            node.settings["odometry_wait_s"],
            self._simulate,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._timeout.cancel()

    def announce(self, announcement: Announcement) -> None:
        """Simulate the echoes of a frame as soon as its odometry is complete."""
        if self._pending is not None:
            self._node.health.fault(
                "frames_dropped", f"frame {self._pending.frame.number} was overtaken by the next"
            )
        self._pending = announcement
        self._timeout.reset()
        self._simulate_if_complete()

    def prepare(self, announcement: Announcement | None) -> None:
        """Draw the signals and the noise of the next frame."""
        self._noise = {}
        if announcement is None:
            scene = self._node.scene
            frame = self._node.prepare_first_frame()
            targets = scene_targets(scene, 0.0)
        else:
            scene = self._node.scene_of(announcement)
            frame = self._node.prepare_frame(announcement)
            targets = self._watch.registry.at(announcement.frame.stamp_ns)
        if frame is None:
            return
        # Targets that cannot be simulated are refused in the frame itself.
        with suppress(ValueError):
            self._noise = noise_ahead(scene, frame, self._station.name, targets)

    def waiting_for(self) -> str:
        """Description of missing odometry of targets, and of missing poses of stations."""
        return ", ".join(filter(None, (self._watch.waiting_for(), self._poses.waiting_for())))

    def _simulate_if_complete(self) -> None:
        if self._pending is None:
            return
        stamp_ns = self._pending.frame.stamp_ns
        if self._watch.registry.is_complete(stamp_ns) and self._poses.is_complete(stamp_ns):
            self._simulate()

    def _simulate(self) -> None:
        """Simulate the echoes of the pending frame with the odometry that has arrived."""
        self._timeout.cancel()
        announcement = self._pending
        self._pending = None
        if announcement is None:
            return
        frame = frame_or_fault(self._node, announcement, self._poses.poses)
        if frame is None:
            return

        # echoes of all targets on all bands
        began_s = time.perf_counter()
        scene = self._node.scene_of(announcement)
        targets = self._watch.registry.at(announcement.frame.stamp_ns)
        try:
            echoes = receive(scene, frame, self._station.name, targets, self._noise)
            for band, echo in echoes.items():
                _check_finite(echo.samples, f"the echo on band {band}")
        except ValueError as error:
            self._node.health.fault("echoes_refused", f"frame {announcement.frame.number}: {error}")
            return
        elapsed_s = time.perf_counter() - began_s
        self._node.health.figures["front_end_ms"] = f"{elapsed_s * 1e3:.1f}"

        # the packet first: echoes are published for inspection only
        self._on_echoes(announcement, frame, echoes, True)
        if self._node.settings["publish_echo"]:
            for echo in echoes.values():
                self._echo.publish(conversions.echo_message(_record(announcement, echo)))


def _record(announcement: Announcement, echo: Echo) -> EchoRecord:
    """Record of a simulated echo."""
    return EchoRecord(
        frame=announcement.frame,
        site=echo.station,
        simulated=True,
        noise_power_w=echo.noise_power_w,
        echo=echo.samples,
        band=echo.band,
    )


@dataclass
class _OpenFrame:
    """Announced frame whose echoes are collected.

    bands: names of the bands on the air on which the station receives
    echoes: that have arrived, by band
    """

    announcement: Announcement
    bands: tuple[str, ...]
    echoes: dict[str, EchoRecord] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Return whether the echoes of all bands have arrived."""
        return len(self.echoes) == len(self.bands)


class TopicFrontEnd:
    """Echoes that a radio publishes on `echo`, validated against scene and announcements.

    The echoes of a frame are delivered when those of all its bands have arrived, or band_wait_s
    after the latest one.
    """

    # An echo may arrive long after its announcement.
    frame_profile = qos.STREAM

    def __init__(self, node: SceneNode, station: Station, on_echoes: OnEchoes):
        self._node = node
        self._station = station
        self._on_echoes = on_echoes

        # arrays of the station by band
        self._sites = {
            view.band: site
            for view in node.scene.views
            for site in view.receivers
            if site.name == station.name
        }

        # announced frames, and echoes that were ahead of their announcements
        self._open: OrderedDict[tuple[int, int], _OpenFrame] = OrderedDict()
        self._early: dict[str, EchoMessage] = {}
        self._gate: PoseGate[_OpenFrame] = PoseGate(node, self._deliver)

        # the end of the wait for the other bands of a frame
        self._timeout = node.create_timer(
            node.settings["band_wait_s"],
            self._close_begun,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._timeout.cancel()
        self._subscription = node.create_subscription(
            EchoMessage, "echo", self._on_echo, qos.newest(len(self._sites))
        )

    def announce(self, announcement: Announcement) -> None:
        """Open a frame, with the echoes that arrived before its announcement."""
        key = (announcement.frame.run, announcement.frame.number)
        on_air = announced_bands(self._node.scene, announcement)
        bands = tuple(band for band in on_air if band in self._sites)
        self._open[key] = _OpenFrame(announcement, bands)
        if len(self._open) > MAX_OPEN_FRAMES:
            self._open.popitem(last=False)
        early = [message for message in self._early.values() if _key(message) == key]
        for message in early:
            self._on_echo(message)

    def prepare(self, announcement: Announcement | None) -> None:
        """Draw the signals of the next frame."""
        if announcement is None:
            self._node.prepare_first_frame()
        else:
            self._node.prepare_frame(announcement)

    def waiting_for(self) -> str:
        """Description of a missing publisher of echoes, and of missing poses of stations."""
        topic = self._subscription.topic_name
        echoes = "" if self._node.count_publishers(topic) else f"echoes on {topic}"
        return ", ".join(filter(None, (echoes, self._gate.watch.waiting_for())))

    def _on_echo(self, message: EchoMessage) -> None:
        """Add an echo to its frame, and close the frame with the last one of its bands."""
        key = _key(message)
        if key not in self._open:
            self._keep_early(message)
            return

        # an echo of its band that arrived before its announcement is this one, or outdated
        self._early.pop(message.band, None)

        # validate the echo, and add it to its frame
        opened = self._open[key]
        try:
            record = conversions.echo_record(message)
            band = self._band_of(record, opened)
            opened.echoes[band] = self._scaled(record, band)
        except ValueError as error:
            self._node.health.fault("echoes_refused", str(error))
            return

        # close the frame, or wait for its other bands
        if opened.is_complete:
            self._close_up_to(key)
        else:
            self._timeout.reset()

    def _keep_early(self, message: EchoMessage) -> None:
        """Keep the latest echo of each band whose announcement has not arrived.

        Further bands than the station has are not kept: the band of a message may be any text.
        """
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

    def _band_of(self, record: EchoRecord, opened: _OpenFrame) -> str:
        """Band of an echo.

        Raises ValueError where the station does not receive on it in that frame, or its echo has
        arrived already.
        """
        # named by the echo, or the only one of the scene
        number = record.frame.number
        if not record.band and len(self._node.scene.bands) > 1:
            raise ValueError(
                f"echo of frame {number} names no band; the scene has several: "
                f"{', '.join(self._sites)}"
            )
        band = record.band or self._node.scene.band

        # on the air, and not received yet
        if band not in opened.bands:
            raise ValueError(
                f"echo is of band '{band}', on which '{self._station.name}' receives nothing in "
                f"frame {number}; there it receives {', '.join(opened.bands)}"
            )
        if band in opened.echoes:
            raise ValueError(f"second echo of frame {number} on band '{band}'")
        return band

    def _close_begun(self) -> None:
        """Close all frames with at least one echo."""
        self._timeout.cancel()
        begun = [key for key, opened in self._open.items() if opened.echoes]
        if begun:
            self._close_up_to(begun[-1])

    def _close_up_to(self, last: tuple[int, int]) -> None:
        """Close the frames with echoes up to one of them, in their order."""
        keys = list(self._open)
        for key in keys[: keys.index(last) + 1]:
            opened = self._open[key]
            if not opened.echoes:
                continue
            del self._open[key]

            # count missing bands
            missing = [band for band in opened.bands if band not in opened.echoes]
            if missing:
                self._node.health.fault(
                    "echoes_missing",
                    f"frame {opened.announcement.frame.number} is reported without band "
                    f"{', '.join(missing)}",
                    len(missing),
                )

            # deliver as soon as the poses have arrived
            self._gate.put(opened.announcement.frame.stamp_ns, opened)
        if not any(opened.echoes for opened in self._open.values()):
            self._timeout.cancel()

    def _deliver(self, opened: _OpenFrame) -> None:
        """Pass the echoes of a frame to the callback, in the order of the scene's bands."""
        frame = frame_or_fault(self._node, opened.announcement, self._gate.watch.poses)
        if frame is None:
            return
        echoes = {}
        for band in opened.bands:
            record = opened.echoes.get(band)
            if record is not None:
                echoes[band] = Echo(
                    record.site, band, frame.number, record.echo, self._noise_power_w(band)
                )
        simulated = any(record.simulated for record in opened.echoes.values())
        self._on_echoes(opened.announcement, frame, echoes, simulated)

    def _noise_power_w(self, band: str) -> float:
        """Noise power of the scene on a band, W."""
        return self._node.scene.on(band).propagation.noise_power_w

    def _scaled(self, record: EchoRecord, band: str) -> EchoRecord:
        """Echo scaled to the noise power of the scene, which the schemes use.

        The scaling keeps the radio's signal-to-noise ratio.

        Raises ValueError where site or sizes differ from those of the scene.
        """
        # site and sizes
        grid = self._node.scene.on(band).grid
        shape = (self._sites[band].num_ant, grid.num_subcarriers, grid.num_symbols)
        name = self._station.name
        if record.site != name:
            raise ValueError(f"echo is of site '{record.site}', this node is '{name}'")
        if record.echo.shape != shape:
            raise ValueError(f"echo has sizes {record.echo.shape}, the scene has {shape}")

        # noise power
        noise_power_w = self._noise_power_w(band)
        with np.errstate(over="ignore", invalid="ignore"):
            echo = np.float32(np.sqrt(noise_power_w / record.noise_power_w)) * record.echo
        _check_finite(
            echo,
            f"the echo with noise_power_w {record.noise_power_w:g}, scaled to {noise_power_w:g},",
        )
        return replace(record, echo=echo)


def _key(message: EchoMessage) -> tuple[int, int]:
    """Run and number of the frame of an echo."""
    return message.run, message.number


def _check_finite(echo: np.ndarray, name: str) -> None:
    """Raise ValueError where the energy of an echo is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.vdot(echo, echo)
    if not np.isfinite(energy):
        raise ValueError(f"{name} has no finite energy")


FRONT_ENDS: dict[str, Callable[[SceneNode, Station, OnEchoes], FrontEnd]] = {
    "simulated": SimulatedFrontEnd,
    "topic": TopicFrontEnd,
}

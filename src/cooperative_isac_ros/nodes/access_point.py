"""Access point: encodes the echoes of each frame and publishes them as features."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from cooperative_isac_msgs.msg import FeaturePacket, Frame

from cooperative_isac.channel.echo import Echo
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import draw_targets, frame_generator
from cooperative_isac.scene.station import Station
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.waveform.frame import Frame as AirFrame
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import WORKER_NICE, SceneNode, run_node
from cooperative_isac_ros.inputs.announcements import announcement_or_fault
from cooperative_isac_ros.inputs.front_ends import FRONT_ENDS
from cooperative_isac_ros.inputs.pose_watch import POSE_PARAMETERS
from cooperative_isac_ros.inputs.target_watch import WATCH_PARAMETERS
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import receiving_stations
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, Packet
from cooperative_isac_ros.parameters import ODOMETRY_WAIT, SCHEME, Parameter
from cooperative_isac_ros.timing.spare_time import SpareTime

PARAMETERS = (
    Parameter(
        "site",
        "",
        "receiving station of the scene; empty: the last part of the node's namespace",
    ),
    SCHEME,
    Parameter(
        "front_end",
        "simulated",
        "source of the echoes: simulated from odometry, or the topic `echo` of a radio",
        choices=tuple(FRONT_ENDS),
    ),
    Parameter(
        "publish_echo",
        False,
        "publish each simulated echo on `echo`, megabytes per frame",
        live=True,
    ),
    ODOMETRY_WAIT,
    Parameter(
        "band_wait_s",
        0.06,
        "longest wait, after the latest echo of a frame, for the radio's echoes on its other bands "
        "[s]",
        0.001,
        10.0,
    ),
    *WATCH_PARAMETERS,
    *POSE_PARAMETERS,
)


class AccessPoint(SceneNode):
    """Receiving station of any role, on all its bands.

    It publishes one packet for each frame in which at least one of its bands is on the air. One
    frame is processed at a time; frames that overtake each other meanwhile are dropped and counted.
    """

    def __init__(self, **options):
        super().__init__("access_point", PARAMETERS, namespace_depth=1, **options)

        # station and encoder
        self.station = self._find_station()
        scheme = make_scheme(self.scheme_name, self.scene)
        self._scheme_name = scheme.name_of(self.station.name)
        self._encoder = scheme.at(self.station.name)
        self._sequence = 0
        self._last: FrameStamp | None = None
        self._reported: Announcement | None = None

        # features, and the source of echoes
        self._features = self.create_publisher(FeaturePacket, "features", qos.STREAM)
        self._front_end = FRONT_ENDS[self.settings["front_end"]](self, self.station, self._encode)

        # preparation; its search of a whole frame takes longer than any work between frames
        encode_s = self._warm_up()
        period_s = 1 / self.scene.update_rate_hz
        self._spare_time = SpareTime(self, self._work_ahead, period_s, encode_s)

        # announcements
        self.create_subscription(
            Frame, self.shared("frame"), self._on_frame, self._front_end.frame_profile
        )

    def waiting_for(self) -> str:
        """Description of a missing subscription to features, or of what the front end needs."""
        if not self._features.get_subscription_count():
            return "a fusion center"
        return self._front_end.waiting_for()

    def _find_station(self) -> Station:
        """Station of the parameter `site`, or of the last part of the node's namespace."""
        site = self.settings["site"] or self.get_namespace().rpartition("/")[2]
        stations = self.scene.receiving_stations
        for station in stations:
            if station.name == site:
                return station
        raise ValueError(
            f"no receiver '{site}' in scene '{self.scene.name}'; it has "
            f"{[station.name for station in stations]}; set parameter 'site'"
        )

    def _warm_up(self) -> float:
        """Do before frame 0 what is computed once, and what frame 0 needs.

        Encode a random echo, which computes the tables of the scheme, and draw signals and noise.

        Returns the processor time of the encoding, s: nodes that start side by side compete for the
        processors, which stretches the wall time now, and not that of the work between frames.
        """
        frame = make_frame(self.scene, 0)
        targets = draw_targets(self.scene, frame_generator(self.scene.seed, 0, "warm-up"))
        echoes = receive(self.scene, frame, self.station.name, targets)
        began_s = time.thread_time()
        self._encoder.encode(echoes, frame)
        encode_s = time.thread_time() - began_s
        self._front_end.prepare(None)
        return encode_s

    def _on_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return

        # count the frames between the last one and this one
        frame = announcement.frame
        last = self._last
        self._last = frame
        step = frame.number - last.number if last and last.run == frame.run else 0
        if step > 1:
            self.health.fault(
                "frames_dropped",
                f"{step - 1} before frame {frame.number}: not announced, or this node was too busy",
                step - 1,
            )
        self._spare_time.announce(frame)

        # request its echoes
        if self.station.name in receiving_stations(self.scene, announcement):
            self._front_end.announce(announcement)

    def _encode(
        self,
        announcement: Announcement,
        frame: AirFrame,
        echoes: Mapping[str, Echo],
        simulated: bool,
    ) -> None:
        """Encode the echoes of a frame and publish the packet; callback of the front end.

        announcement: of the frame, as it was received
        frame: signals on the air
        echoes: by name of the band
        simulated: True where the echoes are not those of a radio
        """
        # encode and publish
        began_s = time.perf_counter()
        data = self._encoder.encode(echoes, frame)
        packet = Packet(
            frame=announcement.frame,
            sequence=self._sequence,
            site=self.station.name,
            scheme=self._scheme_name,
            simulated=simulated,
            data=data,
            bands=tuple(echoes),
        )
        self._features.publish(conversions.packet_message(packet))
        self._sequence += 1

        # diagnostics
        self.health.count("frames")
        if self._encoder.num_left_out:
            self.health.count("targets_left_out", self._encoder.num_left_out)
        self.health.figures["packet_bits"] = 8 * len(data)
        self.publish_timing(announcement.frame, "encode", began_s)

        # work of the scheme that need not delay the packet
        self._reported = announcement
        self._spare_time.begin(announcement.frame)

    def _work_ahead(self) -> None:
        """Remaining work on the last frame, and preparation of the next one."""
        self._encoder.idle()
        if self._reported is not None:
            self._front_end.prepare(self._reported)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(AccessPoint, args, WORKER_NICE)


if __name__ == "__main__":
    sys.exit(main())

"""A station that receives: takes the echoes of each frame and publishes its features."""

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

PARAMETERS = (
    Parameter(
        "site",
        "",
        "receiving station of the scene that this node is; empty: the last part of its namespace",
    ),
    SCHEME,
    Parameter(
        "front_end",
        "simulated",
        "simulated: echoes of the targets' odometry; topic: echoes of a real radio",
        choices=tuple(FRONT_ENDS),
    ),
    Parameter("publish_echo", False, "publish each simulated echo, megabytes a frame", live=True),
    ODOMETRY_WAIT,
    Parameter(
        "band_wait_s",
        0.06,
        "how long a frame waits for a radio's echoes on its other bands after the latest [s]",
        0.001,
        10.0,
    ),
    *WATCH_PARAMETERS,
    *POSE_PARAMETERS,
)


class AccessPoint(SceneNode):
    """A station of any role that receives, on all its bands: one packet for each frame in which one
    of them is on the air.

    It works on one frame at a time; frames that it could not begin in time are dropped and counted.
    """

    def __init__(self, **options):
        super().__init__("access_point", PARAMETERS, namespace_depth=1, **options)
        self.station = self._find_station()
        scheme = make_scheme(self.scheme_name, self.scene)
        self._scheme_name = scheme.name_of(self.station.name)
        self._encoder = scheme.at(self.station.name)
        self._sequence = 0
        self._last: FrameStamp | None = None
        self._features = self.create_publisher(FeaturePacket, "features", qos.STREAM)
        self._front_end = FRONT_ENDS[self.settings["front_end"]](self, self.station, self._report)
        self._warm_up()
        self.create_subscription(
            Frame, self.shared("frame"), self._hear_frame, self._front_end.frame_profile
        )

    def waiting_for(self) -> str:
        """A listener to its features, or whatever its front end needs."""
        heard = self._features.get_subscription_count()
        return self._front_end.waiting_for() if heard else "a fusion center"

    def _find_station(self) -> Station:
        wanted = self.settings["site"] or self.get_namespace().rpartition("/")[2]
        stations = self.scene.receiving_stations
        for station in stations:
            if station.name == wanted:
                return station
        raise ValueError(
            f"no receiver '{wanted}' in scene '{self.scene.name}'; it has "
            f"{[station.name for station in stations]}; set parameter 'site'"
        )

    def _warm_up(self) -> None:
        """Sense a drawn echo on all bands: a scheme's tables are made now, not in frame 0."""
        frame = make_frame(self.scene, 0)
        targets = draw_targets(self.scene, frame_generator(self.scene.seed, 0, "warm-up"))
        self._encoder.encode(receive(self.scene, frame, self.station.name, targets), frame)

    def _hear_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return
        frame, last, self._last = announcement.frame, self._last, announcement.frame
        passed = frame.number - last.number if last and last.run == frame.run else 0
        if passed > 1:
            self.health.fault(
                "frames_dropped",
                f"{passed - 1} before frame {frame.number}: not announced, or this "
                "node was too busy",
                passed - 1,
            )
        if self.station.name in receiving_stations(self.scene, announcement):
            self._front_end.announce(announcement)

    def _report(
        self,
        announcement: Announcement,
        frame: AirFrame,
        echoes: Mapping[str, Echo],
        simulated: bool,
    ) -> None:
        began_s = time.perf_counter()
        data = self._encoder.encode(echoes, frame)
        self._features.publish(
            conversions.packet_message(
                Packet(
                    announcement.frame,
                    self._sequence,
                    self.station.name,
                    self._scheme_name,
                    simulated,
                    data,
                    tuple(echoes),
                )
            )
        )
        self._sequence += 1
        self.health.count("frames")
        if self._encoder.num_left_out:
            self.health.count("targets_left_out", self._encoder.num_left_out)
        self.health.figures["packet_bits"] = 8 * len(data)
        self.publish_timing(announcement.frame, "encode", began_s)
        self._encoder.idle()


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(AccessPoint, args, WORKER_NICE)


if __name__ == "__main__":
    sys.exit(main())

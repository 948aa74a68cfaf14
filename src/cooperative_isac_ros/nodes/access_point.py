"""An access point: hears the echo of each frame and publishes its features."""

from __future__ import annotations

import sys
import time

import numpy as np
from cooperative_isac_msgs.msg import FeaturePacket, Frame

from cooperative_isac.channel.echo import Echo
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import draw_targets, frame_generator
from cooperative_isac.scene.model import Site
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.waveform.frame import Frame as AirFrame
from cooperative_isac.waveform.signal import Signal
from cooperative_isac_ros import conversions, qos
from cooperative_isac_ros.announcements import announcement_or_fault
from cooperative_isac_ros.base import WORKER_NICE, SceneNode, run_node
from cooperative_isac_ros.front_ends import FRONT_ENDS
from cooperative_isac_ros.parameters import SCHEME, Parameter
from cooperative_isac_ros.records import Announcement, FrameStamp, Packet
from cooperative_isac_ros.target_watch import WATCH_PARAMETERS

SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 1e-3, 1e3  # s, of frames: at 100 Hz, and minutes apart
PARAMETERS = (
    Parameter(
        "site", "", "receiver of the scene that this node is; empty: the last part of its namespace"
    ),
    SCHEME,
    Parameter(
        "front_end",
        "simulated",
        "simulated: echoes of the targets' odometry; topic: echoes of a real radio",
        choices=tuple(FRONT_ENDS),
    ),
    Parameter("publish_echo", False, "publish each simulated echo, megabytes a frame", live=True),
    Parameter(
        "odometry_wait_s",
        0.06,
        "how long a frame waits for odometry at or after its stamp [s]",
        0.001,
        1.0,
    ),
    *WATCH_PARAMETERS,
)


class AccessPoint(SceneNode):
    """Works on one frame at a time; frames that it could not begin in time are dropped and
    counted.
    """

    def __init__(self, **options):
        super().__init__("access_point", PARAMETERS, namespace_depth=1, **options)
        self.site = self._find_site()
        scheme = make_scheme(self.scheme_name, self.scene)
        self._scheme_of_site = scheme.name_of(self.site.name)
        self._encoder = scheme.at(self.site.name)
        self._sequence = 0
        self._last: FrameStamp | None = None
        self._period_s = 1 / self.scene.update_rate_hz
        self._time_s = 0.0
        self._sensed: FrameStamp | None = None
        self._features = self.create_publisher(FeaturePacket, "features", qos.STREAM)
        self._front_end = FRONT_ENDS[self.settings["front_end"]](self, self.site, self._report)
        self._warm_up()
        self.create_subscription(
            Frame, self.shared("frame"), self._hear_frame, self._front_end.frame_profile
        )

    def waiting_for(self) -> str:
        """A listener to its features, or whatever its front end needs."""
        heard = self._features.get_subscription_count()
        return self._front_end.waiting_for() if heard else "a fusion center"

    def _find_site(self) -> Site:
        try:
            return self.scene.receiver(
                self.settings["site"] or self.get_namespace().rpartition("/")[2]
            )
        except KeyError as error:
            raise ValueError(f"{error.args[0]}; set parameter 'site'") from None

    def _warm_up(self) -> None:
        """Sense a drawn echo: a scheme's tables are made now, not in frame 0."""
        frame = make_frame(self.scene, 0)
        targets = draw_targets(self.scene, frame_generator(self.scene.seed, 0, "warm-up"))
        self._encoder.encode(receive(self.scene, frame, self.site.name, targets), frame)

    def _hear_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return
        frame, last, self._last = announcement.frame, self._last, announcement.frame
        passed = frame.number - last.number if last and last.run == frame.run else 0
        if last is not None and passed > 0:
            self._set_period((frame.stamp_ns - last.stamp_ns) * 1e-9 / passed)
        if passed > 1:
            self.health.fault(
                "frames_dropped",
                f"{passed - 1} before frame {frame.number}: not announced, or this "
                "node was too busy",
                passed - 1,
            )
        self._front_end.announce(announcement)

    def _set_period(self, period_s: float) -> None:
        """What the scheme may expect from frame to frame; stamps of two clocks give no period."""
        if SHORTEST_PERIOD_S <= period_s <= LONGEST_PERIOD_S:
            self._period_s = period_s

    def _time_of(self, frame: FrameStamp) -> float:
        """Time of a frame for the scheme, s, which begins anew with each run."""
        last = self._sensed
        self._sensed = frame
        if last is None or last.run != frame.run:
            self._time_s = 0.0
        else:
            self._time_s += (frame.number - last.number) * self._period_s
        return self._time_s

    def _report(
        self, announcement: Announcement, signal: Signal, echo: np.ndarray, simulated: bool
    ) -> None:
        began_s = time.perf_counter()
        stamp = announcement.frame
        band = self.scene.band
        poses = self.scene.poses_at(stamp.number / self.scene.update_rate_hz)
        frame = AirFrame(stamp.number, {band: signal}, self._time_of(stamp), poses)
        noise_power_w = self.scene.propagation.noise_power_w
        received = Echo(self.site.name, band, stamp.number, echo, noise_power_w)
        data = self._encoder.encode({band: received}, frame)
        self._features.publish(
            conversions.packet_message(
                Packet(
                    announcement.frame,
                    self._sequence,
                    self.site.name,
                    self._scheme_of_site,
                    simulated,
                    data,
                )
            )
        )
        self._sequence += 1
        self.health.count("frames")
        self.health.figures["packet_bits"] = 8 * len(data)
        self.say_timing(announcement.frame, "encode", began_s)
        self._encoder.idle()


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(AccessPoint, args, WORKER_NICE)


if __name__ == "__main__":
    sys.exit(main())

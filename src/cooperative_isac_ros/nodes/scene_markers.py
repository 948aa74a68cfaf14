"""Scene markers: draws the running scene for RViz, and publishes the path of each track."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections import deque
from collections.abc import Callable
from functools import partial

from cooperative_isac_msgs.msg import Accuracy, Detections, FeaturePacket, Frame, Tracks
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Path
from rclpy.publisher import Publisher
from visualization_msgs.msg import Marker, MarkerArray

from cooperative_isac.scene.model import Scene
from cooperative_isac.tracking.track import ESTABLISHED, Track
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import OBSERVER_NICE, SceneNode, run_node
from cooperative_isac_ros.display import markers
from cooperative_isac_ros.display.scene_layout import FIGURES_COLUMNS, FIGURES_LINES, scene_layout
from cooperative_isac_ros.inputs.announcements import announcement_or_fault
from cooperative_isac_ros.inputs.pose_watch import POSE_PARAMETERS, PoseWatch
from cooperative_isac_ros.inputs.target_watch import WATCH_PARAMETERS, TargetWatch
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import announced_time_s
from cooperative_isac_ros.messages.records import (
    AccuracyRecord,
    DetectionList,
    FrameStamp,
    TrackList,
)
from cooperative_isac_ros.messages.transforms import (
    TransformPublisher,
    frame_prefix,
    site_transforms,
    station_transforms,
    track_frame,
)
from cooperative_isac_ros.parameters import SCHEME, Parameter

# Frames from one publication of the static markers to the next.
STATIC_EVERY = 10
# Announcements that are kept for tracks that arrive later.
ANNOUNCEMENTS_KEPT = 64
# Frames over which rates and bits are averaged.
FRAMES_AVERAGED = 20
# Shortest lifetime of the markers that move, s, ...
LIFE_S = 2.0
# ... and the lifetime in the longest recent interval between frames: nothing blinks where one is
# slow.
LIFE_PERIODS = 5.0
PARAMETERS = (
    SCHEME,
    Parameter("enabled", True, "publish markers; false saves processor time", live=True),
    Parameter("trail_length", 100, "length of trails and paths in frames", 2, 10000),
    *WATCH_PARAMETERS,
    *POSE_PARAMETERS,
)


class SceneMarkers(SceneNode):
    """Draws each frame when its tracks arrive, and publishes only to existing subscriptions."""

    def __init__(self, **options):
        super().__init__("scene_markers", PARAMETERS, **options)
        self._watch = TargetWatch(self)
        self._layout = scene_layout(self.scene)

        # what was drawn
        self._run: int | None = None
        self._num_drawn = 0
        self._shown: set[tuple[str, int]] = set()
        self._trails: dict[int, deque[PoseStamped]] = {}
        self._paths: dict[int, Publisher] = {}

        # recent frames and results
        self._stamps_ns: deque[int] = deque(maxlen=FRAMES_AVERAGED)
        self._bits: dict[str, deque[int]] = {
            station.name: deque(maxlen=FRAMES_AVERAGED) for station in self.scene.receiving_stations
        }
        self._detections: DetectionList | None = None
        self._accuracy: AccuracyRecord | None = None
        self._to_bound = "-"

        # markers and frames of /tf
        self._markers = self.create_publisher(MarkerArray, self.shared("markers"), qos.STREAM)
        self._frames = TransformPublisher(self, static=True)
        self._frames.publish(self._fixed_frames())
        self._mobile = [station for station in self.scene.stations if station.is_mobile]
        self._times_s: dict[tuple[int, int], float] = {}
        if self._mobile:
            self._follow_stations()

        # subscriptions
        subscriptions = (
            (Detections, "detections", self._on_detections),
            (Tracks, "tracks", self._on_tracks),
            (Accuracy, "accuracy", self._on_accuracy),
        )
        for message_type, topic, callback in subscriptions:
            self.create_subscription(message_type, self.shared(topic), callback, qos.STREAM)
        for station in self.scene.receiving_stations:
            self.create_subscription(
                FeaturePacket,
                self.shared(f"{station.name}/features"),
                partial(self._on_packet, station.name),
                qos.STREAM,
            )

    def _fixed_frames(self) -> list[TransformStamped]:
        """Transforms of the stations that do not move."""
        prefix = frame_prefix(self.get_namespace())
        if self.scene.layout is None:
            sites = [*self.scene.transmitters, *self.scene.receivers]
            return site_transforms(sites, self.now_ns, prefix)
        fixed = [station for station in self.scene.stations if not station.is_mobile]
        return station_transforms(self.scene, fixed, self.now_ns, prefix)

    def _follow_stations(self) -> None:
        """Subscribe to the poses of moving stations, and to the times of the frames."""
        self._poses = PoseWatch(self)
        self._moving_frames = TransformPublisher(self)
        self.create_subscription(Frame, self.shared("frame"), self._on_frame, qos.STREAM)

    def _on_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return
        key = (announcement.frame.run, announcement.frame.number)
        self._times_s[key] = announced_time_s(self.scene, announcement)
        if len(self._times_s) > ANNOUNCEMENTS_KEPT:
            del self._times_s[next(iter(self._times_s))]

    def _posed(self, frame: FrameStamp) -> Scene:
        """Scene with its moving stations at their poses in a frame."""
        expected_s = frame.number / self.scene.update_rate_hz
        time_s = self._times_s.get((frame.run, frame.number), expected_s)
        known = self._poses.known_poses(frame.stamp_ns)
        return self.scene.posed(self.scene.poses_at(time_s, known))

    def _show_stations(self, frame: FrameStamp) -> list[Marker]:
        """Publish the transforms of the moving stations, except those from /tf itself.

        Returns their markers.
        """
        posed = self._posed(frame)
        own = [station for station in self._mobile if not station.tf_frame]
        prefix = frame_prefix(self.get_namespace())
        self._moving_frames.publish(station_transforms(posed, own, frame.stamp_ns, prefix))
        return markers.mobile_markers(posed, self._layout, frame.stamp_ns)

    def _on_packet(self, site: str, message: FeaturePacket) -> None:
        self._bits[site].append(8 * len(message.data))

    def _on_accuracy(self, message: Accuracy) -> None:
        record = self._converted(conversions.accuracy_record, message)
        if record is None:
            return
        self._accuracy = record
        if record.error_to_bound_location:
            self._to_bound = f"{record.error_to_bound_location:.2f}"

    def _on_detections(self, message: Detections) -> None:
        convert = partial(conversions.detection_list, on_fault=self.health.fault)
        self._detections = self._converted(convert, message)

    def _on_tracks(self, message: Tracks) -> None:
        convert = partial(conversions.track_list, on_fault=self.health.fault)
        record = self._converted(convert, message)
        if record is None or not self.settings["enabled"]:
            return
        self._clear_if_new(record)

        # tracks of the same stamp again, after late detections, take the place of the former ones
        if self._stamps_ns and record.frame.stamp_ns == self._stamps_ns[-1]:
            self._stamps_ns.pop()
            for trail in self._trails.values():
                trail.pop()
        self._stamps_ns.append(record.frame.stamp_ns)

        # paths and moving stations, which do not depend on a subscription to the markers
        tracks = [track for track in record.tracks if track.status in ESTABLISHED]
        self._grow_trails(tracks, record.frame.stamp_ns)
        stations = self._show_stations(record.frame) if self._mobile else []

        # markers
        if self._markers.get_subscription_count():
            drawn = [*self._draw(record, tracks), *stations]
            self._markers.publish(MarkerArray(markers=drawn))
            self._num_drawn += 1
        else:
            self._num_drawn = 0
        self.health.count("frames")

    def _converted(self, convert: Callable, message):
        """Record of a message; None, and counted, where it is invalid."""
        try:
            return convert(message)
        except conversions.ConversionError as error:
            self.health.fault("messages_refused", f"frame {message.number}: {error}")
            return None

    def _clear_if_new(self, record: TrackList) -> None:
        """Remove all markers when another run begins, or the clock was set back."""
        is_back = self._stamps_ns and record.frame.stamp_ns < self._stamps_ns[-1]
        if record.frame.run != self._run or is_back:
            self._grow_trails([], record.frame.stamp_ns)  # no tracks: all trails are removed
            self._stamps_ns.clear()
            self._num_drawn = 0
            self._shown = set()
            self._markers.publish(MarkerArray(markers=[Marker(action=Marker.DELETEALL)]))
        self._run = record.frame.run

    def _draw(self, record: TrackList, tracks: list[Track]) -> list[Marker]:
        """Markers of a frame, without those of moving stations."""
        stamp_ns = record.frame.stamp_ns
        life_s = self._life_s()

        # truth, detections and tracks
        drawn = markers.truth_markers(
            self._watch.registry.at(stamp_ns), self._layout, stamp_ns, life_s
        )
        if self._detections is not None:
            drawn += markers.detection_markers(
                self._detections.detections, self._layout.size_m, stamp_ns, life_s
            )
        trails = {
            number: [pose.pose.position for pose in poses] for number, poses in self._trails.items()
        }
        drawn += markers.track_markers(tracks, trails, self._layout, stamp_ns, life_s)

        # deletions of what was drawn in the frame before, and is not there any more
        shown = markers.temporary(drawn)
        drawn += markers.deletions(self._shown - shown, stamp_ns)
        self._shown = shown

        # static world and figures
        if self._num_drawn % STATIC_EVERY == 0:
            drawn += markers.static_markers(self.scene, stamp_ns)
        drawn.append(markers.figures_marker(self.scene, self._figures(record.simulated), stamp_ns))
        return drawn

    def _rate_hz(self) -> float:
        """Rate of the latest frames, Hz; 0 before there are two."""
        span_s = (self._stamps_ns[-1] - self._stamps_ns[0]) * 1e-9
        return (len(self._stamps_ns) - 1) / span_s if span_s > 0 else 0.0

    def _life_s(self) -> float:
        """Lifetime of the markers that move, s."""
        stamps_ns = list(self._stamps_ns)
        intervals_s = [(after - before) * 1e-9 for before, after in itertools.pairwise(stamps_ns)]
        longest_s = max(intervals_s, default=1 / self.scene.update_rate_hz)
        return max(LIFE_S, LIFE_PERIODS * longest_s)

    def _figures(self, simulated: bool) -> list[str]:
        """Lines of the live figures: scene, rate, accuracy, uplink."""
        rate_hz = self._rate_hz()
        lines = [
            f"{self.scene.name}, {'simulated' if simulated else 'measured'} echoes",
            f"{rate_hz:.1f} frames/s",
        ]
        if self._accuracy is not None:
            accuracy = self._accuracy
            lines += [
                f"GOSPA {accuracy.gospa_m:.2f} m, error / bound {self._to_bound}",
                f"NEES {accuracy.nees:.1f} of {accuracy.nees_samples} detections",
            ]

        # mean bit rate of each station
        uplink = [
            f"{site} {sum(bits) / len(bits) * rate_hz * 1e-3:.1f}"
            for site, bits in self._bits.items()
            if bits
        ]
        lines.append(f"uplink {', '.join(uplink) or '-'} kbit/s")

        # as many as fit the picture
        fitting = [part for line in lines for part in textwrap.wrap(line, FIGURES_COLUMNS)]
        return fitting[:FIGURES_LINES]

    def _grow_trails(self, tracks: list[Track], stamp_ns: int) -> None:
        """Extend the trail of each established track, and publish it as a path."""
        # remove the topics of deleted tracks
        names = {track.track_id: track for track in tracks}
        for number in [number for number in self._paths if number not in names]:
            self.destroy_publisher(self._paths.pop(number))
            del self._trails[number]

        # add the latest position
        for number, track in names.items():
            if number not in self._paths:
                topic = self.shared(f"tracks/{track_frame(track)}/path")
                self._paths[number] = self.create_publisher(Path, topic, qos.STREAM)
                self._trails[number] = deque(maxlen=self.settings["trail_length"])
            pose = PoseStamped(header=conversions.map_header(stamp_ns))
            pose.pose.position = conversions.to_point(track.position_m)
            self._trails[number].append(pose)
            if self._paths[number].get_subscription_count():
                self._paths[number].publish(
                    Path(header=pose.header, poses=list(self._trails[number]))
                )


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(SceneMarkers, args, OBSERVER_NICE)


if __name__ == "__main__":
    sys.exit(main())

"""Draws the running scene for RViz, and the way of each track as a path."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections import deque
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

STATIC_EVERY = 10  # frames
FRAMES_KEPT = 64  # announcements whose tracks may still come
# What moves vanishes where no frame comes for the longer of both: several times the longest recent
# interval between frames, so that nothing blinks when one is slow.
LIFE_S, LIFE_PERIODS = 2.0, 5.0
PARAMETERS = (
    SCHEME,
    Parameter("enabled", True, "draw; off saves the work", live=True),
    Parameter("trail_length", 100, "frames that a trail and a path reach back", 2, 10000),
    *WATCH_PARAMETERS,
    *POSE_PARAMETERS,
)


class SceneMarkers(SceneNode):
    """Draws when tracks come, not on a timer, and only what somebody looks at."""

    def __init__(self, **options):
        super().__init__("scene_markers", PARAMETERS, **options)
        self._watch = TargetWatch(self)
        self._layout = scene_layout(self.scene)
        self._run: int | None = None
        self._drawn = 0
        self._shown: set[tuple[str, int]] = set()
        self._stamps_ns: deque[int] = deque(maxlen=20)
        self._bits: dict[str, deque[int]] = {
            station.name: deque(maxlen=20) for station in self.scene.receiving_stations
        }
        self._mobile = [station for station in self.scene.stations if station.is_mobile]
        self._times_s: dict[tuple[int, int], float] = {}
        self._detections: DetectionList | None = None
        self._accuracy: AccuracyRecord | None = None
        self._to_bound = "-"
        self._trails: dict[int, deque[PoseStamped]] = {}
        self._paths: dict[int, Publisher] = {}
        self._markers = self.create_publisher(MarkerArray, self.shared("markers"), qos.STREAM)
        self._frames = TransformPublisher(self, static=True)
        self._frames.publish(self._fixed_frames())
        if self._mobile:
            self._follow_stations()
        for message_type, topic, callback in (
            (Detections, "detections", self._hear_detections),
            (Tracks, "tracks", self._hear_tracks),
            (Accuracy, "accuracy", self._hear_accuracy),
        ):
            self.create_subscription(message_type, self.shared(topic), callback, qos.STREAM)
        for station in self.scene.receiving_stations:
            self.create_subscription(
                FeaturePacket,
                self.shared(f"{station.name}/features"),
                partial(self._hear_packet, station.name),
                qos.STREAM,
            )

    def _fixed_frames(self) -> list[TransformStamped]:
        """Frames of the stations that stand."""
        prefix = frame_prefix(self.get_namespace())
        if self.scene.layout is None:
            sites = [*self.scene.transmitters, *self.scene.receivers]
            return site_transforms(sites, self.now_ns, prefix)
        fixed = [station for station in self.scene.stations if not station.is_mobile]
        return station_transforms(self.scene, fixed, self.now_ns, prefix)

    def _follow_stations(self) -> None:
        """Take in what says where moving stations are."""
        self._poses = PoseWatch(self)
        self._moving_frames = TransformPublisher(self)
        self.create_subscription(Frame, self.shared("frame"), self._hear_frame, qos.STREAM)

    def _hear_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return
        key = announcement.frame.run, announcement.frame.number
        self._times_s[key] = announced_time_s(self.scene, announcement)
        if len(self._times_s) > FRAMES_KEPT:
            del self._times_s[next(iter(self._times_s))]

    def _posed(self, frame: FrameStamp) -> Scene:
        """The scene with its moving stations where they were in a frame."""
        expected_s = frame.number / self.scene.update_rate_hz
        time_s = self._times_s.get((frame.run, frame.number), expected_s)
        known = self._poses.known_poses(frame.stamp_ns)
        return self.scene.posed(self.scene.poses_at(time_s, known))

    def _show_stations(self, frame: FrameStamp) -> list[Marker]:
        """Markers of the stations that move; their frames go to /tf, but those that come from
        there.
        """
        posed = self._posed(frame)
        own = [station for station in self._mobile if not station.tf_frame]
        prefix = frame_prefix(self.get_namespace())
        self._moving_frames.publish(station_transforms(posed, own, frame.stamp_ns, prefix))
        return markers.mobile_markers(posed, self._layout, frame.stamp_ns)

    def _hear_packet(self, site: str, message: FeaturePacket) -> None:
        self._bits[site].append(8 * len(message.data))

    def _hear_accuracy(self, message: Accuracy) -> None:
        record = self._converted(conversions.accuracy_record, message)
        if record is None:
            return
        self._accuracy = record
        if self._accuracy.error_to_bound_location:
            self._to_bound = f"{self._accuracy.error_to_bound_location:.2f}"

    def _hear_detections(self, message: Detections) -> None:
        self._detections = self._converted(
            partial(conversions.detection_list, on_fault=self.health.fault), message
        )

    def _hear_tracks(self, message: Tracks) -> None:
        record = self._converted(
            partial(conversions.track_list, on_fault=self.health.fault), message
        )
        if record is None or not self.settings["enabled"]:
            return
        self._forget_if_new(record)
        self._stamps_ns.append(record.frame.stamp_ns)
        tracks = [track for track in record.tracks if track.status in ESTABLISHED]
        self._grow_trails(tracks, record.frame.stamp_ns)
        stations = self._show_stations(record.frame) if self._mobile else []
        if self._markers.get_subscription_count():
            self._markers.publish(MarkerArray(markers=[*self._draw(record, tracks), *stations]))
            self._drawn += 1
        else:
            self._drawn = 0
        self.health.count("frames")

    def _converted(self, convert, message):
        try:
            return convert(message)
        except conversions.ConversionError as error:
            self.health.fault("messages_refused", f"frame {message.number}: {error}")
            return None

    def _forget_if_new(self, record: TrackList) -> None:
        """Another run, or a clock that went back, begins a new picture."""
        if record.frame.run != self._run or (
            self._stamps_ns and record.frame.stamp_ns < self._stamps_ns[-1]
        ):
            self._grow_trails([], record.frame.stamp_ns)
            self._stamps_ns.clear()
            self._drawn = 0
            self._shown = set()
            self._markers.publish(MarkerArray(markers=[Marker(action=Marker.DELETEALL)]))
        self._run = record.frame.run

    def _draw(self, record: TrackList, tracks: list[Track]) -> list[Marker]:
        stamp_ns = record.frame.stamp_ns
        life_s = self._life_s()

        # what moves
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

        # what moved in the frame before and is there no more
        shown = markers.temporary(drawn)
        drawn += markers.deletions(self._shown - shown, stamp_ns)
        self._shown = shown

        # what stands
        if self._drawn % STATIC_EVERY == 0:
            drawn += markers.static_markers(self.scene, stamp_ns)
        return [
            *drawn,
            markers.figures_marker(self.scene, self._figures(record.simulated), stamp_ns),
        ]

    def _rate_hz(self) -> float:
        """Of the latest frames; 0 before there are two."""
        span_s = (self._stamps_ns[-1] - self._stamps_ns[0]) * 1e-9
        return (len(self._stamps_ns) - 1) / span_s if span_s > 0 else 0.0

    def _life_s(self) -> float:
        stamps_ns = list(self._stamps_ns)
        intervals_s = [(after - before) * 1e-9 for before, after in itertools.pairwise(stamps_ns)]
        return max(LIFE_S, LIFE_PERIODS * max(intervals_s, default=1 / self.scene.update_rate_hz))

    def _figures(self, simulated: bool) -> list[str]:
        rate = self._rate_hz()
        uplink = [
            f"{site} {sum(bits) / len(bits) * rate * 1e-3:.1f}"
            for site, bits in self._bits.items()
            if bits
        ]
        lines = [
            f"{self.scene.name}, {'simulated' if simulated else 'measured'} echoes",
            f"{rate:.1f} frames/s",
        ]
        if self._accuracy is not None:
            accuracy = self._accuracy
            lines += [
                f"GOSPA {accuracy.gospa_m:.2f} m, error / bound {self._to_bound}",
                f"NEES {accuracy.nees:.1f} of {accuracy.nees_samples} detections",
            ]
        lines.append(f"uplink {', '.join(uplink) or '-'} kbit/s")
        fitting = [part for line in lines for part in textwrap.wrap(line, FIGURES_COLUMNS)]
        return fitting[:FIGURES_LINES]

    def _grow_trails(self, tracks: list[Track], stamp_ns: int) -> None:
        """One path topic for each established track; those of others end."""
        names = {track.track_id: track for track in tracks}
        for number in [number for number in self._paths if number not in names]:
            self.destroy_publisher(self._paths.pop(number))
            del self._trails[number]
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

"""Tracker: updates tracks with the detections of each frame; each is also published as odometry."""

from __future__ import annotations

import math
import sys
import time
from collections import deque

from cooperative_isac_msgs.msg import Detections, Tracks
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.tracking.history import HISTORY_LISTS, HISTORY_S
from cooperative_isac.tracking.saved_tracks import loaded_scores, loaded_tracks, saved_tracks
from cooperative_isac.tracking.track import ESTABLISHED, Track
from cooperative_isac.tracking.tracker import MAX_TRACKS, Tracker
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.records import DetectionList, FrameStamp, TrackList
from cooperative_isac_ros.messages.transforms import (
    TransformPublisher,
    frame_prefix,
    track_frame,
    track_transforms,
)
from cooperative_isac_ros.parameters import Parameter
from cooperative_isac_ros.processes.state_file import read_state, write_state
from cooperative_isac_ros.timing.frame_order import FrameOrder

# Longest wait of a restarted tracker for the latched detections that it missed, s; a publisher that
# was restarted, too, has none.
HISTORY_WITHIN_S = 5.0
# Late lists that wait for the frame of their stamp: more than a tracker is behind the center.
MAX_WAITING_LISTS = 64
# Share of the time between frames that late lists may take: with the largest number of tracks the
# frames take the other half.
LATE_SHARE = 0.5
PARAMETERS = (
    Parameter(
        "num_receivers",
        0,
        "number of receivers whose packets the fusion center waits for; packets below this number "
        "count as missing; 0: the scene's",
        0,
        conversions.MAX_SITES,
    ),
    Parameter(
        "state_file",
        "",
        "file from which a restarted tracker restores tracks and identities of the same run; "
        "empty: none",
    ),
)


class TrackerNode(SceneNode):
    """Tracks targets; resets all tracks when another run begins, or a recording plays again.

    A tracker that is restarted in the middle of a run resumes from its state file, and processes
    the detections that it missed. Late detections are inserted where they belong in time: those of
    a frame with more of its packets, or of a further source.
    """

    def __init__(self, **options):
        super().__init__("tracker", PARAMETERS, **options)

        # tracks
        self._num_receivers = self.settings["num_receivers"] or len(self.scene.receiving_stations)
        self._tracker = Tracker(self.scene.tracking, self.scene.dimension)
        self._order: FrameOrder[DetectionList] = FrameOrder("detections", self.health.fault)
        self._recent: deque[DetectionList] = deque(maxlen=HISTORY_LISTS)
        self._waiting: deque[DetectionList] = deque()
        self._late_left_s = math.inf

        # publishers; one of odometry per track
        self._odometry: dict[str, Publisher] = {}
        self._tracks = self.create_publisher(Tracks, self.shared("tracks"), qos.STREAM)
        self._transforms = TransformPublisher(self)
        self._frame_prefix = frame_prefix(self.get_namespace())

        # detections; with a state, also the latched ones of the past
        self._state_file = self.settings.path("state_file")
        self._state = read_state(self._state_file) if self._state_file is not None else None
        self._catches_up = self._state is not None
        self._subscription = self._subscribe(qos.HISTORY if self._catches_up else qos.STREAM)
        self.create_subscription(
            Detections, self.shared("detections/late"), self._on_late, qos.STREAM
        )
        self._timeout = self.create_timer(
            HISTORY_WITHIN_S, self._end_catching_up, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _subscribe(self, profile: QoSProfile) -> Subscription:
        return self.create_subscription(
            Detections, self.shared("detections"), self._on_detections, profile
        )

    def _end_catching_up(self) -> None:
        """Stop waiting for the past; without a latched publisher, subscribe to the present."""
        self._timeout.cancel()
        if self._catches_up and self._order.last is None:
            self.get_logger().info(
                f"no detections of the past within {HISTORY_WITHIN_S:g} s: "
                "the tracks go on with those that come"
            )
            self.destroy_subscription(self._subscription)
            self._subscription = self._subscribe(qos.STREAM)
        self._catches_up = False

    def _is_processed(self, frame: FrameStamp) -> bool:
        """Return whether the process before the restart has processed a frame of the past."""
        if not self._catches_up or self._state is None or self._state.get("run") != frame.run:
            return False
        number = self._state.get("number")
        return isinstance(number, int) and frame.number <= number

    def _on_detections(self, message: Detections) -> None:
        record = self._converted(message)
        if record is None or self._is_processed(record.frame):
            return

        # update in order; the first frame resumes a state, the first of another pass resets
        last = self._order.last
        for turn in self._order.take(record.frame, record):
            if last is None and turn.begins:
                self._resume(turn.frame)
            restarts = turn.begins and last is not None
            self.guarded(self._update, f"tracking frame {turn.frame.number}")(turn.item, restarts)
            self._allow_late()
            self._insert_waiting()

    def _on_late(self, message: Detections) -> None:
        record = self._converted(message)
        if record is None:
            return

        # of the packets of a frame, those of the newest list contain those of the others
        if self._is_known(record.frame):
            others = [one for one in self._waiting if one.frame != record.frame]
            self._waiting = deque(others)
        self._waiting.append(record)
        self._insert_waiting()

        # limit
        if len(self._waiting) > MAX_WAITING_LISTS:
            left_out = self._waiting.popleft().frame
            reason = f"late frame {left_out.number} is left out: {MAX_WAITING_LISTS} lists wait"
            self.health.fault("detections_late", reason)

    def _is_known(self, frame: FrameStamp) -> bool:
        """Return whether a frame is one of the recent ones."""
        return any(known.frame == frame for known in self._recent)

    def _allow_late(self) -> None:
        """Allow late lists their share of the time since the frame before."""
        if len(self._recent) < 2:
            self._late_left_s = math.inf
            return
        elapsed_s = (self._recent[-1].frame.stamp_ns - self._recent[-2].frame.stamp_ns) * 1e-9
        share_s = LATE_SHARE * elapsed_s
        self._late_left_s = min(self._late_left_s, 0.0) + share_s

    def _converted(self, message: Detections) -> DetectionList | None:
        """Record of a message; None, and counted, where it is invalid."""
        try:
            return conversions.detection_list(message, self.health.fault)
        except conversions.ConversionError as error:
            self.health.fault("detections_refused", f"frame {message.number}: {error}")
            return None

    def _insert_waiting(self) -> None:
        """Insert the late lists whose stamps the tracks have reached, while time is left for them.

        The others wait for the next frame.
        """
        if not self._recent:
            return
        newest = self._recent[-1].frame
        waiting = [*self._waiting]
        self._waiting.clear()
        for record in waiting:
            frame = record.frame
            if frame.run != newest.run:
                reason = f"late frame {frame.number} is of run {frame.run}, not {newest.run}"
                self.health.fault("detections_stale", reason)
            elif frame.stamp_ns > newest.stamp_ns or self._late_left_s <= 0:
                self._waiting.append(record)
            else:
                began_s = time.thread_time()
                self.guarded(self._insert, f"late frame {frame.number}")(record)
                self._late_left_s -= time.thread_time() - began_s

    def _resume(self, frame: FrameStamp) -> None:
        """Restore the state that an earlier process of the same run has saved.

        frame: the first one of this process
        """
        state = self._state
        if state is None or state.get("run") != frame.run:
            return

        try:
            # no identity is assigned twice in a run, even if the rest of the state is unusable
            num_born = int(state["num_born"])
            self._tracker.skip_identities(num_born)

            # the tracks at their frame
            number = int(state["number"])
            stamp_ns = int(state["stamp_ns"])
            period_s = float(state["period_s"])
            tracks = loaded_tracks(state["tracks"])
            scores = loaded_scores(state.get("scores", {}))  # earlier versions save none
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self.health.fault("states_refused", f"{self._state_file}: {error!r}")
            return

        # a recording that plays again begins without tracks
        if frame.number > number and frame.stamp_ns > stamp_ns:
            self._tracker.restore(stamp_ns * 1e-9, tracks, num_born, period_s, scores)
            self.get_logger().info(
                f"{len(tracks)} tracks of frame {number} are taken up in frame "
                f"{frame.number} of run {frame.run}"
            )

    def _save(self, frame: FrameStamp, tracks: tuple[Track, ...]) -> None:
        """Write the state file, from which a restarted process resumes."""
        if self._state_file is None:
            return
        state = {
            "run": frame.run,
            "number": frame.number,
            "stamp_ns": frame.stamp_ns,
            "num_born": self._tracker.num_born,
            "period_s": self._tracker.period_s,
            "tracks": saved_tracks(tracks),
            "scores": self._tracker.scores,
        }
        try:
            write_state(self._state_file, state)
        except OSError as error:
            self.health.fault("states_unwritten", f"{self._state_file}: {error.strerror}")

    def _update(self, record: DetectionList, restarts: bool) -> None:
        """Update the tracks with the detections of a frame, and publish them.

        restarts: the frame is the first one of another pass
        """
        began_s = time.perf_counter()
        frame = record.frame
        deleted = self._reset(frame) if restarts else ()

        # update with the share of receivers that contributed
        try:
            updated = self._tracker.update(*self._given(record))
        except ValueError as error:
            self.health.fault("detections_refused", f"frame {frame.number}: {error}")
            return
        self._recent.append(record)
        tracks = deleted + updated
        self._report_faults(frame)

        # results
        result = TrackList(frame, record.simulated, tracks)
        self._tracks.publish(serialized(conversions.tracks_message(result)))
        established = [track for track in tracks if track.status in ESTABLISHED]
        self._publish_each(established, frame)
        self._transforms.publish(track_transforms(established, frame.stamp_ns, self._frame_prefix))

        # diagnostics
        self.health.count("frames")
        self.health.figures["tracks"] = len(self._odometry)
        self.publish_timing(frame, "track", began_s)

        # state, when no node waits for anything of this frame
        self._save(frame, tracks)

    def _given(self, record: DetectionList) -> tuple[float, tuple[Detection, ...], float]:
        """Stamp in s, detections, and the share of receivers that contributed."""
        share = max(1 - len(record.sites_missing) / self._num_receivers, 0.0)
        return record.frame.stamp_ns * 1e-9, record.detections, share

    def _insert(self, record: DetectionList) -> None:
        """Insert a late list where it belongs, and publish the tracks at the newest stamp again.

        It replaces the detections of the frame with its number and stamp. Without one it is of a
        further source.
        """
        # within the history
        frame = record.frame
        newest = self._recent[-1].frame
        age_s = (newest.stamp_ns - frame.stamp_ns) * 1e-9
        time_s, detections, share = self._given(record)
        if age_s > HISTORY_S:
            self._refuse_late(frame, age_s)
            return

        # update
        try:
            if self._is_known(frame):
                tracks = self._tracker.revise(time_s, detections, share)
            else:
                tracks = self._tracker.update(time_s, detections, is_frame=False)
        except ValueError as error:
            self.health.fault("detections_refused", f"frame {frame.number}: {error}")
            return
        if self._tracker.was_late:
            self._refuse_late(frame, age_s)
            return
        self._report_faults(frame)
        self.health.count("detections_inserted")

        # results at the newest stamp, whose transforms /tf has already
        simulated = self._recent[-1].simulated
        result = TrackList(newest, simulated, tracks)
        self._tracks.publish(serialized(conversions.tracks_message(result)))
        self._publish_each([track for track in tracks if track.status in ESTABLISHED], newest)
        self._save(newest, tracks)

    def _refuse_late(self, frame: FrameStamp, age_s: float) -> None:
        """Count a list that is older than the history of the tracks."""
        self.health.fault(
            "detections_late",
            f"late frame {frame.number} is {age_s:.3g} s older than the newest; up to "
            f"{HISTORY_S:g} s are inserted",
        )

    def _report_faults(self, frame: FrameStamp) -> None:
        """Count what the last update dropped."""
        for problem in self._tracker.failed:
            self.health.fault("tracks_dropped", f"frame {frame.number}: {problem}")
        if self._tracker.num_refused:
            self.health.fault(
                "detections_over_limit",
                f"frame {frame.number}: there are {MAX_TRACKS} tracks; "
                "further detections start none",
                self._tracker.num_refused,
            )

    def _reset(self, frame: FrameStamp) -> tuple[Track, ...]:
        """Delete all tracks. Returns them."""
        self.health.count("resets")
        self._waiting.clear()
        self._recent.clear()
        self.get_logger().warning(
            f"all tracks are reset: frame {frame.number} of run {frame.run} began another pass"
        )
        return self._tracker.reset()

    def _publish_each(self, tracks: list[Track], frame: FrameStamp) -> None:
        """Publish odometry for each established track."""
        # remove the topics of deleted tracks
        names = {track_frame(track): track for track in tracks}
        for name in [name for name in self._odometry if name not in names]:
            self.destroy_publisher(self._odometry.pop(name))

        # publish odometry
        for name, track in names.items():
            if name not in self._odometry:
                topic = self.shared(f"tracks/{name}/odom")
                self._odometry[name] = self.create_publisher(Odometry, topic, qos.ODOMETRY)
            message = conversions.odometry_message(
                f"{self._frame_prefix}{name}",
                frame.stamp_ns,
                track.position_m,
                track.velocity_mps,
                track.covariance,
            )
            self._odometry[name].publish(message)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(TrackerNode, args)


if __name__ == "__main__":
    sys.exit(main())

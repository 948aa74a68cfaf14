"""Monitor of a running scene: live view of `isac run`, and reports for the supervisor."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence

from cooperative_isac_msgs.msg import Accuracy, Frame, StageTiming, Track, Tracks
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cooperative_isac.tracking.track import ESTABLISHED_NUMBERS
from cooperative_isac_ros import qos
from cooperative_isac_ros.guard import GuardedNode, described
from cooperative_isac_ros.health import WAITING
from cooperative_isac_ros.messages.plain_text import plain_text

MONITOR_NAME = "isac_monitor"
# Longest step of the monitor's time, s: where it pauses for longer itself, as on a machine that
# slept, the nodes were not silent.
LONGEST_STEP_S = 0.5
# Time without a report after which a node counts as silent, s: three periods of the reports.
SILENT_AFTER_S = 3.0
# Time after the end of a node in which its last reports may still arrive, s.
UNDERWAY_S = 0.5
# Nodes with a complaint that are shown: any node of the network may publish on /diagnostics.
MAX_COMPLAINTS = 64
# Largest number that is shown, in m, m/s, s or ms: a larger one would break the table.
LARGEST_SHOWN = 1e7


class Monitor(GuardedNode):
    """Node that counts frames, and keeps the diagnostics of the other nodes.

    nodes: full names of the nodes that must report once a second
    """

    def __init__(self, namespace: str, nodes: Collection[str] = (), **options):
        super().__init__(MONITOR_NAME, namespace=namespace, **options)

        # frames and results
        self.first_frame_s: float | None = None
        self.tracked_number = -1
        self._num_frames = 0
        self._num_decoded = 0
        self._latency_ms = 0.0
        self._tracks: list[Track] = []
        self._accuracy: Accuracy | None = None

        # diagnostics by node
        self._nodes = frozenset(nodes)
        self._complaints: dict[str, str] = {}
        self.ready: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._warnings: dict[str, str] = {}

        # times of the reports, in the time in which the monitor was awake
        self._awake_s = 0.0
        self._stepped_s = time.monotonic()
        self._reported_s: dict[str, float] = {}
        self._reset_s: dict[str, float] = {}

        subscriptions = (
            (Frame, "frame", self._on_frame),
            (StageTiming, "timing", self._on_timing),
            (Tracks, "tracks", self._on_tracks),
            (Accuracy, "accuracy", self._on_accuracy),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
        )
        for message_type, topic, callback in subscriptions:
            self.create_subscription(message_type, topic, callback, qos.STREAM)

    @property
    def elapsed_s(self) -> float:
        """Time since the first frame was received, s; 0 before."""
        return time.monotonic() - self.first_frame_s if self.first_frame_s is not None else 0.0

    def callback_failed(self, place: str, error: Exception) -> None:
        """Show the exception of a callback as a complaint of the monitor itself."""
        text = plain_text(described(error))
        self._complaints[self.get_name()] = f"callbacks_failed: {place}: {text}"

    def _on_frame(self, message: Frame) -> None:
        if self.first_frame_s is None:
            self.first_frame_s = time.monotonic()
        self._num_frames += 1

    def _on_timing(self, message: StageTiming) -> None:
        if message.stage == "decode":
            self._num_decoded += 1
            self._latency_ms = message.latency_ms

    def _on_tracks(self, message: Tracks) -> None:
        self.tracked_number = message.number
        self._tracks = [track for track in message.tracks if track.status in ESTABLISHED_NUMBERS]

    def _on_accuracy(self, message: Accuracy) -> None:
        self._accuracy = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Note the reports of nodes, and what each of them complains about."""
        for status in message.status:
            if status.name in self._nodes:
                self._note_report(status)
            name = plain_text(status.name)
            self._complaints.pop(name, None)

            # warnings, and what nodes wait for before the first frame
            is_waiting = self.first_frame_s is None and status.message.startswith(WAITING)
            is_shown = status.level != DiagnosticStatus.OK or is_waiting
            if is_shown and len(self._complaints) < MAX_COMPLAINTS:
                self._complaints[name] = plain_text(status.message)

    def _note_report(self, status: DiagnosticStatus) -> None:
        """Keep the report of one of the scene's nodes."""
        if self._awake_s - self._reset_s.get(status.name, -math.inf) < UNDERWAY_S:
            return  # of the process before the restart
        self._reported_s[status.name] = self._awake_s
        if any(value.key == "ready" and value.value == "True" for value in status.values):
            self.ready.add(status.name)
            self._waiting.pop(status.name, None)
        else:
            self._waiting[status.name] = plain_text(status.message)
        if status.level != DiagnosticStatus.OK and self.first_frame_s is not None:
            self._warnings[status.name] = plain_text(status.message)

    def not_ready(self) -> dict[str, str]:
        """Latest status message of each node that has never been ready."""
        return {
            name: self._waiting.get(name, "no report")
            for name in sorted(self._nodes)
            if name not in self.ready
        }

    def last_warnings(self) -> dict[str, str]:
        """Latest warning of each node since the first frame."""
        return dict(sorted(self._warnings.items()))

    def step(self) -> None:
        """Advance the time in which nodes can be silent; called between messages."""
        now_s = time.monotonic()
        self._awake_s += min(now_s - self._stepped_s, LONGEST_STEP_S)
        self._stepped_s = now_s

    def silence_s(self) -> dict[str, float]:
        """Time since the latest report of each node that has reported, s."""
        return {name: self._awake_s - reported_s for name, reported_s in self._reported_s.items()}

    def reset(self, name: str) -> None:
        """Reset a node that is restarted: it is neither ready nor silent until it reports."""
        self._reset_s[name] = self._awake_s
        self._reported_s.pop(name, None)
        self._complaints.pop(name, None)
        self._waiting.pop(name, None)
        self.ready.discard(name)

    def view(self, duration_s: float | None) -> Group:
        """Live view: progress, tracks, and the complaints of nodes.

        duration_s: of the run, s; None: unlimited
        """
        # progress and accuracy
        line = "starting"
        if self.first_frame_s is not None:
            until = f" of {duration_s:g}" if duration_s else ""
            line = (
                f"{self.elapsed_s:5.1f}{until} s   {self._num_frames} frames, "
                f"{self._num_decoded} decoded   latency {_number(self._latency_ms, 0)} ms"
            )
        if self._accuracy is not None:
            gospa = _number(self._accuracy.gospa_m, 2)
            nees = _number(self._accuracy.nees, 1)
            line += f"   GOSPA {gospa} m   NEES {nees}"

        # complaints, and nodes without a report
        silent = {
            name: f"no report for {silence_s:.0f} s"
            for name, silence_s in self.silence_s().items()
            if silence_s >= SILENT_AFTER_S
        }
        complaints = [
            Text(f"{name}: {why}", style="yellow", no_wrap=True, overflow="ellipsis")
            for name, why in sorted({**self._complaints, **silent}.items())
        ]
        return Group(Text(line, style="bold"), _track_table(self._tracks), *complaints)


def _track_table(tracks: Sequence) -> Table:
    """Table with a row for each track."""
    table = Table(
        "track",
        "class",
        "x (m)",
        "y (m)",
        "z (m)",
        "speed (m/s)",
        "age (s)",
        box=None,
        pad_edge=False,
    )
    for track in tracks:
        position = track.position
        speed_mps = math.hypot(track.velocity.x, track.velocity.y, track.velocity.z)
        numbers = (position.x, position.y, position.z, speed_mps, track.age_s)
        kind = {track.UAV: "uav", track.VEHICLE: "vehicle"}.get(track.target_class, "-")
        table.add_row(str(track.id), kind, *(_number(number, 1) for number in numbers))
    return table


def _number(value: float, digits: int) -> str:
    """Text of a number; a dash where it is not finite or too large."""
    is_usable = math.isfinite(value) and abs(value) <= LARGEST_SHOWN
    return f"{value:.{digits}f}" if is_usable else "-"

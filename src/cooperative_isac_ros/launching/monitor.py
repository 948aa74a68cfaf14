"""Listens to a running scene for the live line of `isac run`."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

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
# [s] Longer pauses of the monitor itself (a machine that slept) are no silence of others.
LONGEST_STEP_S = 0.5
SILENT_AFTER_S = 3.0
# [s] Reports of a node that has ended may still be on their way for so long.
UNDERWAY_S = 0.5
# Every robot of the network may write to /diagnostics: nodes beyond these are not shown.
MAX_COMPLAINTS = 64
LARGEST_SHOWN = 1e7  # m, m/s, s or ms: what is larger would break the table


class Monitor(GuardedNode):
    """Counts what passes by and remembers what nodes complain about.

    nodes: full names of those that must report once a second
    """

    def __init__(self, namespace: str, nodes: Collection[str] = (), **options):
        super().__init__(MONITOR_NAME, namespace=namespace, **options)
        self.first_frame_s: float | None = None
        self.tracked_number = -1
        self._frames = self._decoded = 0
        self._latency_ms = 0.0
        self._tracks: list[Track] = []
        self._accuracy: Accuracy | None = None
        self._complaints: dict[str, str] = {}
        self.ready: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._warnings: dict[str, str] = {}
        self._awake_s = 0.0
        self._stepped_s = time.monotonic()
        self._reported_s: dict[str, float] = {}
        self._forgotten_s: dict[str, float] = {}
        self._nodes = frozenset(nodes)
        for message_type, topic, callback in (
            (Frame, "frame", self._hear_frame),
            (StageTiming, "timing", self._hear_timing),
            (Tracks, "tracks", self._hear_tracks),
            (Accuracy, "accuracy", self._hear_accuracy),
            (DiagnosticArray, "/diagnostics", self._hear_diagnostics),
        ):
            self.create_subscription(message_type, topic, callback, qos.STREAM)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first frame was heard; 0 before."""
        return time.monotonic() - self.first_frame_s if self.first_frame_s is not None else 0.0

    def callback_failed(self, place: str, error: Exception) -> None:
        """Show the exception of a callback as a complaint of the monitor itself."""
        self._complaints[self.get_name()] = (
            f"callbacks_failed: {place}: {plain_text(described(error))}"
        )

    def _hear_frame(self, message: Frame) -> None:
        if self.first_frame_s is None:
            self.first_frame_s = time.monotonic()
        self._frames += 1

    def _hear_timing(self, message: StageTiming) -> None:
        if message.stage == "decode":
            self._decoded += 1
            self._latency_ms = message.latency_ms

    def _hear_tracks(self, message: Tracks) -> None:
        self.tracked_number = message.number
        self._tracks = [track for track in message.tracks if track.status in ESTABLISHED_NUMBERS]

    def _hear_accuracy(self, message: Accuracy) -> None:
        self._accuracy = message

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name in self._nodes:
                self._note_report(status)
            name = plain_text(status.name)
            self._complaints.pop(name, None)
            waiting = self.first_frame_s is None and status.message.startswith(WAITING)
            is_shown = status.level != DiagnosticStatus.OK or waiting
            if is_shown and len(self._complaints) < MAX_COMPLAINTS:
                self._complaints[name] = plain_text(status.message)

    def _note_report(self, status: DiagnosticStatus) -> None:
        if self._awake_s - self._forgotten_s.get(status.name, -math.inf) < UNDERWAY_S:
            return  # from before it began anew
        self._reported_s[status.name] = self._awake_s
        if any(value.key == "ready" and value.value == "True" for value in status.values):
            self.ready.add(status.name)
            self._waiting.pop(status.name, None)
        else:
            self._waiting[status.name] = plain_text(status.message)
        if status.level != DiagnosticStatus.OK and self.first_frame_s is not None:
            self._warnings[status.name] = plain_text(status.message)

    def not_ready(self) -> dict[str, str]:
        """What each node that has never been ready said last."""
        return {
            name: self._waiting.get(name, "not heard")
            for name in sorted(self._nodes)
            if name not in self.ready
        }

    def last_warnings(self) -> dict[str, str]:
        """The latest warning of each node since the first frame."""
        return dict(sorted(self._warnings.items()))

    def step(self) -> None:
        """Let the time pass in which nodes can be silent; called between messages."""
        now_s = time.monotonic()
        self._awake_s += min(now_s - self._stepped_s, LONGEST_STEP_S)
        self._stepped_s = now_s

    def silence_s(self) -> dict[str, float]:
        """How long each node that has reported did not report since [s]."""
        return {name: self._awake_s - reported_s for name, reported_s in self._reported_s.items()}

    def forget(self, name: str) -> None:
        """A node begins anew: it is neither ready nor silent until it reports."""
        self._forgotten_s[name] = self._awake_s
        self._reported_s.pop(name, None)
        self._complaints.pop(name, None)
        self._waiting.pop(name, None)
        self.ready.discard(name)

    def view(self, duration_s: float | None) -> Group:
        """The live picture: progress, tracks, and what nodes complain about."""
        until = f" of {duration_s:g}" if duration_s else ""
        line = (
            "starting"
            if self.first_frame_s is None
            else (
                f"{self.elapsed_s:5.1f}{until} s   {self._frames} frames, {self._decoded} decoded "
                f"  latency {_number(self._latency_ms, 0)} ms"
            )
        )
        if self._accuracy is not None:
            line += (
                f"   GOSPA {_number(self._accuracy.gospa_m, 2)} m   NEES "
                f"{_number(self._accuracy.nees, 1)}"
            )
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


def _track_table(tracks) -> Table:
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
        speed = math.hypot(track.velocity.x, track.velocity.y, track.velocity.z)
        kind = {track.UAV: "uav", track.VEHICLE: "vehicle"}.get(track.target_class, "-")
        table.add_row(
            str(track.id),
            kind,
            *(
                _number(value, 1)
                for value in (
                    track.position.x,
                    track.position.y,
                    track.position.z,
                    speed,
                    track.age_s,
                )
            ),
        )
    return table


def _number(value: float, digits: int) -> str:
    """A number of a message, or a dash where it cannot be one."""
    is_usable = math.isfinite(value) and abs(value) <= LARGEST_SHOWN
    return f"{value:.{digits}f}" if is_usable else "-"

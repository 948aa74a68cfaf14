"""Nodes that end or hang are started again; the rest of the scene goes on."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cooperative_isac_ros.launching.graph import NodeSpec
from cooperative_isac_ros.launching.monitor import SILENT_AFTER_S
from cooperative_isac_ros.processes.group import Crash, ProcessGroup
from cooperative_isac_ros.start import USAGE_ERROR

# Without these a scene is still sensed and judged.
DISPENSABLE = ("bag_recorder", "scene_markers")
# [s] Far more than the longest frame takes, unless frames are rarer: then so many periods.
HUNG_AFTER_S, HUNG_AFTER_PERIODS = 15.0, 5


@dataclass(frozen=True)
class RespawnPolicy:
    """Whether nodes are started again, and how often one may be within a time [s]."""

    enabled: bool = True
    restarts: int = 3
    within_s: float = 60.0


class Reports(Protocol):
    """What is known of the nodes from their diagnostics."""

    @property
    def ready(self) -> Collection[str]:
        """Names of the nodes that said that they are ready."""

    def silence_s(self) -> Mapping[str, float]:
        """How long each node that has reported did not report since [s]."""

    def forget(self, name: str) -> None:
        """A node begins anew."""


class Supervisor:
    """Restarts the nodes of a group. notice(text) is called with a line for each event.

    period_s: from frame to frame, s; a node may well be silent while it works on one
    """

    def __init__(
        self,
        group: ProcessGroup,
        specs: Sequence[NodeSpec],
        policy: RespawnPolicy,
        notice: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
        period_s: float = 0.0,
    ):
        self._group = group
        self._specs = {spec.full_name: spec for spec in specs}
        self._policy = policy
        self._notice = notice
        self._now = now
        self._hung_after_s = max(HUNG_AFTER_S, HUNG_AFTER_PERIODS * period_s)
        self._restarted_s: dict[str, deque[float]] = defaultdict(deque)
        self._num_restarts: dict[str, int] = defaultdict(int)
        self._silent: set[str] = set()
        self.given_up: dict[str, Crash] = {}
        self.events: list[str] = []

    def check(self, reports: Reports) -> Crash | None:
        """Look after all nodes; the end of a node without which the run cannot go on, if any."""
        self._watch_silence(reports)
        for crash in self._group.ended():
            if not self._policy.enabled:
                return crash
            if not self._is_final(crash, reports) and self._restarted(crash, reports):
                continue
            if self._specs[crash.name].executable not in DISPENSABLE:
                return crash
            self._give_up(crash, reports)
        return None

    def _watch_silence(self, reports: Reports) -> None:
        """Name nodes that do not report, and kill those that hang."""
        for name, silent_s in reports.silence_s().items():
            if name in self.given_up:
                continue
            if silent_s < SILENT_AFTER_S:
                if name in self._silent:
                    self._silent.discard(name)
                    self._say(f"node {name} reports again")
            elif name not in self._silent:
                self._silent.add(name)
                self._say(f"node {name} has not reported for {silent_s:.0f} s")
            elif silent_s > self._hung_after_s and self._policy.enabled:
                self._say(f"node {name} hangs: no report for {silent_s:.0f} s; it is killed")
                self._group.kill(name)
                reports.forget(name)
                self._silent.discard(name)

    def _is_final(self, crash: Crash, reports: Reports) -> bool:
        """Whether starting the node again is of no use: wrong parameters, or too many ends."""
        misconfigured = crash.exit_code == USAGE_ERROR and crash.name not in reports.ready
        recent = self._restarted_s[crash.name]
        while recent and self._now() - recent[0] > self._policy.within_s:
            recent.popleft()
        return misconfigured or len(recent) >= self._policy.restarts

    def _restarted(self, crash: Crash, reports: Reports) -> bool:
        """Start a node again; whether that could be done."""
        name = crash.name
        self._restarted_s[name].append(self._now())
        self._num_restarts[name] += 1
        self._silent.discard(name)
        reports.forget(name)
        try:
            self._group.start(self._next_spec(name))
        except OSError as error:
            self._say(f"node {name} cannot be started again: {error.strerror or error}")
            return False
        self._say(
            f"node {name} ended with {crash.reason}; started again "
            f"({len(self._restarted_s[name])} of {self._policy.restarts})"
        )
        return True

    def _next_spec(self, name: str) -> NodeSpec:
        """The node as it is started again: a recorder goes on in another new folder."""
        spec = self._specs[name]
        if spec.executable != "bag_recorder":
            return spec
        folder = f"{spec.parameters['directory']}-{self._num_restarts[name] + 1}"
        return replace(spec, parameters={**spec.parameters, "directory": folder})

    def _give_up(self, crash: Crash, reports: Reports) -> None:
        reports.forget(crash.name)
        self.given_up[crash.name] = crash
        self._group.drop(crash.name)
        self._say(f"node {crash.name} ended with {crash.reason}; the run goes on without it")

    def _say(self, text: str) -> None:
        self.events.append(text)
        self._notice(text)

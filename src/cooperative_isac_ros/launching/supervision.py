"""Supervision of the nodes: one that ends or hangs is restarted, the others keep running."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cooperative_isac_ros.launching.graph import NodeSpec
from cooperative_isac_ros.launching.monitor import SILENT_AFTER_S
from cooperative_isac_ros.launching.process_group import Crash, ProcessGroup
from cooperative_isac_ros.start import USAGE_ERROR

# Executables without which a run continues: targets are still detected, tracked and evaluated.
DISPENSABLE = ("bag_recorder", "scene_markers")
# Time without a report after which a node counts as hung, s: much longer than any frame takes.
HUNG_AFTER_S = 15.0
# Where frames are rarer, the time in frame periods.
HUNG_AFTER_PERIODS = 5


@dataclass(frozen=True)
class RespawnPolicy:
    """Limits on the restarts of a node.

    enabled: nodes are restarted at all
    restarts: of one node, at most, in the time within_s, s
    """

    enabled: bool = True
    restarts: int = 3
    within_s: float = 60.0


class Reports(Protocol):
    """Diagnostics of the nodes; see Monitor."""

    @property
    def ready(self) -> Collection[str]:
        """Names of the nodes that have reported to be ready."""

    def silence_s(self) -> Mapping[str, float]:
        """Time since the latest report of each node that has reported, s."""

    def reset(self, name: str) -> None:
        """Reset a node that is restarted."""


class Supervisor:
    """Restarts the nodes of a process group.

    specs: of all nodes of the group
    notice(text): called with one line for each event
    now: steady clock, s
    period_s: time from frame to frame, s; a node may be silent while it processes one
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
        """Restart nodes that ended or hang.

        Returns the end of a node without which the run cannot continue; else None.
        """
        self._check_silence(reports)
        for crash in self._group.ended():
            if not self._policy.enabled:
                return crash
            if not self._is_final(crash, reports) and self._restarted(crash, reports):
                continue
            if self._specs[crash.name].executable not in DISPENSABLE:
                return crash
            self._give_up(crash, reports)
        return None

    def _check_silence(self, reports: Reports) -> None:
        """Give notice of nodes that do not report, and kill those that hang."""
        for name, silent_s in reports.silence_s().items():
            if name in self.given_up:
                continue

            # reports again, silent, or hung
            if silent_s < SILENT_AFTER_S:
                if name in self._silent:
                    self._silent.discard(name)
                    self._log(f"node {name} reports again")
            elif name not in self._silent:
                self._silent.add(name)
                self._log(f"node {name} has not reported for {silent_s:.0f} s")
            elif silent_s > self._hung_after_s and self._policy.enabled:
                self._log(f"node {name} hangs: no report for {silent_s:.0f} s; it is killed")
                self._group.kill(name)
                reports.reset(name)
                self._silent.discard(name)

    def _is_final(self, crash: Crash, reports: Reports) -> bool:
        """Return whether a restart is useless: invalid parameters, or too many restarts."""
        # parameters that the node has refused at its start
        is_misconfigured = crash.exit_code == USAGE_ERROR and crash.name not in reports.ready

        # restarts within the time of the policy; older ones are dropped
        recent = self._restarted_s[crash.name]
        while recent and self._now() - recent[0] > self._policy.within_s:
            recent.popleft()
        return is_misconfigured or len(recent) >= self._policy.restarts

    def _restarted(self, crash: Crash, reports: Reports) -> bool:
        """Restart a node. Returns False where it cannot be started."""
        # count the restart
        name = crash.name
        self._restarted_s[name].append(self._now())
        self._num_restarts[name] += 1
        self._silent.discard(name)
        reports.reset(name)

        # start
        try:
            self._group.start(self._next_spec(name))
        except OSError as error:
            self._log(f"node {name} cannot be started again: {error.strerror or error}")
            return False
        self._log(
            f"node {name} ended with {crash.reason}; started again "
            f"({len(self._restarted_s[name])} of {self._policy.restarts})"
        )
        return True

    def _next_spec(self, name: str) -> NodeSpec:
        """Specification of the restarted node: a recorder gets a new folder."""
        spec = self._specs[name]
        if spec.executable != "bag_recorder":
            return spec
        folder = f"{spec.parameters['directory']}-{self._num_restarts[name] + 1}"
        return replace(spec, parameters={**spec.parameters, "directory": folder})

    def _give_up(self, crash: Crash, reports: Reports) -> None:
        """Continue the run without a node."""
        reports.reset(crash.name)
        self.given_up[crash.name] = crash
        self._group.drop(crash.name)
        self._log(f"node {crash.name} ended with {crash.reason}; the run goes on without it")

    def _log(self, text: str) -> None:
        """Give notice of an event, and keep it for the end of the run."""
        self.events.append(text)
        self._notice(text)

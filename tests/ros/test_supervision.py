"""Nodes that end or hang: restarts, their limits, and the end of a run."""

import pytest

from cooperative_isac_ros.launching.graph import NodeSpec
from cooperative_isac_ros.launching.process_group import Crash
from cooperative_isac_ros.launching.supervision import HUNG_AFTER_S, RespawnPolicy, Supervisor

SPECS = [
    NodeSpec("tracker", "tracker"),
    NodeSpec("scene_markers", "scene_markers"),
    NodeSpec("bag_recorder", "bag_recorder", parameters={"directory": "/b"}),
]


class Group:
    """Stand-in for processes whose ends the test decides."""

    def __init__(self):
        self.crashes, self.started, self.killed = {}, [], []

    def end(self, name, exit_code=-9):
        self.crashes[name] = Crash(name, exit_code, "last words")

    def ended(self):
        return tuple(self.crashes.values())

    def start(self, spec):
        self.crashes.pop(spec.full_name)
        self.started.append(spec)

    def kill(self, name):
        self.killed.append(name)
        self.end(name)

    def drop(self, name):
        self.crashes.pop(name)


class Reports:
    """Stand-in for the reports of a monitor."""

    def __init__(self):
        self.ready, self.silent_s = {"/tracker", "/scene_markers", "/bag_recorder"}, {}

    def silence_s(self):
        return dict(self.silent_s)

    def reset(self, name):
        self.ready.discard(name)
        self.silent_s.pop(name, None)


class Rig:
    def __init__(self, period_s=0.0, **policy):
        self.group, self.reports, self.lines, self.now_s = Group(), Reports(), [], 0.0
        self.supervisor = Supervisor(
            self.group,
            SPECS,
            RespawnPolicy(**policy),
            self.lines.append,
            lambda: self.now_s,
            period_s,
        )

    def check(self):
        return self.supervisor.check(self.reports)


@pytest.fixture
def rig():
    return Rig()


def test_a_node_that_ended_is_started_again_and_named(rig):
    rig.group.end("/tracker")
    assert rig.check() is None and rig.group.started == [SPECS[0]]
    assert rig.lines == ["node /tracker ended with signal 9; started again (1 of 3)"]
    assert "/tracker" not in rig.reports.ready and rig.supervisor.events == rig.lines


def test_a_node_that_ends_too_often_ends_the_run(rig):
    for _ in range(3):
        rig.group.end("/tracker", 1)
        assert rig.check() is None
    rig.group.end("/tracker", 1)
    assert rig.check() == Crash("/tracker", 1, "last words")


def test_the_limit_is_for_a_time(rig):
    for rig.now_s in (0.0, 30.0, 59.0, 91.0, 120.0):
        rig.group.end("/tracker")
        assert rig.check() is None
    assert rig.lines[-1].endswith("(2 of 3)")


@pytest.mark.parametrize("ready", [False, True])
def test_wrong_parameters_are_no_reason_to_start_again(rig, ready):
    if not ready:
        rig.reports.reset("/tracker")
    rig.group.end("/tracker", 2)
    crash = rig.check()
    assert (crash is None) is ready and len(rig.group.started) == ready


def test_a_scene_continues_without_dispensable_nodes(rig):
    for _ in range(4):
        rig.group.end("/scene_markers", 1)
        assert rig.check() is None
    assert rig.check() is None and list(rig.supervisor.given_up) == ["/scene_markers"]
    assert rig.lines[-1] == "node /scene_markers ended with exit code 1; the run goes on without it"


def test_a_node_that_was_given_up_is_not_supervised(rig):
    for _ in range(4):
        rig.group.end("/scene_markers", 1)
        rig.check()
    rig.group.kill = rig.group.crashes.pop  # fails for a node that is not there
    num_lines = len(rig.lines)
    for silent_s in (4.0, HUNG_AFTER_S + 1):
        rig.reports.silent_s["/scene_markers"] = silent_s
        assert rig.check() is None
    assert len(rig.lines) == num_lines


@pytest.mark.parametrize(("name", "goes_on"), [("/tracker", False), ("/scene_markers", True)])
def test_a_node_that_cannot_be_started_again_is_no_fault_of_the_report(rig, name, goes_on):
    def fail(spec):
        raise OSError(28, "No space left on device")

    rig.group.start = fail
    rig.group.end(name)
    assert (rig.check() is None) is goes_on
    assert rig.lines[0] == f"node {name} cannot be started again: No space left on device"


def test_a_node_may_be_silent_for_some_periods():
    rig = Rig(period_s=10.0)
    for silent_s in (4.0, 49.0):
        rig.reports.silent_s["/tracker"] = silent_s
        rig.check()
    assert not rig.group.killed
    rig.reports.silent_s["/tracker"] = 51.0
    rig.check()
    assert rig.group.killed == ["/tracker"]


def test_a_restarted_recorder_gets_a_new_folder(rig):
    for number in (2, 3):
        rig.group.end("/bag_recorder")
        rig.check()
        assert rig.group.started[-1].parameters["directory"] == f"/b-{number}"


def test_nothing_is_restarted_where_the_policy_is_disabled():
    rig = Rig(enabled=False)
    rig.reports.silent_s["/tracker"] = 100.0
    rig.check()
    rig.check()
    assert not rig.group.killed
    rig.group.end("/scene_markers")
    assert rig.check().name == "/scene_markers" and not rig.group.started


def test_a_node_that_does_not_report_is_named_once_then_killed(rig):
    for silent_s in (2.9, 3.1, 9.0):
        rig.reports.silent_s["/tracker"] = silent_s
        rig.check()
    assert rig.lines == ["node /tracker has not reported for 3 s"] and not rig.group.killed
    rig.reports.silent_s["/tracker"] = HUNG_AFTER_S + 1
    assert (
        rig.check() is None and rig.group.killed == ["/tracker"] and rig.group.started == [SPECS[0]]
    )
    assert "hangs: no report for 16 s" in rig.lines[1]


def test_a_node_that_reports_again_is_named_too(rig):
    for silent_s in (4.0, 0.1):
        rig.reports.silent_s["/tracker"] = silent_s
        rig.check()
    assert rig.lines[-1] == "node /tracker reports again"

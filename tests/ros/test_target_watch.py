"""Discovery of targets with any publisher, and of topics that only look like targets."""

import math

import pytest
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from std_msgs.msg import String

from cooperative_isac.scene.model import TargetClass
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.inputs import target_watch
from cooperative_isac_ros.inputs.target_watch import WATCH_PARAMETERS, TargetWatch
from cooperative_isac_ros.messages import conversions


class Watcher(SceneNode):
    def __init__(self, **options):
        super().__init__("watcher", WATCH_PARAMETERS, **options)
        self.samples = 0
        self.watch = TargetWatch(self, on_sample=self.count)

    def count(self):
        self.samples += 1


@pytest.fixture
def watcher(bench):
    return bench.start(Watcher, target_classes=["drone:uav"])


def robot(bench, name, profile=10):
    """A robot's odometry publisher that the watcher has found, and a message for it."""
    publisher = bench.helper.create_publisher(Odometry, f"targets/{name}/odom", profile)
    bench.until(publisher.get_subscription_count)
    bench.spin(0.2)
    message = Odometry(header=conversions.map_header(5 * 10**9))
    message.pose.pose.position.x = 3.0
    return publisher, message


@pytest.mark.parametrize("profile", [10, qos_profile_sensor_data], ids=["reliable", "best effort"])
def test_odometry_of_any_quality_of_service_is_received(bench, watcher, profile):
    publisher, message = robot(bench, "drone", profile)
    publisher.publish(message)
    bench.until(lambda: watcher.samples)
    (state,) = watcher.watch.registry.at(5 * 10**9)
    assert (state.name, state.target_class, state.position_m[0]) == ("drone", TargetClass.UAV, 3.0)


def test_the_scenes_own_targets_are_waited_for(bench, watcher):
    assert watcher.watch.waiting_for() == "odometry of car1"
    publisher, message = robot(bench, "car1")
    publisher.publish(message)
    bench.until(lambda: watcher.watch.waiting_for() == "")


def test_targets_that_are_waited_for_are_looked_for_at_once(bench, watcher):
    publisher = bench.helper.create_publisher(Odometry, "targets/car1/odom", 10)
    bench.until(lambda: watcher.count_publishers(publisher.topic_name))
    watcher.watch._discover_early()
    assert "car1" in watcher.watch._targets and not watcher.watch._early_timer.is_canceled()
    bench.until(publisher.get_subscription_count)
    publisher.publish(Odometry(header=conversions.map_header(5 * 10**9)))
    bench.until(lambda: watcher.watch.waiting_for() == "")
    watcher.watch._discover_early()
    assert watcher.watch._early_timer.is_canceled()


def test_targets_that_are_not_simulated_are_not_waited_for(bench):
    assert bench.start(Watcher, wait_for_targets=False).watch.waiting_for() == ""


def test_a_target_without_a_publisher_is_removed_and_may_come_back(bench, watcher, monkeypatch):
    monkeypatch.setattr(target_watch, "FORGET_AFTER_S", 1.0)
    topic = f"{bench.namespace}/targets/drone/odom"
    for _ in range(2):
        publisher, message = robot(bench, "drone")
        publisher.publish(message)
        bench.until(lambda: watcher.watch.registry.names == ("drone",))
        bench.helper.destroy_publisher(publisher)
        bench.until(
            lambda: watcher.watch.registry.names == () and watcher.count_subscribers(topic) == 0
        )
    assert watcher.watch.registry.at(5 * 10**9) == ()


def test_a_topic_with_subscriptions_only_is_no_target(bench, watcher):
    bench.listen(Odometry, "targets/ghost/odom")
    robot(bench, "drone")
    assert bench.helper.count_subscribers(f"{bench.namespace}/targets/ghost/odom") == 1


@pytest.mark.parametrize(("offset_s", "side"), [(-600, "behind"), (900, "ahead of"), (4, "")])
def test_stamps_of_a_different_clock_are_reported_and_used(bench, watcher, offset_s, side):
    publisher, message = robot(bench, "drone")
    message.header = conversions.map_header(watcher.now_ns + offset_s * 10**9)
    publisher.publish(message)
    bench.until(lambda: watcher.samples)
    assert watcher.watch.registry.names == ("drone",)
    assert watcher.health.counts["odometry_stale"] == bool(side)
    assert (
        not side
        or f" s {side} the node's clock; set use_sim_time" in watcher.health.status().message
    )


@pytest.mark.parametrize(
    ("offset_s", "event", "side"),
    [(-2.0, "odometry_late", "behind"), (2.0, "odometry_early", "ahead of"), (-0.1, "", "")],
)
def test_constant_offsets_are_measured_and_named(bench, watcher, offset_s, event, side):
    robot(bench, "drone")
    for _ in range(6):
        hear(watcher, "drone", watcher.now_ns + round(offset_s * 1e9))
    assert watcher.health.counts["odometry_late"] + watcher.health.counts[
        "odometry_early"
    ] == 2 * bool(event)
    if event:
        assert watcher.health.counts[event] == 2
        reason = f"targets/drone/odom: stamps are 2.00 s {side} the clock (jitter 0.00"
        assert reason in watcher.health.status().message
        assert "synchronize the clocks or set odometry_offsets" in watcher.watch.faults()["drone"]
    else:
        assert watcher.watch.faults() == {}


def test_one_sample_that_waited_is_no_offset(bench, watcher):
    robot(bench, "drone")
    for delay_s in (0.0, 1.0, 1.5, 2.0, 3.0, 1.0):
        hear(watcher, "drone", watcher.now_ns - round(delay_s * 1e9))
    assert watcher.watch.faults() == {}


def test_before_the_first_clock_no_stamp_is_off(bench):
    watcher = bench.start(Watcher, use_sim_time=True)
    robot(bench, "drone")
    for _ in range(6):
        hear(watcher, "drone", 5 * 10**9)
    assert watcher.now_ns == 0 and watcher.watch.faults() == {}


def test_an_offset_is_bridged_by_parameter(bench):
    watcher = bench.start(Watcher, odometry_offsets=["drone:2.0"])
    robot(bench, "drone")
    robot(bench, "rover")
    stamp_ns = watcher.now_ns
    for name in ("drone", "rover"):
        hear(watcher, name, stamp_ns - 2 * 10**9)
    assert [state.name for state in watcher.watch.registry.at(stamp_ns)] == ["drone"]
    assert watcher.watch.faults() == {}


@pytest.mark.parametrize("pair", ["drone", "drone:", ":2.0", "drone:two", "drone:nan", "drone:1e9"])
def test_an_offset_that_is_none_is_refused_with_the_right_form(bench, pair):
    with pytest.raises(
        ValueError, match=f"'odometry_offsets': '{pair}' must be name:seconds, such as robot:2.0"
    ):
        bench.start(Watcher, odometry_offsets=[pair])


def test_targets_beyond_the_limit_are_refused_and_counted_once(bench, watcher, monkeypatch):
    monkeypatch.setattr(target_watch, "MAX_TARGETS", 1)
    robot(bench, "drone")
    bench.helper.create_publisher(Odometry, "targets/surplus/odom", 10)
    bench.until(lambda: watcher.health.counts["targets_refused"])
    watcher.watch.discover()
    assert watcher.health.counts["targets_refused"] == 1
    assert "targets/surplus/odom: 1 targets are followed already" in watcher.health.status().message


def hear(watcher, name, stamp_ns):
    """Call the subscription's callback with a sample."""
    watcher.watch._on_odometry(name, Odometry(header=conversions.map_header(stamp_ns)))


def test_a_class_may_be_published_before_the_subscription(bench, watcher):
    word = bench.helper.create_publisher(String, "targets/rover/class", qos.LATCHED)
    word.publish(String(data="vehicle"))
    publisher, message = robot(bench, "rover")
    publisher.publish(message)
    bench.until(lambda: classes(watcher) == [TargetClass.VEHICLE])


@pytest.mark.parametrize("profile", [10, qos_profile_sensor_data], ids=["volatile", "best effort"])
def test_a_robot_may_repeat_what_it_is(bench, watcher, profile):
    publisher, message = robot(bench, "rover")
    publisher.publish(message)
    word = bench.helper.create_publisher(String, "targets/rover/class", profile)

    def said(text):
        word.publish(String(data=text))
        bench.spin(0.05)

    bench.until(lambda: said("vehicle") or classes(watcher) == [TargetClass.VEHICLE])
    bench.until(lambda: said("boat") or watcher.health.counts["classes_refused"])
    assert classes(watcher) == [TargetClass.VEHICLE]


def classes(watcher):
    return [state.target_class for state in watcher.watch.registry.at(5 * 10**9)]


def test_odometry_that_is_not_finite_is_refused_and_the_next_is_used(bench, watcher):
    publisher, message = robot(bench, "drone")
    message.pose.pose.position.y = math.nan
    publisher.publish(message)
    bench.until(lambda: watcher.health.counts["odometry_refused"] == 1)
    assert (
        "targets/drone/odom: odometry of 'drone' is not finite" in watcher.health.status().message
    )
    message.pose.pose.position.y = 0.0
    publisher.publish(message)
    bench.until(lambda: watcher.samples)


def test_repeated_stamps_are_counted(bench, watcher):
    publisher, message = robot(bench, "drone")
    for _ in range(2):
        publisher.publish(message)
    bench.until(lambda: watcher.health.counts["odometry_out_of_order"] == 1)


def test_a_topic_of_another_type_is_named(bench, watcher):
    bench.helper.create_publisher(String, "targets/ghost/odom", 10)
    bench.until(lambda: watcher.health.counts["targets_refused"])
    assert "std_msgs/msg/String, not nav_msgs/msg/Odometry" in watcher.health.status().message


def test_deeper_topics_are_no_targets(bench, watcher):
    bench.helper.create_publisher(Odometry, "targets/team/one/odom", 10)
    robot(bench, "drone")
    assert bench.helper.count_subscribers(f"{bench.namespace}/targets/team/one/odom") == 0

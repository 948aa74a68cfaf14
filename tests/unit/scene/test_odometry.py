"""Target states between, after and without odometry samples."""

import numpy as np
import pytest

from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.odometry import OdometrySample, TargetRegistry

SECOND = 1_000_000_000


def sample(time_s, position=(0, 0, 0), velocity=(0, 0, 0)):
    return OdometrySample(
        round(time_s * SECOND), np.array(position, float), np.array(velocity, float)
    )


def circle(time_s, radius_m=20.0, speed_mps=10.0):
    angle = speed_mps / radius_m * time_s
    return sample(
        time_s,
        (radius_m * np.cos(angle), radius_m * np.sin(angle), 5.0),
        (-speed_mps * np.sin(angle), speed_mps * np.cos(angle), 0.0),
    )


def test_a_stamp_with_a_sample_gets_that_sample_exactly():
    registry = TargetRegistry()
    for time_s in (1.0, 1.05, 1.1):
        registry.add("uav", circle(time_s))
    (state,) = registry.at(round(1.05 * SECOND))
    assert np.array_equal(state.position_m, circle(1.05).position_m)
    assert np.array_equal(state.velocity_mps, circle(1.05).velocity_mps)


@pytest.mark.parametrize(("period_s", "limit_m"), [(0.05, 1e-6), (0.1, 1e-5)])
def test_between_samples_a_turn_is_followed(period_s, limit_m):
    # A cubic Hermite is off by max|x''''| dt^4 / 384 = (v^4 / r^3) dt^4 / 384, here 2e-8 and 3e-7
    # m.
    registry = TargetRegistry()
    for step in range(20):
        registry.add("uav", circle(step * period_s))
    for time_s in np.linspace(0, 18 * period_s, 31):
        (state,) = registry.at(round(time_s * SECOND))
        assert np.linalg.norm(state.position_m - circle(time_s).position_m) < limit_m
        assert np.linalg.norm(state.velocity_mps - circle(time_s).velocity_mps) < 1e-3


def test_velocity_is_the_derivative_of_the_position():
    registry = TargetRegistry()
    registry.add("a", sample(0.0, (0, 0, 0), (1, 2, 3)))
    registry.add("a", sample(0.5, (1, -1, 2), (4, 0, -1)))
    low, middle, high = (registry.at(stamp)[0] for stamp in (249_999_000, 250_000_000, 250_001_000))
    assert np.allclose((high.position_m - low.position_m) / 2e-6, middle.velocity_mps, atol=1e-5)


def test_targets_are_extrapolated_until_the_timeout():
    registry = TargetRegistry(timeout_s=1.0)
    registry.add("a", sample(10.0, (1, 2, 3), (4, 0, -2)))
    assert np.allclose(registry.at(round(10.5 * SECOND))[0].position_m, (3, 2, 2))
    assert registry.at(11 * SECOND) and not registry.at(11 * SECOND + 1)


def test_a_target_does_not_exist_before_its_first_sample():
    registry = TargetRegistry()
    registry.add("a", sample(10.0))
    assert registry.at(10 * SECOND - 1) == () and registry.is_complete(10 * SECOND - 1)


def test_a_gap_longer_than_the_timeout_is_not_bridged():
    registry = TargetRegistry(timeout_s=1.0)
    registry.add("a", sample(10.0))
    registry.add("a", sample(13.0))
    alive = [time_s for time_s in (10.9, 11.5, 12.9, 13.0) if registry.at(round(time_s * SECOND))]
    assert alive == [10.9, 13.0]


def test_complete_once_every_living_target_has_passed_the_stamp():
    registry = TargetRegistry()
    registry.add("a", sample(10.0))
    registry.add("b", sample(10.1))
    registry.add("long_gone", sample(5.0))
    assert registry.is_complete(10 * SECOND)
    assert not registry.is_complete(10 * SECOND + 1)
    assert not registry.is_complete(round(10.1 * SECOND))
    registry.add("a", sample(10.2))
    assert registry.is_complete(round(10.1 * SECOND))


def test_targets_come_in_the_order_of_their_names_with_their_class():
    registry = TargetRegistry()
    registry.set_class("uav1", TargetClass.UAV)
    for name in ("uav1", "car1"):
        registry.add(name, sample(1.0))
    assert registry.names == ("car1", "uav1")
    assert [(t.name, t.target_class) for t in registry.at(SECOND)] == [
        ("car1", TargetClass.UNKNOWN),
        ("uav1", TargetClass.UAV),
    ]


def test_late_samples_are_ignored_and_a_rewound_clock_starts_anew():
    registry = TargetRegistry(timeout_s=1.0)
    assert registry.add("a", sample(10.0, (1, 0, 0)))
    assert not registry.add("a", sample(10.0, (9, 0, 0)))
    assert not registry.add("a", sample(9.5, (9, 0, 0)))
    assert registry.at(10 * SECOND)[0].position_m[0] == 1
    assert registry.add("a", sample(2.0, (5, 0, 0)))
    assert registry.at(10 * SECOND) == () and registry.at(2 * SECOND)[0].position_m[0] == 5


def test_a_sample_that_is_not_finite_is_refused_by_name():
    with pytest.raises(ValueError, match="odometry of 'a' is not finite"):
        TargetRegistry().add("a", sample(1.0, (np.nan, 0, 0)))


@pytest.mark.parametrize(
    ("position", "velocity", "reason"),
    [
        ((0, 101e3, 0), (0, 0, 0), "position .* m; its length may be 100000 m at most"),
        ((0, 0, 0), (800, 0, 800), "velocity .* m/s; its length may be 1000 m/s at most"),
        ((1e300, 1e300, 0), (0, 0, 0), "position .* m; its length may be 100000 m at most"),
    ],
)
def test_a_sample_that_cannot_be_true_is_refused_with_the_limit(position, velocity, reason):
    registry = TargetRegistry()
    with pytest.raises(ValueError, match=f"odometry of 'a' has {reason}"):
        registry.add("a", sample(1.0, position, velocity))
    assert registry.names == ()


def test_a_removed_target_has_no_state():
    registry = TargetRegistry()
    registry.set_class("a", TargetClass.UAV)
    registry.add("a", sample(10.0))
    registry.remove("a")
    registry.remove("b")
    assert (
        registry.names == ()
        and registry.at(10 * SECOND) == ()
        and registry.is_complete(10 * SECOND)
    )
    registry.add("a", sample(3.0))
    assert registry.at(3 * SECOND)[0].target_class is TargetClass.UAV

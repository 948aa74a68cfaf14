"""Rejection of static clutter, of ghosts at a wrong place, and of impossible speeds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from cooperative_isac.fusion.estimate import estimate
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.fusion.rejection import Accepted, distance_to_ball, is_ghost, is_static
from cooperative_isac.scene.model import POINT_BODY

# Here the four paths' directions to and from the target nearly cancel along y: 6 m/s give less than
# 50 Hz.
BETWEEN = (30.0, 24.0)


def static(scene, cluster):
    return is_static(scene, cluster, estimate(scene, cluster))


def weaker(report, factor):
    """The report with powers and information divided."""
    paths = (
        replace(path, power=path.power / factor, information=path.information / factor)
        for path in report.paths
    )
    return replace(report, paths=tuple(paths))


def elsewhere(report, away_m, shifts_hz=None):
    """The report at another place, with its own Doppler shifts or others."""
    shifts = [path.doppler_hz for path in report.paths] if shifts_hz is None else shifts_hz
    paths = (replace(path, doppler_hz=float(shift)) for path, shift in zip(report.paths, shifts))
    return replace(report, point_m=report.point_m + away_m, paths=tuple(paths))


def test_a_moving_target_with_small_shifts_on_every_path_is_accepted(small, target, reports_of):
    truth, generator = target(BETWEEN, (0.3, 6.0)), np.random.default_rng(0)
    assert (
        max(abs(path.doppler_hz) for report in reports_of(small, truth) for path in report.paths)
        < 100
    )
    for _ in range(20):
        reports = reports_of(small, truth, generator)
        assert not static(small, reports) and len(fuse(small, reports)) == 1


@pytest.mark.parametrize("place", [BETWEEN, (20.0, 40.0)])
def test_static_and_creeping_objects_are_clutter_at_any_place(small, target, reports_of, place):
    generator = np.random.default_rng(1)
    for velocity in [(0, 0), (0.6, -0.7)]:
        for _ in range(100):
            assert static(small, reports_of(small, target(place, velocity), generator))


def test_one_receiver_alone_needs_a_doppler_shift(small, target, reports_of):
    assert static(small, reports_of(small, target(BETWEEN, (0.3, 6.0)))[:1])
    assert not static(small, reports_of(small, target(BETWEEN, (6.0, 0.3)))[:1])


def test_nothing_is_clutter_in_a_scene_that_keeps_static_objects(small, target, reports_of):
    keeping = replace(small, sensing=replace(small.sensing, min_speed_mps=0.0))
    resting = reports_of(small, target((20, 30), (0, 0)))
    assert static(small, resting) and not static(keeping, resting)


@pytest.mark.parametrize("size", [2, 3])
def test_the_distance_to_slow_velocities_is_that_of_an_optimizer(size):
    generator = np.random.default_rng(size)
    for _ in range(10):
        root = generator.standard_normal((size, size)) * generator.uniform(0.05, 3, size)
        covariance, vector = root @ root.T, generator.uniform(-5, 5, size)
        precision = np.linalg.inv(covariance)
        found = minimize(
            lambda u: (u - vector) @ precision @ (u - vector),
            np.zeros(size),
            method="SLSQP",
            jac=lambda u: 2 * precision @ (u - vector),
            options={"ftol": 1e-12, "maxiter": 500},
            constraints={"type": "ineq", "fun": lambda u: 1 - u @ u, "jac": lambda u: -2 * u},
        )
        assert distance_to_ball(vector, covariance, 1.0) == pytest.approx(
            found.fun, rel=1e-4, abs=1e-6
        )
    assert distance_to_ball(np.full(size, 0.5), np.eye(size), 1.0) == 0
    assert distance_to_ball(4 * np.eye(size)[0], 9 * np.eye(size), 1.0) == pytest.approx(1.0)


@pytest.fixture
def both(small, target, reports_of):
    """Reports of one target at rx1 and rx2."""
    return reports_of(small, target((40, 20), (4, -6)), power=1e4)


def ghost(scene, report, told):
    """True where a report alone is a ghost beside the one target of other reports."""
    (detection,) = fuse(scene, told)
    return is_ghost(scene, [report], [Accepted(told, detection, POINT_BODY)])


AWAY_M = (-20.0, 25.0, 0.0)


def test_a_mislocated_echo_of_a_target_is_a_ghost(small, both):
    lost, found = both
    misplaced = weaker(elsewhere(lost, AWAY_M), 10)
    assert ghost(small, misplaced, [found]) and len(fuse(small, [found, misplaced])) == 1
    swapped = [path.doppler_hz for path in misplaced.paths[::-1]]
    assert ghost(small, elsewhere(misplaced, 0.0, swapped), [found])


def test_other_shifts_or_the_same_strength_are_of_another_target(small, both, target, reports_of):
    lost, found = both
    other = reports_of(small, target((50, 40), (9, 4)))[0]
    assert not ghost(small, other, [found]) and len(fuse(small, [found, other])) == 2
    assert not ghost(small, weaker(elsewhere(lost, AWAY_M), 2), [found])
    half = elsewhere(lost, AWAY_M, [lost.paths[0].doppler_hz, lost.paths[1].doppler_hz + 900])
    assert not ghost(small, weaker(half, 10), [found])


def test_a_side_lobe_is_a_ghost_where_the_target_itself_is_detected(small, both):
    lobe = elsewhere(both[0], AWAY_M)
    assert ghost(small, weaker(lobe, 30), both) and not ghost(small, weaker(lobe, 5), both)
    bin_hz = 1 / (small.grid.num_symbols * small.grid.symbol_period_s)
    apart = elsewhere(lobe, 0.0, [path.doppler_hz + 1.1 * bin_hz for path in lobe.paths])
    assert not ghost(small, weaker(apart, 30), both)


def test_rounding_of_strong_reports_hides_no_ghost(small, both):
    """Rounding takes more of the accuracy of a strong path; its echo is as strong as before."""
    lobe = weaker(elsewhere(both[0], AWAY_M), 30)
    misplaced = weaker(elsewhere(both[0], AWAY_M), 10)
    rounded = [
        replace(
            report,
            paths=tuple(replace(path, power=path.power / 9, snr_loss=9.0) for path in report.paths),
        )
        for report in both
    ]
    assert ghost(small, lobe, rounded)
    assert ghost(small, misplaced, rounded[1:])


def test_a_report_at_the_place_of_a_target_of_two_receivers_is_an_echo_of_it(small, both):
    wrong_hz = [path.doppler_hz + 2500 for path in both[0].paths]
    beside = elsewhere(both[0], np.array((0.3, -0.4, 0.0)), wrong_hz)
    assert ghost(small, beside, both)

    # Not where it is another target's place, nor beside what one receiver alone found.
    further = elsewhere(both[0], np.array((2.0, -1.0, 0.0)), wrong_hz)
    assert not ghost(small, further, both)
    assert not ghost(small, beside, [both[1]])


def test_detections_of_two_receivers_are_no_ghosts_at_any_power(small, both):
    weak = [weaker(elsewhere(report, AWAY_M), 100) for report in both]
    (detection,) = fuse(small, both)
    assert not is_ghost(small, weak, [Accepted(both, detection, POINT_BODY)])


def test_targets_faster_than_the_scene_allows_are_rejected(small, target, reports_of):
    assert small.sensing.max_speed_mps == 15
    assert len(fuse(small, reports_of(small, target((20, 30), (14, 0))))) == 1
    assert fuse(small, reports_of(small, target((20, 30), (25, 0)))) == ()

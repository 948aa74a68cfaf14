"""Joint information of coherent paths, and Fisher scoring with it."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.bounds.crlb import fisher_information
from cooperative_isac.bounds.path_basis import owners, receiver_basis
from cooperative_isac.metrics.consistency import nees_interval
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.coupling import (
    MAX_COUPLED_PATHS,
    coupled_information,
    coupled_targets,
    with_marginal_information,
)
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.path_state import PathState, single_path
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.static_paths import unknown_static

# A strong target, and a weak one in its main lobe, 20 dB below.
PLACES = {
    "small": ((22.0, 31.0, 0.0), (23.6, 30.6, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (33.0, 47.0, 14.0)),
}
VELOCITIES = ((4.0, -6.0, 0.0), (2.0, -8.0, 0.0))
# Amplitudes at which the strong one has a coherent SNR of some 50 dB.
STRONG = {"small": 1e-4, "campus": 8e-5}


def made(listener, seed=0, weak=0.1):
    """A joint fit of both targets' echo, the true state and the true paths."""
    name = listener.scene.name
    amplitudes = STRONG[name] * np.tile([1.0, weak], len(listener.scene.transmitters))
    echo, paths = listener.echo(PLACES[name], VELOCITIES, amplitudes, seed)
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    maker = ReplicaMaker(listener.scene, listener.site, reference)
    noise_w = receiver_noise_w(listener.scene, listener.site)
    truth = PathState(np.array(PLACES[name]), paths.scatterer, paths.transmitter, paths.doppler_hz)
    return JointFit(maker, reference.correlate(echo), noise_w), truth, paths


def bound_information(listener, paths):
    """Information of both locations with all velocities and reflections unknown, [2 D, 2 D]."""
    targets = [
        TargetState("", TargetClass.UNKNOWN, np.array(place), np.array(velocity))
        for place, velocity in zip(PLACES[listener.scene.name], VELOCITIES)
    ]
    basis = receiver_basis(listener.scene, listener.frame, listener.site, targets, paths)
    noise_w = receiver_noise_w(listener.scene, listener.site)
    size = listener.scene.dimension
    whole = fisher_information(basis, owners(paths, 2), 2, size, noise_w)
    wanted = 2 * size
    scale = np.sqrt(np.diag(whole))
    scaled = whole / np.outer(scale, scale)
    inverse = np.linalg.pinv(scaled[wanted:, wanted:], rcond=1e-5, hermitian=True)
    crossed = scaled[:wanted, wanted:]
    left = scaled[:wanted, :wanted] - crossed @ inverse @ crossed.T
    return left * np.outer(scale, scale)[:wanted, :wanted]


def test_paths_that_the_suppression_takes_away_have_finite_information(listener):
    # Nothing but rounding is left of paths without a Doppler shift.
    static = unknown_static(listener.frame.streams)
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz, static)
    noise_w = receiver_noise_w(listener.scene, listener.site)
    _, truth, _ = made(listener)
    rest = replace(truth, doppler_hz=np.zeros(truth.num_paths))
    for seed in range(4):
        echo, _ = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-6, seed)
        maker = ReplicaMaker(listener.scene, listener.site, reference)
        joint = JointFit(maker, reference.correlate(echo), noise_w)
        with np.errstate(all="raise"):
            information = coupled_information(maker, joint.match(rest), np.array([0, 1]))
        assert np.all(np.isfinite(information))


def test_the_reported_information_is_the_marginal_one_of_the_bound(listener):
    joint, truth, paths = made(listener)
    fit = joint.match(truth)
    assert np.abs(fit.coherence[0, 1]) > 0.3  # they share their echo
    marginal = with_marginal_information(joint.maker, fit)
    covariance = np.linalg.inv(bound_information(listener, paths))
    size = listener.scene.dimension
    for target in range(2):
        axes = slice(target * size, (target + 1) * size)
        ratios = np.linalg.eigvals(marginal.target_information[target] @ covariance[axes, axes])
        assert ratios == pytest.approx(np.ones(size), abs=0.08)

    # Each alone would have more.
    alone = np.linalg.eigvals(fit.target_information[1] @ covariance[size:, size:])
    assert alone.real.max() > 1.15


def displaced(truth, size):
    """A state from which a target is followed: off by the effect of an acceleration in a frame."""
    moves_m = np.array([[0.15, -0.1, 0.1], [-0.2, 0.1, -0.15]]) * (np.arange(3) < size)
    shifts_hz = np.where(truth.owner == 0, 60.0, -60.0)
    return replace(
        truth, points_m=truth.points_m + moves_m, doppler_hz=truth.doppler_hz + shifts_hz
    )


def test_reports_of_a_strong_and_a_weak_target_in_its_main_lobe_are_consistent(listener):
    size = listener.scene.dimension
    errors = {"location": [], "shift": []}
    for seed in range(40):
        joint, truth, _ = made(listener, seed)
        fit = joint.fisher_scoring(joint.match(displaced(truth, size)), steps=8, tolerance=1.0)
        fit = with_marginal_information(joint.maker, joint.match(fit.state))
        assert 10 * np.log10(fit.target_power[0]) > 48
        away = (fit.state.points_m - truth.points_m)[:, :size]
        errors["location"] += np.einsum("ni,nij,nj->n", away, fit.target_information, away).tolist()
        shifts = fit.state.doppler_hz - truth.doppler_hz
        errors["shift"] += (shifts**2 * fit.doppler_information).tolist()
    for name, degrees in (("location", size), ("shift", 1)):
        low, high = nees_interval(len(errors[name]), degrees, 0.999)
        assert low < np.mean(errors[name]) < high


def test_scoring_of_single_targets_ends_at_another_point(listener):
    # The same steps from the same start, without the coupling of both.
    joint, truth, _ = made(listener)
    start = joint.match(displaced(truth, listener.scene.dimension))
    together = joint.fisher_scoring(start, steps=4, tolerance=1.0)
    alone = joint.fisher_scoring(start, steps=4, tolerance=1.0, coupled=False)
    gain = joint.match(together.state).explained.sum() - joint.match(alone.state).explained.sum()
    assert gain > 3


def test_paths_that_are_not_coherent_keep_their_information(listener):
    joint, truth, _ = made(listener)
    far = replace(truth, points_m=truth.points_m + [[0, 0, 0], [12.0, -9.0, 0]])
    fit = joint.match(far.keep(truth.transmitter == 0))
    assert len(coupled_targets(fit)) == 2
    marginal = with_marginal_information(joint.maker, fit)
    assert np.array_equal(marginal.information, fit.information)
    assert np.array_equal(marginal.marginal_share, np.ones(2))


def test_groups_are_connected_by_coherent_paths(listener):
    joint, truth, _ = made(listener)
    fit = joint.match(truth.keep(truth.transmitter == 0))
    third = replace(fit, state=fit.state.with_target(fit.state))  # four targets of one path each
    for pairs, expected in (
        ([(0, 1), (1, 3)], [[0, 1, 3], [2]]),
        ([(2, 3)], [[0], [1], [2, 3]]),
        ([], [[0], [1], [2], [3]]),
    ):
        coherence = np.eye(4)
        for first, second in pairs:
            coherence[first, second] = coherence[second, first] = 0.4
        found = coupled_targets(replace(third, coherence=coherence))
        assert [group.tolist() for group in found] == expected


def test_no_group_exceeds_the_largest_number_of_paths(listener):
    joint, truth, _ = made(listener)
    one = single_path(truth.points_m[0], 0, 0.0)
    state = one
    for _ in range(MAX_COUPLED_PATHS + 5):
        state = state.with_target(one)
    fit = joint.match(state.keep(np.ones(len(state.owner), bool)))
    distance = np.abs(np.subtract.outer(np.arange(state.num_targets), np.arange(state.num_targets)))
    groups = coupled_targets(replace(fit, coherence=0.9**distance))
    assert max(len(group) for group in groups) <= MAX_COUPLED_PATHS
    assert sorted(np.concatenate(groups)) == list(range(state.num_targets))


def test_an_echo_that_is_no_number_has_no_marginal_information(listener):
    joint, truth, _ = made(listener)
    fit = joint.match(truth)
    broken = replace(fit, power=np.full_like(fit.power, np.nan))
    assert with_marginal_information(joint.maker, broken) is broken


@pytest.mark.filterwarnings("error")
def test_a_silent_echo_moves_no_target(listener):
    # The echo of a radio that is muted while its targets are followed.
    joint, truth, _ = made(listener)
    silent = JointFit(joint.maker, np.zeros_like(joint.correlation), joint.noise_power_w)
    start = silent.match(truth)
    fit = silent.fisher_scoring(start, steps=4, tolerance=1.0)
    assert np.array_equal(fit.state.points_m, truth.points_m)
    assert np.array_equal(fit.state.doppler_hz, truth.doppler_hz)

"""The joint likelihood: its gradient, its amplitudes, and Fisher scoring."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.joint_fit import JointFit, subtract_paths
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import ReplicaMaker

PLACES = {
    "small": ((22.0, 31.0, 0.0), (41.0, 18.0, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (70.0, 60.0, 6.0)),
}
VELOCITIES = ((4.0, -6.0, 0.0), (-5.0, 2.0, 0.0))


@pytest.fixture
def joint(listener):
    """A joint fit of two targets' echo, and the true state."""
    echo, paths = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    maker = ReplicaMaker(listener.scene, listener.site, reference)
    state = PathState(
        np.array(PLACES[listener.scene.name]), paths.scatterer, paths.transmitter, paths.doppler_hz
    )
    return (
        JointFit(maker, reference.correlate(echo), listener.scene.propagation.noise_power_w),
        state,
        paths,
    )


def log_likelihood(joint, state):
    """Log-likelihood of paths in the correlation, from first principles: |m^H H^-1 m| / sigma^2."""
    replica = joint.maker.make(state)
    arrivals = replica.receive[state.owner, 0]
    filters = np.einsum(
        "pr,pik,pb->prikb", arrivals, replica.filters[:, 0], replica.doppler_phases.conj()
    ).astype(complex)
    own = np.einsum("pr,pikb->prikb", arrivals, replica.waveforms).astype(complex)
    flat, model = filters.reshape(state.num_paths, -1), own.reshape(state.num_paths, -1)
    matched = flat.conj() @ joint.correlation.reshape(-1).astype(complex)
    amplitude = np.linalg.solve(flat.conj() @ model.T, matched)
    return np.real(np.vdot(amplitude, matched)) / joint.noise_power_w


def test_the_gradient_is_that_of_the_joint_likelihood(joint):
    joint, state, _ = joint
    state = replace(
        state,
        points_m=state.points_m + 0.3 * (np.arange(3) < joint.maker.dimension),
        doppler_hz=state.doppler_hz + 40.0,
    )
    fit = joint.match(state)
    scale = np.abs(fit.location_slope).max()
    for target in range(2):
        for axis in range(joint.maker.dimension):
            step = np.zeros_like(state.points_m)
            step[target, axis] = 0.01
            up, down = (
                log_likelihood(joint, replace(state, points_m=state.points_m + s * step))
                for s in (1, -1)
            )
            assert fit.location_slope[target, axis] == pytest.approx(
                (up - down) / 0.02, abs=0.03 * scale
            )
    for path in range(state.num_paths):
        step = 2.0 * (np.arange(state.num_paths) == path)
        up, down = (
            log_likelihood(joint, replace(state, doppler_hz=state.doppler_hz + s * step))
            for s in (1, -1)
        )
        assert fit.doppler_slope[path] == pytest.approx(
            (up - down) / 4, abs=0.05 * np.abs(fit.doppler_slope).max()
        )


def test_amplitudes_of_the_true_state_are_the_true_ones(joint):
    joint, state, paths = joint
    fit = joint.match(state)
    error = np.abs(fit.amplitude - paths.amplitude) / np.abs(paths.amplitude)
    assert np.all(error < 5 / np.sqrt(fit.power))


def test_fisher_scoring_ends_within_the_covariance(joint):
    joint, state, paths = joint
    start = replace(
        state,
        points_m=state.points_m + 0.6 * (np.arange(3) < joint.maker.dimension),
        doppler_hz=state.doppler_hz + 120.0,
    )
    fit = joint.fisher_scoring(joint.match(start), steps=12, tolerance=0.02)
    size = joint.maker.dimension
    for target in range(2):
        away = (fit.state.points_m - state.points_m)[target, :size]
        assert away @ fit.target_information[target] @ away < 25
    assert np.all((fit.state.doppler_hz - paths.doppler_hz) ** 2 * fit.doppler_information < 25)


def test_the_residual_of_the_true_paths_is_zero(joint):
    joint, state, _ = joint
    fit = joint.fisher_scoring(joint.match(state), steps=6, tolerance=0.02)
    left, before = (
        np.linalg.norm(fit.residual),
        np.linalg.norm(joint.match(state.keep(fit.state.owner == 0)).residual),
    )
    assert left < 2 * before  # the second target's echo is in neither beam's share of the first
    assert np.all(np.abs(fit.coherence - np.eye(4)) < 1)


def test_subtracted_paths_have_no_power_left(joint):
    joint, state, _ = joint
    fit = joint.match(state)
    residual = subtract_paths(joint.correlation, fit)
    left = JointFit(joint.maker, residual, joint.noise_power_w).match(state)
    assert np.all(left.power < 1e-3 * fit.power)

    # Without a path among the chosen ones the echo stays as it is.
    none = np.zeros(state.num_paths, bool)
    np.testing.assert_array_equal(subtract_paths(joint.correlation, fit, none), joint.correlation)


def test_a_match_is_least_squares_over_all_antennas(joint):
    joint, state, _ = joint
    state = replace(state, doppler_hz=state.doppler_hz + 40.0)
    fit = joint.match(state)

    # Every path's model of the whole correlation, in double precision.
    replica = joint.maker.make(state)
    models = []
    filters = []
    for path in range(state.num_paths):
        arrival = replica.receive[state.owner[path], 0].astype(complex)
        turned = replica.filters[path, 0][..., None] * replica.doppler_phases[path].conj()
        models.append(np.multiply.outer(arrival, replica.waveforms[path]).ravel())
        filters.append(np.multiply.outer(arrival, turned).ravel())
    models, filters = np.array(models), np.array(filters)
    echo = joint.correlation.astype(complex).ravel()
    amplitude = np.linalg.solve(filters.conj() @ models.T, filters.conj() @ echo)
    assert np.allclose(fit.amplitude, amplitude, rtol=0, atol=1e-4 * np.abs(amplitude).max())

    # Residual behind the beam to each target.
    left = (echo - amplitude @ models).reshape(joint.correlation.shape)
    for target in range(state.num_targets):
        beam = replica.receive[target, 0].astype(complex).conj()
        wanted = np.tensordot(beam, left, axes=1)
        error = np.linalg.norm(fit.residual[target] - wanted)
        assert error < 1e-4 * np.linalg.norm(wanted)

"""Static paths taken out of echoes and replicas, against dense linear algebra and plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from chain import Chain

from cooperative_isac.channel.paths import PathSet
from cooperative_isac.channel.static import channel_matrix, static_echo
from cooperative_isac.fronthaul.report_packet import unpack_reports
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.information import suppressed_doppler_information
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.static_paths import StaticNuisance, suppress, unknown_static

PLACES = {
    "small": ((22.0, 31.0, 0.0), (41.0, 18.0, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (70.0, 60.0, 6.0)),
}
VELOCITIES = ((4.0, -6.0, 0.0), (-5.0, 2.0, 0.0))


def some_static_echo(listener, level, seed=5):
    """Echo of 40 static paths of any delay and direction, r.m.s. amplitude `level` a path."""
    scene, generator = listener.scene, np.random.default_rng(seed)
    directions = generator.normal(size=(2, 40, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    amplitude = level * np.exp(2j * np.pi * generator.random(40))
    paths = PathSet(
        generator.integers(2, size=40),
        np.zeros(40, int),
        generator.uniform(0, 1e-6, 40),
        np.zeros(40),
        amplitude,
        *directions,
    )
    return static_echo(listener.frame, channel_matrix(scene, listener.site, paths))


def span_projector(streams):
    """Projector onto what is orthogonal to the streams of one subcarrier, [num_symbols,
    num_symbols].
    """
    basis = np.linalg.svd(streams.astype(complex), full_matrices=False)[2]
    return np.eye(streams.shape[1]) - basis.conj().T @ basis


def test_suppression_is_the_projection_of_linear_algebra(listener):
    echo, _ = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    streams = listener.frame.streams
    found = suppress(echo, streams, unknown_static(streams))
    for subcarrier in (0, 7, 63):
        expected = echo[:, subcarrier].astype(complex) @ span_projector(streams[subcarrier])
        assert np.allclose(found[:, subcarrier], expected, atol=1e-5 * np.abs(expected).max())


def test_static_paths_of_any_delay_and_direction_are_removed(listener):
    streams = listener.frame.streams
    static = some_static_echo(listener, 1e-3)
    left = suppress(static, streams, unknown_static(streams))
    assert np.linalg.norm(left) < 1e-5 * np.linalg.norm(static)


def test_side_information_is_that_of_a_gaussian_nuisance(listener):
    """With coefficients CN(mean, Q) in noise s, P is s times the inverse covariance of the echo."""
    streams, noise = listener.frame.streams, 2.0
    num_streams, num_symbols = streams.shape[1:]
    generator = np.random.default_rng(3)
    root = generator.normal(size=(num_streams, num_streams, 2)) @ [1, 1j]
    covariance = root @ root.conj().T
    gram = streams[4].astype(complex).conj() @ streams[4].T
    inverse = np.linalg.inv(gram + noise * np.linalg.inv(covariance))
    nuisance = StaticNuisance(
        np.ones((3, len(streams), num_streams), np.complex64),
        np.repeat(inverse[None], len(streams), 0).astype(np.complex64),
    )
    echo = (generator.normal(size=(3, len(streams), num_symbols, 2)) @ [1, 1j]).astype(np.complex64)
    found = suppress(echo, streams, nuisance)[:, 4]

    # The symbols y = S^T g + n of one antenna have the covariance S^T Q conj(S) + s I.
    rows = streams[4].astype(complex)
    whole = rows.T @ covariance @ rows.conj() + noise * np.eye(num_symbols)
    centered = echo[:, 4].astype(complex) - np.ones((3, num_streams)) @ rows
    expected = (noise * np.linalg.inv(whole) @ centered.T).T
    assert np.allclose(found, expected, atol=1e-4)


@pytest.fixture
def suppressed(listener):
    """A joint fit to an echo with strong static paths, suppressed, and its true state."""
    echo, paths = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    static = unknown_static(listener.frame.streams)
    clean = suppress(echo + some_static_echo(listener, 1e-3), listener.frame.streams, static)
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz, static)
    maker = ReplicaMaker(listener.scene, listener.site, reference)
    state = PathState(
        np.array(PLACES[listener.scene.name]), paths.scatterer, paths.transmitter, paths.doppler_hz
    )
    return (
        JointFit(maker, reference.correlate(clean), listener.scene.propagation.noise_power_w),
        state,
        paths,
    )


def test_amplitudes_are_not_biased_by_the_suppression(suppressed):
    joint, state, paths = suppressed
    fit = joint.match(state)
    assert np.all(
        np.abs(fit.amplitude - paths.amplitude) / np.abs(paths.amplitude) < 5 / np.sqrt(fit.power)
    )


def test_fisher_scoring_from_nearby_ends_at_the_truth(suppressed):
    joint, state, paths = suppressed
    start = replace(
        state,
        points_m=state.points_m + 0.3 * (np.arange(3) < joint.maker.dimension),
        doppler_hz=state.doppler_hz + 60.0,
    )
    fit = joint.fisher_scoring(joint.match(start), steps=15, tolerance=0.02)
    size = joint.maker.dimension
    for target in range(2):
        away = (fit.state.points_m - state.points_m)[target, :size]
        assert away @ fit.target_information[target] @ away < 25
    fast = np.abs(paths.doppler_hz) > 0.5 * joint.maker.reference.frame.grid.doppler_resolution_hz
    errors = (fit.state.doppler_hz - paths.doppler_hz) ** 2 * fit.doppler_information
    assert fast.any() and np.all(errors[fast] < 25)


def test_energies_of_replicas_are_those_of_projected_waveforms(listener):
    static = unknown_static(listener.frame.streams)
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz, static)
    maker = ReplicaMaker(listener.scene, listener.site, reference)
    point = np.array(PLACES[listener.scene.name][:1])
    shifts = np.array([0.0, 150.0, 700.0])
    state = PathState(np.repeat(point, 3, 0), np.arange(3), np.zeros(3, int), shifts)
    gram = maker.make(state).gram[:, 0, 0].real

    filters, _ = maker.filters_at(0, point)
    times = np.repeat(reference.block_times_s, reference.block)
    for shift, found in zip(shifts, gram):
        energy = 0.0
        for subcarrier, streams in enumerate(listener.frame.streams):
            waveform = (filters[0, subcarrier] @ streams) * np.exp(2j * np.pi * shift * times)
            energy += np.linalg.norm(waveform.astype(complex) @ span_projector(streams)) ** 2
        whole = sum(
            np.linalg.norm(filters[0, i] @ s) ** 2 for i, s in enumerate(listener.frame.streams)
        )
        assert found == pytest.approx(max(energy, 1e-3 * whole), rel=1e-3)


def test_the_remaining_share_falls_to_zero_without_doppler(listener):
    static = unknown_static(listener.frame.streams)
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz, static)
    cell = listener.frame.grid.doppler_resolution_hz
    shares = reference.static_share(cell * np.array([0.0, 0.5, 1.0, 3.0]))
    streams, symbols = listener.frame.streams.shape[1:]
    left = 1 - streams / symbols
    assert shares[0] < 1e-3
    assert shares[1] == pytest.approx(left * (1 - np.sinc(0.5) ** 2), abs=0.05)
    assert shares[2:] == pytest.approx([left, left], abs=0.05)


@pytest.mark.parametrize("cells", [0.6, 1.0, 2.5])
def test_doppler_information_is_the_curvature_of_the_projected_likelihood(small, cells):
    grid, power = small.grid, 1e4
    shift, step = cells * grid.doppler_resolution_hz, 1.0
    times = grid.symbol_times_s - grid.symbol_times_s.mean()
    project = np.eye(len(times)) - 1 / len(times)
    true = project @ np.exp(2j * np.pi * shift * times)

    def log_likelihood(tried):
        waveform = project @ np.exp(2j * np.pi * tried * times)
        return (
            power
            * abs(np.vdot(waveform, true)) ** 2
            / np.vdot(waveform, waveform).real
            / np.vdot(true, true).real
        )

    curvature = (
        2 * log_likelihood(shift) - log_likelihood(shift + step) - log_likelihood(shift - step)
    ) / step**2
    found = suppressed_doppler_information(grid, np.array([power]), np.array([shift]))[0]
    assert found == pytest.approx(curvature, rel=0.01)


def test_slow_paths_have_an_ambiguous_shift(small):
    cell = small.grid.doppler_resolution_hz
    found = suppressed_doppler_information(
        small.grid, np.full(3, 1e8), cell * np.array([0.0, 0.1, 0.3])
    )
    assert np.all(1 / np.sqrt(found) > cell * np.array([0.1, 0.2, 0.6]))


def test_the_first_frame_is_searched_before_its_packet_where_static_paths_are_suppressed(listener):
    """In empty space the search follows the packet; there nothing is reported in the first
    frame.
    """
    scene, name = listener.scene, listener.site.name
    echo, _ = listener.echo(PLACES[scene.name], VELOCITIES, 1e-5)
    found = {}
    for mode in ("keep", "project"):
        sensing = replace(scene.sensing, static_paths=mode)
        scheme = Chain("local_ml", replace(scene, sensing=sensing), live=True)
        packet = scheme.encode(echo, listener.frame, name)
        found[mode] = len(unpack_reports(scheme.scene, name, listener.frame.number, packet))
    assert found == {"keep": 0, "project": 2}

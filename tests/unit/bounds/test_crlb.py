"""The bound in closed form against automatic differentiation of CF eq. 6."""

from dataclasses import replace

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import make_jvp
from unit.bounds.echo_model import drawn, embedded, path_echo, reflections, signals

from cooperative_isac.bounds.crlb import crlb, path_information
from cooperative_isac.channel.interference import interference_covariance
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.band import Interferer
from cooperative_isac.scene.model import TargetClass, TargetState


def information(scene, echo, unknowns, num_wanted):
    """FIM of CF eq. 23 by automatic differentiation, and its Schur complement, CF eq. 24."""

    def samples(values):
        rho = echo(values)
        return anp.concatenate([anp.real(rho).ravel(), anp.imag(rho).ravel()])

    jvp = make_jvp(samples)(unknowns)
    jacobian = np.array([jvp(direction)[1] for direction in np.eye(len(unknowns))])
    fisher = 2 / scene.propagation.noise_power_w * jacobian @ jacobian.T
    cross = fisher[:num_wanted, num_wanted:]
    unwanted = fisher[num_wanted:, num_wanted:]
    return fisher[:num_wanted, :num_wanted] - cross @ np.linalg.solve(unwanted, cross.T)


def receiver_information(scene, frame, targets, receiver, paths, root=None):
    """Information of one receiver's echo about all locations, then all velocities.

    root: whitens its antennas
    """
    size = scene.dimension
    count = len(targets)
    sent = signals(frame)
    places = [t.position_m[:size] for t in targets]
    velocities = [t.velocity_mps[:size] for t in targets]
    state = np.ravel([places, velocities])
    beta = reflections(scene, paths)

    def echo(values):
        locations, velocities = anp.reshape(values[: 2 * size * count], (2, count, size))
        real, imaginary = anp.reshape(values[2 * size * count :], (2, -1))
        rho = sum(
            path_echo(
                scene,
                frame,
                receiver,
                tx,
                sent[tx],
                embedded(scene, locations[q]),
                embedded(scene, velocities[q]),
                real[p] + 1j * imaginary[p],
            )
            for p, (tx, q) in enumerate(zip(paths.transmitter, paths.scatterer))
        )
        return rho if root is None else anp.tensordot(root, rho, axes=1)

    return information(scene, echo, np.concatenate([state, beta.real, beta.imag]), len(state))


def all_information(scene, frame, targets, paths):
    """Information of all receivers' echoes."""
    return sum(
        receiver_information(scene, frame, targets, site, paths[site.name])
        for site in scene.receivers
    )


def test_the_bound_is_that_of_automatic_differentiation(scene):
    frame, targets, paths = drawn(scene)
    expected = all_information(scene, frame, targets, paths)
    found = np.linalg.inv(crlb(scene, frame, targets, paths).covariance)
    scale = np.sqrt(np.diag(expected))
    assert np.allclose(found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=2e-4)


def test_the_bound_of_a_migrating_path_is_that_of_automatic_differentiation(scene):
    # Frames so long that targets pass several range cells.
    waveform = replace(scene.waveform, grid=replace(scene.grid, symbol_stride=4000))
    propagation = replace(scene.propagation, range_migration=True)
    long = replace(scene, waveform=waveform, propagation=propagation)
    frame, targets, paths = drawn(long)
    expected = all_information(long, frame, targets, paths)
    found = np.linalg.inv(crlb(long, frame, targets, paths).covariance)
    scale = np.sqrt(np.diag(expected))
    assert np.allclose(found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=2e-4)

    still = replace(long, propagation=scene.propagation)
    other = np.linalg.inv(crlb(still, frame, targets, paths).covariance)
    assert not np.allclose(
        other / np.outer(scale, scale), found / np.outer(scale, scale), atol=2e-3
    )


def test_interference_is_noise_of_its_covariance(scene):
    # Two interferers; whitening by a Cholesky factor gives the same information as any other root.
    other = Interferer("other", scene.receivers[0].position_m + [30.0, 40, 0], 5.0)
    another = Interferer("another", scene.receivers[1].position_m + [-40.0, 10, 0], 5.0)
    propagation = replace(scene.propagation, interferers=(other, another))
    beside = replace(scene, propagation=propagation)
    frame, targets, paths = drawn(scene)
    expected = 0
    for site in scene.receivers:
        noise_w = scene.propagation.noise_power_w
        covariance = np.eye(site.num_ant) + interference_covariance(beside, site) / noise_w
        root = np.linalg.inv(np.linalg.cholesky(covariance))
        expected = expected + receiver_information(
            scene, frame, targets, site, paths[site.name], root
        )
    found = np.linalg.inv(crlb(beside, frame, targets, paths).covariance)
    scale = np.sqrt(np.diag(expected))
    assert np.allclose(found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=2e-4)

    # Without interference it is more.
    alone = crlb(scene, frame, targets, paths).location_m
    assert np.all(alone < crlb(beside, frame, targets, paths).location_m)


def test_path_information_by_automatic_differentiation(scene):
    frame, targets, paths = drawn(scene)
    site = scene.receivers[1]
    target = targets[0]
    size = scene.dimension
    for tx in (0, 1):
        drawn_paths = paths[site.name]
        row = int(np.flatnonzero((drawn_paths.transmitter == tx) & (drawn_paths.scatterer == 0))[0])
        beta = reflections(scene, drawn_paths)[row]
        sent = signals(frame)[tx]

        def echo(values):
            return path_echo(
                scene,
                frame,
                site,
                tx,
                sent,
                embedded(scene, values[:size]),
                embedded(scene, values[size : 2 * size]),
                values[-2] + 1j * values[-1],
            )

        state = [*target.position_m[:size], *target.velocity_mps[:size], beta.real, beta.imag]
        expected = information(scene, echo, np.array(state), 2 * size)
        found = path_information(scene, frame, site, tx, target, drawn_paths.amplitude[row])
        scale = np.sqrt(np.diag(expected))
        assert np.allclose(
            found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=2e-4
        )


def test_the_bound_falls_with_power(scene):
    frame, targets, paths = drawn(scene)
    louder = replace(
        frame,
        precoders=2 * frame.precoders,
        reference=replace(frame.reference, precoders=2 * frame.reference.precoders),
    )
    before, after = (crlb(scene, signal, targets, paths) for signal in (frame, louder))
    assert np.allclose(after.covariance * 4, before.covariance, rtol=1e-3)
    assert np.allclose(after.location_m * 2, before.location_m, rtol=1e-3)


def test_a_receiver_more_never_hurts(scene):
    frame, targets, paths = drawn(scene)
    site = scene.receivers[0]
    alone = crlb(replace(scene, receivers=(site,)), frame, targets, paths).covariance
    both = crlb(scene, frame, targets, paths).covariance
    observable = np.isfinite(np.diag(alone))
    alone, both = (matrix[np.ix_(observable, observable)] for matrix in (alone, both))
    assert observable.any() and np.linalg.eigvalsh(alone - both)[0] > -1e-6 * np.trace(both)
    assert np.trace(both) < 0.9 * np.trace(alone)


def still(*places, velocity=(3.0, 2, 1)):
    return [
        TargetState("", TargetClass.UNKNOWN, np.array(place), np.array(velocity))
        for place in places
    ]


def paths_of(scene, targets):
    """Paths to each receiver, all of one strength."""
    paths = {
        site.name: draw_paths(scene, site, targets, np.zeros((0, 3)), np.random.default_rng(0))
        for site in scene.receivers
    }
    for found in paths.values():
        found.amplitude[:] *= 1e-6 / np.abs(found.amplitude)
    return paths


def test_a_velocity_with_one_observable_component_has_no_bound(small):
    lonely = replace(small, transmitters=small.transmitters[:1], receivers=small.receivers[:1])
    targets = still((25.0, 20, 0))
    bound = crlb(lonely, transmit(lonely, 0), targets, paths_of(lonely, targets))
    assert np.isfinite(bound.location_m[0]) and bound.velocity_mps[0] == np.inf
    assert not bound.covariance[2:, :2].any() and bound.covariance[2, 3] == 0


def test_an_unobservable_axis_leaves_the_others_their_bound(small):
    lonely = replace(small, transmitters=small.transmitters[:1], receivers=small.receivers[:1])
    targets = still(
        (25.0, 30, 0)
    )  # half-way between (15, -2) and (15, 62): the shift measures vx only
    variances = np.diag(
        crlb(lonely, transmit(lonely, 0), targets, paths_of(lonely, targets)).covariance
    )
    assert np.isfinite(variances[:3]).all() and variances[3] == np.inf


def test_targets_in_one_state_have_no_bound(small):
    places = [(25.0, 20, 0), (45.0, 40, 0)]
    frame = transmit(small, 0)
    other = still(places[1], velocity=(-4.0, 3, 0))
    alone, twins = (still(places[0]) * count + other for count in (1, 2))
    before, after = (
        crlb(small, frame, targets, paths_of(small, targets)) for targets in (alone, twins)
    )
    assert np.all(after.location_m[:2] == np.inf) and np.all(after.velocity_mps[:2] == np.inf)
    assert after.location_m[2] == pytest.approx(before.location_m[1], rel=0.01)


def test_a_path_without_amplitude_has_no_information(small):
    targets = still((25.0, 20, 0), (45.0, 40, 0))
    frame = transmit(small, 0)
    paths = paths_of(small, targets)
    for found in paths.values():
        found.amplitude[found.scatterer == 1] = 0
    found = crlb(small, frame, targets, paths)
    alone = crlb(small, frame, targets[:1], paths_of(small, targets[:1]))
    assert found.location_m[1] == found.velocity_mps[1] == np.inf
    assert found.location_m[0] == pytest.approx(alone.location_m[0], rel=0.05)


def test_no_targets_have_a_bound_without_entries(small):
    bound = crlb(small, transmit(small, 0), [], paths_of(small, []))
    assert bound.location_m.shape == bound.velocity_mps.shape == (0,)


def test_roots_are_those_of_each_target(small):
    frame, targets, paths = drawn(small)
    bound = crlb(small, frame, targets, paths)
    variances = np.diag(bound.covariance)
    assert bound.covariance.shape == (8, 8)
    assert bound.location_m == pytest.approx(np.sqrt(variances[[0, 2]] + variances[[1, 3]]))
    assert bound.velocity_mps == pytest.approx(np.sqrt(variances[[4, 6]] + variances[[5, 7]]))


def test_far_targets_are_bounded_as_if_alone_and_near_ones_worse(small):
    frame = transmit(small, 0)
    bounds = {}
    for distance in (25.0, 1.0, None):
        places = [np.array([25.0, 20, 0])] + (
            [np.array([25.0, 20 + distance, 0])] if distance else []
        )
        targets = [
            TargetState("", TargetClass.UNKNOWN, place, np.array([3.0, 2, 0])) for place in places
        ]
        paths = {
            site.name: draw_paths(small, site, targets, np.zeros((0, 3)), np.random.default_rng(0))
            for site in small.receivers
        }
        for drawn_paths in paths.values():
            drawn_paths.amplitude[:] = 1e-6
        bounds[distance] = crlb(small, frame, targets, paths).location_m[0]
    assert (
        bounds[25.0] == pytest.approx(bounds[None], rel=0.05) and bounds[1.0] > 1.2 * bounds[None]
    )


def test_clutter_is_left_out(small):
    frame, targets, _ = drawn(small)
    paths = {
        site.name: draw_paths(
            small, site, targets, np.array([[30.0, 30, 0]]), np.random.default_rng(1)
        )
        for site in small.receivers
    }
    alone = {name: found.chosen(found.scatterer < 2) for name, found in paths.items()}
    assert np.array_equal(
        crlb(small, frame, targets, paths).covariance, crlb(small, frame, targets, alone).covariance
    )

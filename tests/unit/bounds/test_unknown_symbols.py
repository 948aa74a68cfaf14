"""The bound without symbols against automatic differentiation of the echo's covariance."""

from dataclasses import replace

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import make_jvp
from unit.bounds.echo_model import drawn as drawn_with_reference
from unit.bounds.echo_model import embedded, path_echo, reflections

from cooperative_isac.bounds.crlb import crlb
from cooperative_isac.bounds.unknown_symbols import crlb_unknown_symbols
from cooperative_isac.scene.model import Scene


def drawn(scene):
    """A frame without reference symbols, its targets, and the paths to each receiver."""
    frame, *others = drawn_with_reference(scene)
    return replace(frame, reference=None, reference_strides=(0, 0)), *others


def all_information(scene: Scene, frame, targets, paths):
    """FIM of all antennas together about locations, velocities and reflections, one resource
    element at a time.
    """
    size = scene.dimension
    count = len(targets)
    noise = scene.propagation.noise_power_w
    states = [t.position_m[:size] for t in targets], [t.velocity_mps[:size] for t in targets]
    received = [
        (site, tx, q)
        for site in scene.receivers
        for tx, q in zip(paths[site.name].transmitter, paths[site.name].scatterer)
    ]
    beta = np.concatenate([reflections(scene, paths[site.name]) for site in scene.receivers])

    def covariances(values):
        locations, velocities = anp.reshape(values[: 2 * size * count], (2, count, size))
        real, imaginary = anp.reshape(values[2 * size * count :], (2, -1))
        total = 0
        for stream in range(frame.precoders.shape[2]):
            column = np.repeat(frame.precoders[:, :, stream], frame.group_size, 0).astype(complex)[
                ..., None
            ]
            sent = [column[:, part] * np.ones(frame.grid.num_symbols) for part in frame.antennas]
            echoes = [
                path_echo(
                    scene,
                    frame,
                    site,
                    tx,
                    sent[tx],
                    embedded(scene, locations[q]),
                    embedded(scene, velocities[q]),
                    real[p] + 1j * imaginary[p],
                )
                for p, (site, tx, q) in enumerate(received)
            ]
            echo = anp.concatenate(
                [
                    sum(each for each, path in zip(echoes, received) if path[0] is site)
                    for site in scene.receivers
                ]
            )
            total = total + echo[:, None] * anp.conj(echo)[None]
        return total / noise

    unknowns = np.concatenate([np.ravel(states), beta.real, beta.imag])
    value = covariances(unknowns)
    jvp = make_jvp(
        lambda values: anp.stack([anp.real(covariances(values)), anp.imag(covariances(values))])
    )(unknowns)
    changes = [
        real + 1j * imaginary for real, imaginary in (jvp(row)[1] for row in np.eye(len(unknowns)))
    ]
    fisher = np.zeros((len(unknowns), len(unknowns)))
    for element in np.ndindex(value.shape[2:]):
        whitening = np.linalg.inv(value[(..., *element)] + np.eye(len(value)))
        rows = [whitening @ change[(..., *element)] for change in changes]
        fisher += [[np.trace(first @ second).real for second in rows] for first in rows]
    phase = np.concatenate([np.zeros(np.size(states)), -beta.imag, beta.real])
    return fisher + np.trace(fisher) * np.outer(
        phase, phase
    )  # it has no information, and nothing depends on it


def test_the_bound_is_that_of_automatic_differentiation(scene):
    frame, targets, paths = drawn(scene)
    wanted = 2 * scene.dimension * len(targets)
    fisher = all_information(scene, frame, targets, paths)
    cross = fisher[:wanted, wanted:]
    others = fisher[wanted:, wanted:]
    expected = fisher[:wanted, :wanted] - cross @ np.linalg.solve(others, cross.T)
    scale = np.sqrt(np.diag(expected))
    expected = np.linalg.pinv(expected / np.outer(scale, scale), 1e-9, hermitian=True)
    found = crlb_unknown_symbols(scene, frame, targets, paths).covariance
    observable = np.flatnonzero(np.isfinite(np.diag(found)))
    assert len(observable) == (
        wanted if scene.dimension == 2 else wanted // 2
    )  # too few differences of Doppler shifts
    rows = np.ix_(observable, observable)
    assert np.allclose(
        found[rows] * np.outer(scale, scale)[rows], expected[rows], rtol=1e-3, atol=1e-3
    )


def test_known_symbols_have_more_information(scene):
    frame, targets, paths = drawn(scene)
    known, unknown = (bound(scene, frame, targets, paths) for bound in (crlb, crlb_unknown_symbols))
    assert np.all(unknown.location_m > known.location_m) and np.all(
        unknown.velocity_mps > known.velocity_mps
    )


def test_one_transmitter_leaves_velocity_unobservable(small):
    lonely = replace(small, transmitters=small.transmitters[:1])
    frame, targets, paths = drawn(lonely)
    bound = crlb_unknown_symbols(lonely, frame, targets[:1], paths)
    assert bound.velocity_mps[0] == np.inf


def test_transmitters_with_streams_of_their_own_leave_the_angles(small):
    frame, targets, paths = drawn(small)
    own = np.concatenate([frame.precoders, frame.precoders], 2)
    for index, part in enumerate(frame.antennas):
        streams = slice(index * frame.precoders.shape[2], (index + 1) * frame.precoders.shape[2])
        others = np.ones(own.shape[1], bool)
        others[part] = False
        own[:, others, streams] = 0
    bound = crlb_unknown_symbols(small, replace(frame, precoders=own), targets[:1], paths)
    shared = crlb_unknown_symbols(small, frame, targets[:1], paths)
    assert (
        shared.location_m[0] < bound.location_m[0] < 20 * shared.location_m[0]
        and bound.velocity_mps[0] == np.inf
    )


def test_known_reference_symbols_are_refused(small):
    frame, targets, paths = drawn_with_reference(small)
    with pytest.raises(ValueError, match="frame 2 has reference symbols"):
        crlb_unknown_symbols(small, frame, targets, paths)


def test_no_targets_have_a_bound_without_entries(small):
    frame, _, paths = drawn(small)
    assert crlb_unknown_symbols(small, frame, [], paths).covariance.shape == (0, 0)

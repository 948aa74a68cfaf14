"""Replicas of paths against plain loops over antennas, symbols and streams."""

import cmath
import math

import numpy as np
import pytest

from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.static_paths import unknown_static

PLACES = {
    "small": ((22.0, 31.0, 0.0), (41.0, 18.0, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (70.0, 60.0, 6.0)),
}


@pytest.fixture
def maker(listener):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    return ReplicaMaker(listener.scene, listener.site, reference)


@pytest.fixture
def state(listener):
    """Three paths of two targets, whose transmitters are not in order."""
    return PathState(
        np.array(PLACES[listener.scene.name]),
        np.array([1, 0, 0]),
        np.array([1, 1, 0]),
        np.array([130.0, -420.0, 0.0]),
    )


def steering_by_loop(elements_m, direction, wavelength_m):
    """Unit-norm steering vector, antenna by antenna."""
    found = []
    for element in elements_m:
        along = sum(element[axis] * direction[axis] for axis in range(3))
        found.append(cmath.exp(2j * math.pi * along / wavelength_m) / math.sqrt(len(elements_m)))
    return found


def filter_by_loop(scene, receiver, frame, transmitter, point_m):
    """Stream weights of one path, [num_subcarriers, num_streams]."""
    site = scene.transmitters[transmitter]
    sent_m = math.dist(site.position_m, point_m)
    delay_s = (sent_m + math.dist(receiver.position_m, point_m)) / SPEED_OF_LIGHT_MPS
    direction = (point_m - site.position_m) / sent_m
    steering = steering_by_loop(site.elements_m, direction, scene.grid.wavelength_m)
    first = frame.antennas[transmitter].start
    weights = np.zeros((frame.grid.num_subcarriers, frame.precoders.shape[-1]), complex)
    for subcarrier, offset_hz in enumerate(frame.grid.subcarrier_offsets_hz):
        precoder = frame.precoders[subcarrier // frame.group_size].astype(complex)
        for antenna, gain in enumerate(steering):
            weights[subcarrier] += gain * precoder[first + antenna]
        weights[subcarrier] *= cmath.exp(-2j * math.pi * offset_hz * delay_s)
    return weights


def test_filters_are_those_of_a_plain_loop(listener, maker, state):
    filters = maker.make(state).filters
    for path in range(state.num_paths):
        wanted = filter_by_loop(
            listener.scene,
            listener.site,
            listener.frame,
            int(state.transmitter[path]),
            state.points_m[state.owner[path]],
        )
        assert np.allclose(filters[path, 0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_slopes_of_filters_and_steering_are_those_of_finite_differences(listener, maker, state):
    scene, site, frame = listener.scene, listener.site, listener.frame
    replica = maker.make(state)
    step_m = 1e-5

    def arrival(point_m):
        direction = (point_m - site.position_m) / math.dist(site.position_m, point_m)
        return np.array(steering_by_loop(site.elements_m, direction, scene.grid.wavelength_m))

    for axis in range(scene.dimension):
        step = step_m * np.eye(3)[axis]
        for path in range(state.num_paths):
            point_m, transmitter = state.points_m[state.owner[path]], int(state.transmitter[path])
            ahead, behind = (
                filter_by_loop(scene, site, frame, transmitter, point_m + sign * step)
                for sign in (1, -1)
            )
            slope = (ahead - behind) / (2 * step_m)
            found = replica.filters[path, 1 + axis]
            assert np.allclose(found, slope, rtol=0, atol=1e-4 * np.abs(slope).max())
        for target, point_m in enumerate(state.points_m):
            slope = (arrival(point_m + step) - arrival(point_m - step)) / (2 * step_m)
            found = replica.receive[target, 1 + axis]
            assert np.allclose(found, slope, rtol=0, atol=1e-4 * np.abs(slope).max())


def test_waveforms_are_echoes_of_a_path_correlated_with_the_streams(listener, maker, state):
    replica = maker.make(state)
    reference = maker.reference
    block = reference.block
    times_s = listener.frame.grid.symbol_times_s
    for path, subcarrier, middle in ((0, 3, 1), (1, 20, 0), (2, 7, reference.num_blocks - 1)):
        symbols = range(middle * block, (middle + 1) * block)
        streams = reference.streams[subcarrier].astype(complex)
        weights = replica.filters[path, 0, subcarrier].astype(complex)

        # Doppler phase at the block's center, and gain of the sum over the block.
        shift_hz = state.doppler_hz[path]
        center_s = np.mean([times_s[symbol] for symbol in symbols])
        turn = cmath.exp(2j * math.pi * shift_hz * center_s)
        left = np.mean(
            [cmath.exp(2j * math.pi * shift_hz * (times_s[t] - center_s)) for t in symbols]
        )
        for stream in range(len(streams)):
            wanted = 0
            for symbol in symbols:
                wanted += (weights @ streams[:, symbol]) * streams[stream, symbol].conj()
            wanted *= turn * left
            found = replica.waveforms[path, subcarrier, stream, middle]
            assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5 * np.abs(weights).max())


def test_inner_products_of_filters_are_sums_over_subcarriers(maker, state):
    replica = maker.make(state)
    for path in range(state.num_paths):
        wanted = 0
        for subcarrier, gram in enumerate(maker.reference.gram.astype(complex)):
            filters = replica.filters[path, :, subcarrier].astype(complex)
            wanted = wanted + filters.conj() @ gram @ filters.T
        scale = np.sqrt(np.outer(np.diag(wanted).real, np.diag(wanted).real))
        assert np.allclose(replica.gram[path] / scale, wanted / scale, atol=1e-5)


@pytest.mark.parametrize("is_suppressed", [False, True])
def test_inner_products_of_waveforms_are_those_of_finite_differences(listener, is_suppressed):
    streams = listener.frame.streams
    static = unknown_static(streams) if is_suppressed else None
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz, static)
    maker = ReplicaMaker(listener.scene, listener.site, reference)
    place = np.array(PLACES[listener.scene.name])
    state = PathState(place, np.array([0, 1]), np.array([1, 0]), np.array([-420.0, 130.0]))
    size = listener.scene.dimension
    replica = maker.make(state)
    found = maker.waveform_products(replica.filters, replica.doppler_phases)

    def waveforms(step_m, axis, step_hz):
        """Waveforms of both paths with every symbol by itself, static paths suppressed."""
        moved_m = place + step_m * (np.arange(3) == axis)
        shifts_hz = state.doppler_hz + step_hz
        filters = [
            filter_by_loop(listener.scene, listener.site, listener.frame, transmitter, point)
            for transmitter, point in zip(state.transmitter, moved_m)
        ]
        times_s = np.repeat(reference.block_times_s, reference.block_sizes) - reference.middle_s
        sent = np.einsum("pik,ikt->pit", filters, streams.astype(complex))
        sent = sent * np.exp(2j * np.pi * shifts_hz[:, None, None] * times_s)
        if not is_suppressed:
            return sent
        basis = np.linalg.svd(streams.astype(complex), full_matrices=False)[2]
        inside = np.einsum("pit,ikt->pik", sent, basis.conj())
        return sent - np.einsum("pik,ikt->pit", inside, basis)

    # Each waveform, its derivatives with the location, and that with the Doppler shift.
    slopes = [
        (waveforms(1e-3, axis, 0.0) - waveforms(-1e-3, axis, 0.0)) / 2e-3 for axis in range(size)
    ]
    slopes.append(waveforms(0.0, 0, 0.5) - waveforms(0.0, 0, -0.5))
    rows = np.stack([waveforms(0.0, 0, 0.0), *slopes], axis=1).reshape(2, size + 2, -1)
    expected = np.einsum("pin,qjn->piqj", rows.conj(), rows)

    # The frame's middle is another phase of each path.
    phase = np.exp(2j * np.pi * state.doppler_hz * reference.middle_s)
    expected *= (phase.conj()[:, None] * phase)[:, None, :, None]
    scale = np.sqrt(np.einsum("pipi->pi", expected).real)
    error = np.abs(found - expected) / (scale[:, :, None, None] * scale)
    assert error.max() < 2e-3


def test_filters_of_several_transmitters_are_those_of_each_alone(maker, state):
    points_m = state.points_m[state.owner]
    filters, energy = maker.filters_at(state.transmitter, points_m)
    for path, transmitter in enumerate(state.transmitter):
        alone, energy_alone = maker.filters_at(int(transmitter), points_m[path][None])
        assert np.allclose(filters[path], alone[0], rtol=1e-5, atol=1e-6 * np.abs(alone).max())
        assert energy[path] == pytest.approx(energy_alone[0], rel=1e-5)


def test_no_points_have_no_filters(maker):
    filters, energy = maker.filters_at(0, np.zeros((0, 3)))
    assert filters.shape == (0, *maker.reference.streams.shape[:2])
    assert energy.shape == (0,)

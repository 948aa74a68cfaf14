"""Matching with the samples of an echo, against the correlation with its streams as a twin."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.clocks import ClockOffsets, clock_phasors
from cooperative_isac.pipeline import make_frame, receive, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.coupling import coupled_information
from cooperative_isac.sensing.joint_fit import subtract_paths
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.peaks import find_peaks
from cooperative_isac.sensing.reacquire import reacquired
from cooperative_isac.sensing.sample_reference import SampleReference, sample_reference
from cooperative_isac.sensing.static_paths import unknown_static
from cooperative_isac.waveform.offset_signal import with_clock_offsets

# Single precision, over the largest value.
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def echo():
    """Scene, echo of a station in it, and the streams as they arrive there."""
    scene = load_scene("multi_bs_clocks")
    frame = make_frame(scene, 3, 0.75)
    samples = receive(scene, frame, "bs2", scene_targets(scene, 0.75))["high"].samples
    offsets = ClockOffsets(
        np.array([-50e-9, 0.0, -130e-9, -30e-9]), np.array([200.0, 0.0, 350.0, -120.0]), np.zeros(4)
    )
    signal = transmit(scene, 3)
    return scene, samples, with_clock_offsets(signal, clock_phasors(signal.grid, offsets))


@pytest.fixture(scope="module")
def joints(echo):
    """The likelihood by the samples, and by the correlation with the streams."""
    scene, samples, streams = echo
    sensor = LocalMl(scene, scene.receiver("bs2"), scene.grid)
    by_samples = replace(sensor, by_samples=True).correlate(samples, streams)
    return sensor, by_samples, sensor.correlate(samples, streams)


@pytest.fixture(scope="module")
def state():
    """Targets with several paths each, the last two hardly resolved."""
    return PathState(
        np.array([[20.0, 31.0, 14.0], [41.0, 18.0, 20.0], [41.5, 18.0, 20.0]]),
        np.array([0, 0, 1, 1, 1, 2, 2]),
        np.array([1, 3, 0, 1, 2, 1, 2]),
        np.array([130.0, -420.0, 0.0, 610.0, -37.0, 590.0, -60.0]),
    )


def assert_same(found, wanted):
    """Equal but for the rounding of single precision."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


def test_samples_are_fewer_values_than_the_correlation(joints):
    _, by_samples, by_streams = joints
    assert isinstance(by_samples.maker.reference, SampleReference)
    assert 8 * by_samples.correlation.size == by_streams.correlation.size


def test_fits_are_those_of_the_correlation(joints, state):
    _, by_samples, by_streams = joints
    found = by_samples.match(state)
    wanted = by_streams.match(state)
    for name in (
        "amplitude",
        "explained",
        "power",
        "location_slope",
        "doppler_slope",
        "information",
        "doppler_information",
        "coherence",
    ):
        assert_same(getattr(found, name), getattr(wanted, name))


def test_signals_of_paths_are_those_of_a_plain_loop(echo, joints, state):
    _, by_samples, _ = joints
    _, _, streams = echo
    replica = by_samples.maker.make(state)
    times_s = streams.grid.symbol_times_s
    for path, subcarrier, symbol in ((0, 3, 1), (4, 20, 0), (6, 63, 31)):
        weights = replica.filters[path, 0, subcarrier].astype(complex)
        wanted = sum(
            weights[stream] * complex(streams.symbols[subcarrier, stream, symbol])
            for stream in range(len(weights))
        )
        wanted *= np.exp(2j * np.pi * state.doppler_hz[path] * times_s[symbol])
        found = complex(replica.waveforms[path, subcarrier, 0, symbol])
        assert found == pytest.approx(wanted, abs=1e-5 * np.abs(weights).max())


def test_scoring_ends_at_the_same_place(joints, state):
    _, by_samples, by_streams = joints
    found = by_samples.fisher_scoring(by_samples.match(state), steps=3, tolerance=1e-3)
    wanted = by_streams.fisher_scoring(by_streams.match(state), steps=3, tolerance=1e-3)
    np.testing.assert_allclose(found.state.points_m, wanted.state.points_m, atol=1e-3)
    np.testing.assert_allclose(found.state.doppler_hz, wanted.state.doppler_hz, atol=0.1)


def test_information_of_coherent_paths_is_that_of_the_correlation(joints, state):
    _, by_samples, by_streams = joints
    targets = np.array([1, 2])
    found = coupled_information(by_samples.maker, by_samples.match(state), targets)
    wanted = coupled_information(by_streams.maker, by_streams.match(state), targets)
    scale = np.sqrt(np.diag(wanted))
    assert_same(found / np.outer(scale, scale), wanted / np.outer(scale, scale))


def test_reacquired_shifts_are_those_of_the_correlation(joints, state):
    _, by_samples, by_streams = joints
    found = reacquired(by_samples, by_samples.match(state), 900.0)
    wanted = reacquired(by_streams, by_streams.match(state), 900.0)
    np.testing.assert_array_equal(found.doppler_hz, wanted.doppler_hz)
    assert not np.array_equal(found.doppler_hz, state.doppler_hz)


def test_surface_and_peaks_of_a_residual_are_those_of_the_correlation(joints, state):
    sensor, by_samples, by_streams = joints
    left = {}
    surfaces = {}
    for joint in (by_samples, by_streams):
        left[id(joint)] = subtract_paths(joint.correlation, joint.match(state))
        surfaces[id(joint)] = sensor.surface(joint, left[id(joint)])
    found = surfaces[id(by_samples)]
    wanted = surfaces[id(by_streams)]
    assert_same(found.power, wanted.power)
    is_high = wanted.power > 10.0
    np.testing.assert_array_equal(found.doppler_hz[is_high], wanted.doppler_hz[is_high])

    # The peaks, and their powers in another residual.
    pairs = [
        find_peaks(sensor, joint.maker, surfaces[id(joint)], most=4)
        for joint in (by_samples, by_streams)
    ]
    assert len(pairs[0]) == len(pairs[1]) > 0
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one.point_m, other.point_m)
        power = one.power(left[id(by_samples)])
        assert power == pytest.approx(other.power(left[id(by_streams)]), rel=1e-3)
        assert power > 10.0


def test_targets_are_found_with_all_paths_as_by_the_correlation(joints):
    sensor, by_samples, by_streams = joints
    found = replace(sensor, by_samples=True).find(by_samples)
    wanted = sensor.find(by_streams)
    np.testing.assert_array_equal(found.state.transmitter, wanted.state.transmitter)
    np.testing.assert_allclose(found.state.points_m, wanted.state.points_m, atol=1e-2)


def test_correlation_is_kept_where_it_is_smaller_or_static_paths_are_suppressed(echo, joints):
    scene, samples, streams = echo
    sensor = replace(joints[0], by_samples=True)
    static = unknown_static(streams.streams)
    suppressed = sensor.correlate(samples, streams, static=static)
    assert not isinstance(suppressed.maker.reference, SampleReference)

    # A single stream has as many values as the echo.
    alone = with_clock_offsets(
        transmit(scene, 3), np.ones((1, *streams.symbols.shape[::2]), np.complex64), [0]
    )
    assert alone.symbols.shape[1] > 1
    single = replace(
        alone,
        symbols=alone.symbols[:, :1],
        precoders=alone.precoders[..., :1],
        stream_slices=(slice(0, 1),),
    )
    one = replace(sensor, scene=replace(scene, transmitters=scene.transmitters[:1]))
    kept = one.correlate(samples, single)
    assert not isinstance(kept.maker.reference, SampleReference)


def test_energies_of_samples_are_those_of_the_gram_matrix(echo, joints):
    _, _, streams = echo
    reference = sample_reference(streams)
    wanted = np.einsum("kst,klt->ksl", streams.symbols.conj(), streams.symbols)
    assert_same(reference.gram, wanted)
    assert_same(reference.gram, joints[2].maker.reference.gram)


@pytest.mark.parametrize("signals", [("prs", "csi_rs", "dmrs"), ("code",)])
def test_antennas_that_send_one_after_another_are_matched_by_samples(plane, listen, signals):
    waveform = replace(
        plane.waveform,
        grid=replace(plane.grid, subcarrier_stride=5, symbol_stride=3),
        signals=signals,
        reference_beams="antennas_in_time",
        reference_symbol_stride=0,
    )
    sensing = replace(plane.sensing, symbols="reference_only")
    listener = listen(replace(plane, waveform=waveform, sensing=sensing))
    place = np.array([22.0, 31.0, 0.0])
    echo, paths = listener.echo([place], [(4.0, -6.0, 0.0)], 1e-4)
    fits = [
        replace(listener.sensor, by_samples=by_samples).sense(echo, listener.frame.reference)
        for by_samples in (False, True)
    ]
    for fit in fits:
        (point_m,) = fit.state.points_m
        assert np.linalg.norm(point_m - place) < 0.02
        by_transmitter = np.argsort(fit.state.transmitter)
        assert np.allclose(fit.state.doppler_hz[by_transmitter], paths.doppler_hz, atol=2)

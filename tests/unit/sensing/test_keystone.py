"""Matching of paths that migrate through range cells, against direct sums and the true echo."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.bounds.crlb import path_information
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.coupling import coupled_information
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.keystone import (
    KeystoneReference,
    KeystoneReplicaMaker,
    keystone_reference,
)
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.path_state import PathState, single_path
from cooperative_isac.sensing.peaks import find_peaks
from cooperative_isac.sensing.reacquire import reacquired
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.static_paths import suppress, unknown_static
from cooperative_isac.sensing.surface import doppler_bins

PLACES = {
    "small": ((22.0, 31.0, 0.0), (41.0, 18.0, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (70.0, 60.0, 6.0)),
}
VELOCITIES = ((9.0, -11.0, 0.0), (-8.0, 12.0, 0.0))


def long_frames(scene, num_symbols=250, stride=32):
    """The scene with a wide band and long frames, in whose echoes paths migrate."""
    grid = replace(scene.grid, subcarrier_stride=16, symbol_stride=stride, num_symbols=num_symbols)
    return replace(
        scene,
        waveform=replace(scene.waveform, grid=grid),
        propagation=replace(scene.propagation, range_migration=True),
    )


def without_noise(scene):
    return replace(scene, propagation=replace(scene.propagation, noise_power_w=0.0))


@pytest.fixture
def listener(scene, listen):
    """A receiver that expects paths that migrate."""
    heard = listen(long_frames(scene))
    heard.sensor = replace(heard.sensor, compensates_migration=True)
    return heard


@pytest.fixture
def joint(listener):
    """The likelihood of two targets' echo, the true state, and the true paths."""
    echo, paths = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    state = PathState(
        np.array(PLACES[listener.scene.name]), paths.scatterer, paths.transmitter, paths.doppler_hz
    )
    return listener.sensor.correlate(echo, listener.frame), state, paths


@pytest.mark.parametrize(("num_symbols", "block"), [(32, 1), (32, 4), (30, 4), (33, 8), (7, 7)])
def test_spectra_are_direct_sums_at_each_frequency(plane, listen, num_symbols, block):
    listener = listen(long_frames(plane, num_symbols))
    reference = KeystoneReference(listener.frame, listener.frame.streams, block)
    rng = np.random.default_rng(num_symbols + block)
    shape = (2, *reference.streams.shape[:2], reference.num_blocks)
    values = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    _, shifts_hz = doppler_bins(reference, listener.sensor.max_doppler_hz)
    found = reference.spectra(values, shifts_hz)
    assert found.shape == (*shape[:3], len(shifts_hz))

    grid = listener.frame.grid
    for one, subcarrier, stream, bin in ((0, 0, 0, 0), (1, 5, 1, -1), (0, 63, 2, 1), (1, 40, 0, 2)):
        bin %= len(shifts_hz)
        ratio = (grid.carrier_hz + grid.subcarrier_offsets_hz[subcarrier]) / grid.carrier_hz
        wanted = 0
        for place in range(reference.num_blocks):
            symbols = range(place * block, min((place + 1) * block, num_symbols))
            center_s = np.mean([grid.symbol_times_s[symbol] for symbol in symbols])
            turn = np.exp(-2j * np.pi * shifts_hz[bin] * ratio * center_s)
            wanted += turn * complex(values[one, subcarrier, stream, place])
        assert found[one, subcarrier, stream, bin] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("num_symbols", "stride", "block"), [(250, 32, 1), (1000, 8, 2)])
def test_paths_of_the_channel_are_explained_entirely(scene, listen, num_symbols, stride, block):
    # Nothing of an echo without noise is left, unlike with constant delays; symbols of a block are
    # summed before.
    scene = long_frames(scene, num_symbols, stride)
    listener = listen(scene)
    heard = listen(without_noise(scene))
    echo, paths = heard.echo(PLACES[scene.name], VELOCITIES, 1e-5)
    state = PathState(
        np.array(PLACES[scene.name]), paths.scatterer, paths.transmitter, paths.doppler_hz
    )
    left = {}
    for compensates in (True, False):
        sensor = replace(listener.sensor, compensates_migration=compensates)
        joint = sensor.correlate(echo, heard.frame)
        assert joint.maker.reference.block == block
        fit = joint.match(state)
        of_echo = np.sum(np.abs(echo) ** 2) / scene.propagation.noise_power_w
        left[compensates] = 1 - fit.explained.sum() / of_echo
        if compensates:
            assert np.allclose(fit.amplitude, paths.amplitude, rtol=1e-3)
    # The sum over a block loses what the Doppler shift turns in it, and no more.
    turned = np.abs(paths.doppler_hz).max() * scene.grid.symbol_period_s * (block - 1) / 2
    assert -1e-3 < left[True] < 1e-3 + (2 * np.pi * turned) ** 2
    assert left[False] > 0.1


def log_likelihood(joint, state):
    """Log-likelihood of paths in the correlation, from first principles: |m^H H^-1 m| / sigma^2."""
    replica = joint.maker.make(state)
    arrivals = replica.receive[state.owner, 0]
    filters = replica.filters[:, 0, :, :, None] * replica.doppler_phases.conj()[:, :, None]
    matched = np.einsum("pr,pikb->prikb", arrivals, filters).reshape(state.num_paths, -1)
    model = np.einsum("pr,pikb->prikb", arrivals, replica.waveforms).reshape(state.num_paths, -1)
    received = matched.astype(complex).conj() @ joint.correlation.reshape(-1).astype(complex)
    overlap = matched.astype(complex).conj() @ model.astype(complex).T
    amplitude = np.linalg.solve(overlap, received)
    return np.real(np.vdot(amplitude, received)) / joint.noise_power_w


def test_the_gradient_is_that_of_the_likelihood(joint):
    joint, state, _ = joint
    cell_hz = joint.maker.reference.frame.grid.doppler_resolution_hz
    state = replace(
        state,
        points_m=state.points_m + 0.1 * (np.arange(3) < joint.maker.dimension),
        doppler_hz=state.doppler_hz + 0.1 * cell_hz,
    )
    fit = joint.match(state)
    for target in range(2):
        for axis in range(joint.maker.dimension):
            step = np.zeros_like(state.points_m)
            step[target, axis] = 0.003
            up, down = (
                log_likelihood(joint, replace(state, points_m=state.points_m + s * step))
                for s in (1, -1)
            )
            scale = np.abs(fit.location_slope).max()
            found = fit.location_slope[target, axis]
            assert found == pytest.approx((up - down) / 0.006, abs=0.03 * scale)
    for path in range(state.num_paths):
        step = 0.02 * cell_hz * (np.arange(state.num_paths) == path)
        up, down = (
            log_likelihood(joint, replace(state, doppler_hz=state.doppler_hz + s * step))
            for s in (1, -1)
        )
        wanted = (up - down) / (0.04 * cell_hz)
        scale = np.abs(fit.doppler_slope).max()
        assert fit.doppler_slope[path] == pytest.approx(wanted, abs=0.03 * scale)


@pytest.mark.parametrize("is_suppressed", [False, True])
def test_inner_products_are_those_of_finite_differences(listener, is_suppressed):
    # Two paths whose derivatives are differences of waveforms over every symbol.
    streams = listener.frame.streams.astype(complex)
    static = unknown_static(listener.frame.streams) if is_suppressed else None
    reference = KeystoneReference(listener.frame, listener.frame.streams, 1, static)
    maker = KeystoneReplicaMaker(listener.scene, listener.site, reference)
    place = np.array(PLACES[listener.scene.name])
    state = PathState(place, np.array([0, 1]), np.array([1, 0]), np.array([-20.0, 31.0]))
    size = listener.scene.dimension
    replica = maker.make(state)
    found = maker.waveform_products(replica.filters, replica.doppler_phases)
    grid = listener.frame.grid
    stretched_s = (1 + grid.subcarrier_offsets_hz / grid.carrier_hz)[:, None] * grid.symbol_times_s

    def waveforms(step_m, axis, step_hz):
        moved = replace(state, points_m=place + step_m * (np.arange(3) == axis))
        filters = maker.make(moved).filters[:, 0].astype(complex)
        sent = np.einsum("pik,ikt->pit", filters, streams)
        shifts_hz = state.doppler_hz[:, None, None] + step_hz
        middle = np.exp(-2j * np.pi * step_hz * reference.middle_s)
        sent = sent * np.exp(2j * np.pi * shifts_hz * stretched_s) * middle
        if not is_suppressed:
            return sent
        basis = np.linalg.svd(streams, full_matrices=False)[2]
        inside = np.einsum("pit,ikt->pik", sent, basis.conj())
        return sent - np.einsum("pik,ikt->pit", inside, basis)

    slopes = [
        (waveforms(1e-2, axis, 0.0) - waveforms(-1e-2, axis, 0.0)) / 2e-2 for axis in range(size)
    ]
    slopes.append((waveforms(0.0, 0, 0.05) - waveforms(0.0, 0, -0.05)) / 0.1)
    rows = np.stack([waveforms(0.0, 0, 0.0), *slopes], axis=1).reshape(2, size + 2, -1)
    expected = np.einsum("pin,qjn->piqj", rows.conj(), rows)
    scale = np.sqrt(np.einsum("pipi->pi", expected).real)
    error = np.abs(found - expected) / (scale[:, :, None, None] * scale)
    assert error.max() < 2e-3

    # The same of each path alone, and its Doppler information with an unknown amplitude.
    rows = [0, *range(1, size + 1)]
    for path in range(2):
        own = expected[path][:, path]
        scale = np.sqrt(np.diag(own).real)
        wanted = own[np.ix_(rows, rows)] / np.outer(scale[rows], scale[rows])
        given = replica.gram[path] / np.outer(scale[rows], scale[rows])
        assert np.abs(np.diag(given) - np.diag(wanted)).max() < 2e-3
        slope_energy = own[-1, -1].real - np.abs(own[0, -1]) ** 2 / own[0, 0].real
        spread = (2 * np.pi) ** 2 * np.var(grid.symbol_times_s)
        wanted = slope_energy / (own[0, 0].real * spread)
        # With suppression up to the power of single symbols, of which it takes the mean.
        tolerance = 0.1 if is_suppressed else 0.02
        assert replica.doppler_share[path] == pytest.approx(wanted, rel=tolerance)


@pytest.mark.parametrize("is_suppressed", [False, True])
def test_far_below_the_carrier_it_is_the_fit_with_constant_delays(plane, listen, is_suppressed):
    # A twin: at a carrier far above the band the frequencies of all subcarriers are the same.
    listener = listen(long_frames(plane, 61))
    far = replace(listener.frame, grid=replace(listener.frame.grid, carrier_hz=1e18))
    static = unknown_static(far.streams) if is_suppressed else None
    reference = StreamReference(far, far.streams, 2, static)
    makers = (
        ReplicaMaker(listener.scene, listener.site, reference),
        KeystoneReplicaMaker(listener.scene, listener.site, keystone_reference(reference)),
    )
    echo, paths = listener.echo(PLACES["small"], VELOCITIES, 1e-5)
    if static is not None:
        echo = suppress(echo, far.streams, static)
    state = PathState(
        np.array(PLACES["small"]), paths.scatterer, paths.transmitter, paths.doppler_hz + 5.0
    )
    wanted, found = (JointFit(maker, reference.correlate(echo), 1e-12) for maker in makers)
    for one in ("amplitude", "power", "location_slope", "doppler_slope", "doppler_information"):
        expected = getattr(wanted.match(state), one)
        scale = np.abs(expected).max()
        assert np.allclose(getattr(found.match(state), one), expected, rtol=0, atol=1e-4 * scale)
    information = [
        coupled_information(one.maker, one.match(state), np.array([0, 1]))
        for one in (wanted, found)
    ]
    scale = np.sqrt(np.diag(information[0]))
    scales = np.outer(scale, scale)
    assert np.allclose(information[1] / scales, information[0] / scales, atol=1e-4)

    # Shifts of missing paths, and reacquired ones.
    fits = [one.match(state) for one in (wanted, found)]
    filters = fits[0].replica.filters[:, 0]
    shifts_hz = np.linspace(-300.0, 300.0, 40)
    spectra = [
        np.abs(one.maker.reference.matched_spectrum(filters, fit.residual[state.owner], shifts_hz))
        for one, fit in zip((wanted, found), fits)
    ]
    assert np.allclose(spectra[1], spectra[0], atol=1e-3 * spectra[0].max())
    cell_hz = far.grid.doppler_resolution_hz
    astray = replace(state, doppler_hz=state.doppler_hz + 3 * cell_hz)
    again = [reacquired(one, one.match(astray), 5 * cell_hz) for one in (wanted, found)]
    assert np.allclose(again[0].doppler_hz, again[1].doppler_hz)
    assert not np.array_equal(again[0].doppler_hz, astray.doppler_hz)


@pytest.mark.parametrize("cells", [-2.3, 1.7])
def test_a_migrating_path_that_left_its_doppler_cell_is_found_again(joint, cells):
    joint, state, paths = joint
    cell_hz = joint.maker.reference.frame.grid.doppler_resolution_hz
    astray = replace(state, doppler_hz=state.doppler_hz + cells * cell_hz)
    found = reacquired(joint, joint.match(astray), 4 * cell_hz)
    assert np.all(np.abs(found.doppler_hz - paths.doppler_hz) < 0.3 * cell_hz)


def test_the_surface_peaks_at_the_path_with_its_power(listener):
    place = PLACES[listener.scene.name][0]
    echo, paths = listener.echo([place], VELOCITIES[:1], 1e-5)
    joint = listener.sensor.correlate(echo, listener.frame)
    surface = listener.sensor.surface(joint, joint.correlation)
    peak = find_peaks(listener.sensor, joint.maker, surface, 1)[0]
    sites_m = (listener.scene.transmitters[peak.transmitter].position_m, listener.site.position_m)
    length_m, true_m = (
        sum(math.dist(site_m, point_m) for site_m in sites_m) for point_m in (peak.point_m, place)
    )
    assert abs(length_m - true_m) < listener.scene.grid.range_resolution_m / 2

    # The power of a peak is that of its cell in the surface, and that of a match there.
    cell = int(np.argmin(np.linalg.norm(listener.sensor.search.points_m - peak.point_m, axis=1)))
    power = peak.power(joint.correlation)
    assert surface.power[peak.transmitter, cell] == pytest.approx(power, rel=1e-3)
    state = single_path(peak.point_m, peak.transmitter, peak.doppler_hz)
    assert joint.match(state).power[0] == pytest.approx(power, rel=0.02)

    # And near that of the true path, up to the distance between cells and bins.
    shift_hz = paths.doppler_hz[paths.transmitter == peak.transmitter][0]
    whole = joint.match(single_path(np.array(place), peak.transmitter, shift_hz))
    assert 0.3 * whole.power[0] < power < 1.01 * whole.power[0]


def test_information_is_that_of_the_bound(listener):
    place = PLACES[listener.scene.name][0]
    echo, paths = listener.echo([place], VELOCITIES[:1], 3e-5)
    target = TargetState("", TargetClass.UNKNOWN, np.array(place), np.array(VELOCITIES[0]))
    joint = listener.sensor.correlate(echo, listener.frame)
    state = PathState(np.array([place]), paths.scatterer, paths.transmitter, paths.doppler_hz)
    fit = joint.match(state)
    size = listener.scene.dimension
    for row in range(state.num_paths):
        bound = path_information(
            listener.scene, listener.frame, listener.site, row, target, paths.amplitude[row]
        )
        # The shift measures the velocity along the sum of the path's directions only.
        slope = (paths.aod + paths.aoa)[row, :size] / listener.scene.grid.wavelength_m
        along = fit.doppler_information[row] * (slope @ slope)
        assert along == pytest.approx(np.trace(bound[size:, size:]), rel=0.05)


def test_a_fast_target_is_found_where_it_was_at_the_start_of_the_frame(plane, listen):
    # With constant delays its location is that of the middle of the frame, or it is not found.
    listener = listen(long_frames(plane))
    echo, _ = listener.echo(PLACES["small"][:1], VELOCITIES[:1], 1e-5)
    errors_m = {}
    for compensates in (True, False):
        sensor = replace(listener.sensor, compensates_migration=compensates)
        fit = sensor.sense(echo, listener.frame)
        errors_m[compensates] = np.linalg.norm(fit.state.points_m - PLACES["small"][0], axis=1)
        if compensates:
            away_m = (fit.state.points_m[0] - PLACES["small"][0])[:2]
            assert fit.state.num_targets == 1
            assert away_m @ fit.target_information[0] @ away_m < 25
    frame_s = 1 / listener.scene.grid.doppler_resolution_hz
    moved_m = np.linalg.norm(VELOCITIES[0]) * frame_s
    assert errors_m[True][0] < 0.1 * moved_m
    assert np.all(errors_m[False] > 0.3 * moved_m)


def test_a_migrating_target_is_found_beside_suppressed_static_paths(plane, listen):
    listener = listen(long_frames(plane))
    echo, _ = listener.echo(PLACES["small"][:1], VELOCITIES[:1], 1e-5)
    strong, _ = listen(without_noise(listener.scene)).echo([(30.0, 40, 0)], [(0.0, 0, 0)], 1e-3)
    static = unknown_static(listener.frame.streams)
    echo = suppress(echo + strong, listener.frame.streams, static)
    sensor = replace(listener.sensor, compensates_migration=True)
    fit = sensor.find(sensor.correlate(echo, listener.frame, static=static))
    assert fit.state.num_targets == 1
    away_m = (fit.state.points_m[0] - PLACES["small"][0])[:2]
    assert away_m @ fit.target_information[0] @ away_m < 25


def test_constant_delays_are_assumed_without_the_setting(plane):
    sensor = LocalMl(plane, plane.receivers[0], plane.grid)
    assert not sensor.compensates_migration

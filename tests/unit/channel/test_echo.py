"""The echo against CF eqs. 6-11, 29 and 30 written as a plain loop in float64."""

import cmath
import math
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import apply_paths, clock_phases, thermal_noise
from cooperative_isac.channel.paths import clutter_positions, draw_paths
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.draw import draw_targets
from cooperative_isac.scene.file.build import rotation_matrix
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.qam import constellation

LIGHT_MPS = 299_792_458.0


def silent(scene, **changes):
    """The scene without noise at the receivers."""
    return replace(scene, propagation=replace(scene.propagation, noise_power_w=0.0, **changes))


def received(scene, seed=4):
    """A frame, its scatterers (targets, then clutter at rest), the paths to each receiver and the
    echoes.
    """
    generator = np.random.default_rng(seed)
    targets = draw_targets(scene, generator)
    clutter = clutter_positions(scene, generator)
    frame = transmit(scene, seed)
    paths = [draw_paths(scene, site, targets, clutter, generator) for site in scene.receivers]
    echoes = [
        apply_paths(scene, frame, site, found, np.random.default_rng(seed))
        for site, found in zip(scene.receivers, paths)
    ]
    scatterers = [(target.position_m, target.velocity_mps) for target in targets]
    scatterers += [(point, np.zeros(3)) for point in clutter]
    return frame, scatterers, paths, echoes


def sent(frame, subcarrier, symbol):
    """The vector x of CF eq. 3 over all antennas, reference symbols in their places."""
    if frame.reference is not None:
        strides = frame.reference_strides
        if subcarrier % strides[0] == symbol % strides[1] == 0:
            return sent(frame.reference, subcarrier // strides[0], symbol // strides[1])
    symbols = constellation(frame.modulation_order).astype(complex)[
        frame.indices[subcarrier, :, symbol]
    ]
    return frame.precoders[subcarrier // frame.group_size].astype(complex) @ symbols


def steered(site, direction, wavelength):
    """An element nearer to the far point is ahead."""
    phases = [
        2 * math.pi / wavelength * sum(p * u for p, u in zip(place, direction))
        for place in site.elements_m
    ]
    return [cmath.exp(1j * phase) / math.sqrt(len(phases)) for phase in phases]


def loop_echo(scene, frame, receiver, scatterers, reflections, offsets):
    """CF eq. 6 with eqs. 29 and 30, term by term; reflections: beta [num_tx, num_scatterers]."""
    wave = scene.grid.wavelength_m
    spread = scene.propagation
    echo = np.zeros((receiver.num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols), complex)
    for n, transmitter in enumerate(scene.transmitters):
        for q, (place, velocity) in enumerate(scatterers):
            to_tx = transmitter.position_m - place
            to_rx = receiver.position_m - place
            d_tx = math.dist(transmitter.position_m, place)
            d_rx = math.dist(place, receiver.position_m)
            ratio = (d_tx + d_rx) / spread.reference_distance_m
            loss = spread.reference_gain * ratio**-spread.pathloss_exponent
            delay = (d_tx + d_rx) / LIGHT_MPS
            closing = float(velocity @ to_tx / d_tx + velocity @ to_rx / d_rx)
            doppler = closing / LIGHT_MPS * scene.grid.carrier_hz
            arrival = steered(receiver, -to_rx / d_rx, wave)
            departure = steered(transmitter, -to_tx / d_tx, wave)
            for i, offset_hz in enumerate(scene.grid.subcarrier_offsets_hz):
                for t, time_s in enumerate(scene.grid.symbol_times_s):
                    toward = np.dot(departure, sent(frame, i, t)[frame.antennas[n]])
                    turn = (
                        cmath.exp(-2j * math.pi * (offset_hz * delay - time_s * doppler))
                        * offsets[n, t]
                    )
                    for r, gain in enumerate(arrival):
                        echo[r, i, t] += reflections[n, q] * math.sqrt(loss) * turn * gain * toward
    return echo


@pytest.mark.parametrize("receiver", [0, 1])
def test_the_echo_is_that_of_a_plain_loop(tilted, receiver):
    scene = silent(tilted)
    frame, scatterers, paths, echoes = received(scene)
    drawn = paths[receiver]
    offsets = clock_phases(scene.propagation, scene.grid, 2, np.random.default_rng(4)).astype(
        complex
    )
    gains = np.sqrt(
        scene.propagation.reference_gain
        * (drawn.delay_s * LIGHT_MPS) ** -scene.propagation.pathloss_exponent
    )
    reflections = (drawn.amplitude / gains).reshape(2, len(scatterers))
    expected = loop_echo(scene, frame, scene.receivers[receiver], scatterers, reflections, offsets)
    found = echoes[receiver]
    assert found.dtype == np.complex64 and found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_clutter_and_clocks_change_the_echo(tilted):
    # The loop above would also agree with silence.
    clear = silent(tilted, timing_offset_std_s=0.0, frequency_offset_std_hz=0.0)
    bare = silent(clear, clutter=replace(clear.propagation.clutter, reflection_variance=0.0))
    full, without_clocks, without_clutter = (
        received(scene)[3][0] for scene in (silent(tilted), clear, bare)
    )
    power = [
        np.mean(np.abs(echo) ** 2)
        for echo in (full - without_clocks, without_clocks - without_clutter)
    ]
    assert min(power) > 1e-3 * np.mean(np.abs(full) ** 2) > 0


def test_doppler_is_that_of_the_paper_in_its_own_geometry():
    # CF Fig. 2(a): the transmit array is along x above the target, the receive array against it
    # below.
    turned = [rotation_matrix(yaw, 0, 0) for yaw in (-90, 90)]
    transmitter, receiver = (
        Site("", np.array(place), rotation, np.zeros((1, 3)), "ula")
        for place, rotation in zip(([25.0, 100, 0], [75.0, 0, 0]), turned)
    )
    assert np.allclose(transmitter.axis, [1, 0, 0]) and np.allclose(receiver.axis, [-1, 0, 0])
    place = np.array([40.0, 30, 0])
    velocity = np.array([7.0, -4, 0])
    departure, arrival = (place - site.position_m for site in (transmitter, receiver))
    theta = math.acos(departure @ transmitter.axis / np.linalg.norm(departure))
    vartheta = math.acos(arrival @ receiver.axis / np.linalg.norm(arrival))
    v_n = -velocity[0] * math.cos(theta) + velocity[1] * math.sin(theta)
    v_m = velocity[0] * math.cos(vartheta) - velocity[1] * math.sin(vartheta)
    found = bistatic_geometry(
        transmitter.position_m, receiver.position_m, place, velocity, LIGHT_MPS / 30e9
    )
    assert found.doppler_hz == pytest.approx((v_n + v_m) / LIGHT_MPS * 30e9)


def test_clocks_turn_each_symbol_of_each_transmitter_by_itself(tilted):
    grid = replace(tilted.grid, num_symbols=20_000)
    phases = clock_phases(tilted.propagation, grid, 2, np.random.default_rng(0))
    assert phases.shape == (2, 20_000) and np.allclose(np.abs(phases), 1, atol=1e-6)
    cycles = np.angle(phases) / (2 * np.pi)
    # 2 kHz over one OFDM symbol of 5.2 us, 50 ns times 240 kHz; strides of the grid do not change
    # the clocks.
    expected = math.hypot(2000.0 * (1 / 240e3 + 1.04e-6), 50e-9 * 240e3)
    assert cycles.std(axis=1) == pytest.approx([expected] * 2, rel=0.03)
    assert abs(np.corrcoef(cycles)[0, 1]) < 0.03
    assert abs(np.corrcoef(cycles[0, 1:], cycles[0, :-1])[0, 1]) < 0.03


def test_noise_has_its_power_and_is_circular():
    drawn = thermal_noise((50, 2000), 3e-12, np.random.default_rng(1))
    noise = drawn / np.sqrt(3e-12)
    assert drawn.dtype == np.complex64 and drawn.shape == (50, 2000)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1, rel=0.02)
    assert abs(np.mean(noise**2)) < 0.02 and abs(np.mean(noise)) < 0.02
    assert np.var(noise.real) == pytest.approx(0.5, rel=0.03)


def test_an_echo_without_paths_is_noise(small):
    site = small.receivers[0]
    generator = np.random.default_rng(0)
    paths = draw_paths(small, site, (), np.zeros((0, 3)), generator)
    echo = apply_paths(small, transmit(small, 0), site, paths, generator)
    assert np.mean(np.abs(echo) ** 2) == pytest.approx(small.propagation.noise_power_w, rel=0.05)

"""Clock offsets in closed form, in paths, in static matrices and in echoes."""

from dataclasses import replace

import numpy as np
import pytest
from networks import network

from cooperative_isac.channel.clocks import apparent_paths, link_offsets
from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.world import static_paths
from cooperative_isac.pipeline import (
    make_frame,
    paths_to,
    receive,
    receive_echo,
    static_channel,
    transmit,
)
from cooperative_isac.scene.noise import receiver_noise_w

EAST_CLOCK = (
    "    orientation: {yaw_deg: 180}\n",
    "    orientation: {yaw_deg: 180}\n    clock: {timing_offset_s: 2.0e-7, timing_drift: 1.0e-8, "
    "frequency_offset_hz: 40, frequency_drift_hzps: 3, phase_offset_deg: 30}\n",
)
WEST_CLOCK = (
    "  - name: west\n",
    "  - name: west\n    clock: {timing_offset_s: -5.0e-8, frequency_offset_hz: -15, "
    "phase_offset_deg: 10}\n",
)
SIGHT = "world: {}\n"


def quiet(scene):
    """The scene without noise."""
    return replace(scene, propagation=replace(scene.propagation, noise_power_w=1e-40))


def only(scene, index):
    """The scene with one of its transmitters alone."""
    return replace(scene, transmitters=(scene.transmitters[index],))


def measured(scene, receiver, time_s):
    """Delay, Doppler shift and phase of the line of sight from west, read off an echo."""
    view = only(quiet(scene), 0)
    site = view.receiver(receiver)
    signal = transmit(view, 0)
    echo = receive_echo(view, signal, receiver, (), time_s)
    path = static_paths(view, site)
    wave = view.grid.wavelength_m
    departure = np.exp(2j * np.pi / wave * view.transmitters[0].elements_m @ path.aod[0]) / 2
    arrival = np.exp(2j * np.pi / wave * site.elements_m @ path.aoa[0]) / 2
    sent = signal.toward(0, departure[None])[:, 0]
    ratio = np.einsum("m,mnt->nt", arrival.conj(), echo) / sent / path.amplitude[0]

    # Slopes of the phase over subcarriers and symbols.
    over_subcarriers = np.unwrap(np.angle(ratio[:, 0]))
    over_symbols = np.unwrap(np.angle(ratio[0]))
    delay_s = -np.polyfit(view.grid.subcarrier_offsets_hz, over_subcarriers, 1)[0] / (2 * np.pi)
    doppler_hz = np.polyfit(view.grid.symbol_times_s, over_symbols, 1)[0] / (2 * np.pi)
    return delay_s, doppler_hz, ratio[0, 0] / abs(ratio[0, 0]), path.delay_s[0]


@pytest.mark.parametrize("tracked", ["", "    odometry: east\n"])
@pytest.mark.parametrize("time_s", [0.0, 7.0])
def test_a_line_of_sight_shows_the_offsets_of_both_clocks(tracked, time_s):
    # As a path with a Doppler shift where the station is tracked, else in the static matrix.
    before, after = EAST_CLOCK
    scene = network((before, after + tracked), WEST_CLOCK, extra=SIGHT)
    delay_s, doppler_hz, phase, true_delay_s = measured(scene, "east", time_s)
    # East, ahead of west by 250 ns and more as time goes, begins to listen too early.
    assert delay_s - true_delay_s == pytest.approx(2.5e-7 + 1e-8 * time_s, abs=1e-10)
    # The carrier of west is 55 Hz below that of east.
    assert doppler_hz == pytest.approx(-55 - 3 * time_s, abs=0.05)
    turned = np.radians(10 - 30) + 2 * np.pi * (-55 * time_s - 3 * time_s**2 / 2)
    assert phase == pytest.approx(np.exp(1j * turned), abs=1e-3)


def test_clock_phases_are_continuous_over_frames():
    scene = network(EAST_CLOCK, WEST_CLOCK, extra=SIGHT)
    step_s = 1e-4
    first, second = (measured(scene, "east", 2.0 + shift) for shift in (0.0, step_s))
    assert second[2] / first[2] == pytest.approx(np.exp(2j * np.pi * first[1] * step_s), abs=1e-3)


def test_clock_offsets_add_along_a_chain():
    scene = network(EAST_CLOCK, WEST_CLOCK)
    west, east = (link_offsets(scene, scene.receiver(name), 3.0) for name in ("west", "east"))
    names = [site.name for site in scene.transmitters]
    for found, own in ((west, "west"), (east, "east")):
        for column in (found.timing_s, found.frequency_hz, found.phase_rad):
            assert column[names.index(own)] == 0
    # There and back again.
    assert west.timing_s[1] == -east.timing_s[0]
    assert west.frequency_hz[1] == -east.frequency_hz[0]
    assert np.isclose(west.phase_rad[1], -east.phase_rad[0])
    # By way of a third station, whose clock is that of the network.
    drone = link_offsets(scene, scene.receiver("drone"), 3.0)
    assert east.timing_s[0] == pytest.approx(drone.timing_s[0] - drone.timing_s[1])


def test_ideal_clocks_change_nothing(tilted):
    assert link_offsets(network(), network().receivers[0], 1.0) is None
    assert link_offsets(tilted, tilted.receivers[0], 1.0) is None
    paths, _ = paths_to(tilted, 0, tilted.receivers[0], ())
    assert apparent_paths(paths, None) is paths


def test_a_monostatic_link_has_neither_offsets_nor_jitter():
    jitter = "propagation: {timing_offset_std_s: 1.0e-7, frequency_offset_std_hz: 1000}\n"
    wall = "{from_m: [70, 0], to_m: [70, 60], height_m: [0, 30]}"
    wall = f"world: {{line_of_sight: false, walls: [{wall}]}}\n"
    shaken = quiet(network(EAST_CLOCK, extra=wall + jitter))
    steady = quiet(network(extra=wall))
    for index, is_same in ((1, True), (0, False)):
        echoes = []
        for scene in (shaken, steady):
            view = only(scene, index)
            assert static_channel(view, view.receiver("east")).any()
            echoes.append(receive_echo(view, transmit(view, 0), "east", (), 0.0))
        assert np.allclose(*echoes, atol=1e-6 * np.abs(echoes[1]).max()) == is_same


def test_jitter_remains_beside_the_offsets():
    jitter = "propagation: {timing_offset_std_s: 3.0e-7}\n"
    scene = quiet(network(EAST_CLOCK, extra=SIGHT + jitter))
    view = only(scene, 0)
    site = view.receiver("east")
    signal = transmit(view, 0)
    found = receive_echo(view, signal, "east", (), 0.0)
    # The same draws, applied to the apparent paths instead of the matrix.
    _, generator = paths_to(view, 0, site, (), 0.0)
    apparent = apparent_paths(static_paths(view, site), link_offsets(view, site, 0.0))
    expected = apply_paths(view, signal, site, apparent, generator)
    assert np.allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def residual(place, level_db):
    """A change by which the station at a place has a residual of its own signal."""
    key = f"    position_m: {place}\n"
    return key, f"{key}    residual_self_interference_db: {level_db}\n"


SELF = residual("[-3, 30, 10]", -110)


def test_residual_self_interference_is_noise():
    scene = network(SELF, ("power_dbm: 30", "power_dbm: 33"))
    thermal_w = scene.propagation.noise_power_w
    # 33 dBm over 32 subcarriers, 110 dB down.
    residual_w = 10**0.3 / 32 * 1e-11
    frame = make_frame(scene, 0, 0.0)
    for name, expected_w in (("west", thermal_w + residual_w), ("east", thermal_w)):
        echo = receive(scene, frame, name, ())["high"]
        assert echo.noise_power_w == pytest.approx(expected_w)
        assert receiver_noise_w(scene, scene.receiver(name)) == echo.noise_power_w
        # 2048 samples: 2.2 % of deviation of their mean power.
        assert np.mean(np.abs(echo.samples) ** 2) == pytest.approx(expected_w, rel=0.1)
    assert residual_w > 0.5 * thermal_w
    # East only receives on the low band, where it has no signal of its own.
    east = network(residual("[63, 32, 12]", -100))
    assert receiver_noise_w(east.on("low"), east.on("low").receiver("east")) == thermal_w
    assert receiver_noise_w(east, east.receiver("east")) > 2 * thermal_w

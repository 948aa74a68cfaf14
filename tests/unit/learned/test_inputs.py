"""Inputs of encoders, against plain sums."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.learned.inputs import (
    delay_bins,
    demodulated_observation,
    doppler_bins,
    num_doppler_bins,
    observation_shape,
    raw_observation,
    transmit_tensor,
)


def test_raw_input_is_the_echo_in_units_of_the_noise(tiny, frame_echoes):
    echo = frame_echoes[1]["rx1"]
    channels = raw_observation(tiny, echo)
    assert channels.shape == observation_shape(tiny, tiny.receivers[0], "raw") == (2, 8, 32, 32)
    scale = np.sqrt(tiny.propagation.noise_power_w)
    assert np.allclose((channels[0] + 1j * channels[1]) * scale, echo[::-1], rtol=1e-5, atol=0)


def test_demodulated_input_is_the_spectrum_of_the_strongest_departure(tiny, frame_echoes):
    frame, echoes = frame_echoes
    found = demodulated_observation(tiny, echoes["rx2"], frame)
    assert (
        found.shape == observation_shape(tiny, tiny.receivers[1], "demodulated") == (8, 8, 16, 12)
    )
    beam, delay_place, bin_place, antennas = 5, 7, 3, np.arange(8)
    delay, shift = delay_bins(tiny)[delay_place], doppler_bins(tiny)[bin_place]
    subcarriers, symbols = np.arange(32)[:, None], np.arange(32)
    echo = echoes["rx2"][::-1] * np.exp(-2j * np.pi * (beam - 4) * antennas / 8)[:, None, None]
    echo = echo * np.exp(2j * np.pi * (delay * subcarriers - shift * symbols) / 32)
    powers, second = [], frame.antennas[1]
    for departure in range(8):
        weights = np.exp(2j * np.pi * departure * np.arange(8) / 8)
        gains = np.repeat(weights @ frame.precoders[:, second], frame.group_size, axis=0)
        sent = np.einsum("nk,nkt->nt", gains, frame.streams)
        scale = np.mean(np.sum(np.abs(gains) ** 2, axis=1))
        powers.append(np.abs((echo * sent.conj()).sum()) ** 2 / scale / (8 * 32 * 32))
    power = max(powers) / tiny.propagation.noise_power_w
    assert found[4, beam, delay_place, bin_place] == pytest.approx(
        np.log1p(power) - np.log(2), rel=1e-3
    )


@pytest.mark.parametrize("between", [-0.35, 0.0, 0.3])
def test_offsets_locate_a_peak_between_bins(tiny, frame_echoes, between):
    frame, receiver = frame_echoes[0], tiny.receivers[0]
    quiet = replace(tiny, propagation=replace(tiny.propagation, noise_power_w=1e-20))
    resolution = 1 / (tiny.grid.num_symbols * tiny.grid.symbol_period_s)
    spacing = np.linalg.norm(np.diff(receiver.elements_m[:2], axis=0)) / tiny.grid.wavelength_m
    sine = -(1 + between) / receiver.num_ant / spacing
    arrives, leaves = (
        receiver.rotation @ np.array([np.sqrt(1 - sine**2), sine, 0.0]),
        receiver.boresight,
    )
    delay, shift = delay_bins(tiny)[9] + between, 2 + between
    path = PathSet(
        np.array([0]),
        np.array([0]),
        np.array([delay * tiny.grid.range_resolution_m / 299_792_458.0]),
        np.array([shift * resolution]),
        np.array([1e-6 + 0j]),
        leaves[None],
        arrives[None],
    )
    echo = apply_paths(quiet, frame, receiver, path, np.random.default_rng(0))
    spectrum = demodulated_observation(quiet, echo, frame)[:4]
    place = np.unravel_index(spectrum[0].argmax(), spectrum[0].shape)
    assert (*place[:2], doppler_bins(tiny)[place[2]]) == (5, 9, 2)
    assert spectrum[(slice(1, None), *place)] == pytest.approx(
        np.sin(np.pi * np.array([between] * 3)), abs=0.1
    )


def test_delay_bins_contain_every_path_over_the_box(tiny):
    bins, resolution = delay_bins(tiny), tiny.grid.range_resolution_m
    points = np.random.default_rng(0).uniform(tiny.box.low_m, tiny.box.high_m, (500, 3))
    for first, second in product(tiny.transmitters, tiny.receivers):
        ends = first.position_m, second.position_m
        lengths = sum(np.linalg.norm(points - end, axis=1) for end in ends)
        assert ((lengths / resolution >= bins[0]) & (lengths / resolution <= bins[-1])).all()
    assert len(bins) % 4 == 0 and (np.diff(bins) == 1).all()
    wide = replace(tiny, box=tiny.box.padded(5.0))
    assert sorted(delay_bins(wide)) == list(range(32))


def test_doppler_bins_contain_the_fastest_target(tiny):
    resolution = 1 / (tiny.grid.num_symbols * tiny.grid.symbol_period_s)
    fastest = 2 * tiny.sensing.max_speed_mps / tiny.grid.wavelength_m
    assert (
        num_doppler_bins(tiny) * resolution / 2
        >= fastest
        > (num_doppler_bins(tiny) - 5) * resolution / 2
    )
    assert list(doppler_bins(tiny)) == [26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5]
    rocket = replace(tiny, sensing=replace(tiny.sensing, max_speed_mps=1e4))
    assert num_doppler_bins(rocket) == 32


def test_the_transmit_tensor_is_the_signal_of_every_antenna(frame_echoes):
    frame = frame_echoes[0]
    tensor = transmit_tensor(frame)
    signal = np.repeat(frame.precoders, frame.group_size, axis=0) @ frame.streams
    signal = signal.transpose(1, 0, 2) / np.sqrt(np.mean(np.abs(signal) ** 2))
    assert tensor.shape == (2, 16, 32, 32)
    assert np.allclose(tensor[0] + 1j * tensor[1], signal, atol=1e-5)

"""What encoders take, against plain sums."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.paths import PathSet
from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.fronthaul.learned.inputs import (demodulated_observation, doppler_bins,
                                                       num_doppler_bins, observation_shape, raw_observation,
                                                       transmit_tensor)


def test_raw_is_real_and_imaginary_part_in_units_of_the_noise(tiny, heard):
    echo = heard[1]["rx1"]
    channels = raw_observation(tiny, echo)
    assert channels.shape == observation_shape(tiny, tiny.receivers[0], "raw") == (2, 8, 32, 32)
    scale = np.sqrt(tiny.propagation.noise_power_w)
    assert np.allclose((channels[0] + 1j * channels[1]) * scale, echo, rtol=1e-5, atol=0)


def test_demodulated_is_the_mean_spectrum_of_the_streams(tiny, heard):
    frame, echoes = heard
    found = demodulated_observation(tiny, echoes["rx2"], frame)
    assert found.shape == observation_shape(tiny, tiny.receivers[1], "demodulated") == (1, 8, 32, 12)
    beam, delay, bin_place = 5, 9, 3
    total, shift = np.zeros(2, complex), doppler_bins(tiny)[bin_place]
    for antenna in range(8):
        for subcarrier in range(32):
            for symbol in range(32):
                sent = frame.streams[subcarrier, :, symbol]
                freed = echoes["rx2"][antenna, subcarrier, symbol] * sent.conj()
                turns = delay * subcarrier / 32 - shift * symbol / 32 - (beam - 4) * antenna / 8
                total += freed * np.exp(2j * np.pi * turns)
    power = np.mean(np.abs(total) ** 2) / (8 * 32 * 32) / tiny.propagation.noise_power_w
    assert found[0, beam, delay, bin_place] == pytest.approx(np.log1p(power) - np.log(2), rel=1e-3)


def test_a_fast_target_peaks_at_its_doppler_shift(tiny, heard):
    frame, receiver = heard[0], tiny.receivers[0]
    quiet = replace(tiny, propagation=replace(tiny.propagation, noise_power_w=1e-20))
    resolution = 1 / (tiny.grid.num_symbols * tiny.grid.symbol_period_s)
    forward = np.array([receiver.boresight])
    path = PathSet(np.array([0]), np.array([0]), np.array([0.0]), np.array([2 * resolution]),
                   np.array([1e-6 + 0j]), forward, forward)
    echo = apply_paths(quiet, frame, receiver, path, np.random.default_rng(0))
    spectrum = demodulated_observation(quiet, echo, frame).max(axis=0)
    beam, _, shift = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert (beam, doppler_bins(tiny)[shift]) == (4, 2)


def test_doppler_bins_hold_the_fastest_target(tiny):
    resolution = 1 / (tiny.grid.num_symbols * tiny.grid.symbol_period_s)
    fastest = 2 * tiny.sensing.max_speed_mps / tiny.grid.wavelength_m
    assert num_doppler_bins(tiny) * resolution / 2 >= fastest > (num_doppler_bins(tiny) - 5) * resolution / 2
    assert list(doppler_bins(tiny)) == [26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5]
    rocket = replace(tiny, sensing=replace(tiny.sensing, max_speed_mps=1e4))
    assert num_doppler_bins(rocket) == 32


def test_the_transmit_tensor_is_every_antenna_s_signal(heard):
    frame = heard[0]
    tensor = transmit_tensor(frame)
    signal = np.repeat(frame.precoders, frame.group_size, axis=0) @ frame.streams
    signal = signal.transpose(1, 0, 2) / np.sqrt(np.mean(np.abs(signal) ** 2))
    assert tensor.shape == (2, 16, 32, 32)
    assert np.allclose(tensor[0] + 1j * tensor[1], signal, atol=1e-5)

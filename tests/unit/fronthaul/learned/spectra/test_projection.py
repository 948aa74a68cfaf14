"""Cells of the plane lie in a spectrum where an echo from there peaks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.fronthaul.learned.inputs import demodulated_observation
from cooperative_isac.fronthaul.learned.spectra.projection import Projection, beam_bins, halved, projection
from cooperative_isac.fronthaul.learned.weights import make_network
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import TargetClass, TargetState


@pytest.mark.parametrize("place_m", [(22.0, 31.0), (44.0, 12.0), (9.0, 40.0)])
def test_a_cell_takes_the_peak_of_an_echo_from_it(small, place_m):
    frame, site, point = transmit(small, 2), small.receivers[1], np.array([*place_m, small.plane_height_m])
    target = TargetState("", TargetClass.UNKNOWN, point, np.zeros(3))
    paths = draw_paths(small, site, [target], np.zeros((0, 3)), np.random.default_rng(1))
    paths.amplitude[:] = [0.0, 1e-4]  # the second transmitter's alone
    echo = apply_paths(small, frame, site, paths, np.random.default_rng(2))
    power = demodulated_observation(small, echo, frame).sum(0).max(-1)
    shape = power.shape
    around = point + np.array([[0.0, 0.0, 0.0], [25.0, 0.0, 0.0], [0.0, 25.0, 0.0], [-25.0, -5.0, 0.0]])
    taken = projection(small, site, around, 0, shape)(torch.tensor(power)[None, None], 1)[0, 0].numpy()
    assert taken[0] > 0.5 * power.max() and taken[0] == taken.max()


def test_between_latents_a_cell_takes_of_both(small):
    latents = torch.arange(12.0).reshape(1, 1, 3, 4)
    beams, delays = np.array([[1.0, 0.5, 0.0]]), np.array([[2.25, 1.0, 3.25]])
    taken = Projection(beams, delays, (3, 4))(latents, 0)
    assert taken.flatten().tolist() == pytest.approx([6.25, 3.0, 0.75 * 3])  # after the last comes the first


def test_halving_convolutions_move_coordinates_like_their_outputs():
    # An output sees inputs 2i - 1 to 2i + 2, so it lies at 2i + 1/2.
    assert halved(np.array([0.5, 2.5, 5.5]), 1) == pytest.approx([0, 1, 2.5])
    line = torch.zeros(3, 1, 16)
    line[0, 0, 5] = line[1, 0, 6] = line[2, 0, 9] = 1.0
    for _ in range(2):
        line = torch.nn.functional.conv1d(line, torch.ones(1, 1, 4), stride=2, padding=1)
    middle = (line[:, 0] @ torch.arange(4.0)) / line[:, 0].sum(1)
    assert np.abs(halved(np.array([5.0, 6.0, 9.0]), 2) - middle.numpy()).max() <= 0.5


@pytest.mark.parametrize("num_ant", [7, 8])
@pytest.mark.parametrize("bin_place", [0, 2, 3, 6])
def test_beams_are_where_the_fourier_transform_peaks(small, num_ant, bin_place):
    site = replace(small.receivers[0], elements_m=small.receivers[0].elements_m[:num_ant])
    spacing = np.linalg.norm(np.diff(site.elements_m[:2], axis=0))
    sine = (bin_place - num_ant // 2) / num_ant * small.grid.wavelength_m / spacing
    along = site.rotation @ np.array([np.sqrt(1 - sine ** 2), -sine, 0.0])
    steering = steering_vectors(site.elements_m, along, small.grid.wavelength_m)
    assert np.abs(np.fft.fftshift(np.fft.fft(steering))).argmax() == bin_place
    assert beam_bins(site, along[None], small.grid.wavelength_m) == pytest.approx(bin_place)


def test_arrays_that_are_no_line_are_refused(small, tilted):
    bent = small.receivers[0].elements_m.copy()
    bent[0] += 0.3 * small.grid.wavelength_m
    site = replace(small.receivers[0], elements_m=bent)
    with pytest.raises(ValueError, match="antennas of 'rx1' are not a uniform line"):
        beam_bins(site, np.array([[0.6, 0.8, 0.0]]), small.grid.wavelength_m)
    with pytest.raises(ValueError, match="dimension 3; this network needs dimension 2"):
        make_network(tilted, "spectra")


def test_a_site_on_the_plane_spoils_nothing(small):
    site = small.receivers[0]
    seen = projection(small, site, np.array([site.position_m, site.position_m + [0, -5, 0]]), 1, (4, 16))
    assert torch.isfinite(seen.shares).all() and torch.isfinite(seen.places).all()


@pytest.mark.parametrize("config, reason", [
    ({"encoder_layers": 0}, "encoder_layers is 0; it must be 1 or more"),
    ({"encoder_layers": 4}, "8 antennas and 32 subcarriers cannot be halved 4 times"),
    ({"cells": 1, "num_targets": 3}, "a plane of 1 x 1 cells cannot tell 3 targets"),
    ({"centre_channels": 12}, "channels of planes are 12; each must be a multiple of 8"),
])
def test_sizes_that_do_not_fit_are_refused(tiny, config, reason):
    with pytest.raises(ValueError, match=reason):
        make_network(tiny, "spectra", config)

"""Projection of spectra onto cells: a cell has the peak of an echo from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.inputs import demodulated_observation
from cooperative_isac.learned.spectra.projection import (
    Coordinates,
    Projection,
    beam_bins,
    beam_slopes,
    projection,
)
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import TargetClass, TargetState


@pytest.mark.parametrize("place_m", [(22.0, 31.0), (44.0, 12.0), (9.0, 40.0)])
def test_a_cell_has_the_peak_of_an_echo_from_it(small, place_m):
    frame, site, point = (
        transmit(small, 2),
        small.receivers[1],
        np.array([*place_m, small.plane_height_m]),
    )
    target = TargetState("", TargetClass.UNKNOWN, point, np.zeros(3))
    paths = draw_paths(small, site, [target], np.zeros((0, 3)), np.random.default_rng(1))
    paths.amplitude[:] = [0.0, 1e-4]  # the second transmitter's alone
    echo = apply_paths(small, frame, site, paths, np.random.default_rng(2))
    power = demodulated_observation(small, echo, frame)[4].max(-1)
    around = point + np.array(
        [[0.0, 0.0, 0.0], [25.0, 0.0, 0.0], [0.0, 25.0, 0.0], [-25.0, -5.0, 0.0]]
    )
    taken = projection(small, site, around, 2.0, power.shape)(torch.tensor(power)[None, None], 1)[
        0, 0
    ].numpy()
    assert taken[0] > 0.5 * power.max() and taken[0] == taken.max()


def test_a_cell_has_the_mean_of_latents_in_reach():
    latents = torch.arange(24.0).reshape(1, 1, 4, 6)
    beams, delays, ones = np.array([[1.0, 0.0]]), np.array([[2.0, 3.25]]), np.ones((1, 2))
    plane = Projection(
        Coordinates(beams, delays, 1.5 * ones[0], 2 * ones), np.zeros((2, 2)), (4, 6)
    )
    taken = plane(latents, 0).flatten().tolist()
    across, along = np.array([0.2, 0.6, 0.2]), np.array([0.75, 1.75, 1.25, 0.25]) / 2
    behind = (
        along @ np.array([2, 3, 4, 5]) / along.sum() - 1.0
    )  # before the first beam comes the last
    assert taken[0] == pytest.approx(8.0)
    assert taken[1] == pytest.approx(1 + behind + across @ np.array([18, 0, 6]), abs=1e-4)


def test_beam_moments_are_offsets_from_the_cell():
    weights = torch.zeros(1, 1, 4, 6)
    weights[0, 0, 3, 2], ones = 1.0, np.ones((1, 2))
    plane = Projection(
        Coordinates(np.array([[0.25, 2.5]]), 2 * ones, 2 * ones[0], ones), np.zeros((2, 2)), (4, 6)
    )
    beyond = plane.beam_moments(weights, 0) / plane(weights, 0)
    assert beyond.flatten().tolist() == pytest.approx([-1.25, 0.5])


def test_cells_near_a_site_reach_farther(small):
    site = small.receivers[0]
    around = site.position_m + np.array([[0.0, -4.0, 0.0], [0.0, -30.0, 0.0]])
    weights = projection(small, site, around, 2.0, (8, 24)).weights[0].unflatten(0, (8, 24))
    near, far = (weights.sum(1) > 0).sum(0).tolist()
    assert near > far


@pytest.mark.parametrize("num_ant", [7, 8])
@pytest.mark.parametrize("bin_place", [0, 2, 3, 6])
def test_beams_are_where_the_fourier_transform_peaks(small, num_ant, bin_place):
    site = replace(small.receivers[0], elements_m=small.receivers[0].elements_m[:num_ant])
    spacing = np.linalg.norm(np.diff(site.elements_m[:2], axis=0))
    sine = (bin_place - num_ant // 2) / num_ant * small.grid.wavelength_m / spacing
    along = site.rotation @ np.array([np.sqrt(1 - sine**2), -sine, 0.0])
    steering = steering_vectors(site.elements_m, along, small.grid.wavelength_m)
    assert np.abs(np.fft.fftshift(np.fft.fft(steering[::-1]))).argmax() == bin_place
    assert beam_bins(site, along[None], small.grid.wavelength_m) == pytest.approx(bin_place)


@pytest.mark.parametrize("point_m", [(22.0, 31.0), (44.0, 12.0), (9.0, 40.0)])
def test_slopes_of_beams_are_their_derivatives(small, point_m):
    site, wavelength = small.receivers[1], small.grid.wavelength_m
    steps = np.array([*point_m, small.plane_height_m]) + 0.01 * np.array(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    )
    distances = np.linalg.norm(steps - site.position_m, axis=1)
    directions = (steps - site.position_m) / distances[:, None]
    bins = beam_bins(site, directions, wavelength)
    slope = beam_slopes(site, directions[:1], distances[:1], wavelength)[0]
    assert slope == pytest.approx((bins[1:] - bins[0]) / 0.01, rel=0.01, abs=1e-4)


def test_arrays_other_than_lines_are_refused(small, tilted):
    bent = small.receivers[0].elements_m.copy()
    bent[0] += 0.3 * small.grid.wavelength_m
    site = replace(small.receivers[0], elements_m=bent)
    with pytest.raises(ValueError, match="antennas of 'rx1' are not a uniform line"):
        beam_bins(site, np.array([[0.6, 0.8, 0.0]]), small.grid.wavelength_m)
    alone = replace(site, elements_m=bent[:1])
    with pytest.raises(ValueError, match="antennas of 'rx1' are not a uniform line"):
        projection(small, alone, np.array([[20.0, 30.0, small.plane_height_m]]), 2.0, (1, 24))
    with pytest.raises(ValueError, match="dimension 3; this network needs dimension 2"):
        make_network(tilted, "spectra")


def test_a_site_in_a_cell_gives_finite_weights(small):
    site = small.receivers[0]
    seen = projection(
        small, site, np.array([site.position_m, site.position_m + [0, -5, 0]]), 2.0, (8, 24)
    )
    assert all(torch.isfinite(buffer).all() for buffer in seen.buffers())


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"encoder_layers": 0}, "encoder_layers is 0; it must be 1 or more"),
        ({"hidden": 0}, "hidden is 0; it must be 1 or more"),
        ({"kernel": 4}, "kernel is 4; it must be odd"),
        ({"codebook": {"size": 16, "num_parts": 6}}, "need 7 or more"),
        ({"cells": 1, "num_targets": 3}, "a plane of 1 x 1 cells cannot hold 3 targets"),
        ({"center_channels": 12}, "channels of planes are 12; each must be a multiple of 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tiny, config, reason):
    with pytest.raises(ValueError, match=reason):
        make_network(tiny, "spectra", config)


def test_ambiguous_delays_are_refused(tiny):
    wide = replace(tiny, box=tiny.box.padded(5.0))
    with pytest.raises(ValueError, match="differ by more than its 32 subcarriers can resolve"):
        make_network(wide, "spectra")

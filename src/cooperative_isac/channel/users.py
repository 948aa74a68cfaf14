"""Channels between the transmitters and the communication users."""

from __future__ import annotations

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.gain import amplitude_gain, friis_amplitude
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene

NUM_TAPS = 16


def group_offsets_hz(grid: OfdmGrid, group_size: int) -> np.ndarray:
    """Center of each precoder group from the first subcarrier, [num_groups], Hz."""
    return grid.subcarrier_offsets_hz.reshape(-1, group_size).mean(axis=1)


def user_channels(
    scene: Scene, positions_m: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Frequency-selective Rician channels h^H to all users, [num_groups, num_users, num_tx_ant] (h
    of CF eq. 4).

    positions_m: [num_users, 3]. Scattered taps: exponential power delay profile, independent per
    antenna. Mean power: path loss, or with the radar equation free space; times the gain of the
    site's elements towards the user.
    """
    offsets = group_offsets_hz(scene.grid, scene.waveform.group_size)
    return np.concatenate(
        [_from_site(scene, site, positions_m, offsets, generator) for site in scene.transmitters],
        axis=-1,
    )


def _from_site(scene, site, positions_m, offsets, generator):
    away = positions_m - site.position_m
    distances = np.linalg.norm(away, axis=-1)
    steering = steering_vectors(site.elements_m, away / distances[:, None], scene.grid.wavelength_m)
    carrier_phase = np.exp(2j * np.pi * generator.random(len(distances)))
    direct = np.exp(-2j * np.pi * offsets[:, None] * distances / SPEED_OF_LIGHT_MPS) * carrier_phase
    direct = direct[..., None] * steering * np.sqrt(site.num_ant)
    delays = np.arange(NUM_TAPS) * (4 * scene.users.delay_spread_s / NUM_TAPS)
    profile = np.exp(-np.arange(NUM_TAPS) * 4 / NUM_TAPS)
    taps = generator.standard_normal((NUM_TAPS, len(distances), site.num_ant, 2)) @ (
        np.sqrt(0.5),
        1j * np.sqrt(0.5),
    )
    taps *= np.sqrt(profile / profile.sum())[:, None, None]
    scattered = np.tensordot(np.exp(-2j * np.pi * offsets[:, None] * delays), taps, axes=1)
    factor = scene.users.rician_factor
    mixed = np.sqrt(factor / (1 + factor)) * direct + np.sqrt(1 / (1 + factor)) * scattered
    gain = _mean_amplitude(scene, distances) * element_amplitude(site, away / distances[:, None])
    return mixed * gain[:, None]


def _mean_amplitude(scene, distances):
    if scene.propagation.has_radar_equation:
        return friis_amplitude(scene.grid.wavelength_m, distances)
    return amplitude_gain(scene.propagation, distances)

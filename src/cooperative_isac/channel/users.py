"""Channels between the transmitters and the communication users."""

from __future__ import annotations

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.gain import amplitude_gain, friis_amplitude
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site

# Taps of the power delay profile, over PROFILE_SPREADS r.m.s. delay spreads: together they hold
# 98 % of an exponential profile's power, in steps of a quarter of its spread.
NUM_TAPS = 16
PROFILE_SPREADS = 4


def group_offsets_hz(grid: OfdmGrid, group_size: int) -> np.ndarray:
    """Center of each precoder group from the first subcarrier, [num_groups], float64, Hz."""
    return grid.subcarrier_offsets_hz.reshape(-1, group_size).mean(axis=1)


def user_channels(
    scene: Scene, positions_m: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Frequency-selective Rician channels h^H from all transmit antennas to all users.

    Scattered taps have an exponential power delay profile and are independent per antenna. The mean
    power is that of the path loss, or with the radar equation that of free space, times the gain
    of the site's elements towards the user.

    positions_m: [num_users, 3], float64, m
    Returns [num_groups, num_users, num_tx_ant], complex128.
    Source: h of CF eq. (4).
    """
    offsets_hz = group_offsets_hz(scene.grid, scene.waveform.group_size)
    channels = [
        _from_site(scene, site, positions_m, offsets_hz, generator) for site in scene.transmitters
    ]
    return np.concatenate(channels, axis=-1)


def _from_site(
    scene: Scene,
    site: Site,
    positions_m: np.ndarray,
    offsets_hz: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Channels from one transmitter, [num_groups, num_users, num_ant], complex128.

    positions_m: [num_users, 3], float64, m
    offsets_hz: [num_groups], float64, Hz
    """
    away_m = positions_m - site.position_m
    distances_m = np.linalg.norm(away_m, axis=-1)
    directions = away_m / distances_m[:, None]

    # Line of sight, and scattered taps.
    steering = steering_vectors(site.elements_m, directions, scene.grid.wavelength_m)
    direct = _direct(steering, distances_m, offsets_hz, generator)
    shape = (len(distances_m), site.num_ant)
    scattered = _scattered(shape, scene.users.delay_spread_s, offsets_hz, generator)

    # Rician mixture of unit power.
    factor = scene.users.rician_factor
    direct_amplitude = np.sqrt(factor / (1 + factor))
    scattered_amplitude = np.sqrt(1 / (1 + factor))
    mixed = direct_amplitude * direct + scattered_amplitude * scattered

    # Mean power at the users.
    gain = _mean_amplitude(scene, distances_m) * element_amplitude(site, directions)
    return mixed * gain[:, None]


def _direct(
    steering: np.ndarray,
    distances_m: np.ndarray,
    offsets_hz: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Line-of-sight channels of unit power at each antenna, with random carrier phases.

    steering: [num_users, num_ant], complex128, steering vectors of unit norm
    distances_m: [num_users], float64, m
    offsets_hz: [num_groups], float64, Hz
    Returns [num_groups, num_users, num_ant], complex128.
    """
    carrier_phase = np.exp(2j * np.pi * generator.random(len(distances_m)))
    delay_phase = np.exp(-2j * np.pi * offsets_hz[:, None] * distances_m / SPEED_OF_LIGHT_MPS)
    phases = (delay_phase * carrier_phase)[..., None]
    num_ant = steering.shape[-1]
    return phases * steering * np.sqrt(num_ant)


def _scattered(
    shape: tuple[int, int],
    delay_spread_s: float,
    offsets_hz: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Rayleigh channels of unit power, with an exponential power delay profile.

    shape: num_users, num_ant
    delay_spread_s: root mean square delay spread, s
    offsets_hz: [num_groups], float64, Hz
    Returns [num_groups, num_users, num_ant], complex128.
    """
    # Delays of the taps, and their powers, which add up to 1.
    numbers = np.arange(NUM_TAPS)
    step_s = PROFILE_SPREADS * delay_spread_s / NUM_TAPS
    delays_s = numbers * step_s
    profile = np.exp(-numbers * PROFILE_SPREADS / NUM_TAPS)
    powers = profile / profile.sum()

    # Circular Gaussian amplitudes, from independent real and imaginary parts.
    parts = generator.standard_normal((NUM_TAPS, *shape, 2))
    half = np.sqrt(0.5)
    taps = parts @ (half, 1j * half)
    taps *= np.sqrt(powers)[:, None, None]

    # Sum of the taps at each frequency.
    delay_phases = np.exp(-2j * np.pi * offsets_hz[:, None] * delays_s)
    return np.tensordot(delay_phases, taps, axes=1)


def _mean_amplitude(scene: Scene, distances_m: np.ndarray) -> np.ndarray:
    """Large-scale amplitude to users at distances [num_users], m, from isotropic elements."""
    if scene.propagation.has_radar_equation:
        return friis_amplitude(scene.grid.wavelength_m, distances_m)
    return amplitude_gain(scene.propagation, distances_m)

"""Centralised precoders over all transmitters and the user rates they give."""

from __future__ import annotations

import numpy as np

PRECODERS = ("mmse", "zero_forcing", "maximum_ratio")


def precode(
    kind: str, user_channels: np.ndarray, noise_power_w: float, total_power_w: float
) -> np.ndarray:
    """Unit-norm precoding vectors of all users over all transmitters' antennas (CF section II-B).

    user_channels: [num_groups, num_users, num_tx_ant], rows h^H; noise and power are those of one
    subcarrier.
    Returns [num_groups, num_tx_ant, num_users].
    """
    if kind not in PRECODERS:
        raise ValueError(f"precoder '{kind}' is not known; use one of {PRECODERS}")
    hermitian = user_channels.conj().swapaxes(-1, -2)
    if kind == "maximum_ratio":
        directions = hermitian
    else:
        num_users = user_channels.shape[1]
        loading = num_users * noise_power_w / total_power_w if kind == "mmse" else 0.0
        gram = user_channels @ hermitian + loading * np.eye(num_users)
        directions = hermitian @ np.linalg.inv(gram)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def limit_power(
    precoders: np.ndarray, antennas: tuple[slice, ...], group_size: int, power_w: float
) -> np.ndarray:
    """Scale all precoders alike so that the strongest transmitter radiates power_w over all
    subcarriers.

    precoders: [num_groups, num_tx_ant, num_users]; antennas: each transmitter's slice of the
    antenna axis. One common factor keeps the users' orthogonality (sum over i of ||W_{n,i}||_F^2 <=
    P, CF section II-A).
    """
    radiated = [group_size * np.sum(np.abs(precoders[:, part]) ** 2) for part in antennas]
    return precoders * np.sqrt(power_w / max(radiated))


def user_rates(
    user_channels: np.ndarray, precoders: np.ndarray, noise_power_w: float
) -> np.ndarray:
    """Spectral efficiency of each user, averaged over the groups, [num_users], bit/s/Hz (SINR of CF
    eq. 5).

    user_channels: [num_groups, num_users, num_tx_ant]; precoders: [num_groups, num_tx_ant,
    num_users], sqrt(W).
    """
    power = np.abs(user_channels @ precoders) ** 2
    wanted = np.diagonal(power, axis1=1, axis2=2)
    interference = power.sum(axis=2) - wanted
    return np.log2(1 + wanted / (interference + noise_power_w)).mean(axis=0)

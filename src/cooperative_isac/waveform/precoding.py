"""Centralized precoders over all transmitters, and the user rates that they give."""

from __future__ import annotations

import numpy as np

PRECODERS = ("mmse", "zero_forcing", "maximum_ratio")


def precode(
    kind: str, user_channels: np.ndarray, noise_power_w: float, total_power_w: float
) -> np.ndarray:
    """Unit-norm precoding vectors of all users over all transmitters' antennas.

    kind: one of PRECODERS
    user_channels: [num_groups, num_users, num_tx_ant], complex, rows h^H
    noise_power_w: at a user, per subcarrier, W
    total_power_w: of all transmitters, per subcarrier, W
    Returns [num_groups, num_tx_ant, num_users], complex.
    Raises ValueError: the kind is not known.
    Source: CF section II-B.
    """
    if kind not in PRECODERS:
        raise ValueError(f"precoder '{kind}' is not known; use one of {PRECODERS}")
    hermitian = user_channels.conj().swapaxes(-1, -2)

    if kind == "maximum_ratio":
        directions = hermitian
    else:
        # Invert the users' Gram matrix; MMSE loads it with the inverse SNR.
        num_users = user_channels.shape[1]
        loading = num_users * noise_power_w / total_power_w if kind == "mmse" else 0.0
        gram = user_channels @ hermitian + loading * np.eye(num_users)
        directions = hermitian @ np.linalg.inv(gram)

    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def limit_power(
    precoders: np.ndarray, antennas: tuple[slice, ...], group_size: int, power_w: float
) -> np.ndarray:
    """Scale all precoders alike, so that the strongest transmitter radiates the power limit.

    One common factor keeps the users' orthogonality.

    precoders: [num_groups, num_tx_ant, num_users], complex
    antennas: each transmitter's slice of the antenna axis
    group_size: subcarriers that share one precoder
    power_w: limit of one transmitter over all subcarriers, W
    Returns [num_groups, num_tx_ant, num_users], complex, sqrt(W).
    Source: CF section II-A, sum over i of ||W_{n,i}||_F^2 <= P.
    """
    radiated = [group_size * np.sum(np.abs(precoders[:, part]) ** 2) for part in antennas]
    return precoders * np.sqrt(power_w / max(radiated))


def user_rates(
    user_channels: np.ndarray, precoders: np.ndarray, noise_power_w: float
) -> np.ndarray:
    """Spectral efficiency of each user, mean over the precoder groups.

    user_channels: [num_groups, num_users, num_tx_ant], complex
    precoders: [num_groups, num_tx_ant, num_users], complex, sqrt(W)
    noise_power_w: at a user, per subcarrier, W
    Returns [num_users], float64, bit/s/Hz.
    Source: SINR of CF eq. (5).
    """
    # Power of each user's stream (column) at each user (row).
    received_w = np.abs(user_channels @ precoders) ** 2
    wanted_w = np.diagonal(received_w, axis1=1, axis2=2)
    interference_w = received_w.sum(axis=2) - wanted_w
    sinr = wanted_w / (interference_w + noise_power_w)
    return np.log2(1 + sinr).mean(axis=0)

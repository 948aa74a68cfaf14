"""Suppression of static paths: line of sight, ground and walls are taken out of an echo.

A path without Doppler shift adds g_i^T s_i(t) to an antenna on subcarrier i, whatever its delay and
its angles: all static paths together lie in the span of the K streams s_i, K of the T symbol
dimensions per antenna and subcarrier. With the coefficients g as nuisance parameters, CN(g_hat, Q),
the log-likelihood of an echo y has the inner product

    <x, y - S^T g_hat>_P,   P = I - S^H (S S^H + sigma^2 Q^-1)^-1 S,

instead of <x, y>. Without side information Q^-1 = 0 and P projects the span out. A background that
was learned over frames (sensing.background) gives g_hat and a small Q, so that P leaves slow
targets in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Singular values of a Gram matrix below this share of the largest are no stream.
RANK_TOLERANCE = 1e-5


@dataclass(frozen=True)
class StaticNuisance:
    """Static paths of one receiver in one frame as nuisance parameters.

    mean: [num_rx_ant, num_subcarriers, num_streams], complex64, g_hat; None: zero
    inverse: [num_subcarriers, num_streams, num_streams], complex128, (S S^H + sigma^2 Q^-1)^-1; its
    errors times the static paths are what these leave in the echo
    left_share: share of the static power that g_hat does not explain: changes of static paths, and
    targets that stand still
    """

    mean: np.ndarray | None
    inverse: np.ndarray
    left_share: float = 0.0

    @cached_property
    def weights(self) -> np.ndarray:
        """The inverse for replicas, whose rounding is that of a target, as complex64."""
        return self.inverse.astype(np.complex64)


def stream_grams(streams: np.ndarray) -> np.ndarray:
    """Gram matrix conj(S) S^T of the streams on each subcarrier.

    streams: [num_subcarriers, num_streams, num_symbols], complex64
    Returns [num_subcarriers, num_streams, num_streams], complex128.
    """
    wide = streams.astype(complex)
    return wide.conj() @ wide.swapaxes(1, 2)


def unknown_static(streams: np.ndarray) -> StaticNuisance:
    """Static paths of which nothing is known: P is a projection.

    streams: [num_subcarriers, num_streams, num_symbols], complex64, zero where a resource element
    is not sensed
    """
    inverse = np.linalg.pinv(stream_grams(streams), rcond=RANK_TOLERANCE, hermitian=True)
    return StaticNuisance(None, inverse)


def without_mean(
    echo: np.ndarray, streams: np.ndarray, mean: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The echo without the expected static paths, and its correlation with the streams.

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    streams: [num_subcarriers, num_streams, num_symbols], complex64
    mean: [num_rx_ant, num_subcarriers, num_streams], complex64, or None
    Returns [num_subcarriers, num_rx_ant, num_symbols] and [num_subcarriers, num_rx_ant,
    num_streams], complex64.
    """
    by_subcarrier = echo.transpose(1, 0, 2)
    if mean is not None:
        by_subcarrier = by_subcarrier - mean.transpose(1, 0, 2) @ streams
    return by_subcarrier, by_subcarrier @ streams.conj().swapaxes(1, 2)


def shrunk(
    by_subcarrier: np.ndarray, correlation: np.ndarray, streams: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    """P y from the results of without_mean: shrunk least squares on the streams is subtracted.

    by_subcarrier: [num_subcarriers, num_rx_ant, num_symbols], complex64, sqrt(W), echo
    correlation: [num_subcarriers, num_rx_ant, num_streams], complex64, of the echo
    streams: [num_subcarriers, num_streams, num_symbols], complex64
    inverse: [num_subcarriers, num_streams, num_streams], complex128, of StaticNuisance
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    coefficients = (correlation @ inverse.swapaxes(1, 2)).astype(np.complex64)
    return (by_subcarrier - coefficients @ streams).transpose(1, 0, 2)


def suppress(echo: np.ndarray, streams: np.ndarray, nuisance: StaticNuisance) -> np.ndarray:
    """An echo without its static paths, P (y - S^T g_hat) of StaticNuisance.

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    streams: [num_subcarriers, num_streams, num_symbols], complex64
    nuisance: expected static paths g_hat, and the projection P
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    by_subcarrier, correlation = without_mean(echo, streams, nuisance.mean)
    return shrunk(by_subcarrier, correlation, streams, nuisance.inverse)

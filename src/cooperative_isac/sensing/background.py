"""Recursive least squares of the static channel to one receiver, over frames (its background).

The static paths are a channel H_i from all transmit antennas to a receive antenna on subcarrier i.
A frame with the precoders W measures a few combinations of it, g_i = W^T h_i, by least squares
on its streams with the noise covariance sigma^2 G_i^-1, G_i the streams' Gram matrix. Frames with
other precoders add other combinations. A row h of the channel is CN(h_hat, J^-1) with the
information

    J = J_0 + sum over frames of lambda^age W^* G W^T / sigma^2,

the same for all receive antennas and, with the mean of their Gram matrices, for all subcarriers
that share precoders. Forgetting (lambda < 1) leads back to the prior J_0, so that J^-1 never
exceeds J_0^-1 (Kulhavy and Zarrop, Int. J. Control 58(4), 1993). A frame's coefficients are then
CN(W^T h_hat, Q), Q = W^T J^-1 W^*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.sensing.static_paths import RANK_TOLERANCE, StaticNuisance, stream_grams
from cooperative_isac.waveform.signal import Component

# Variance of static paths over that of a frame's estimate, before anything was learned. Line of
# sight at 60 dBm is some 50 dB above it; a larger prior changes nothing until rounding (double
# precision) does.
PRIOR_RATIO = 1e8

# Standard deviations of the noise's power below which static power may be left undetected.
UNCERTAIN = 3.0

# Power that is left without the background, over that which noise leaves: above it echo and
# background differ. How much they differ is the share of the static power that is left.
MOST_MISFIT = 10.0

# Share of the static power, that of an error of 0.01 rad in phase, above which residues of static
# paths are stronger than most targets that stand still: the frame is projected.
DRIFTED = 1e-4

# Share of the static power above which an antenna moved or a clock jumped: the background begins
# anew.
CONTRADICTED = 0.1


@dataclass(frozen=True)
class Background:
    """Gaussian posterior of the static channel to one receiver.

    mean: [num_subcarriers, num_rx_ant, num_tx_ant], complex128, H_hat
    information: [num_groups, num_tx_ant, num_tx_ant], complex128, J of each group of subcarriers
    prior: float, J_0 is this times the identity
    """

    mean: np.ndarray
    information: np.ndarray
    prior: float

    @property
    def is_finite(self) -> bool:
        """True where every entry is a finite number."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.information).all())

    def decayed(self, share: float) -> Background:
        """The background with a share of its information replaced by that of the prior.

        share: from 0 to 1
        """
        prior = self.prior * np.eye(self.information.shape[-1])
        return replace(self, information=(1 - share) * self.information + share * prior)


@dataclass(frozen=True)
class Prediction:
    """Static paths that a background predicts for one frame.

    precoders: [num_groups, num_tx_ant, num_streams], complex128
    grams: [num_subcarriers, num_streams, num_streams], complex128, G of the frame's streams
    spread: [num_groups, num_tx_ant, num_streams], complex128, J^-1 W^*, covariance of channel and
    coefficients
    precision: [num_subcarriers, num_streams, num_streams], complex128, pseudoinverse of G Q G +
    sigma^2 G, the covariance of the correlation of an echo without its predicted static paths
    num_observed: coefficients of a receive antenna that the frame determines, over all subcarriers
    nuisance: the coefficients of this frame, as the suppression takes them
    """

    precoders: np.ndarray
    grams: np.ndarray
    spread: np.ndarray
    precision: np.ndarray
    num_observed: int
    nuisance: StaticNuisance


def unknown_background(frame: Component, num_rx_ant: int, noise_power_w: float) -> Background:
    """Background of the prior alone.

    frame: signal, for sizes and powers
    num_rx_ant: antennas of the receiver
    noise_power_w: noise power of a resource element, W
    """
    num_groups, num_tx_ant, _ = frame.precoders.shape
    mean = np.zeros((frame.grid.num_subcarriers, num_rx_ant, num_tx_ant), complex)

    # Information that one frame gives about each antenna, on average.
    precoders = frame.precoders.astype(complex)
    observed = _observed(precoders, stream_grams(frame.streams), noise_power_w)
    per_antenna = np.trace(observed, axis1=1, axis2=2).real.mean() / num_tx_ant

    # That of the prior is a small share of it, the same for all antennas.
    prior = max(per_antenna / PRIOR_RATIO, np.finfo(float).tiny)
    of_group = prior * np.eye(num_tx_ant)
    information = np.broadcast_to(of_group, (num_groups, num_tx_ant, num_tx_ant))
    return Background(mean, information.astype(complex), prior)


def predict(background: Background, frame: Component, noise_power_w: float) -> Prediction:
    """Static paths of a frame by the background, with their uncertainty.

    background: posterior of the frames before
    frame: side information, the whole signal or its reference symbols
    noise_power_w: noise power of a resource element, W
    """
    precoders = frame.precoders.astype(complex)
    grams = stream_grams(frame.streams)

    # Covariance Q of the coefficients, for each group; Hermitian to rounding.
    spread = np.linalg.solve(background.information, precoders.conj())
    covariance = precoders.swapaxes(1, 2) @ spread
    covariance = (covariance + covariance.conj().swapaxes(1, 2)) / 2

    # Span of the streams, by the eigenvalues of the Gram matrices G.
    values, vectors = np.linalg.eigh(grams)
    adjoint = vectors.conj().swapaxes(1, 2)
    kept = values > RANK_TOLERANCE * values[:, -1:]

    # Square roots G^1/2, and G^-1/2 in the span.
    roots = np.sqrt(np.where(kept, values, 0))
    divisors = np.where(kept, roots, 1)
    inverses = np.where(kept, 1 / divisors, 0)
    root = (vectors * roots[:, None]) @ adjoint
    inverse_root = (vectors * inverses[:, None]) @ adjoint

    # Precision (G Q G + sigma^2 G)^-1 of the correlation. Between two factors G^-1/2 it is that of
    # the whitened correlation, G^1/2 Q G^1/2 + sigma^2 I, which can be inverted for any rank of G.
    of_subcarriers = np.repeat(covariance, frame.group_size, axis=0)
    whitened = root @ of_subcarriers @ root
    whitened += noise_power_w * np.eye(whitened.shape[-1])
    precision = inverse_root @ np.linalg.inv(whitened) @ inverse_root

    # (G + sigma^2 Q^-1)^-1 = G^-1 - sigma^2 (G Q G + sigma^2 G)^-1, which holds for any Q.
    inverse = inverse_root @ inverse_root - noise_power_w * precision

    # Expected coefficients W^T h_hat, [num_rx_ant, num_subcarriers, num_streams].
    mean = _by_group(background.mean, frame) @ precoders
    mean = mean.reshape(*background.mean.shape[:2], -1).transpose(1, 0, 2)
    nuisance = StaticNuisance(mean.astype(np.complex64), inverse)
    return Prediction(precoders, grams, spread, precision, int(kept.sum()), nuisance)


def left_over(
    prediction: Prediction, correlation: np.ndarray, noise_power_w: float
) -> tuple[float, float]:
    """Power that changed static paths or targets at rest leave in an echo.

    prediction: static paths by the background
    correlation: [num_subcarriers, num_rx_ant, num_streams], complex64, of static_paths.without_mean
    noise_power_w: noise power of a resource element, W
    Returns the misfit, the remaining power over its expectation under noise, and the share of the
    static power that may remain beyond that after the suppression, as far as noise can hide it.
    """
    num_observed = max(correlation.shape[1] * prediction.num_observed, 1)
    misfit = _power(correlation, prediction.precision) / num_observed

    # Excess over noise, whose misfit is 1 with a standard deviation of 1 / sqrt(num_observed).
    excess = max(misfit - 1, 0.0) + UNCERTAIN / np.sqrt(num_observed)

    # Static power within the streams, in noise variances: that of the correlation with the expected
    # static paths put back, weighted with G^-1 (see predict).
    inverse = prediction.nuisance.inverse + noise_power_w * prediction.precision
    assert prediction.nuisance.mean is not None  # a prediction has one
    mean = prediction.nuisance.mean.transpose(1, 0, 2)
    whole = correlation + mean @ prediction.grams.swapaxes(1, 2)
    static = _power(whole, inverse) / noise_power_w

    return misfit, num_observed * excess / max(static, 1.0)


def updated(
    background: Background,
    prediction: Prediction,
    frame: Component,
    correlation: np.ndarray,
    noise_power_w: float,
) -> Background:
    """Background after the update with a frame.

    background: before the frame
    prediction: static paths of the frame by it
    frame: side information, the whole signal or its reference symbols
    correlation: [num_subcarriers, num_rx_ant, num_streams], complex64, of static_paths.without_mean
    noise_power_w: noise power of a resource element, W
    """
    # Conditional mean of the channel, each subcarrier with its own Gram matrix.
    weights = (prediction.grams @ prediction.precision).swapaxes(1, 2)
    weighted = _by_group(correlation @ weights, frame)
    steps = weighted @ prediction.spread.swapaxes(1, 2)
    mean = background.mean + steps.reshape(background.mean.shape)

    # Information of the frame.
    observed = _observed(prediction.precoders, prediction.grams, noise_power_w)
    information = background.information + observed
    return replace(background, mean=mean, information=information)


def _by_group(values: np.ndarray, frame: Component) -> np.ndarray:
    """Rows [num_subcarriers, num_rx_ant, n] as [num_groups, group_size * num_rx_ant, n]."""
    return values.reshape(len(frame.precoders), -1, values.shape[-1])


def _power(correlation: np.ndarray, weights: np.ndarray) -> float:
    """Sum of c^H weights c over receive antennas and subcarriers."""
    return float(np.vdot(correlation, correlation @ weights.swapaxes(1, 2)).real)


def _observed(precoders: np.ndarray, grams: np.ndarray, noise_power_w: float) -> np.ndarray:
    """Information W^* G W^T / sigma^2 that a frame brings, [num_groups, num_tx_ant, num_tx_ant]."""
    num_streams = precoders.shape[-1]
    by_group = grams.reshape(len(precoders), -1, num_streams, num_streams)
    mean_grams = by_group.mean(axis=1)
    return precoders.conj() @ (mean_grams / noise_power_w) @ precoders.swapaxes(1, 2)

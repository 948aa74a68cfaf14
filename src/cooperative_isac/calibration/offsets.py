"""Clock offsets between the two stations of a link, from the signals received on the link.

A receiver whose clock is late by delta sees every path delta earlier, and a carrier frequency
offset shifts every Doppler by the same amount. Both are estimated from a path of known geometry
(line of sight), from both directions of a link, or from an observation that needs no second clock
(active sensing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

import cooperative_isac.estimation.checks as checks
from cooperative_isac.estimation.channel_matrix import (
    MATRIX_REMEDY,
    ChannelMatrix,
    offset_correction,
)
from cooperative_isac.estimation.range_doppler import PathEstimate

# Squared Mahalanobis distance of a path's offset from the mean, beyond which it is left out: five
# standard deviations.
MOST_DISTANCE = 25.0

# For the errors of functions of paths and of offsets.
PATH_REMEDY = "such as estimate_path(matrices, ...)"
OFFSET_REMEDY = "such as offset_of_path(measured, ...)"


# Source of errors: the index of a target or of a pair of links, in a frame by its time.
Source = tuple[float, ...]


@dataclass(frozen=True)
class ClockOffset:
    """Offset of a link's receiver against its transmitter.

    delay_s: time by which paths look longer than they are, s
    frequency_hz: frequency by which Doppler shifts look greater than they are, Hz
    covariance: [2, 2], float64, of (delay_s, frequency_hz)
    common: errors that the offsets of several links have in common: by their source, the change
        [2, n], float64, of both with n independent errors of one standard deviation; they are part
        of the covariance
    """

    delay_s: float
    frequency_hz: float
    covariance: np.ndarray
    common: Mapping[Source, np.ndarray] = field(default_factory=dict)

    @property
    def own_covariance(self) -> np.ndarray:
        """Covariance without the common errors, [2, 2], float64."""
        return self.covariance - sum(change @ change.T for change in self.common.values())


# Offset of a station's own signal, which has one clock.
NO_OFFSET = ClockOffset(0.0, 0.0, np.zeros((2, 2)))


def offset_of_path(
    measured: PathEstimate,
    carrier_hz: float,
    delay_s: float,
    path_speed_mps: float,
    covariance: np.ndarray | None = None,
) -> ClockOffset:
    """Clock offset from a path whose delay and speed are known from elsewhere.

    The line of sight between stations of known positions is such a path. Without one, a target's
    path is: an active observation, which has one clock only, predicts its bistatic delay.

    measured: the path as the link sees it
    carrier_hz: carrier frequency of the link, Hz
    delay_s: true delay of the path, s
    path_speed_mps: true speed at which the path shortens, m/s
    covariance: [2, 2], float64, of the true values in (s, m/s) where they are estimates
    Source: DC section IV-A.
    """
    checks.instance("measured", measured, PathEstimate, PATH_REMEDY)
    carrier_hz = checks.positive("carrier_hz", carrier_hz)
    delay_s = checks.number("delay_s", delay_s)
    path_speed_mps = checks.number("path_speed_mps", path_speed_mps)
    known = np.zeros((2, 2)) if covariance is None else _covariance(covariance)

    hertz_per_mps = carrier_hz / LIGHT_SPEED_MPS
    to_offset = np.diag([1.0, hertz_per_mps])
    return ClockOffset(
        delay_s=measured.delay_s - delay_s,
        frequency_hz=(measured.path_speed_mps - path_speed_mps) * hertz_per_mps,
        covariance=to_offset @ (measured.covariance + known) @ to_offset,
    )


def offset_of_both_directions(
    forward: PathEstimate, backward: PathEstimate, carrier_hz: float
) -> ClockOffset:
    """Clock offset of the forward direction from one path seen in both directions of a link.

    The path is the same both ways (reciprocity), the offset has opposite signs: half the difference
    is the offset, whatever and wherever the path is.

    forward: the path as the second station receives it
    backward: the path as the first station receives it
    carrier_hz: carrier frequency of the link, Hz
    Source: DC section IV-A.
    """
    checks.instance("forward", forward, PathEstimate, PATH_REMEDY)
    checks.instance("backward", backward, PathEstimate, PATH_REMEDY)
    carrier_hz = checks.positive("carrier_hz", carrier_hz)

    hertz_per_mps = carrier_hz / LIGHT_SPEED_MPS
    to_offset = np.diag([1.0, hertz_per_mps])
    seen = [
        ClockOffset(
            path.delay_s,
            path.path_speed_mps * hertz_per_mps,
            to_offset @ path.covariance @ to_offset,
        )
        for path in (forward, backward)
    ]
    return half_difference(*seen)


def half_difference(forward: ClockOffset, backward: ClockOffset) -> ClockOffset:
    """Clock offset of the forward direction of a link from delays and shifts of both directions.

    Whatever both have in common cancels: the path itself, or the error of its prediction.

    forward, backward: of one path by the second and by the first station, less one prediction
    Source: DC section IV-A.
    """
    checks.instance("forward", forward, ClockOffset, OFFSET_REMEDY)
    checks.instance("backward", backward, ClockOffset, OFFSET_REMEDY)
    return ClockOffset(
        delay_s=(forward.delay_s - backward.delay_s) / 2,
        frequency_hz=(forward.frequency_hz - backward.frequency_hz) / 2,
        covariance=(forward.covariance + backward.covariance) / 4,
    )


def mean_offset(estimates: Sequence[ClockOffset]) -> ClockOffset | None:
    """Mean of the offsets of several paths by their covariances, without those far from it.

    estimates: of one link, may be empty
    Returns None where there is no estimate.
    Raises ValueError for a covariance without an inverse.
    """
    left = _checked(estimates)
    while left:
        # Mean, weighted by information.
        informations = [np.linalg.inv(estimate.covariance) for estimate in left]
        values = [np.array([estimate.delay_s, estimate.frequency_hz]) for estimate in left]
        covariance = np.linalg.inv(sum(informations))
        weighted = [information @ value for information, value in zip(informations, values)]
        mean = covariance @ np.sum(weighted, axis=0)

        # Leave out the estimate that is farthest from it, until all are near.
        squared_distances = [
            float((value - mean) @ information @ (value - mean))
            for value, information in zip(values, informations)
        ]
        farthest = int(np.argmax(squared_distances))
        if squared_distances[farthest] <= MOST_DISTANCE:
            common: dict[Source, np.ndarray] = {}
            for estimate, information in zip(left, informations, strict=True):
                add_common(common, estimate, covariance @ information)
            return ClockOffset(float(mean[0]), float(mean[1]), covariance, common)
        del left[farthest]
    return None


def add_common(common: dict[Source, np.ndarray], offset: ClockOffset, weight: np.ndarray) -> None:
    """Add the common errors of one offset to those of a weighted sum.

    weight: [2, 2], float64, of the offset in the sum
    """
    for source, change in offset.common.items():
        common[source] = common.get(source, 0.0) + weight @ change


def corrected(matrix: ChannelMatrix, offset: ClockOffset) -> ChannelMatrix:
    """Channel matrix with a clock offset taken off.

    matrix: channel as received
    offset: of the link
    """
    checks.instance("matrix", matrix, ChannelMatrix, MATRIX_REMEDY)
    checks.instance("offset", offset, ClockOffset, OFFSET_REMEDY)
    correction = offset_correction(
        matrix.frequency_hz, matrix.time_s, offset.delay_s, offset.frequency_hz
    )
    return replace(matrix, values=matrix.values * correction)


def cross_correlated(echo: ChannelMatrix, line_of_sight: ChannelMatrix) -> ChannelMatrix:
    """Echo times the conjugate of the line of sight, element by element.

    Timing offset, frequency offset and phase cancel, even where they change from symbol to symbol:
    what is left is the echo's delay and Doppler shift relative to the line of sight. The price is
    noise (`cross_correlation_snr`); offsets that are constant over the frame are estimated with
    less loss from the whole matrix (`offset_of_path`).

    echo: values [num_subcarriers, num_symbols], channel in a beam toward the target
    line_of_sight: values of the same shape, channel of the same link in a beam toward the
        transmitter
    Returns the product, scaled to the power of the echo.
    Raises ValueError if the grids differ or have no resource element in common.
    Source: DC section IV-A; Zhao et al., arXiv 2405.09179.
    """
    checks.instance("echo", echo, ChannelMatrix, MATRIX_REMEDY)
    checks.instance("line_of_sight", line_of_sight, ChannelMatrix, MATRIX_REMEDY)
    if echo.values.shape != line_of_sight.values.shape:
        raise ValueError(
            f"the echo's grid {echo.values.shape} differs from the line of sight's "
            f"{line_of_sight.values.shape}: both must be of the same link and band"
        )

    mask = echo.mask & line_of_sight.mask
    if not mask.any():
        raise ValueError(
            "the masks of echo and line_of_sight have no resource element in common: use both on "
            "the same elements"
        )

    # Mean powers with noise, and without it: the difference of two estimates may be negative.
    received_los_power = np.mean(np.abs(line_of_sight.values[mask]) ** 2)
    received_echo_power = np.mean(np.abs(echo.values[mask]) ** 2)
    los_power = max(received_los_power - line_of_sight.noise_power, np.finfo(float).tiny)
    echo_power = max(received_echo_power - echo.noise_power, 0.0)

    # Product, scaled to the power of the echo.
    product = echo.values * line_of_sight.values.conj() / np.sqrt(los_power)

    # Noise of the product: noise of the echo times line of sight with its noise, and noise of the
    # line of sight times echo.
    echo_noise = echo.noise_power * received_los_power / los_power
    los_noise = line_of_sight.noise_power * echo_power / los_power
    return replace(
        echo,
        values=np.where(mask, product, 0),
        mask=mask,
        noise_power=float(echo_noise + los_noise),
    )


def separable(line_of_sight: ChannelMatrix) -> ChannelMatrix:
    """A line of sight with less noise: the nearest product of one delay response and one phase run.

    A single path is such a product, even where timing is constant over the frame alone and phase
    changes from symbol to symbol: that is what makes it a reference for `cross_correlated`. Of the
    noise of K subcarriers and N symbols, K + N - 1 parts of K N are left.

    line_of_sight: without holes
    Raises ValueError for a matrix with holes, whose singular vectors are not those of the path.
    """
    checks.instance("line_of_sight", line_of_sight, ChannelMatrix, MATRIX_REMEDY)
    if not line_of_sight.mask.all():
        raise ValueError("the line of sight has holes; use cross_correlated with all of its noise")
    left, values, right = np.linalg.svd(line_of_sight.values, full_matrices=False)
    num_subcarriers, num_symbols = line_of_sight.values.shape
    share = (num_subcarriers + num_symbols - 1) / (num_subcarriers * num_symbols)
    return replace(
        line_of_sight,
        values=values[0] * np.multiply.outer(left[:, 0], right[0]),
        noise_power=line_of_sight.noise_power * share,
    )


def cross_correlation_snr(echo_snr: float, sight_snr: float) -> float:
    """SNR of the product of echo and line of sight.

    3 dB are lost when both are equally strong and far above the noise, and half a decibel when the
    line of sight is 10 dB above both the noise and the echo.

    echo_snr, sight_snr: power ratios on one resource element
    Returns the power ratio g_e g_s / (1 + g_e + g_s).
    """
    echo_snr = checks.not_negative("echo_snr", echo_snr)
    sight_snr = checks.not_negative("sight_snr", sight_snr)
    return echo_snr * sight_snr / (1 + echo_snr + sight_snr)


def _covariance(values: object) -> np.ndarray:
    """Covariance of a known delay and speed, checked, [2, 2], float64."""
    found = checks.reals("covariance", values, "2, 2", "of (delay, speed) in (s, m/s)")
    checks.shape("covariance", found, (2, 2), "the delay and the speed of a path")
    return found


def _checked(estimates: object) -> list[ClockOffset]:
    """Offsets of an argument, checked; there may be none."""
    if isinstance(estimates, Sequence) and len(estimates) == 0:
        return []
    found = checks.sequence("estimates", estimates, ClockOffset, OFFSET_REMEDY)
    for estimate in found:
        if np.linalg.det(estimate.covariance) == 0:
            raise ValueError(
                "an entry of estimates has a covariance without an inverse: pass offsets that are "
                "estimated, not exact ones"
            )
    return found

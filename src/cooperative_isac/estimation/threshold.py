"""Error of maximum likelihood near its threshold, where the Cramer-Rao bound no longer holds.

Below the threshold another maximum of the likelihood exceeds that at the path: an outlier. The
method of intervals adds the errors of outliers, by their probabilities, to the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS
from scipy.stats import ncx2

import cooperative_isac.estimation.checks as checks
from cooperative_isac.estimation.channel_matrix import ChannelMatrix
from cooperative_isac.estimation.path_likelihood import phase_slopes
from cooperative_isac.estimation.range_doppler import (
    checked_search,
    delay_speed_map,
    path_information,
)

# Points per resolution cell at which the density of outliers is taken; the side lobes of the
# ambiguity function are two or more points wide.
POINTS_PER_CELL = 3

# Abscissas of the contour integral of a tail probability: with 48 its error is far below 1 %.
CONTOUR_NODES = 48

# Trial abscissas of the contour, as shares of the way to the nearest pole.
CONTOUR_SHARES = np.linspace(0.02, 0.98, 49)

# Incoherence below which a path and an outlier cannot be told apart; a floor against zero.
LEAST_INCOHERENCE = 1e-3

# Points, and reach beyond the mean in standard deviations, of the integral over peak heights.
NUM_HEIGHTS = 2000
HEIGHT_DEVIATIONS = 8.0

# Mean number of outliers below which there is hardly ever more than one.
RARE_COUNT = 1e-6


@dataclass(frozen=True)
class ThresholdError:
    """Error of the maximum likelihood estimate of one path.

    outlier_probability: that the estimate is outside the main lobe
    variances: [2], float64, mean squared errors of delay, s^2, and speed, (m/s)^2
    """

    outlier_probability: float
    variances: np.ndarray


@dataclass(frozen=True)
class _Bands:
    """What the probability of an outlier at each of several offsets depends on.

    energies: [num_bands], float64, of the path in each band in noise variances
    incoherences: [num_bands, num_offsets], float64, root of one minus the squared modulus of the
        ambiguity function
    curvatures: [num_bands, 2, 2], float64, covariance of the slopes of a path's phase by delay and
        speed over the elements in use
    """

    energies: np.ndarray
    incoherences: np.ndarray
    curvatures: np.ndarray


def threshold_error(
    matrices: Sequence[ChannelMatrix],
    snrs: Sequence[float] | np.ndarray,
    delay_window_s: tuple[float, float],
    speed_window_mps: tuple[float, float],
    delay_s: float,
    path_speed_mps: float,
) -> ThresholdError:
    """Mean squared error of `estimate_path` by the method of intervals, outliers included.

    matrices: the grids, one a band; their values and noise are not used
    snrs: [num_bands], float64, power ratio of the path to the noise on one resource element
    delay_window_s: least and greatest delay of the search, s
    speed_window_mps: least and greatest speed of the search, m/s
    delay_s, path_speed_mps: the path, within the windows
    Source: Van Trees, "Detection, Estimation, and Modulation Theory" I, section 4.2.3; Athley, IEEE
    Trans. SP 53(4), 2005. Here the number of outliers is that of the maxima of a random field
    (Worsley, Adv. Appl. Prob. 26, 1994) in place of that of independent cells.
    """
    matrices, delay_window_s, speed_window_mps = checked_search(
        matrices, delay_window_s, speed_window_mps
    )
    snrs = checks.positives("snrs", snrs, "num_bands")
    checks.shape("snrs", snrs, (len(matrices),), "matrices")
    delay_s = _inside("delay_s", delay_s, delay_window_s)
    path_speed_mps = _inside("path_speed_mps", path_speed_mps, speed_window_mps)

    # Offsets from the path over the window without the main lobe.
    cell_s, cell_mps = resolution_cells(matrices)
    delays_s = _midpoints(delay_window_s, cell_s) - delay_s
    speeds_mps = _midpoints(speed_window_mps, cell_mps) - path_speed_mps
    offsets = np.stack(np.meshgrid(delays_s, speeds_mps, indexing="ij"), axis=-1)
    is_outside = np.any(np.abs(offsets) >= (cell_s, cell_mps), axis=-1)

    # Coherence of the path with one at each offset: ambiguity functions of the bands.
    ambiguities = [
        delay_speed_map(replace(matrix, values=matrix.mask.astype(complex)), delays_s, speeds_mps)
        / np.count_nonzero(matrix.mask)
        for matrix in matrices
    ]
    squared = np.abs(np.array(ambiguities)[:, is_outside]) ** 2
    least_squared = LEAST_INCOHERENCE**2

    # Outliers expected around each offset.
    bands = _Bands(
        energies=np.array([_energy(*band) for band in zip(matrices, snrs, strict=True)]),
        incoherences=np.sqrt(np.maximum(1 - squared, least_squared)),
        curvatures=np.array([np.cov(phase_slopes(matrix)) for matrix in matrices]),
    )
    densities = _expected_outliers(bands)
    counts = densities * cell_s * cell_mps / POINTS_PER_CELL**2

    # Bound without an outlier, squared distances with one.
    total = counts.sum()
    probability = _any_outlier(float(total), bands.energies)
    squared_offsets = offsets[is_outside] ** 2
    outlying = counts @ squared_offsets / max(total, np.finfo(float).tiny)
    covariance = np.linalg.inv(path_information(matrices, snrs))
    bound = np.diag(covariance)
    return ThresholdError(probability, (1 - probability) * bound + probability * outlying)


def _inside(name: str, value: float, window: tuple[float, float]) -> float:
    """A number within the window of the search, checked."""
    found = checks.number(name, value)
    if not window[0] <= found <= window[1]:
        raise ValueError(
            f"{name} is {found:g}, outside the window of the search from {window[0]:g} to "
            f"{window[1]:g}: pass a window that contains the path"
        )
    return found


def _expected_outliers(bands: _Bands) -> np.ndarray:
    """Mean number of maxima above that of the path, per s and m/s, [num_offsets].

    With the statistics T at an offset and T0 at the path (its fit of two parameters included) and
    the energy E = T - num_bands at the offset beyond that of noise, it is the mean of E where
    T > T0, times the root of the curvatures' determinant, over pi. The mean is an integral of the
    moment generating function of T - T0 along a line in the complex plane.
    Source: Biglieri, Caire, Taricco, Ventura-Traveset, Eur. Trans. Telecom. 9(1), 1998.
    """
    # The line, where its integrand falls off fastest: between the pole at zero and the next one.
    incoherences = bands.incoherences.max(axis=0)
    trials = CONTOUR_SHARES[:, None] / incoherences
    heights = _log_moments(bands, trials) - np.log(trials)
    lowest = heights.argmin(axis=0)
    places = np.take_along_axis(trials, lowest[None], axis=0)[0]

    # Nodes of the Gauss-Chebyshev quadrature along it.
    nodes = np.arange(1, CONTOUR_NODES // 2 + 1)
    angles = (2 * nodes - 1) * np.pi / (2 * CONTOUR_NODES)
    slopes = np.tan(angles)[:, None]
    line = places * (1 + 1j * slopes)

    # Integrand at the nodes, and the integral.
    moments = np.exp(_log_moments(bands, line))
    outlying = _outlier_energies(bands, line).sum(axis=0)
    integrand = moments * outlying
    terms = integrand.real + slopes * integrand.imag
    energies = np.sum(terms, axis=0) / CONTOUR_NODES

    # Curvature of the statistic: that of the bands, by their shares of the energy.
    by_band = np.maximum(_outlier_energies(bands, places), 0)
    shares = by_band / by_band.sum(axis=0)
    curvature = np.einsum("bo,bij->oij", shares, bands.curvatures)
    root_curvature = np.sqrt(np.linalg.det(curvature))
    return energies * root_curvature / np.pi


def _log_moments(bands: _Bands, places: np.ndarray) -> np.ndarray:
    """Logarithm of the moment generating function of T - T0 at places, [..., num_offsets]."""
    # The fit of two parameters adds half a chi-square variable of two degrees of freedom to T0.
    total = -np.log(1 + places)

    # In each band a difference of two squared moduli, diagonal in the eigenvectors of both.
    for energy, incoherence in zip(bands.energies, bands.incoherences, strict=True):
        scaled = incoherence * places
        of_outlier = energy * (1 - incoherence) / 2
        of_path = energy * (1 + incoherence) / 2
        total = total - np.log(1 - scaled**2)
        total = total + scaled * (of_outlier / (1 - scaled) - of_path / (1 + scaled))
    return total


def _outlier_energies(bands: _Bands, places: np.ndarray) -> np.ndarray:
    """Energy at the offset beyond that of noise, in the distribution tilted by a place.

    Returns [num_bands, ..., num_offsets].
    """
    energies = []
    for energy, incoherence in zip(bands.energies, bands.incoherences, strict=True):
        coherence = 1 - incoherence**2
        determinant = 1 - (incoherence * places) ** 2
        mean = energy * coherence / determinant**2
        variance = (1 + places * incoherence**2) / determinant
        energies.append(mean + variance - 1)
    return np.array(energies)


def _any_outlier(mean_count: float, energies: np.ndarray) -> float:
    """Probability of an outlier, from the mean number of maxima above that of the path.

    Given its height they are rare and independent; few of them are above a high one, and many above
    a low one.
    """
    if mean_count < RARE_COUNT:
        return mean_count

    # Distribution of the height of the path, its fit included.
    num_bands = len(energies)
    energy = energies.sum()
    reach = HEIGHT_DEVIATIONS * np.sqrt(2 * energy + num_bands + 1)
    heights = np.linspace(0, energy + num_bands + 1 + reach, NUM_HEIGHTS)
    weights = ncx2.pdf(2 * heights, 2 * num_bands + 2, 2 * energy)
    weights /= weights.sum()

    # Maxima of noise above each height, scaled to their mean number.
    counts = heights**num_bands * np.exp(-heights)
    counts *= mean_count / (weights @ counts)
    return float(weights @ -np.expm1(-counts))


def _energy(matrix: ChannelMatrix, snr: float) -> float:
    return snr * np.count_nonzero(matrix.mask)


def resolution_cells(matrices: Sequence[ChannelMatrix]) -> tuple[float, float]:
    """Resolution cells of delay, s, and of speed, m/s, of the finest band."""
    cells_s = []
    cells_mps = []
    for matrix in matrices:
        # Spans of a full grid: one step more than between its ends.
        bandwidth_hz = np.ptp(matrix.frequency_hz) * _steps(matrix.frequency_hz)
        duration_s = np.ptp(matrix.time_s) * _steps(matrix.time_s)
        cells_s.append(1 / bandwidth_hz)
        cells_mps.append(LIGHT_SPEED_MPS / (matrix.carrier_hz * duration_s))
    return min(cells_s), min(cells_mps)


def _steps(places: np.ndarray) -> float:
    """Number of places over that of the steps between them."""
    return len(places) / (len(places) - 1)


def _midpoints(window: tuple[float, float], cell: float) -> np.ndarray:
    """Middles of the parts of a window, POINTS_PER_CELL a cell."""
    step = cell / POINTS_PER_CELL
    return np.arange(window[0] + step / 2, window[1], step)

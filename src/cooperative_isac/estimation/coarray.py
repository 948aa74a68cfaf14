"""Sparse arrays and their virtual arrays: more sources than antennas."""

from __future__ import annotations

import numpy as np
from scipy.linalg import toeplitz

import cooperative_isac.estimation.checks as checks


def nested_positions(num_inner: int, num_outer: int) -> np.ndarray:
    """Element positions of a two-level nested array.

    A dense inner array and an outer one with num_inner + 1 times its spacing. Its virtual array is
    uniform and has 2 num_outer (num_inner + 1) - 1 elements.

    num_inner: elements of the inner array
    num_outer: elements of the outer array
    Returns [num_inner + num_outer], int64, in units of the inner spacing, from 0.
    Source: Pal, Vaidyanathan, IEEE Trans. SP 58(8), 2010, section III.
    """
    num_inner = checks.whole("num_inner", num_inner)
    num_outer = checks.whole("num_outer", num_outer)
    inner = np.arange(1, num_inner + 1)
    outer = (num_inner + 1) * np.arange(1, num_outer + 1)
    return np.concatenate([inner, outer]) - 1


def coprime_positions(first: int, second: int) -> np.ndarray:
    """Element positions of an extended coprime array.

    Two uniform arrays: `second` elements of spacing `first`, and 2 `first` elements of spacing
    `second`; together 2 first + second - 1 elements, with a virtual array that is uniform up to lag
    first second + first - 1.

    first, second: coprime numbers, first < second
    Returns [2 first + second - 1], int64, in units of half a wavelength, from 0, ascending.
    Raises ValueError if the numbers are not coprime, or the first is not the smaller.
    Source: Pal, Vaidyanathan, Proc. DSP/SPE, 2011, section III.
    """
    first = checks.whole("first", first)
    second = checks.whole("second", second)
    if np.gcd(first, second) != 1:
        raise ValueError(
            f"first and second, {first} and {second}, have the common divisor "
            f"{np.gcd(first, second)}: pass two numbers without one, such as 3 and 5"
        )
    if first >= second:
        raise ValueError(f"first is {first} and second {second}: pass the smaller one first")
    sparse = first * np.arange(second)
    dense = second * np.arange(2 * first)
    return np.union1d(sparse, dense)


def coarray_weights(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lags of the difference coarray and the number of element pairs of each.

    positions: [num_sensors], int, multiples of the unit
    Returns lags [num_lags], int64, ascending, and weights [num_lags], int64.
    """
    positions = checks.element_positions(positions)
    differences = np.subtract.outer(positions, positions)
    return np.unique(differences, return_counts=True)


def uniform_lags(positions: np.ndarray) -> int:
    """Largest lag up to which the difference coarray has no hole.

    positions: [num_sensors], int, multiples of the unit
    Returns the lag L: the virtual uniform array has 2 L + 1 elements and separates L sources.
    """
    lags, _ = coarray_weights(positions)
    present = set(lags.tolist())
    largest = 0
    while largest + 1 in present:
        largest += 1
    return largest


def lag_selection(positions: np.ndarray) -> np.ndarray:
    """Matrix that averages the entries of a covariance over all pairs of a lag.

    positions: [num_sensors], int, multiples of the unit
    Returns [2 L + 1, num_sensors^2], float64, with vec() in columns: lag -L to L of R[i, j], where
    the lag is positions[i] - positions[j].
    """
    largest = uniform_lags(positions)
    differences = np.subtract.outer(positions, positions).reshape(-1, order="F")
    rows = []
    for lag in range(-largest, largest + 1):
        pairs = differences == lag
        rows.append(pairs / pairs.sum())
    return np.array(rows)


def virtual_snapshot(covariance: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Measurement of the virtual uniform array by cross-multiplication of antennas.

    Each virtual element is the mean of all products x_i x_j^* of the lag p_i - p_j.

    covariance: [num_sensors, num_sensors], complex, sample covariance
    positions: [num_sensors], int, multiples of the unit
    Returns [2 L + 1], complex128, lags -L to L.
    """
    positions = checks.element_positions(positions)
    covariance = checks.covariance(covariance)
    checks.shape("covariance", covariance, (len(positions), len(positions)), "positions")
    selection = lag_selection(positions)
    return selection @ covariance.reshape(-1, order="F")


def augmented_covariance(covariance: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Toeplitz covariance of the virtual array (direct augmentation).

    covariance: [num_sensors, num_sensors], complex, sample covariance
    positions: [num_sensors], int, multiples of the unit
    Returns [L + 1, L + 1], complex128, Hermitian; it may be indefinite, its eigenvectors of largest
    eigenvalues span the signal subspace.
    Source: Pillai, Bar-Ness, Haber, Proc. IEEE 73(10), 1985.
    """
    snapshot = virtual_snapshot(covariance, positions)
    largest = len(snapshot) // 2
    return np.asarray(toeplitz(snapshot[largest:], snapshot[largest::-1]))


def smoothed_covariance(covariance: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Covariance of the virtual array by spatial smoothing of its single snapshot.

    Positive semidefinite, and the square of the augmented covariance over L + 1: both have the same
    eigenvectors.

    covariance: [num_sensors, num_sensors], complex, sample covariance
    positions: [num_sensors], int, multiples of the unit
    Returns [L + 1, L + 1], complex128, Hermitian.
    Source: Pal, Vaidyanathan, IEEE Trans. SP 58(8), 2010, section V.
    """
    snapshot = virtual_snapshot(covariance, positions)
    size = len(snapshot) // 2 + 1
    subarrays = np.lib.stride_tricks.sliding_window_view(snapshot, size)
    return subarrays.T @ subarrays.conj() / size


def product_snr(snr: float | np.ndarray) -> float | np.ndarray:
    """SNR after cross-multiplication of two antennas of an SNR.

    The product of signal plus noise with itself has the noise 2 s n + n^2: 0 dB becomes
    -4.8 dB, -10 dB becomes -20.8 dB. This is what a sparse array pays for the antennas it saves.

    snr: [...], float64, power ratio at each antenna
    Returns [...], float64, power ratio g^2 / (1 + 2 g).
    """
    ratio = checks.not_negatives("snr", snr, "...")
    return ratio**2 / (1 + 2 * ratio)

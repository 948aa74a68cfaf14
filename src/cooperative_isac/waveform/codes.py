"""Spreading codes that separate antennas, or sensing from communication, on shared elements."""

from __future__ import annotations

import numpy as np
from scipy.linalg import hadamard

import cooperative_isac.estimation.checks as checks

# For the errors of functions of codes.
CODES_REMEDY = "such as walsh_codes(length)"

# Deviation of the modulus of a chip from one up to which it is rounding error of single precision.
MODULUS_TOLERANCE = 1e-5


def walsh_codes(length: int) -> np.ndarray:
    """Orthogonal Walsh codes.

    length: a power of two
    Returns [length, length], float64, one code a row, entries +1 and -1.
    Raises ValueError if the length is not a power of two.
    """
    length = _power_of_two(length)
    return hadamard(length).astype(float)


def golay_pair(length: int) -> np.ndarray:
    """Golay complementary pair: the sum of both autocorrelations has no side lobe.

    length: a power of two
    Returns [2, length], float64, entries +1 and -1.
    Raises ValueError if the length is not a power of two.
    Source: Golay, IRE Trans. Information Theory 7(2), 1961.
    """
    length = _power_of_two(length)

    # A pair (a, b) gives one of twice the length: a followed by b, and a followed by -b.
    first = np.ones(1)
    second = np.ones(1)
    while len(first) < length:
        longer = np.concatenate([first, second])
        second = np.concatenate([first, -second])
        first = longer
    return np.stack([first, second])


def complete_complementary_codes(length: int) -> np.ndarray:
    """Two complementary sets of two sequences: no side lobes, no cross-correlation at any shift.

    length: a power of two
    Returns [2, 2, length], float64: set, sequence of the set, chip.
    Raises ValueError if the length is not a power of two.
    Source: Suehiro, Hatori, IEEE Trans. Information Theory 34(1), 1988; DC reference [13].
    """
    # The mate of a Golay pair (a, b): (b reversed, -a reversed).
    first, second = golay_pair(length)
    mate = np.stack([second[::-1], -first[::-1]])
    return np.stack([np.stack([first, second]), mate])


def spread(symbols: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Superposition of spread streams.

    symbols: [num_streams, ...], complex, one symbol of each stream per code period
    codes: [num_streams, length], real or complex
    Returns [..., length], complex128.
    Raises ValueError if there are more or fewer streams than codes.
    """
    symbols = checks.array("symbols", symbols, "num_streams, ...")
    codes = checks.array("codes", codes, "num_streams, length", CODES_REMEDY)
    if len(symbols) != len(codes):
        raise ValueError(
            f"symbols has {len(symbols)} streams, but codes has {len(codes)} rows: pass one code "
            "for each stream"
        )
    return np.tensordot(symbols, codes, axes=(0, 0))


def despread(received: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Channel of each stream by correlation with its code.

    Orthogonal codes separate streams exactly while the channel is constant over a code period; a
    Doppler shift of f over the period leaks by `leakage_db`.

    received: [..., length], complex
    codes: [num_streams, length], real or complex
    Returns [num_streams, ...], complex128, mean over the chips.
    Raises ValueError if the last axis of `received` is not one code period.
    """
    received = checks.array("received", received, "...")
    codes = checks.array("codes", codes, "num_streams, length", CODES_REMEDY)
    length = codes.shape[1]
    if received.shape[-1:] != (length,):
        raise ValueError(
            f"received has the shape {received.shape}, but by codes its last axis has {length} "
            "chips: reshape it to whole code periods, [..., length]"
        )
    return np.moveaxis(received @ codes.conj().T, -1, 0) / length


def leakage_db(codes: np.ndarray, turns_per_chip: float) -> float:
    """Greatest cross-correlation of codes when the phase turns during the code period, dB.

    codes: [num_streams, length], two or more, entries of unit modulus
    turns_per_chip: Doppler shift times the duration of a chip
    Returns the power of the worst pair relative to a code's own, dB.
    Raises ValueError for a single code and for entries of another modulus.
    """
    codes = checks.array("codes", codes, "num_streams, length", CODES_REMEDY)
    turns_per_chip = checks.number("turns_per_chip", turns_per_chip)
    if len(codes) < 2:
        raise ValueError("codes has a single one: pass two or more, which can leak into each other")
    moduli = np.abs(codes).reshape(-1)
    deviations = np.abs(moduli - 1)
    if deviations.max() > MODULUS_TOLERANCE:
        worst = moduli[deviations.argmax()]
        raise ValueError(
            f"codes has an entry of modulus {worst:g}: divide each entry by its modulus"
        )

    # Correlations of all pairs, with the phase turning from chip to chip.
    length = codes.shape[1]
    rotation = np.exp(2j * np.pi * turns_per_chip * np.arange(length))
    turned = codes * rotation
    correlation = np.abs(turned @ codes.conj().T) / length

    # The greatest of different codes, above zero so that its log is finite.
    own = np.diag(np.diag(correlation))
    cross = correlation - own
    greatest = max(float(cross.max()), np.finfo(float).tiny)
    return 20 * np.log10(greatest)


def _power_of_two(length: object) -> int:
    """Length of a code, checked."""
    found = checks.whole("length", length)
    if found & (found - 1):
        raise ValueError(f"length is {found}: pass a power of two, as these codes have it")
    return found

"""Side lobes and unambiguous spans of a mask of resource elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Points of the ambiguity function per resolution cell: 8 find the crest of a side lobe within
# 0.06 dB.
AMBIGUITY_OVERSAMPLING = 8

# Level of an ambiguous image relative to the main peak, dB: grating lobes of combs reach 0 dB, side
# lobes of random masks stay below.
IMAGE_DB = -1.0


@dataclass(frozen=True)
class Sidelobes:
    """Side-lobe levels of a mask with zero filling.

    peak_db: highest side lobe relative to the main peak, dB
    integrated_db: energy of all side lobes relative to the main lobe's, dB
    """

    peak_db: float
    integrated_db: float


def ambiguity(mask: np.ndarray, oversampling: int = AMBIGUITY_OVERSAMPLING) -> np.ndarray:
    """Ambiguity function of a mask: power response to a path of zero delay and Doppler shift.

    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    oversampling: points per resolution cell in both dimensions
    Returns [oversampling num_subcarriers, oversampling num_symbols], float64, 1 at [0, 0].
    """
    shape = tuple(oversampling * size for size in mask.shape)
    response = np.fft.fft2(mask.astype(float), shape)
    return np.abs(response / np.count_nonzero(mask)) ** 2


def sidelobes(mask: np.ndarray, oversampling: int = AMBIGUITY_OVERSAMPLING) -> Sidelobes:
    """Peak and integrated side-lobe level of a mask.

    The main lobe is within one resolution cell of the span of the elements in use.

    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    oversampling: points per resolution cell in both dimensions
    """
    power = ambiguity(mask, oversampling)

    # Mask of the main lobe, as a product over both axes: its first zero along an axis is at one
    # over the span in use, and distances from the peak are cyclic.
    main = np.ones((), bool)
    for axis, size in enumerate(power.shape):
        used = np.flatnonzero(mask.any(axis=1 - axis))
        span = np.ptp(used) + 1
        width = np.ceil(size / span)
        places = np.arange(size)
        distance = np.minimum(places, size - places)
        main = np.logical_and.outer(main, distance < width)

    # Peak of the side lobes, and their power over that of the main lobe; their logs are finite.
    least = np.finfo(float).tiny
    side = np.where(main, 0, power)
    peak = max(float(side.max()), least)
    share = side.sum() / power[main].sum()
    integrated = max(float(share), least)
    return Sidelobes(10 * np.log10(peak), 10 * np.log10(integrated))


def unambiguous_delay_cells(mask: np.ndarray) -> int:
    """Distance of the first ambiguous image in delay, cells of one over the mask's bandwidth.

    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    Returns a number up to num_subcarriers, which is that of a full grid.
    """
    return _first_image(ambiguity(mask, 1)[:, 0])


def unambiguous_doppler_cells(mask: np.ndarray) -> int:
    """Distance of the first ambiguous image in Doppler, cells of one over the mask's duration.

    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    Returns a number up to num_symbols, which is that of a full grid.
    """
    return _first_image(ambiguity(mask, 1)[0])


def _first_image(cut: np.ndarray) -> int:
    """Index of the first image of the main peak along a cut at critical sampling."""
    images = np.flatnonzero(cut[1:] >= 10 ** (IMAGE_DB / 10))
    return int(images[0]) + 1 if len(images) else len(cut)

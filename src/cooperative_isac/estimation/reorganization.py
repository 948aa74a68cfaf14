"""Channel matrices of bands with different subcarrier spacings on one common grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.estimation.channel_matrix import ChannelMatrix, matrix_list

# Relative deviation up to which a spacing counts as a multiple of the common one: spacings are
# exact in a standard, and off by rounding in a file.
SPACING_TOLERANCE = 1e-6


def reorganize(matrices: Sequence[ChannelMatrix]) -> list[ChannelMatrix]:
    """Matrices of several bands on the subcarrier grid of the finest of them.

    A band of four times the finest spacing occupies every fourth row; the rows between are holes,
    which zero filling or sparse recovery completes. All bands then have one axis of delays: the
    resolution of the widest band and the unambiguous span of the finest spacing. The time axes stay
    as they are: maps over path speed (`range_doppler.detection_statistic`) have one axis of speeds
    whatever the carriers and symbol durations.

    matrices: one channel matrix a band, each on a regular grid of subcarriers
    Returns one matrix a band, all with the same frequency_hz, Hz from each band's first subcarrier.
    Raises ValueError if a spacing is not a multiple of the finest.
    Source: DC section III-C2 and its reference [12].
    """
    matrices = matrix_list("matrices", matrices)
    spacings_hz = [_spacing_hz(matrix) for matrix in matrices]
    finest_hz = min(spacings_hz)
    strides = [_stride(spacing_hz, finest_hz) for spacing_hz in spacings_hz]
    num_rows = max(
        stride * (len(matrix.frequency_hz) - 1) + 1
        for matrix, stride in zip(matrices, strides, strict=True)
    )
    return [
        _spread(matrix, stride, num_rows, finest_hz)
        for matrix, stride in zip(matrices, strides, strict=True)
    ]


def _spread(matrix: ChannelMatrix, stride: int, num_rows: int, finest_hz: float) -> ChannelMatrix:
    """A matrix with its subcarriers every `stride` rows of a larger one."""
    num_symbols = len(matrix.time_s)
    rows = stride * np.arange(len(matrix.frequency_hz))
    values = np.zeros((num_rows, num_symbols), complex)
    values[rows] = matrix.values
    mask = np.zeros((num_rows, num_symbols), bool)
    mask[rows] = matrix.mask
    return ChannelMatrix(
        values,
        finest_hz * np.arange(num_rows),
        matrix.time_s,
        matrix.carrier_hz,
        matrix.noise_power,
        mask,
    )


def _spacing_hz(matrix: ChannelMatrix) -> float:
    """Spacing of a regular grid of subcarriers, Hz."""
    steps = np.diff(matrix.frequency_hz)
    if len(steps) == 0 or not np.allclose(steps, steps[0], rtol=SPACING_TOLERANCE):
        raise ValueError(
            "the subcarriers of a band are not on a regular grid of at least two: pass each "
            "contiguous part of the spectrum as a band of its own"
        )
    return float(steps[0])


def _stride(spacing_hz: float, finest_hz: float) -> int:
    """Rows of the finest grid from one subcarrier to the next."""
    ratio = spacing_hz / finest_hz
    stride = round(ratio)
    if abs(ratio - stride) > SPACING_TOLERANCE * ratio:
        raise ValueError(
            f"the subcarrier spacing {spacing_hz:g} Hz is no multiple of {finest_hz:g} Hz: "
            "range_doppler.estimate_path fuses such bands without a common grid"
        )
    return stride

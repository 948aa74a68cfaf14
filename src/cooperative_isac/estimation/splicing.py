"""Splicing: channel matrices of several antennas as one of greater bandwidth or duration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import cooperative_isac.estimation.checks as checks
from cooperative_isac.estimation.channel_matrix import ChannelMatrix, matrix_list, path_response

# Distance of elements, over the least step within a part, up to which they are the same: the phase
# of a path within the unambiguous span then differs by less than 0.4 degrees.
SAME_STEP_SHARE = 1e-3

# The same over the greatest value, where no part has a step: far above rounding.
SAME_VALUE_SHARE = 1e-9


def splice(parts: Sequence[ChannelMatrix], phases: np.ndarray) -> ChannelMatrix:
    """Channel of antennas on disjoint resource elements as one coherent channel.

    Antennas on other subcarriers enlarge the bandwidth, on other symbols they extend the time. The
    echo's initial phase in each antenna has to be known from elsewhere: from elements that all
    antennas share (`accumulation.relative_phases`), from a path of known delay (`phases_of_path`),
    or from the angle of arrival. A phase that is estimated from the path itself in each part gains
    nothing over the parts without splicing: it uses up the information that the larger span adds.

    parts: channel matrices of the same carrier, disjoint in frequency or in time
    phases: [num_parts], float64, rad, initial phase of the echo in each part
    Returns the channel on the union of the grids, phases compensated.
    Raises ValueError if the parts differ in carrier, or overlap.
    Source: DC section III-A1.
    """
    parts = matrix_list("parts", parts)
    _check_carrier(parts)
    phases = checks.reals("phases", phases, "num_parts")
    checks.shape("phases", phases, (len(parts),), "parts")

    # Union of the grids, and where each part is in it.
    frequency_hz, all_rows = _united([part.frequency_hz for part in parts])
    time_s, all_columns = _united([part.time_s for part in parts])
    values = np.zeros((len(frequency_hz), len(time_s)), complex)
    mask = np.zeros(values.shape, bool)
    weighted_noise = 0.0
    for part, phase, rows, columns in zip(parts, phases, all_rows, all_columns, strict=True):
        # Resource elements of the part, which no other may use.
        place = np.ix_(rows, columns)
        if np.any(mask[place] & part.mask):
            raise ValueError(
                "two parts use the same resource element: splicing needs disjoint ones"
            )

        # Phase compensation.
        values[place] += np.exp(-1j * phase) * part.values
        mask[place] |= part.mask
        weighted_noise += part.noise_power * np.count_nonzero(part.mask)

    noise_power = weighted_noise / np.count_nonzero(mask)
    return ChannelMatrix(values, frequency_hz, time_s, parts[0].carrier_hz, noise_power, mask)


def phases_of_path(
    parts: Sequence[ChannelMatrix], delay_s: float, path_speed_mps: float
) -> np.ndarray:
    """Initial phase of each part from a path of known delay and speed, such as a line of sight.

    parts: channel matrices that contain the path
    delay_s: known delay of the path, s
    path_speed_mps: known speed at which the path shortens, m/s
    Returns [num_parts], float64, rad; standard deviation 1 / sqrt(2 SNR num_elements).
    """
    parts = matrix_list("parts", parts)
    correlations = [
        np.vdot(path_response(part, delay_s, path_speed_mps), part.values) for part in parts
    ]
    return np.angle(correlations)


def splicing_gain_db(num_parts: int) -> float:
    """Reduction, by splicing, of the bound of the variance of delay or speed against one part, dB.

    The span grows by num_parts and so does the energy. Accumulation of the same antennas on the
    same resource elements gains 10 log10(num_parts); splicing gains three times as many decibels.

    num_parts: parts of equal size and SNR, many samples each
    """
    return float(30 * np.log10(checks.whole("num_parts", num_parts)))


def _united(axes: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Union of the axes of all parts, and the places of each part's elements in it.

    Elements that differ by rounding alone are the same.
    axes: of each part, [num_elements], float64
    Returns the union [num_united], ascending, and of each part [num_elements], int.
    """
    # Steps between neighbors of each part, and all elements together.
    steps = np.concatenate([np.diff(np.sort(axis)) for axis in axes])
    steps = steps[steps > 0]
    values = np.sort(np.concatenate(axes))

    # Distance up to which elements are the same.
    if len(steps):
        same = SAME_STEP_SHARE * steps.min()
    else:
        largest = np.abs(values).max()
        same = SAME_VALUE_SHARE * largest

    # The first of each group of the same elements.
    from_previous = np.diff(values, prepend=-np.inf)
    united = values[from_previous > same]

    # Places in the union: the last element that is not beyond each.
    places = []
    for axis in axes:
        num_up_to = np.searchsorted(united, axis + same, side="right")
        places.append(num_up_to - 1)
    return united, places


def _check_carrier(parts: Sequence[ChannelMatrix]) -> None:
    carriers_hz = [part.carrier_hz for part in parts]
    if np.ptp(carriers_hz) > SAME_VALUE_SHARE * max(carriers_hz):
        raise ValueError(
            f"the parts have the carriers {sorted(set(carriers_hz))} Hz: splice parts of one "
            "carrier, and fuse bands with range_doppler.estimate_path"
        )

"""Splicing: channel matrices of several antennas as one of greater bandwidth or duration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.estimation.channel_matrix import ChannelMatrix, path_response


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
    _check_parts(parts)
    frequency_hz = np.unique(np.concatenate([part.frequency_hz for part in parts]))
    time_s = np.unique(np.concatenate([part.time_s for part in parts]))
    values = np.zeros((len(frequency_hz), len(time_s)), complex)
    mask = np.zeros(values.shape, bool)
    weighted_noise = 0.0
    for part, phase in zip(parts, phases, strict=True):
        # Resource elements of the part within the union.
        rows = np.searchsorted(frequency_hz, part.frequency_hz)
        columns = np.searchsorted(time_s, part.time_s)
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
    return 30 * np.log10(num_parts)


def _check_parts(parts: Sequence[ChannelMatrix]) -> None:
    if not parts:
        raise ValueError("there is nothing to splice: pass at least one part")
    carriers = {part.carrier_hz for part in parts}
    if len(carriers) > 1:
        raise ValueError(
            f"the parts have the carriers {sorted(carriers)} Hz: splice parts of one carrier, and "
            "fuse bands with range_doppler.estimate_path"
        )

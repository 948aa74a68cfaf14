"""Consistency of the numbers of a path file: units, signs and directions.

Wrong units or signs give echoes in which no target is detected, without an error. Direct paths
reveal them: their delays, directions and Doppler shifts follow from sites, positions and
velocities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.geometry import LEAST_DISTANCE_M, SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.path_file import NANOSECOND, PathFile, PathList

# Limits of the median error of direct paths by way of targets: generous beside bodies of some
# meters (measured on traced scenes: 0.6 m, 0.9998, 2 % of the shift), small beside a wrong unit or
# sign.
# Length, m, and as a share of it.
DETOUR_M = 5.0
DETOUR_SHARE = 0.1
# Cosine of the angle between directions.
LEAST_COSINE = 0.9
# Rate of the length, m/s, and as a share of it.
RATE_MPS = 2.0
RATE_SHARE = 0.5
# Error of the length of a line of sight, which has no body, m: rounding of single precision, and of
# the site's position.
SIGHT_DETOUR_M = 1.0


@dataclass(frozen=True)
class _Geometry:
    """Expected length and directions of paths, from the positions of sites and targets.

    length_m: [num_paths], float64, m
    departure, arrival: [num_paths, 3], float64, unit vectors as of PathList
    """

    length_m: np.ndarray
    departure: np.ndarray
    arrival: np.ndarray


def path_faults(file: PathFile) -> Iterator[str]:
    """One line for each array that contradicts the others, beginning with its name."""
    yield from _amplitudes(file)
    yield from _sight(file)
    yield from _velocities(file)
    yield from _moving(file)


def _amplitudes(file: PathFile) -> Iterator[str]:
    """No path between isotropic elements has more power than was transmitted."""
    groups = {
        "los_a": file.static["line_of_sight"],
        "spec_a, diff_a": file.static["clutter"],
        "dyn_a": file.moving,
    }
    for name, paths in groups.items():
        largest = float(np.abs(paths.gain).max(initial=0.0))
        if largest > 1:
            yield (
                f"{name}: reaches {largest:.3g}; must not be above 1: an amplitude, the square "
                "root of received over sent power, not dB"
            )


def _sight(file: PathFile) -> Iterator[str]:
    """Lines of sight are as long as the distance of their sites, and point to the other one."""
    paths = file.static["line_of_sight"]
    if not len(paths):
        return

    # A line of sight is a path by way of the point halfway.
    transmitters_m = file.transmitters_m[paths.transmitter]
    receivers_m = file.receivers_m[paths.receiver]
    middles_m = (transmitters_m + receivers_m) / 2
    expected = _geometry(transmitters_m, receivers_m, middles_m)
    length_m = expected.length_m

    detour_m = np.abs(paths.delay_s * SPEED_OF_LIGHT_MPS - length_m)
    worst = int(np.argmax(detour_m))
    if detour_m[worst] > SIGHT_DETOUR_M:
        yield (
            f"los_tau[{worst}]: is {paths.delay_s[worst] / NANOSECOND:.4g} ns; its sites are "
            f"{length_m[worst]:.4g} m apart, "
            f"{length_m[worst] / SPEED_OF_LIGHT_MPS / NANOSECOND:.4g} ns"
        )
    yield from _directions("los", paths, expected)


def _velocities(file: PathFile) -> Iterator[str]:
    """Steps of the positions from frame to frame fit the velocities."""
    if file.num_frames < 2 or not len(file.kinds):
        return
    steps_mps = np.diff(file.positions_m, axis=0) / file.period_s
    mean_mps = (file.velocities_mps[1:] + file.velocities_mps[:-1]) / 2
    error_mps = float(np.median(np.linalg.norm(steps_mps - mean_mps, axis=-1)))
    speed_mps = float(np.median(np.linalg.norm(steps_mps, axis=-1)))
    if error_mps > max(RATE_MPS, RATE_SHARE * speed_mps):
        yield (
            f"vel: differs from the steps of pos by {error_mps:.3g} m/s in the median, at "
            f"{speed_mps:.3g} m/s; check its unit (m/s) and period_s ({file.period_s:g} s)"
        )


def _moving(file: PathFile) -> Iterator[str]:
    """Direct paths by way of a target fit its position and velocity."""
    direct = ~file.multi_bounce & (file.moving.gain != 0)
    if not direct.any():
        return
    paths = file.moving.chosen(direct)
    frames = file.frames[direct]
    targets = file.targets[direct]
    places_m = file.positions_m[frames, targets]
    expected = _geometry(
        file.transmitters_m[paths.transmitter], file.receivers_m[paths.receiver], places_m
    )

    # Delays.
    detours_m = np.abs(paths.delay_s * SPEED_OF_LIGHT_MPS - expected.length_m)
    detour_m = float(np.median(detours_m))
    length_m = float(np.median(expected.length_m))
    if detour_m > max(DETOUR_M, DETOUR_SHARE * length_m):
        yield (
            f"dyn_tau: direct paths differ by {detour_m:.3g} m in the median from the way over "
            f"pos ({length_m:.4g} m); check its unit (ns), dyn_f, dyn_who and pos"
        )
    yield from _directions("dyn", paths, expected)

    # Doppler shifts: the path shortens with the velocity's component towards both sites.
    both_directions = expected.departure + expected.arrival
    rates_mps = -np.sum(both_directions * file.velocities_mps[frames, targets], axis=1)
    wavelength_m = SPEED_OF_LIGHT_MPS / file.carrier_hz
    error_mps = float(np.median(np.abs(paths.doppler_hz * wavelength_m - rates_mps)))
    rate_mps = float(np.median(np.abs(rates_mps)))
    if error_mps > max(RATE_MPS, RATE_SHARE * rate_mps):
        yield (
            f"dyn_nu: direct paths differ by {error_mps / wavelength_m:.3g} Hz in the median from "
            f"the shift of vel ({rate_mps / wavelength_m:.3g} Hz); it is in Hz, positive when the "
            "path shortens"
        )


def _directions(group: str, paths: PathList, expected: _Geometry) -> Iterator[str]:
    """Directions point from the site along the path, in the median."""
    ends = (
        ("t", paths.departure, expected.departure),
        ("r", paths.arrival, expected.arrival),
    )
    for end, found, direction in ends:
        cosine = float(np.median(np.sum(found * direction, axis=1)))
        if cosine < LEAST_COSINE:
            off_deg = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            yield (
                f"{group}_theta_{end}, {group}_phi_{end}: are {off_deg:.0f} degrees in the median "
                "from where the path leads; zenith and azimuth in map, rad, from the site along "
                "the path"
            )


def _geometry(
    transmitters_m: np.ndarray, receivers_m: np.ndarray, points_m: np.ndarray
) -> _Geometry:
    """Geometry of paths by way of one point each; a point at a site has direction zero there.

    transmitters_m: [num_paths, 3], float64, m
    receivers_m: [num_paths, 3], float64, m
    points_m: [num_paths, 3], float64, m
    """
    from_tx_m = points_m - transmitters_m
    from_rx_m = points_m - receivers_m
    tx_distance_m = np.linalg.norm(from_tx_m, axis=1)
    rx_distance_m = np.linalg.norm(from_rx_m, axis=1)
    return _Geometry(
        length_m=tx_distance_m + rx_distance_m,
        departure=from_tx_m / np.maximum(tx_distance_m, LEAST_DISTANCE_M)[:, None],
        arrival=from_rx_m / np.maximum(rx_distance_m, LEAST_DISTANCE_M)[:, None],
    )

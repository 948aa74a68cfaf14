"""Whether the numbers of a path file fit each other: units, signs and directions.

Wrong units or signs give echoes in which nothing is found, without an error. Direct paths show
them: their delays, directions and Doppler shifts follow from sites, positions and velocities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.path_file import NANOSECOND, PathFile, PathList

# Half of the direct paths may be off by more than these before the file is refused: generous
# beside bodies of some meters (measured on traced scenes: 0.6 m, 0.9998, 2 % of the shift), small
# beside a wrong unit or sign.
DETOUR_M = 5.0
DETOUR_SHARE = 0.1
LEAST_COSINE = 0.9
RATE_SHARE = 0.5
RATE_MPS = 2.0
# Lines of sight have no body: rounding of single precision, and of a site's place.
SIGHT_DETOUR_M = 1.0
TINY_M = 1e-9  # keeps the direction of a length of zero defined


@dataclass(frozen=True)
class _Geometry:
    """What follows from the places: length_m, departure, arrival of each path (as of PathList)."""

    length_m: np.ndarray
    departure: np.ndarray
    arrival: np.ndarray


def path_faults(file: PathFile) -> Iterator[str]:
    """One line for each array that contradicts the others; it names the array."""
    yield from _amplitudes(file)
    yield from _sight(file)
    yield from _velocities(file)
    yield from _moving(file)


def _amplitudes(file: PathFile) -> Iterator[str]:
    """No path between isotropic elements brings more power than was sent."""
    groups = {"los_a": file.static["line_of_sight"], "spec_a, diff_a": file.static["clutter"]}
    for name, paths in {**groups, "dyn_a": file.moving}.items():
        largest = float(np.abs(paths.gain).max(initial=0.0))
        if largest > 1:
            yield (
                f"{name}: reaches {largest:.3g}; must not be above 1: an amplitude, the square "
                "root of received over sent power, not dB"
            )


def _sight(file: PathFile) -> Iterator[str]:
    """Lines of sight are as long as the distance of their sites, and point from one to the
    other.
    """
    paths = file.static["line_of_sight"]
    if not len(paths):
        return
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
    """Positions move with the velocities beside them."""
    if file.num_frames < 2 or not len(file.kinds):
        return
    steps = np.diff(file.positions_m, axis=0) / file.period_s
    mean = (file.velocities_mps[1:] + file.velocities_mps[:-1]) / 2
    apart = float(np.median(np.linalg.norm(steps - mean, axis=-1)))
    speed = float(np.median(np.linalg.norm(steps, axis=-1)))
    if apart > max(RATE_MPS, RATE_SHARE * speed):
        yield (
            f"vel: differs from the steps of pos by {apart:.3g} m/s in the median, at "
            f"{speed:.3g} m/s; check its unit (m/s) and period_s ({file.period_s:g} s)"
        )


def _moving(file: PathFile) -> Iterator[str]:
    """Direct paths by way of a target fit its position and velocity."""
    direct = ~file.multi_bounce & (file.moving.gain != 0)
    if not direct.any():
        return
    paths = file.moving.chosen(direct)
    frames, targets = file.frames[direct], file.targets[direct]
    places_m = file.positions_m[frames, targets]
    expected = _geometry(
        file.transmitters_m[paths.transmitter], file.receivers_m[paths.receiver], places_m
    )

    detour_m = float(np.median(np.abs(paths.delay_s * SPEED_OF_LIGHT_MPS - expected.length_m)))
    length_m = float(np.median(expected.length_m))
    if detour_m > max(DETOUR_M, DETOUR_SHARE * length_m):
        yield (
            f"dyn_tau: direct paths differ by {detour_m:.3g} m in the median from the way over "
            f"pos ({length_m:.4g} m); check its unit (ns), dyn_f, dyn_who and pos"
        )
    yield from _directions("dyn", paths, expected)

    # The path shortens with the velocity's part towards both sites.
    rate_mps = -np.sum(
        (expected.departure + expected.arrival) * file.velocities_mps[frames, targets], axis=1
    )
    wavelength_m = SPEED_OF_LIGHT_MPS / file.carrier_hz
    apart = float(np.median(np.abs(paths.doppler_hz * wavelength_m - rate_mps)))
    usual = float(np.median(np.abs(rate_mps)))
    if apart > max(RATE_MPS, RATE_SHARE * usual):
        yield (
            f"dyn_nu: direct paths differ by {apart / wavelength_m:.3g} Hz in the median from the "
            f"shift of vel ({usual / wavelength_m:.3g} Hz); it is in Hz, positive when the path "
            "shortens"
        )


def _directions(group: str, paths: PathList, expected: _Geometry) -> Iterator[str]:
    """Directions point from the site along the path, in the median."""
    ends = ("t", paths.departure, expected.departure), ("r", paths.arrival, expected.arrival)
    for end, found, wanted in ends:
        cosine = float(np.median(np.sum(found * wanted, axis=1)))
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
    """Paths by way of one point each.

    transmitters_m, receivers_m, points_m: [num_paths, 3], m
    """
    out, back = points_m - transmitters_m, points_m - receivers_m
    out_m, back_m = (np.linalg.norm(way, axis=1) for way in (out, back))
    # zeros where a point is at the site
    directions = (
        way / np.maximum(length_m, TINY_M)[:, None]
        for way, length_m in ((out, out_m), (back, back_m))
    )
    return _Geometry(out_m + back_m, *directions)

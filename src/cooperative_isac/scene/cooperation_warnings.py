"""Warnings of likely mistakes in cooperation: clocks, zones, common spectrum, reflectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.box import Box
from cooperative_isac.scene.cooperation import ZONES, Cooperation
from cooperative_isac.scene.file.physics import unambiguous_range
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.images import hidden_places
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Clock, Link

# Difference of two clocks above which it is a warning, in resolution cells: a path is measured to
# about a tenth of a cell at the detection threshold.
MOST_CELLS = 0.1
# Time over which clocks drift apart, s: a usual run.
DRIFT_S = 60.0
# Share of a subcarrier's width by which two bands may come nearer than side by side: rounding of
# carriers in files.
SPECTRUM_TOLERANCE = 1e-3


def cooperation_warnings(scene: Scene) -> list[str]:
    """Likely mistakes in the cooperation of stations, one line each."""
    return [
        *_unsynchronized(scene),
        *_unused_distances(scene),
        *_common_spectrum(scene),
        *_idle_reflectors(scene),
        *_ambiguous_reflectors(scene),
    ]


def _unsynchronized(scene: Scene) -> Iterator[str]:
    """Bands whose links have clock differences that nothing corrects."""
    if scene.layout is None or scene.sensing.synchronization != "none":
        return
    for view in scene.views:
        # Differences of clocks, in cells of delay and of Doppler shift.
        timing_s = {}
        frequency_hz = {}
        for link in scene.links:
            if link.band == view.band and not link.is_monostatic:
                differences = clock_differences(scene, link, (0.0, DRIFT_S))
                timing_s[link], frequency_hz[link] = differences
        range_cells = {
            link: difference_s * SPEED_OF_LIGHT_MPS / view.grid.range_resolution_m
            for link, difference_s in timing_s.items()
        }
        doppler_cells = {
            link: difference_hz / view.grid.doppler_resolution_hz
            for link, difference_hz in frequency_hz.items()
        }

        # The link that is farthest apart.
        cells = {link: max(range_cells[link], doppler_cells[link]) for link in range_cells}
        worst = max(cells, key=cells.__getitem__, default=None)
        if worst is None or cells[worst] <= MOST_CELLS:
            continue
        range_m = timing_s[worst] * SPEED_OF_LIGHT_MPS
        yield (
            f"clocks of link {worst.tx} - {worst.rx} on band '{view.band}' differ by up to "
            f"{timing_s[worst] * 1e9:.4g} ns and {frequency_hz[worst]:.4g} Hz within "
            f"{DRIFT_S:g} s: {range_m:.3g} m of path "
            f"(resolution {view.grid.range_resolution_m:.3g} m) and {doppler_cells[worst]:.2g} "
            f"of the Doppler resolution ({view.grid.doppler_resolution_hz:.3g} Hz), and "
            "sensing.synchronization is none: reports of such links do not fit each other, and "
            "targets may not be found; set sensing.synchronization (line_of_sight with a `world`), "
            "or reduce the offsets of `clock`"
        )


def clock_differences(
    scene: Scene, link: Link, times_s: Sequence[float] = (0.0,)
) -> tuple[float, float]:
    """Largest differences of the clocks at both ends of a link at some times, s and Hz."""
    tx_clock: Clock = scene.station(link.tx).clock
    rx_clock: Clock = scene.station(link.rx).clock
    timing_s = [abs(tx_clock.timing_s(time) - rx_clock.timing_s(time)) for time in times_s]
    frequency_hz = [
        abs(tx_clock.frequency_hz(time) - rx_clock.frequency_hz(time)) for time in times_s
    ]
    return max(timing_s), max(frequency_hz)


def _unused_distances(scene: Scene) -> Iterator[str]:
    """Distances from the base station at which no links are used, as their kind is left out."""
    cooperation = scene.cooperation
    has_zones = all(band.zone for band in scene.bands)
    if cooperation is None or cooperation.limits_m is None or not has_zones:
        return
    kinds = ", ".join(cooperation.kinds)
    nearest_m, farthest_m = _distances(scene.box, cooperation.base_station_m)
    for begin_m, end_m in _gaps(cooperation):
        if begin_m >= farthest_m or end_m <= nearest_m:
            continue
        where = (
            f"from {begin_m:g} to {end_m:g} m" if math.isfinite(end_m) else f"beyond {begin_m:g} m"
        )
        yield (
            f"no links are used {where} of '{cooperation.base_station}', where cooperation.kinds "
            f"({kinds}) leaves zones of zones_m out: targets are not found there; add the kind, or "
            "leave out zones_m, which uses the other kinds everywhere"
        )


def _distances(box: Box, center_m: np.ndarray) -> tuple[float, float]:
    """Least and largest distance of the points of a box from a point [3], m."""
    nearest_m = np.clip(center_m, box.low_m, box.high_m)
    farthest_m = np.where(center_m - box.low_m > box.high_m - center_m, box.low_m, box.high_m)
    least_m = float(np.linalg.norm(nearest_m - center_m))
    largest_m = float(np.linalg.norm(farthest_m - center_m))
    return least_m, largest_m


def _gaps(cooperation: Cooperation) -> Iterator[tuple[float, float]]:
    """Spans of distances in which no zone is used, m."""
    assert cooperation.limits_m is not None, "zones have limits"
    edges_m = (0.0, *cooperation.limits_m, math.inf)
    covered_m = 0.0
    for place, zone in enumerate(ZONES):
        if zone not in cooperation.kinds:
            continue
        begin_m = max(edges_m[place] - cooperation.overlap_m, 0.0)
        if begin_m > covered_m:
            yield covered_m, begin_m
        covered_m = edges_m[place + 1] + cooperation.overlap_m
    if covered_m < math.inf:
        yield covered_m, math.inf


def _idle_reflectors(scene: Scene) -> Iterator[str]:
    """Bands on which known reflectors locate nothing, though the scene uses them."""
    if scene.sensing.reflections == "ignore":
        return
    for view in scene.views:
        if view.world is None:
            continue
        if not any(view.hidden_regions.values()):
            yield (
                f"sensing.reflections is 'use', but no surface of the world shows a receiver of "
                f"band '{view.band}' a part of the area that is hidden from it: leave the key out, "
                "or add the walls that reflect"
            )
        elif view.world.target_reflections < 2 and view.propagation.paths is None:
            yield (
                "sensing.reflections is 'use', but simulated echoes of band "
                f"'{view.band}' contain no paths with a reflection before and one behind a target: "
                "set world.target_reflections: twice"
            )


def _ambiguous_reflectors(scene: Scene) -> Iterator[str]:
    """Bands whose delays are ambiguous by way of known reflectors."""
    if scene.sensing.reflections == "ignore":
        return
    for view in scene.views:
        excess_m = max(_reflected_excesses_m(view), default=0.0)
        span_m = unambiguous_range(view)
        if excess_m >= span_m:
            yield (
                f"paths of band '{view.band}' by way of known reflectors to hidden places exceed "
                f"the direct ones by up to {excess_m:.4g} m, and the comb of subcarriers is "
                f"unambiguous over {span_m:.4g} m: targets there are found at wrong places; reduce "
                "the stride or the area, or leave sensing.reflections out"
            )


def _reflected_excesses_m(view: Scene) -> Iterator[float]:
    """Longest paths by way of each reflector to hidden places, less the direct ones, m."""
    if view.world is None:
        return
    for receiver in view.receivers:
        for index, places_m in hidden_places(view.world, view.box, receiver).items():
            # Straight paths between the images of both stations.
            mirror = view.world.surfaces[index]
            rx_distances_m = np.linalg.norm(places_m - mirror.mirrored(receiver.position_m), axis=1)
            for place in view.linked_transmitters(receiver.name):
                transmitter_m = view.transmitters[place].position_m
                tx_distances_m = np.linalg.norm(places_m - mirror.mirrored(transmitter_m), axis=1)
                lengths_m = tx_distances_m + rx_distances_m
                direct_m = np.linalg.norm(transmitter_m - receiver.position_m)
                yield float(lengths_m.max() - direct_m)


def _common_spectrum(scene: Scene) -> Iterator[str]:
    """Pairs of bands with subcarriers at the same frequencies."""
    for one, other in itertools.combinations(scene.bands, 2):
        if _share_spectrum(one.waveform.grid, other.waveform.grid):
            yield (
                f"bands '{one.name}' and '{other.name}' have subcarriers at the same frequencies, "
                "where real signals interfere: the simulation keeps all bands orthogonal; change "
                "carrier_hz, or use one band"
            )


def _share_spectrum(one: OfdmGrid, other: OfdmGrid) -> bool:
    """True where sensed subcarriers of two grids overlap."""
    one_hz = one.carrier_hz + one.subcarrier_offsets_hz
    other_hz = other.carrier_hz + other.subcarrier_offsets_hz

    # Subcarriers of the other on both sides of each; the last one where there is none.
    places = np.searchsorted(other_hz, one_hz)
    last = len(other_hz) - 1
    above_hz = other_hz[np.minimum(places, last)]
    below_hz = other_hz[np.maximum(places - 1, 0)]

    # Distance of the nearest two.
    to_above_hz = abs(above_hz - one_hz)
    to_below_hz = abs(below_hz - one_hz)
    apart_hz = np.minimum(to_above_hz, to_below_hz).min()

    # Side by side, they are half of the sum of both widths apart.
    width_hz = (one.subcarrier_spacing_hz + other.subcarrier_spacing_hz) / 2
    return bool(apart_hz < (1 - SPECTRUM_TOLERANCE) * width_hz)

"""Maps of detected paths over the ground of a scene in space, without side lobes (CLEAN).

The strongest echo over a cell is often the side lobe of a car elsewhere, ten decibels and more
above the UAV in that cell. Successive interference cancellation separates them: the map shows each
path that was detected in the echo around its own location, and nothing elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import MatchBudget
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.search_budget import SearchBudget
from cooperative_isac.sensing.space_map import SpaceMap
from cooperative_isac.sensing.static_paths import unknown_static
from cooperative_isac.waveform.signal import Signal

# Searches of an echo for paths: each finds those that the paths before it masked.
NUM_SEARCHES = 3
# Peaks that are fitted in each search: in a few of the strongest are most paths, and more of them
# are side lobes.
PEAKS_OF_SEARCH = 12
# Share of a peak's power that must be left when stronger paths are subtracted: less is the side
# lobe of one of them, and a path below it is found by the next search, without an error of its
# place.
REMAINING_SHARE = 0.25
# Matches that the fits of an echo may take, three times those of an ordinary one: a limit of the
# time of a crowded one.
MOST_MATCHES = 160
# Distance from a path, m, at which its restored power is a tenth: within half a coarse cell of the
# codec, so that a strong path does not hide a weak one in the next.
RESTORED_RADIUS_M = 3.0


class PathSearch(LocalMl):
    """Search for all paths of an echo, a few of the strongest at once."""

    @property
    def search_budget(self) -> SearchBudget:
        """Limits of the computation of a frame; see LocalMl."""
        return replace(super().search_budget, max_peaks=PEAKS_OF_SEARCH)

    @property
    def side_lobe_share(self) -> float:
        """Share of a peak's power below which it is a side lobe; see LocalMl."""
        return REMAINING_SHARE


@dataclass(frozen=True)
class PathMap:
    """Maps of the paths that one receiver detects in its echo.

    space_map: its cells, and the scales of its fields
    """

    space_map: SpaceMap

    def observe(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """The strongest detected path from each transmitter in each cell.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), without its static
        paths where the scene suppresses them
        frame: signal that was transmitted
        Returns [num_tx, 4, num_cells, num_cells], float32, zero in cells without a path; see
        SpaceMap.observe.
        """
        num_cells = self.space_map.num_cells
        num_transmitters = len(self.space_map.scene.transmitters)
        maps = np.zeros((num_transmitters, 4, num_cells, num_cells), np.float32)

        # Joint fit of all detected paths.
        fit = self._fit(echo, frame)
        if fit is None:
            return maps

        # Paths of each transmitter.
        for transmitter, channels in enumerate(maps):
            self._restore(transmitter, fit, channels)
        return maps

    def _fit(self, echo: np.ndarray, frame: Signal) -> Fit | None:
        """Joint fit of the paths in an echo; None where none is detected."""
        # Replicas of paths, static paths projected out of them where they are out of the echo: else
        # slow paths would be fitted with a part that the echo no longer has.
        suppression = link_suppression(self.space_map.scene, self.space_map.receiver)
        static = unknown_static(frame.streams) if suppression == "project" else None

        # Successive interference cancellation, strongest first.
        joint = self._search.correlate(echo, frame, MatchBudget(MOST_MATCHES), static)
        with np.errstate(divide="ignore", invalid="ignore"):  # paths that are suppressed as static
            return self._search.find(joint, searches=NUM_SEARCHES)

    @cached_property
    def _search(self) -> PathSearch:
        """Search in the echoes of the receiver."""
        scene = self.space_map.scene
        return PathSearch(scene, self.space_map.receiver, scene.grid)

    def _restore(self, transmitter: int, fit: Fit, channels: np.ndarray) -> None:
        """Write the paths of one transmitter to the cells around them, with a clean beam.

        channels: [4, num_cells, num_cells], float32, zero, in place
        """
        # Its paths that are numbers, and what a map shows of them.
        state = fit.state
        is_finite = np.isfinite(state.points_m[state.owner]).all(axis=1)
        is_finite &= np.isfinite(state.doppler_hz) & np.isfinite(fit.power)
        paths = np.flatnonzero(is_finite & (state.transmitter == transmitter))
        if not len(paths):
            return
        points_m = state.points_m[state.owner[paths]]
        lengths_m, rises = self._seen_over(transmitter, points_m)
        shifts = state.doppler_hz[paths] / self.space_map.max_doppler_hz

        # The strongest path of each cell; the power falls with the square of the distance.
        away_m = np.linalg.norm(self._cells_m[:, None, :2] - points_m[:, :2], axis=-1)
        decades = (away_m / RESTORED_RADIUS_M) ** 2
        powers = np.log10(1 + fit.power[paths]) - decades
        path = powers.argmax(axis=1)
        power = powers.max(axis=1)

        # Its measurements, where any power is left.
        cells = np.flatnonzero(power > 0)
        path = path[cells]
        excess_m = lengths_m[path] - self._cell_lengths_m[transmitter][cells]
        fields = channels.reshape(4, -1)
        fields[0, cells] = power[cells]
        fields[1, cells] = shifts[path]
        fields[2, cells] = excess_m / self.space_map.max_excess_m
        fields[3, cells] = rises[path]

    def _seen_over(self, transmitter: int, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths of one transmitter's paths over points, and the rises of their arrivals.

        points_m: [num_points, 3], float64, m
        Returns [num_points], m, and [num_points], direction cosines along the array's columns.
        """
        paths = self.space_map.paths_over(points_m)[transmitter]
        return paths.range_m, paths.aoa @ self.space_map.receiver.rotation[:, 2]

    @cached_property
    def _cells_m(self) -> np.ndarray:
        """Middles of the cells at the middle height, [num_cells^2, 3], float64, m."""
        box = self.space_map.scene.box
        ground_m = box.cell_centers_m(self.space_map.num_cells).reshape(-1, 2)
        middle_m = (box.low_m[2] + box.high_m[2]) / 2
        return np.column_stack([ground_m, np.full(len(ground_m), middle_m)])

    @cached_property
    def _cell_lengths_m(self) -> list[np.ndarray]:
        """Lengths of the paths over those middles, [num_cells^2], float64, m, by transmitter."""
        return [paths.range_m for paths in self.space_map.paths_over(self._cells_m)]

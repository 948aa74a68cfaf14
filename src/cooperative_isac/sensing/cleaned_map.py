"""Maps of locations without side lobes: strong paths are fitted, subtracted and restored (CLEAN).

The matched filter of a cell has the precoders toward the cell's center, which differ from group to
group of subcarriers, and the symbols of all other paths disturb it. Lengths and Doppler shifts read
from it have errors that do not fall with the noise. A joint fit of all paths has neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.arrays import phasors
from cooperative_isac.sensing.correlation import StreamReference, stream_reference
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit, subtract_paths
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.sensing.path_state import NO_PATHS, single_path
from cooperative_isac.sensing.peaks import Peak
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.static_paths import unknown_static
from cooperative_isac.waveform.signal import Signal

# Coherent SNR of a path that is fitted, as a ratio: noise alone exceeds 12 dB in one map of some
# hundred.
LEAST_SNR = 16.0
# SNR of the strongest path over that of the weakest that is fitted: the residual of a rough fit is
# about 25 dB below its path.
DYNAMIC_RANGE = 300.0
# Share of a peak's power that must be left when stronger paths are subtracted: less is the side
# lobe of one of them.
REMAINING_SHARE = 0.25
# Local maxima of a map that are tried, strongest first, and paths that are fitted.
MOST_PEAKS = 32
MOST_PATHS = 12

# Fisher scoring: number of steps at most, and gain of log-likelihood that is not worth another one;
# coarse for a path that is to be subtracted, fine for all paths together.
STEPS = 3
ROUGH_TOLERANCE = 6.0
FINE_TOLERANCE = 1.0

# Cells show a fitted path as far as their power is within 12 dB of its power: the first side lobe
# of an array is 13 dB below its main lobe.
MAIN_LOBE_DECADES = 1.2
# Largest distance between the length (Doppler shift) in a cell and that of its path, in resolution
# cells.
MAIN_LOBE_CELLS = 0.5


@dataclass(frozen=True)
class CleanedMap:
    """Maps of one receiver, in which the strongest paths have no side lobes.

    location_map: matched filters over the cells
    """

    location_map: LocationMap

    def observe(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """The strongest path from each transmitter over each cell.

        Cells in the main lobe of a fitted path have its length and Doppler shift, all others what
        is left of the echo without the fitted paths.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), without its static
        paths where the scene suppresses them
        frame: signal that was transmitted
        Returns [num_tx, 3, num_cells, num_cells], float32; see LocationMap.observe.
        """
        maps = self.location_map.observe(echo, frame)

        # Replicas of paths, static paths projected out of them where they are out of the echo: else
        # slow paths would be fitted with a part that the echo no longer has.
        suppression = link_suppression(self.location_map.scene, self.location_map.receiver)
        static = unknown_static(frame.streams) if suppression == "project" else None
        reference = stream_reference(frame, self.location_map.max_doppler_hz, static)

        # Joint fit of the paths at the peaks.
        maker = ReplicaMaker(self.location_map.scene, self.location_map.receiver, reference)
        correlation = reference.correlate(echo)
        fit = self._fit(maker, correlation, maps)
        if fit is None:
            return maps

        # Cells above the noise, without the paths.
        is_above = maps[:, 0] > np.log10(1 + LEAST_SNR)
        spectra = self._spectra(reference, subtract_paths(correlation, fit))
        residual = self.location_map.project(spectra, frame, is_above)
        cleaned = np.where(is_above[:, None], residual, maps)

        # The paths themselves.
        for transmitter, (before, after) in enumerate(zip(maps, cleaned)):
            self._restore(transmitter, fit, before, after)
        return cleaned

    def _fit(self, maker: ReplicaMaker, correlation: np.ndarray, maps: np.ndarray) -> Fit | None:
        """Joint fit of the paths at the peaks of maps; None where there are none.

        maker: replicas of the frame
        correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
        maps: [num_tx, 3, num_cells, num_cells], float32
        """
        noise_power_w = self.location_map.scene.propagation.noise_power_w
        peaks, powers = self._peaks(maker, maps)
        residual = correlation
        found = NO_PATHS

        # Each alone, strongest first, in what the paths before it leave.
        for peak, power in zip(peaks, powers):
            if found.num_paths == MOST_PATHS:
                break
            least = max(LEAST_SNR, powers[0] / DYNAMIC_RANGE, power * REMAINING_SHARE)
            if not peak.power(residual) >= least:  # also where it is not a number
                continue
            joint = JointFit(maker, residual, noise_power_w)
            start = single_path(peak.point_m, peak.transmitter, peak.doppler_hz)
            fit = joint.fisher_scoring(joint.match(start), STEPS, ROUGH_TOLERANCE, coupled=False)
            if fit.power[0] >= LEAST_SNR and fit.state.is_finite:
                found = found.with_target(fit.state)
                residual = subtract_paths(residual, fit)
        if not found.num_paths:
            return None

        # All together.
        joint = JointFit(maker, correlation, noise_power_w)
        fit = joint.fisher_scoring(joint.match(found), STEPS, FINE_TOLERANCE)
        return fit if fit.state.is_finite else None

    def _peaks(self, maker: ReplicaMaker, maps: np.ndarray) -> tuple[list[Peak], np.ndarray]:
        """Local maxima of maps above the noise, and their SNR, strongest first.

        maker: replicas of the frame
        maps: [num_tx, 3, num_cells, num_cells], float32
        """
        # Cells that are as high as their neighbors.
        power = maps[:, 0]
        padded = np.pad(power, ((0, 0), (1, 1), (1, 1)))
        around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        is_peak = (power >= around.max(axis=(3, 4))) & (power > np.log10(1 + LEAST_SNR))
        places = np.argwhere(is_peak)
        strongest = np.argsort(-power[is_peak], kind="stable")[:MOST_PEAKS]
        transmitter, row, column = places[strongest].T

        # Their matched filters.
        points_m = self.location_map.points_m[row * self.location_map.num_cells + column]
        doppler_hz = maps[transmitter, 1, row, column] * self.location_map.max_doppler_hz
        doppler_phases = phasors(-doppler_hz[:, None] * maker.reference.block_times_s)
        filters, energy = maker.filters_at(transmitter, points_m)
        noise_w = energy * self.location_map.scene.propagation.noise_power_w

        peaks = [
            Peak(
                transmitter=int(transmitter[place]),
                point_m=points_m[place],
                doppler_hz=float(doppler_hz[place]),
                beam=maker.receive_at(points_m[place]).conj(),
                filter=filters[place],
                doppler_phase=doppler_phases[place],
                noise_w=float(noise_w[place]),
                reference=maker.reference,
            )
            for place in range(len(points_m))
        ]
        return peaks, 10.0 ** power[transmitter, row, column] - 1

    def _spectra(self, reference: StreamReference, correlation: np.ndarray) -> np.ndarray:
        """Spectra of a correlation at the Doppler shifts of the map (LocationMap.spectra).

        correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
        Returns [num_rx_ant, num_subcarriers * num_streams, num_shifts], complex64.
        """
        turns = reference.block_times_s[:, None] * self.location_map.shifts_hz
        blocks = correlation.reshape(-1, reference.num_blocks)
        return (blocks @ phasors(-turns)).reshape(len(correlation), -1, turns.shape[1])

    def _restore(self, transmitter: int, fit: Fit, before: np.ndarray, after: np.ndarray) -> None:
        """Write the fitted paths of one transmitter to the cells of their main lobes.

        before: [3, num_cells, num_cells], float32, map of the echo
        after: [3, num_cells, num_cells], float32, map without the paths, in place
        """
        paths = np.flatnonzero(fit.state.transmitter == transmitter)
        if not len(paths):
            return
        grid = self.location_map.scene.grid
        path_lengths_m = self._lengths_m(transmitter, fit.state.points_m[paths])
        cell_lengths_m = self._lengths_m(transmitter, self.location_map.points_m)
        shifts_hz = fit.state.doppler_hz[paths]

        # The path that is nearest to what each cell has measured, in resolution cells.
        power, shift, excess = before.reshape(3, -1)
        lengths_m = cell_lengths_m + excess * self.location_map.max_excess_m
        length_cells = (lengths_m[:, None] - path_lengths_m) / grid.range_resolution_m
        shift_hz = shift[:, None] * self.location_map.max_doppler_hz
        shift_cells = (shift_hz - shifts_hz) / grid.doppler_resolution_hz
        distance = np.hypot(length_cells, shift_cells)
        nearest = distance.argmin(axis=1)

        # Cells in its main lobe.
        path_power = np.log10(1 + fit.power[paths])
        is_near = distance.min(axis=1) < MAIN_LOBE_CELLS
        is_strong = power > path_power[nearest] - MAIN_LOBE_DECADES
        cells = np.flatnonzero(is_near & is_strong)
        path = nearest[cells]

        # Their power as it was, with length and Doppler shift of the path.
        channels = after.reshape(3, -1)
        excess_m = path_lengths_m[path] - cell_lengths_m[cells]
        channels[0, cells] = power[cells]
        channels[1, cells] = shifts_hz[path] / self.location_map.max_doppler_hz
        channels[2, cells] = excess_m / self.location_map.max_excess_m

    def _lengths_m(self, transmitter: int, points_m: np.ndarray) -> np.ndarray:
        """Lengths of the paths over points [num_points, 3] in m, [num_points], m."""
        sender_m = self.location_map.scene.transmitters[transmitter].position_m
        sent_m = np.linalg.norm(points_m - sender_m, axis=1)
        received_m = np.linalg.norm(points_m - self.location_map.receiver.position_m, axis=1)
        return sent_m + received_m

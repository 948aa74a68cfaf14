"""A state of paths matched against the echo of one receiver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import Replica


@dataclass(frozen=True)
class Fit:
    """A state matched against a correlation, with the best complex amplitude of every path.

    amplitude: [num_paths], complex, beta sqrt(PL)
    explained: [num_paths], float64, share of each path in the log-likelihood that all explain
    power: [num_paths], float64, coherent SNR (matched-filter power in noise variances, the other
    paths removed)
    location_slope: [num_targets, D], float64, gradient of the log-likelihood with locations, 1/m
    doppler_slope: [num_paths], float64, with Doppler shifts, 1/Hz
    information: [num_paths, D, D], float64, of the location, 1/m^2, the path's amplitude unknown
    doppler_information: [num_paths], float64, 1/Hz^2, likewise
    left: [num_paths], float64, share of the information of each Doppler shift that is left with all
    other paths unknown; 1 where they count as known
    residual: [num_targets, num_subcarriers, num_streams, num_blocks], complex64, what all paths
    leave behind the beam to each target
    coherence: [num_paths, num_paths], complex, normalized inner products of the paths' waveforms
    """

    state: PathState
    replica: Replica
    amplitude: np.ndarray
    explained: np.ndarray
    power: np.ndarray
    location_slope: np.ndarray
    doppler_slope: np.ndarray
    information: np.ndarray
    doppler_information: np.ndarray
    left: np.ndarray
    residual: np.ndarray
    coherence: np.ndarray

    @property
    def target_power(self) -> np.ndarray:
        """Coherent SNR of each target summed over its paths, [num_targets]."""
        return np.bincount(self.state.owner, self.power, self.state.num_targets)

    @property
    def target_information(self) -> np.ndarray:
        """Information of each target's location, [num_targets, D, D]."""
        return by_owner(self.information, self.state)

    def keep(self, paths: np.ndarray) -> Fit:
        """The fit of chosen paths ([num_paths], bool), as it was beside the others; whole targets
        only.
        """
        targets = np.unique(self.state.owner[paths])
        replica = Replica(
            receive=self.replica.receive[targets],
            filters=self.replica.filters[paths],
            gram=self.replica.gram[paths],
            turns=self.replica.turns[paths],
            own=self.replica.own[paths],
            doppler_share=self.replica.doppler_share[paths],
        )
        return Fit(
            state=self.state.keep(paths),
            replica=replica,
            amplitude=self.amplitude[paths],
            explained=self.explained[paths],
            power=self.power[paths],
            location_slope=self.location_slope[targets],
            doppler_slope=self.doppler_slope[paths],
            information=self.information[paths],
            doppler_information=self.doppler_information[paths],
            left=self.left[paths],
            residual=self.residual[targets],
            coherence=self.coherence[np.ix_(paths, paths)],
        )

    @property
    def echoes(self) -> tuple[np.ndarray, np.ndarray]:
        """Arrival steering [num_paths, num_rx_ant] and waveform of every path, with its
        amplitude.
        """
        arrivals = self.replica.receive[self.state.owner, 0] * self.amplitude[:, None].astype(
            np.complex64
        )
        return arrivals, self.replica.own


def by_owner(values: np.ndarray, state: PathState) -> np.ndarray:
    """Sum of the paths' values over each target, [num_targets, ...]."""
    total = np.zeros((state.num_targets, *values.shape[1:]))
    np.add.at(total, state.owner, values)
    return total

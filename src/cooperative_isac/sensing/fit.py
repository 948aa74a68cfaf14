"""Result of matching paths against the echo of one receiver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.sensing.canceled_paths import CanceledSpan
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import Replica


@dataclass(frozen=True)
class Fit:
    """Paths matched against a correlation, with the best complex amplitude of each.

    state: locations of the targets, and Doppler shifts of their paths
    replica: of these paths
    amplitude: [num_paths], complex128, beta sqrt(PL)
    explained: [num_paths], float64, share of each path in the joint log-likelihood
    power: [num_paths], float64, coherent SNR: matched-filter power in noise variances, without the
        other paths
    location_slope: [num_targets, D], float64, gradient of the log-likelihood with locations, 1/m
    doppler_slope: [num_paths], float64, gradient with Doppler shifts, 1/Hz
    information: [num_paths, D, D], float64, of the location, amplitude unknown, 1/m^2
    doppler_information: [num_paths], float64, of the Doppler shift, amplitude unknown, 1/Hz^2
    marginal_share: [num_paths], float64, share of the information of each Doppler shift with all
        other paths unknown; 1 where they count as known
    residual: [num_targets, num_subcarriers, num_streams, num_blocks], complex64, correlation
        without all paths, behind the receive beam to each target
    coherence: [num_paths, num_paths], complex, normalized inner products of the paths' waveforms
    canceled: static paths that were canceled in the echo; None: none
    canceled_weights: [num_paths, num_slopes], complex64, of their slopes in each path's echo
    canceled_share: [num_paths], float64, energy of each path within their span over its energy
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
    marginal_share: np.ndarray
    residual: np.ndarray
    coherence: np.ndarray
    canceled: CanceledSpan | None
    canceled_weights: np.ndarray
    canceled_share: np.ndarray

    @property
    def target_power(self) -> np.ndarray:
        """Coherent SNR of each target summed over its paths, [num_targets], float64."""
        return np.bincount(self.state.owner, self.power, self.state.num_targets)

    @property
    def target_information(self) -> np.ndarray:
        """Information of each target's location, [num_targets, D, D], float64, 1/m^2."""
        return by_owner(self.information, self.state)

    def keep(self, paths: np.ndarray) -> Fit:
        """The values of some paths, as fitted together with the others.

        paths: mask [num_paths], bool, with all paths of a target or none
        """
        targets = np.unique(self.state.owner[paths])
        replica = Replica(
            receive=self.replica.receive[targets],
            filters=self.replica.filters[paths],
            gram=self.replica.gram[paths],
            doppler_phases=self.replica.doppler_phases[paths],
            waveforms=self.replica.waveforms[paths],
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
            marginal_share=self.marginal_share[paths],
            residual=self.residual[targets],
            coherence=self.coherence[np.ix_(paths, paths)],
            canceled=self.canceled,
            canceled_weights=self.canceled_weights[paths],
            canceled_share=self.canceled_share[paths],
        )

    def echoes(self, paths: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Echoes of paths as products of two factors, the first ones those of the paths themselves.

        Where static paths were canceled, the others are the parts that this took of the paths.

        paths: mask [num_paths], bool, of those; by default all
        Returns receive steering times amplitude [n, num_rx_ant], complex64, and waveforms [n,
        num_subcarriers, num_streams, num_blocks], complex64.
        """
        steering = self.replica.receive[self.state.owner, 0][paths]
        steering = steering * self.amplitude[paths, None].astype(np.complex64)
        waveforms = self.replica.waveforms[paths]
        if self.canceled is None:
            return steering, waveforms
        taken = -self.canceled_weights[paths].sum(axis=0)[:, None] * self.canceled.arrivals
        return np.concatenate([steering, taken]), np.concatenate(
            [waveforms, self.canceled.waveforms]
        )


def by_owner(values: np.ndarray, state: PathState) -> np.ndarray:
    """Sums of the paths' values over each target.

    values: [num_paths, ...], float64
    state: the paths
    Returns [num_targets, ...], float64.
    """
    total = np.zeros((state.num_targets, *values.shape[1:]))
    np.add.at(total, state.owner, values)
    return total

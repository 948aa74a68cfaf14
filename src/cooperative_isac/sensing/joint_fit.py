"""The joint likelihood of all paths in an echo, and the climb to its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.sensing.information import (
    LEAST_INFORMATION,
    doppler_information,
    location_information,
)
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import Replica, ReplicaMaker

# Longest step of a Doppler shift, in resolution cells, while static paths are suppressed: near zero
# the information is small, and a Newton step would leave the main lobe.
MOST_SHIFT = 0.5


@dataclass(frozen=True)
class Fit:
    """A state matched against a correlation, with the best complex amplitude of every path.

    amplitude: [num_paths], complex, beta sqrt(PL); power: [num_paths], coherent SNR (matched-filter
    power in noise variances, the other paths removed); location_slope: [num_targets, D] and
    doppler_slope [num_paths], gradient of the log-likelihood; information: [num_paths, D, D] of the
    location, 1/m^2, and doppler_information [num_paths], 1/Hz^2, with the path's amplitude unknown;
    residual: [num_targets, num_subcarriers, num_streams, num_blocks], what all paths leave behind
    the beam to each target; coherence: [num_paths, num_paths], normalized inner products of the
    paths' waveforms.
    """

    state: PathState
    replica: Replica
    amplitude: np.ndarray
    power: np.ndarray
    location_slope: np.ndarray
    doppler_slope: np.ndarray
    information: np.ndarray
    doppler_information: np.ndarray
    residual: np.ndarray
    coherence: np.ndarray

    @property
    def target_power(self) -> np.ndarray:
        """Coherent SNR of each target summed over its paths, [num_targets]."""
        return np.bincount(self.state.owner, self.power, self.state.num_targets)

    @property
    def target_information(self) -> np.ndarray:
        """Information of each target's location, [num_targets, D, D]."""
        return _by_owner(self.information, self.state)

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
            power=self.power[paths],
            location_slope=self.location_slope[targets],
            doppler_slope=self.doppler_slope[paths],
            information=self.information[paths],
            doppler_information=self.doppler_information[paths],
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


@dataclass
class Effort:
    """How often states may still be matched in this frame: what it may cost, told without a
    clock.
    """

    matches_left: float = math.inf


class JointFit:
    """Fits paths to one receiver's stream correlation.

    Every gradient is exact for the joint likelihood; the information is taken block by block (each
    target's location, each path's Doppler shift), which Fisher scoring repairs in a few steps as
    paths couple weakly.
    """

    def __init__(
        self,
        maker: ReplicaMaker,
        correlation: np.ndarray,
        noise_power_w: float,
        effort: Effort | None = None,
    ):
        self.maker, self.correlation, self.noise_power_w = maker, correlation, noise_power_w
        self.effort = effort or Effort()
        self._flat = correlation.reshape(len(correlation), -1)

    def match(self, state: PathState) -> Fit:
        """Match every path of a state, all others removed."""
        self.effort.matches_left -= 1
        replica = self.maker.make(state)
        num_paths = state.num_paths
        arrivals = replica.receive[state.owner, 0]

        # Waveforms as they are in the correlation, and the filters matched to them.
        own = replica.own.reshape(num_paths, -1)
        matched = replica.filters[:, 0].conj()[..., None] * replica.turns[:, None, None, :]
        matched = matched.reshape(num_paths, -1)

        # Gather: the echo behind the beam to each target, and behind each path's filter at each
        # antenna.
        behind = replica.receive[:, 0].conj() @ self._flat
        at_antennas = matched @ self._flat.T

        # Solve for the complex amplitudes of all paths together.
        crossed = matched @ own.T
        overlap = crossed * (arrivals.conj() @ arrivals.T)
        received = np.sum(arrivals.conj() * at_antennas, axis=1)
        amplitude = _amplitudes(overlap.astype(complex), received)

        # Subtract all paths: what they leave behind each beam, and at each antenna.
        weighted = arrivals * amplitude.astype(np.complex64)[:, None]
        behind -= (replica.receive[:, 0].conj() @ weighted.T) @ own
        residual = behind.reshape(state.num_targets, *self.correlation.shape[1:])
        at_antennas -= crossed @ weighted

        # Gradient of locations and Doppler shifts.
        location_slope, doppler_slope = self._slopes(
            state, replica, amplitude, residual, at_antennas
        )

        # Information of locations and Doppler shifts.
        energy = replica.gram[:, 0, 0].real
        power = np.abs(amplitude * np.diag(overlap)) ** 2 / (energy * self.noise_power_w)
        information = location_information(replica.receive[state.owner], replica.gram)
        shift_information = doppler_information(self.maker.reference.frame.grid, power)

        return Fit(
            state=state,
            replica=replica,
            amplitude=amplitude,
            power=power,
            location_slope=location_slope,
            doppler_slope=doppler_slope,
            information=2 * power[:, None, None] * information,
            doppler_information=replica.doppler_share * shift_information,
            residual=residual,
            coherence=overlap / np.sqrt(np.outer(energy, energy)),
        )

    def climb(self, fit: Fit, steps: int, tolerance: float) -> Fit:
        """Fisher scoring until no target expects to gain more log-likelihood than the tolerance.

        A target whose power fell takes shorter steps; a step that helped nobody is taken back. The
        last step, which is small, is taken without matching again. Ends where the frame's effort
        does.
        """
        scale = np.ones(fit.state.num_targets)
        for _ in range(steps):
            if self.effort.matches_left <= 0:
                break
            moves, shifts, gain = scoring_step(fit)
            if self.maker.reference.static is not None:
                most = MOST_SHIFT * self.maker.reference.frame.grid.doppler_resolution_hz
                shifts = np.clip(shifts, -most, most)
            if np.all(gain * scale < tolerance):
                return replace(
                    fit,
                    state=_moved(
                        fit.state, scale[:, None] * moves, scale[fit.state.owner] * shifts
                    ),
                )
            tried = self.match(
                _moved(fit.state, scale[:, None] * moves, scale[fit.state.owner] * shifts)
            )
            worse = tried.target_power < fit.target_power - tolerance
            scale = np.where(worse, scale / 4, np.minimum(2 * scale, 1.0))
            if not worse.all():
                fit = tried
        return fit

    def _slopes(
        self,
        state: PathState,
        replica: Replica,
        amplitude: np.ndarray,
        residual: np.ndarray,
        at_antennas: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of the log-likelihood.

        residual: [num_targets, num_subcarriers, num_streams, num_blocks], complex64, what all paths
        leave behind the beam to each target
        at_antennas: [num_paths, num_rx_ant], complex64, the same behind each path's filter
        Returns that with locations [num_targets, D] and with Doppler shifts [num_paths], float64.
        """
        reference = self.maker.reference
        num_paths, num_filters = replica.filters.shape[:2]
        num_blocks = reference.num_blocks

        # Each target's residual summed over blocks with its paths' turns, and with their slopes.
        ramp = -2j * np.pi * (reference.block_times_s - reference.middle_s)
        turns = np.stack([replica.turns, replica.turns * ramp.astype(np.complex64)], axis=-1)
        rows = residual.reshape(state.num_targets, -1, num_blocks)
        summed = rows[state.owner] @ turns

        # Behind the filters and their location slopes.
        filters = replica.filters.reshape(num_paths, num_filters, -1).conj()
        behind = filters @ summed

        # Location moves the filter and the arrival; a Doppler shift the turns.
        arrival_slopes = replica.receive[state.owner, 1:].conj()
        location = behind[:, 1:, 0] + (arrival_slopes @ at_antennas[..., None])[..., 0]
        factor = 2 / self.noise_power_w * amplitude.conj()
        location_slope = np.real(factor[:, None] * location)
        doppler_slope = np.real(factor * behind[:, 0, 1])
        return _by_owner(location_slope, state), doppler_slope


def scoring_step(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton step of all targets with the Fisher information.

    Returns the moves of locations [num_targets, 3], m, the moves of Doppler shifts [num_paths], Hz,
    and the gain in log-likelihood that each target expects, [num_targets]; all float64.
    """
    information = fit.target_information
    size = information.shape[-1]

    # Locations: a ridge where an axis is not measured.
    ridge = np.maximum(1e-6 * np.trace(information, axis1=1, axis2=2), LEAST_INFORMATION)
    damped = information + ridge[:, None, None] * np.eye(size)
    moves = np.zeros((fit.state.num_targets, 3))
    moves[:, :size] = np.linalg.solve(damped, fit.location_slope[..., None])[..., 0]

    # Doppler shifts: none where nothing is known.
    shifts = np.zeros(fit.state.num_paths)
    is_known = fit.doppler_information > 0
    np.divide(fit.doppler_slope, fit.doppler_information, out=shifts, where=is_known)

    # Twice what a quadratic likelihood would gain, over each target's location and paths.
    gain = np.sum(moves[:, :size] * fit.location_slope, axis=1)
    path_gain = shifts * fit.doppler_slope
    gain += np.bincount(fit.state.owner, path_gain, fit.state.num_targets)
    return moves, shifts, gain


def _amplitudes(overlap: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Least-squares amplitudes of paths, [num_paths], complex128; paths that are equal share one
    echo.

    overlap: [num_paths, num_paths], complex128, inner products of their waveforms
    received: [num_paths], complex, inner products with the echo
    """
    try:
        return np.linalg.solve(overlap, received)
    except np.linalg.LinAlgError:
        if not np.isfinite(overlap).all():
            return np.zeros(len(overlap), complex)
        return np.linalg.pinv(overlap) @ received


def _moved(state: PathState, moves_m: np.ndarray, shifts_hz: np.ndarray) -> PathState:
    return replace(
        state, points_m=state.points_m + moves_m, doppler_hz=state.doppler_hz + shifts_hz
    )


def _by_owner(values: np.ndarray, state: PathState) -> np.ndarray:
    """Sum of the paths' values over each target, [num_targets, ...]."""
    total = np.zeros((state.num_targets, *values.shape[1:]))
    np.add.at(total, state.owner, values)
    return total


def without(
    correlation: np.ndarray, fit: Fit, paths: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """The correlation without the paths of a fit.

    correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
    paths: [num_paths], bool, which of them are removed; by default all
    """
    arrivals, own = (part[paths] for part in fit.echoes)
    return correlation - (arrivals.T @ own.reshape(len(own), -1)).reshape(correlation.shape)

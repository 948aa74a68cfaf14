"""Joint likelihood of all paths in an echo, and Fisher scoring to its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.sensing.coupling import coupled_targets, scoring_step
from cooperative_isac.sensing.fit import Fit, by_owner
from cooperative_isac.sensing.information import doppler_information, location_information
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import Replica, ReplicaMaker

# Longest step of a Doppler shift while static paths are suppressed, in resolution cells: near zero
# the information is small, and a Newton step would leave the main lobe.
MAX_SHIFT_CELLS = 0.5


@dataclass
class MatchBudget:
    """Computation that a frame may still cost, counted without a clock.

    matches_left: number of times that a state may still be matched
    """

    matches_left: float = math.inf


class JointFit:
    """Joint fit of paths to the stream correlation of one receiver.

    Gradients are exact for the joint likelihood. The information of a fit is that of each target's
    location and of each path's Doppler shift alone; where paths are coherent, Fisher scoring moves
    their targets together (sensing.coupling).

    maker: replicas of paths
    correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
        (StreamReference.correlate)
    noise_power_w: per antenna and resource element, W
    budget: of the frame; None: unlimited
    """

    def __init__(
        self,
        maker: ReplicaMaker,
        correlation: np.ndarray,
        noise_power_w: float,
        budget: MatchBudget | None = None,
    ):
        self.maker = maker
        self.correlation = correlation
        self.noise_power_w = noise_power_w
        self.budget = budget or MatchBudget()
        self._flat = correlation.reshape(len(correlation), -1)

    def match(self, state: PathState) -> Fit:
        """Fit the amplitudes of all paths, and evaluate the likelihood's gradient and information.

        state: locations and Doppler shifts
        """
        self.budget.matches_left -= 1
        replica = self.maker.make(state)
        num_paths = state.num_paths
        steering = replica.receive[state.owner, 0]

        # Waveforms in the correlation, and the filters matched to them.
        waveforms = replica.waveforms.reshape(num_paths, -1)
        matched_filters = self.maker.reference.matched_filters(
            replica.filters[:, 0], replica.doppler_phases, replica.waveforms
        )

        # Gather: the correlation behind the beam to each target, and behind each path's filter at
        # each antenna.
        in_beams = replica.receive[:, 0].conj() @ self._flat
        at_antennas = matched_filters @ self._flat.T

        # Solve for the complex amplitudes of all paths together.
        waveform_products = matched_filters @ waveforms.T
        overlap = waveform_products * (steering.conj() @ steering.T)
        received = np.sum(steering.conj() * at_antennas, axis=1)
        energy = replica.gram[:, 0, 0].real
        share = np.zeros(num_paths)
        within = None
        if self.maker.canceled is not None:
            # What canceled static paths explain of them is no evidence.
            within = self.maker.canceled.of_paths(steering, matched_filters)
            share = within.share(energy)
            overlap = overlap - within.removed
            energy = (1 - share) * energy
        amplitude = _amplitudes(overlap.astype(complex), received)
        explained = np.real(amplitude.conj() * received) / self.noise_power_w

        # Subtract all paths behind each beam, and at each antenna.
        weighted = steering * amplitude.astype(np.complex64)[:, None]
        in_beams -= (replica.receive[:, 0].conj() @ weighted.T) @ waveforms
        at_antennas -= waveform_products @ weighted

        # Add what their cancellation has taken of all paths.
        weights = np.zeros((num_paths, 0), np.complex64)
        if within is not None:
            weights = within.weights(amplitude)
            taken = weights.sum(axis=0)[:, None] * within.span.arrivals
            of_slopes = within.span.waveforms.reshape(len(taken), -1)
            in_beams += (replica.receive[:, 0].conj() @ taken.T) @ of_slopes
            at_antennas += within.filtered @ taken
        residual = in_beams.reshape(state.num_targets, *self.correlation.shape[1:])

        # Gradient with locations and Doppler shifts.
        location_slope, doppler_slope = self._slopes(
            state, replica, amplitude, residual, at_antennas
        )

        # Information of locations and Doppler shifts.
        power = np.abs(amplitude * np.diag(overlap)) ** 2 / (energy * self.noise_power_w)
        unit_information = location_information(replica.receive[state.owner], replica.gram)
        shift_information = doppler_information(self.maker.reference.frame.grid, power)

        return Fit(
            state=state,
            replica=replica,
            amplitude=amplitude,
            explained=explained,
            power=power,
            location_slope=location_slope,
            doppler_slope=doppler_slope,
            information=2 * power[:, None, None] * unit_information,
            doppler_information=replica.doppler_share * shift_information,
            marginal_share=np.ones(num_paths),
            residual=residual,
            coherence=overlap / np.sqrt(np.outer(energy, energy)),
            canceled=self.maker.canceled,
            canceled_weights=weights,
            canceled_share=share,
        )

    def fisher_scoring(self, fit: Fit, steps: int, tolerance: float, coupled: bool = True) -> Fit:
        """Ascend the likelihood until no target expects to gain more than the tolerance.

        Targets whose likelihood fell take shorter steps; a step by which no target gained is
        undone. The last step, which is small, is taken without matching again. The ascent ends
        early where the frame's budget does.

        fit: start
        steps: number of matches at most
        tolerance: gain of log-likelihood that is not worth another step
        coupled: move targets with coherent paths together
        """
        num_targets = fit.state.num_targets
        scale = np.ones(num_targets)
        for _ in range(steps):
            if self.budget.matches_left <= 0:
                break

            # Newton step of every group of targets.
            if coupled:
                groups = coupled_targets(fit)
            else:
                groups = [np.array([target]) for target in range(num_targets)]
            moves_m, shifts_hz, gain = scoring_step(self.maker, fit, groups)
            if self.maker.reference.static is not None:
                cell_hz = self.maker.reference.frame.grid.doppler_resolution_hz
                longest_hz = MAX_SHIFT_CELLS * cell_hz
                shifts_hz = np.clip(shifts_hz, -longest_hz, longest_hz)
            moved = _moved(fit.state, scale[:, None] * moves_m, scale[fit.state.owner] * shifts_hz)
            if np.all(gain * scale < tolerance):
                return replace(fit, state=moved)

            # A quarter of the step for groups whose likelihood fell, else up to twice of it again.
            tried = self.match(moved)
            rise = by_owner(tried.explained - fit.explained, fit.state)
            worse = np.zeros(num_targets, bool)
            for targets in groups:
                worse[targets] = rise[targets].sum() < -tolerance
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

        state: locations and Doppler shifts
        replica: of the paths
        amplitude: [num_paths], complex128
        residual: [num_targets, num_subcarriers, num_streams, num_blocks], complex64, correlation
            without all paths, behind the beam to each target
        at_antennas: [num_paths, num_rx_ant], complex64, the same behind each path's filter
        Returns the gradient with locations [num_targets, D] and with Doppler shifts [num_paths],
        float64.
        """
        reference = self.maker.reference
        num_paths, num_filters = replica.filters.shape[:2]

        # Residual of each path's target, summed over blocks with its phases and with their slopes.
        phases = replica.doppler_phases
        ramp = reference.doppler_ramp.astype(np.complex64)
        with_slopes = np.stack([phases, phases * ramp], axis=-1)
        summed = reference.over_blocks(residual[state.owner], with_slopes)

        # Behind the filters and their location slopes.
        filters = replica.filters.reshape(num_paths, num_filters, -1).conj()
        filtered = filters @ summed

        # The location changes filter and steering, the Doppler shift the phases.
        steering_slopes = replica.receive[state.owner, 1:].conj()
        by_steering = (steering_slopes @ at_antennas[..., None])[..., 0]
        location = filtered[:, 1:, 0] + by_steering
        factor = 2 / self.noise_power_w * amplitude.conj()
        location_slope = np.real(factor[:, None] * location)
        doppler_slope = np.real(factor * filtered[:, 0, 1])
        return by_owner(location_slope, state), doppler_slope


def _amplitudes(overlap: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Least-squares amplitudes of paths; identical paths share one echo.

    overlap: [num_paths, num_paths], complex128, inner products of their waveforms
    received: [num_paths], complex, inner products with the echo
    Returns [num_paths], complex128.
    """
    try:
        return np.linalg.solve(overlap, received)
    except np.linalg.LinAlgError:
        if not np.isfinite(overlap).all():
            return np.zeros(len(overlap), complex)
        return np.linalg.pinv(overlap) @ received


def _moved(state: PathState, moves_m: np.ndarray, shifts_hz: np.ndarray) -> PathState:
    """A state after steps of its locations [num_targets, 3] and Doppler shifts [num_paths]."""
    return replace(
        state, points_m=state.points_m + moves_m, doppler_hz=state.doppler_hz + shifts_hz
    )


def subtract_paths(
    correlation: np.ndarray, fit: Fit, paths: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """Correlation without paths of a fit.

    correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
    fit: amplitudes and waveforms of its paths
    paths: mask [num_paths], bool, of those to subtract; by default all
    Returns the same shape, complex64.
    """
    steering, waveforms = fit.echoes(paths)
    if not len(waveforms):
        return correlation
    waveforms = waveforms.reshape(len(waveforms), -1)
    return correlation - (steering.T @ waveforms).reshape(correlation.shape)

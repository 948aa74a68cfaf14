"""The joint likelihood of all paths in an echo, and the climb to its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.sensing.coupling import coupled_targets, scoring_step
from cooperative_isac.sensing.fit import Fit, by_owner
from cooperative_isac.sensing.information import doppler_information, location_information
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import Replica, ReplicaMaker

# Longest step of a Doppler shift, in resolution cells, while static paths are suppressed: near zero
# the information is small, and a Newton step would leave the main lobe.
MOST_SHIFT = 0.5


@dataclass
class Effort:
    """How often states may still be matched in this frame: what it may cost, told without a
    clock.
    """

    matches_left: float = math.inf


class JointFit:
    """Fits paths to one receiver's stream correlation.

    Every gradient is exact for the joint likelihood. The information of a fit is that of each
    target's location and of each path's Doppler shift alone; where paths are coherent, Fisher
    scoring takes their targets together (sensing.coupling).
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
        explained = np.real(amplitude.conj() * received) / self.noise_power_w

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
            explained=explained,
            power=power,
            location_slope=location_slope,
            doppler_slope=doppler_slope,
            information=2 * power[:, None, None] * information,
            doppler_information=replica.doppler_share * shift_information,
            left=np.ones(num_paths),
            residual=residual,
            coherence=overlap / np.sqrt(np.outer(energy, energy)),
        )

    def climb(self, fit: Fit, steps: int, tolerance: float, coupled: bool = True) -> Fit:
        """Fisher scoring until no target expects to gain more log-likelihood than the tolerance.

        Targets whose likelihood fell take shorter steps; a step that helped nobody is taken back.
        The last step, which is small, is taken without matching again. Ends where the frame's
        effort does.

        coupled: whether targets with coherent paths are moved together
        """
        scale = np.ones(fit.state.num_targets)
        for _ in range(steps):
            if self.effort.matches_left <= 0:
                break

            # Step of every group of targets.
            each = np.arange(fit.state.num_targets)
            groups = coupled_targets(fit) if coupled else [each[i : i + 1] for i in each]
            moves, shifts, gain = scoring_step(self.maker, fit, groups)
            if self.maker.reference.static is not None:
                most = MOST_SHIFT * self.maker.reference.frame.grid.doppler_resolution_hz
                shifts = np.clip(shifts, -most, most)
            moved = _moved(fit.state, scale[:, None] * moves, scale[fit.state.owner] * shifts)
            if np.all(gain * scale < tolerance):
                return replace(fit, state=moved)

            # Shorter steps of the groups whose likelihood fell.
            tried = self.match(moved)
            rise = by_owner(tried.explained - fit.explained, fit.state)
            worse = np.zeros(len(scale), bool)
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
        return by_owner(location_slope, state), doppler_slope


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


def without(
    correlation: np.ndarray, fit: Fit, paths: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """The correlation without the paths of a fit.

    correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
    paths: [num_paths], bool, which of them are removed; by default all
    """
    arrivals, own = (part[paths] for part in fit.echoes)
    return correlation - (arrivals.T @ own.reshape(len(own), -1)).reshape(correlation.shape)

"""The local maximum-likelihood access point: targets out of one echo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import chdtri

from cooperative_isac.scene.arrays import phasors
from cooperative_isac.sensing.correlation import StreamReference, stream_reference
from cooperative_isac.sensing.coupling import with_marginal_information
from cooperative_isac.sensing.detector import Detector
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import Effort, JointFit, without
from cooperative_isac.sensing.path_state import NO_PATHS, PathState, single_path
from cooperative_isac.sensing.reacquire import doppler_reach_hz, reacquired
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.sensing.surface import (
    LEAST_STATIC_SHARE,
    Surface,
    doppler_bins,
    likelihood_surface,
    static_weights,
)
from cooperative_isac.waveform.signal import Signal

MERGE_PROBABILITY = 0.9999  # of two reports of one target to be merged
MAX_SEARCHES = 2  # of an independent frame: the second finds what stronger targets masked
PEAK_MATCHES = 6  # joint fits that trying one peak of the surface may take
STILL_THERE = 0.5  # share of the threshold that a peak must keep when stronger ones are removed

# Fisher scoring: joint fits, and gain in log-likelihood that is not worth another one.
ROUGH = {"steps": 4, "tolerance": 6.0, "coupled": False}
FINE = {"steps": 4, "tolerance": 1.0}

# Coherence of two paths above which they are taken for one echo; between points of one body a joint
# fit tells more apart.
UNRESOLVED = 0.6
SATELLITE = 0.95

# Power of what the replica of a point lacks, over that of its path: errors of 3 % of the amplitude,
# as calibrated arrays have them. A weaker echo in a path's main lobe is taken for a part of it.
REPLICA_ERROR = 1e-3

# Power of a body's path from another transmitter over its strongest one, from which on they share a
# location in the fit. Weaker ones are mostly echoes over walls, or what the fit of the strong path
# leaves; found by themselves, they make reports of their own, and the fusion center joins those
# that fit.
SHARED_PATH = 0.3

# The same for point targets where static paths are suppressed: a slow path is gone, and what stands
# in for it is what the fit of the strong path leaves.
SUPPRESSED_PATH = 0.001


@dataclass(frozen=True)
class SearchBudget:
    """What a receiver may spend on one frame.

    max_peaks: peaks of the likelihood surface that are tried in one search
    follow_matches: joint fits before the packet is sent
    search_matches: joint fits of the search after it
    search_every: frames from one search to the next; receivers take turns
    searches_first: whether a frame is searched before the packet is sent, where there is nothing to
    follow
    follow_steps, follow_tolerance: steps of Fisher scoring from where targets are expected, and the
    gain in log-likelihood that is not worth another one
    """

    max_peaks: int
    follow_matches: int
    search_matches: int
    search_every: int
    searches_first: bool
    follow_steps: int = 4
    follow_tolerance: float = 3.0


# Points in empty space; points among static paths, where slow paths converge late; bodies, whose
# points are many. The search before the first packet of a body costs a track its start: what is
# fitted in a hurry is off by a body's size.
POINT_BUDGET = SearchBudget(
    max_peaks=24, follow_matches=10, search_matches=16, search_every=2, searches_first=False
)
SUPPRESSED_BUDGET = SearchBudget(
    max_peaks=48, follow_matches=16, search_matches=24, search_every=1, searches_first=True
)
BODY_BUDGET = SearchBudget(
    max_peaks=48, follow_matches=16, search_matches=24, search_every=1, searches_first=False
)
# Stations that receive each other and themselves, at a high SNR: what is left of a climb that ends
# early would exceed the covariances that the reports of several bands are combined with.
NETWORK_BUDGET = SearchBudget(
    max_peaks=24,
    follow_matches=30,
    search_matches=40,
    search_every=2,
    searches_first=False,
    follow_steps=8,
    follow_tolerance=1.0,
)


@dataclass(frozen=True)
class Peak:
    """A peak of the likelihood surface, and what is matched to it.

    point_m: [3], float64, m, in map; doppler_hz: Hz
    beam: [num_rx_ant], complex64, conjugate receive steering
    filter: [num_subcarriers, num_streams], complex64, stream weights of its transmitter's path
    turn: [num_blocks], complex64, exp(-j 2 pi f t) at the blocks' centers
    noise_w: power of noise behind all three, static paths suppressed
    """

    transmitter: int
    point_m: np.ndarray
    doppler_hz: float
    beam: np.ndarray
    filter: np.ndarray
    turn: np.ndarray
    noise_w: float

    def power(self, correlation: np.ndarray) -> float:
        """Its matched-filter power in noise variances: a peak may be explained away since the
        surface was made.

        correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
        """
        behind = self.beam @ correlation.reshape(len(self.beam), -1)
        behind = behind.reshape(-1, len(self.turn)) @ self.turn
        return float(np.abs(np.vdot(self.filter.ravel(), behind)) ** 2 / self.noise_w)


class LocalMl(Detector):
    """Maximum-likelihood search for targets in the echoes of one receiver that knows the frame."""

    def shared_path(self, reference: StreamReference) -> float:
        """Power over a target's strongest path from which on a path of another transmitter shares
        its location.
        """
        if self.scene.has_bodies:
            return SHARED_PATH
        return SUPPRESSED_PATH if reference.static is not None else 0.0

    @property
    def budget(self) -> SearchBudget:
        """What the receiver may spend on a frame of its scene."""
        if self.scene.has_bodies:
            return BODY_BUDGET
        if self.scene.sensing.static_paths != "keep":
            return SUPPRESSED_BUDGET
        return POINT_BUDGET if self.scene.layout is None else NETWORK_BUDGET

    def sense(self, echo: np.ndarray, frame: Signal) -> Fit | None:
        """Find targets in an echo [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W);
        None if there is none.
        """
        return self.find(self.listen(echo, frame))

    def listen(
        self,
        echo: np.ndarray,
        frame: Signal,
        effort: Effort | None = None,
        static: StaticNuisance | None = None,
    ) -> JointFit:
        """What fits paths to an echo, whose static paths were suppressed if given; effort: what
        that may cost.
        """
        reference = stream_reference(frame, self.max_doppler_hz, static)
        maker = ReplicaMaker(self.scene, self.receiver, reference)
        return JointFit(
            maker, reference.correlate(echo), self.scene.propagation.noise_power_w, effort
        )

    def follow(self, joint: JointFit, expected: PathState) -> Fit | None:
        """Fit the paths that an earlier frame lets expect, and transmitters' missing paths; None if
        none is heard.
        """
        if not expected.num_paths:
            return None
        fit = joint.match(expected)
        reach_hz = doppler_reach_hz(self.grid, self.frame_stride / self.scene.update_rate_hz)
        if reach_hz:
            state = reacquired(joint, fit, reach_hz)
            fit = fit if state is fit.state else joint.match(state)
        fit = joint.climb(fit, self.budget.follow_steps, self.budget.follow_tolerance)

        # Weaker paths, when the stronger ones are fitted.
        if reach_hz:
            state = reacquired(joint, fit, reach_hz)
            if state is not fit.state:
                fit = joint.climb(joint.match(state), **FINE)
        return self._settle(joint, fit)

    def find(
        self, joint: JointFit, fit: Fit | None = None, searches: int = MAX_SEARCHES
    ) -> Fit | None:
        """Search what known targets (those of a fit) leave, and fit all together.

        Peaks of the likelihood surface are taken strongest first, each fitted roughly and removed;
        all paths are fitted together, transmitters' missing paths are let in, and what all leave is
        searched again.
        """
        for _ in range(searches):
            found = self._search(joint, fit)
            if not found.num_targets:
                break
            state = found if fit is None else fit.state.with_target(found)
            fit = self._settle(joint, joint.climb(joint.match(state), **FINE))
        return fit

    def has_turn(self, number: int) -> bool:
        """Whether this receiver searches frame `number` for others than it follows: receivers take
        turns.
        """
        turn = sorted(site.name for site in self.scene.receivers).index(self.receiver.name)
        return (number // self.frame_stride + turn) % self.budget.search_every == 0

    def main_targets(self, fit: Fit | None, maker: ReplicaMaker) -> Fit | None:
        """The targets of a fit without satellites and without residues of a learned background.

        Satellites are further points of a body, for which its strongest point is reported. Both
        stay in the fit, so that what they scatter is not taken for other targets.
        """
        if fit is None:
            return None
        main = ~residues(maker, fit)
        if self.scene.has_bodies:
            satellites = unresolved(fit)
            main &= np.bincount(fit.state.owner, ~satellites, fit.state.num_targets) > 0
        if main.all():
            return fit
        return fit.keep(main[fit.state.owner]) if main.any() else None

    def linked_targets(
        self, joint: JointFit, whole: Fit | None, main: Fit | None, linked: Sequence[int]
    ) -> Fit | None:
        """The main targets of a fit by the paths of some transmitters alone.

        All transmitters of a band send the same streams, so that every path is fitted and those of
        the others are subtracted; locations follow from what is left.

        whole, main: the fit of all paths, and its main targets
        linked: [num_linked], indices of the transmitters whose paths are used
        """
        if whole is None or main is None or len(linked) == len(self.scene.transmitters):
            return main
        own = np.isin(main.state.transmitter, linked)
        if not own.any():
            return None

        # Subtract the other transmitters' paths, then fit the rest again.
        others = ~np.isin(whole.state.transmitter, linked)
        rest = without(joint.correlation, whole, others)
        alone = JointFit(joint.maker, rest, joint.noise_power_w)
        fit = alone.climb(alone.match(main.state.keep(own)), **FINE)
        return with_marginal_information(joint.maker, fit)

    def strong_paths(self, whole: JointFit, known: Fit | None) -> PathState:
        """Paths of new targets among the peaks of what the known ones leave."""
        return self._search(whole, known)

    def _search(self, whole: JointFit, known: Fit | None) -> PathState:
        """New targets among the peaks of what the known ones leave, strongest first."""
        if not len(self.search.points_m):
            return NO_PATHS
        maker = whole.maker
        reference = maker.reference
        noise_power_w = whole.noise_power_w
        threshold = self.detection_threshold(reference)

        # Likelihood surface of what the known targets leave.
        residual = whole.correlation if known is None else without(whole.correlation, known)
        surface = likelihood_surface(
            self.search, reference, residual, noise_power_w, self.max_doppler_hz
        )

        # Targets that may still be reported: residues of static paths do not count.
        num_known = int(np.sum(~residues(maker, known))) if known else 0
        most = self.scene.sensing.max_targets - num_known
        found = NO_PATHS
        num_found = 0

        for peak in self._peaks(maker, surface, threshold):
            if whole.effort.matches_left < PEAK_MATCHES or num_found >= most:
                break

            # Whether it is still there without the peaks before.
            if peak.power(residual) < threshold * STILL_THERE:
                continue

            # Fit of its strongest path, then of the missing ones.
            joint = JointFit(maker, residual, noise_power_w, whole.effort)
            start = single_path(peak.point_m, peak.transmitter, peak.doppler_hz)
            fit = joint.climb(joint.match(start), **ROUGH)
            if fit.power[0] >= threshold:
                grown = self._with_missing_paths(maker, fit, fit.state, np.ones(1, bool))
                fit = fit if grown is fit.state else joint.climb(joint.match(grown), **ROUGH)

                # Subtract it before the next peak.
                residual = without(residual, fit)
                found = found.with_target(fit.state)
                num_found += int(np.sum(~residues(maker, fit)))
        return found

    def _peaks(self, maker: ReplicaMaker, surface: Surface, threshold: float) -> list[Peak]:
        """Peaks of a likelihood surface above a threshold, the sum over transmitters at its
        largest first; no two within one main lobe.
        """
        reference = maker.reference
        power = np.where(surface.power > self.path_threshold(reference), surface.power, 0)

        # Cells in their order, each with its strongest transmitter.
        cells = []
        senders = []
        for _ in range(self.budget.max_peaks):
            cell = int(power.sum(axis=0).argmax())
            sender = int(power[:, cell].argmax())
            if power[sender, cell] < threshold:
                break
            cells.append(cell)
            senders.append(sender)
            power[:, self.search.neighbors(cell)] = 0

        # Matched filters of all of them, and the noise behind these.
        points_m = self.search.points_m[cells]
        doppler_hz = surface.doppler_hz[senders, cells]
        turns = phasors(-doppler_hz[:, None] * reference.block_times_s)
        filters, energy = maker.filters_at(np.array(senders, int), points_m)
        shares = np.maximum(reference.static_share(doppler_hz), LEAST_STATIC_SHARE)
        noise_w = shares * energy * self.scene.propagation.noise_power_w

        peaks = []
        for place, (cell, sender) in enumerate(zip(cells, senders)):
            beam = self.search.beams[self.search.beam_of_cell[cell]]
            peaks.append(
                Peak(
                    transmitter=sender,
                    point_m=points_m[place],
                    doppler_hz=float(doppler_hz[place]),
                    beam=beam,
                    filter=filters[place],
                    turn=turns[place],
                    noise_w=float(noise_w[place]),
                )
            )
        return peaks

    def _settle(self, joint: JointFit, fit: Fit) -> Fit | None:
        """Revise what the echo is made of and fit again, until nothing changes."""
        for _ in range(1 + len(self.scene.transmitters)):
            heard = self._heard(joint.maker, fit)
            merged = merge_targets(fit, heard)
            revised = self._with_missing_paths(joint.maker, fit, merged, heard)
            if revised is fit.state and heard.all():
                return fit
            revised = revised.keep(
                np.append(heard, np.ones(revised.num_paths - fit.state.num_paths, bool))
            )
            if not revised.num_paths:
                return None
            fit = joint.climb(joint.match(revised), **FINE)
            if joint.effort.matches_left <= 0:
                break
        heard = self._heard(joint.maker, fit)
        return joint.match(fit.state.keep(heard)) if heard.any() else None

    def _heard(self, maker: ReplicaMaker, fit: Fit) -> np.ndarray:
        """Which paths stand out of the noise and are not another path's double, [num_paths],
        bool.
        """
        threshold = self.detection_threshold(maker.reference)
        target_heard = fit.target_power >= threshold
        is_double = (
            unresolved(fit, SATELLITE) if self.scene.has_bodies else is_same_echo(fit, threshold)
        )
        return (
            (fit.power >= self.path_threshold(maker.reference))
            & target_heard[fit.state.owner]
            & ~is_double
        )

    def _with_missing_paths(
        self, maker: ReplicaMaker, fit: Fit, state: PathState, heard: np.ndarray
    ) -> PathState:
        """The state with each target's strongest missing path, where one stands out of what all
        paths leave.
        """
        # Transmitters of which each target lacks a path.
        there = {*zip(state.owner[heard].tolist(), state.transmitter[heard].tolist())}
        targets = np.unique(state.owner[heard]).tolist()
        every = range(len(self.scene.transmitters))
        lacking = [(target, index) for index in every for target in targets]
        lacking = [pair for pair in lacking if pair not in there]
        if not lacking:
            return state
        owners, senders = np.array(lacking).T

        # What all paths leave, behind the filter of each missing one.
        filters, energy = maker.filters_at(senders, state.points_m[owners])
        residual = fit.residual[owners].reshape(len(owners), -1, maker.reference.num_blocks)
        blocks = (filters.conj().reshape(len(owners), 1, -1) @ residual)[:, 0]

        # Its power at every Doppler shift, the strongest one, and that over noise.
        _, shifts_hz = doppler_bins(maker.reference, self.max_doppler_hz)
        turns = phasors(-maker.reference.block_times_s[:, None] * shifts_hz)
        weights = static_weights(maker.reference, shifts_hz).astype(float)
        power = weights * np.abs(blocks @ turns) ** 2
        power /= energy[:, None] * self.scene.propagation.noise_power_w
        bins = power.argmax(axis=1)
        power = power[np.arange(len(owners)), bins]

        # Each target's strongest missing path, where it stands out.
        path_threshold = self.path_threshold(maker.reference)
        shared_path = self.shared_path(maker.reference)
        for target in targets:
            own = np.flatnonzero(owners == target)
            if not len(own):
                continue
            best = own[power[own].argmax()]
            strongest = fit.power[heard & (state.owner[: len(heard)] == target)].max()
            if power[best] > max(path_threshold, shared_path * strongest):
                state = state.with_path(target, int(senders[best]), float(shifts_hz[bins[best]]))
        return state


def merge_targets(fit: Fit, heard: np.ndarray) -> PathState:
    """The state with targets made one that lie together and were heard from different
    transmitters.
    """
    state, information = fit.state, fit.target_information
    size = information.shape[-1]
    gate = chdtri(size, 1 - MERGE_PROBABILITY)
    senders = [
        {*state.transmitter[heard & (state.owner == target)].tolist()}
        for target in range(state.num_targets)
    ]
    for first, second in combinations(range(state.num_targets), 2):
        if not senders[first] or not senders[second]:
            continue
        if not senders[first].isdisjoint(senders[second]):
            continue

        # Distance of both locations, in standard deviations of their difference.
        away = (state.points_m[first] - state.points_m[second])[:size]
        both = information[first] + information[second]
        distance = away @ information[first] @ np.linalg.solve(both, information[second] @ away)
        if distance < gate:
            point = state.points_m[first].copy()
            point[:size] -= np.linalg.solve(both, information[second] @ away)
            state = state.merged(first, second, point)
            senders[first] |= senders[second]
            senders[second] = set()
    return state


def unresolved(fit: Fit, limit: float = UNRESOLVED) -> np.ndarray:
    """Which paths stand in the main lobe of a stronger one, [num_paths], bool: two of them explain
    one echo.

    limit: coherence from which on two paths count as one
    """
    close = np.abs(fit.coherence) > limit
    return np.any(close & (fit.power[:, None] < fit.power[None, :]), axis=1)


def is_same_echo(fit: Fit, threshold: float) -> np.ndarray:
    """Which paths of point targets explain nothing beside a stronger one, [num_paths], bool.

    In the main lobe of the stronger path, a second echo adds the more to the likelihood the less
    coherent both are; noise, and what the replica of the stronger one lacks, add little.

    threshold: power that is no noise
    """
    coherence = np.abs(fit.coherence)
    added = fit.power[:, None] * (1 - coherence**2)
    is_stronger = fit.power[:, None] < fit.power[None, :]
    is_little = added < np.maximum(threshold, REPLICA_ERROR * fit.power[None, :])
    is_close = (coherence > SATELLITE) | ((coherence > UNRESOLVED) & is_little)
    return np.any(is_close & is_stronger, axis=1)


def residues(maker: ReplicaMaker, fit: Fit) -> np.ndarray:
    """Which targets are what a learned background left by their strongest path
    (ReplicaMaker.is_residue).

    Returns [num_targets], bool.
    """
    state = fit.state
    found = np.zeros(state.num_targets, bool)
    static = maker.reference.static
    if static is None or static.left_share == 0:
        return found
    for target in range(state.num_targets):
        own = np.flatnonzero(state.owner == target)
        path = own[fit.power[own].argmax()]
        found[target] = maker.is_residue(
            int(state.transmitter[path]),
            state.points_m[target],
            float(state.doppler_hz[path]),
            float(fit.power[path]),
        )
    return found

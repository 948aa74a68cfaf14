"""Local maximum likelihood: detection of targets in the echo of one receiver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cooperative_isac.scene.noise import has_unknown_symbols
from cooperative_isac.sensing.canceled_paths import CanceledPaths, CanceledSpan
from cooperative_isac.sensing.correlation import StreamReference, stream_reference
from cooperative_isac.sensing.coupling import with_marginal_information
from cooperative_isac.sensing.detector import Detector
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit, MatchBudget, subtract_paths
from cooperative_isac.sensing.keystone import KeystoneReplicaMaker, keystone_reference
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.path_selection import (
    SATELLITE_COHERENCE,
    is_same_echo,
    merge_targets,
    residues,
    unresolved,
)
from cooperative_isac.sensing.path_state import NO_PATHS, PathState, single_path
from cooperative_isac.sensing.peaks import Peak, find_peaks
from cooperative_isac.sensing.reacquire import doppler_reach_hz, reacquired
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.sample_reference import SampleReplicaMaker, sample_reference
from cooperative_isac.sensing.search_budget import (
    BODY_BUDGET,
    NETWORK_BUDGET,
    POINT_BUDGET,
    SUPPRESSED_BUDGET,
    SearchBudget,
)
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.sensing.surface import (
    Surface,
    doppler_bins,
    likelihood_surface,
    static_weights,
)
from cooperative_isac.sensing.whitening import Whitening, whitening_of_samples
from cooperative_isac.waveform.signal import Component

# Searches of a frame without a prediction: the second finds targets that stronger ones masked.
MAX_SEARCHES = 2

# Matches that the fit of one peak of the surface may take; with fewer left in the budget of a frame
# the search ends.
PEAK_MATCHES = 6

# Share of the threshold that a peak must still have when stronger ones are subtracted.
REMAINING_SHARE = 0.5

# Fisher scoring: number of steps, and gain of log-likelihood that is not worth another one; coarse
# for a peak that is to be subtracted, fine for all paths together.
ROUGH = {"steps": 4, "tolerance": 6.0, "coupled": False}
FINE = {"steps": 4, "tolerance": 1.0}

# Power of a body's path from another transmitter over its strongest one, from which they share a
# location in the fit. Weaker ones are mostly echoes over walls, or residuals of the strong path;
# when found separately they are reported separately, and the fusion center associates those that
# belong together.
SHARED_PATH = 0.3

# The same for point targets where static paths are suppressed: a slow path is suppressed with them,
# and a residual of the strong path would take its place.
SUPPRESSED_PATH = 0.001


@dataclass(frozen=True)
class LocalMl(Detector):
    """Maximum-likelihood detection of targets in the echoes of one receiver, symbols known.

    budget: limits of the computation of a frame; None: those of the kind of scene
    by_samples: match paths with the samples of echoes where a correlation with the streams is
        larger; what is found is the same
    compensates_migration: match paths with the Doppler shift of each subcarrier's own frequency, so
        that they may migrate through range cells within a frame (sensing.keystone)
    """

    budget: SearchBudget | None = field(default=None, kw_only=True)
    by_samples: bool = field(default=False, kw_only=True)
    compensates_migration: bool = field(default=False, kw_only=True)

    def shared_path(self, reference: StreamReference) -> float:
        """Power over a target's strongest path, from which another path shares its location.

        reference: known streams of the frame
        """
        if self.scene.has_bodies:
            return SHARED_PATH
        return SUPPRESSED_PATH if reference.static is not None else 0.0

    @property
    def search_budget(self) -> SearchBudget:
        """Limits of the computation of a frame, by the kind of scene where none are given."""
        if self.budget is not None:
            return self.budget
        if self.scene.has_bodies:
            return BODY_BUDGET
        if link_suppression(self.scene, self.receiver) != "keep":
            return SUPPRESSED_BUDGET
        return POINT_BUDGET if self.scene.layout is None else NETWORK_BUDGET

    @property
    def side_lobe_share(self) -> float:
        """Share of a peak's power below which what stronger peaks left of it is their side lobe.

        It is left to the next search then. 0: only what is below the threshold is left.
        """
        return 0.0

    def sense(self, echo: np.ndarray, frame: Component) -> Fit | None:
        """Targets in an echo, without a prediction; None where there are none.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was sent
        """
        return self.find(self.correlate(echo, frame))

    def correlate(
        self,
        echo: np.ndarray,
        frame: Component,
        budget: MatchBudget | None = None,
        static: StaticNuisance | None = None,
        canceled: CanceledPaths | None = None,
        whitening: Whitening | None = None,
    ) -> JointFit:
        """Correlate an echo with the streams of a frame.

        Interference by unknown symbols on the same elements is made white over the antennas first.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was sent
        budget: of the frame; None: unlimited
        static: suppression of static paths in the echo; None: none
        canceled: static paths that were canceled in the echo; None: none
        whitening: that the echo and these paths have passed; None: none
        Returns the likelihood of paths in it.
        """
        # Noise and interference of one power in all directions.
        noise_power_w = self.scene.propagation.noise_power_w
        if has_unknown_symbols(self.scene):
            further = whitening_of_samples(echo, noise_power_w)
            if further is not None:
                echo = further.of_echo(echo)
                whitening = further.after(whitening)

        reference = stream_reference(frame, self.max_doppler_hz, static)
        make = ReplicaMaker
        num_values = reference.streams.shape[1] * reference.num_blocks
        is_plain = static is None and canceled is None
        if self.by_samples and is_plain and num_values > frame.grid.num_symbols:
            reference = sample_reference(frame)
            make = SampleReplicaMaker
        if self.compensates_migration:
            reference = keystone_reference(reference)
            make = KeystoneReplicaMaker
        span = None if canceled is None else CanceledSpan(canceled, reference)
        maker = make(self.scene, self.receiver, reference, span, whitening)
        return JointFit(maker, reference.correlate(echo), noise_power_w, budget)

    def follow(self, joint: JointFit, expected: PathState) -> Fit | None:
        """Fit predicted paths, and missing paths of their targets; None where none is detected.

        joint: likelihood of the echo
        expected: paths predicted from an earlier frame
        """
        if not expected.num_paths:
            return None
        fit = joint.match(expected)

        # Doppler shifts that left their resolution cell.
        period_s = self.frame_stride / self.scene.update_rate_hz
        reach_hz = doppler_reach_hz(self.grid, period_s)
        if reach_hz:
            state = reacquired(joint, fit, reach_hz)
            fit = fit if state is fit.state else joint.match(state)

        # All paths together.
        budget = self.search_budget
        fit = joint.fisher_scoring(fit, budget.follow_steps, budget.follow_tolerance)

        # The same for weaker paths, when the stronger ones are fitted.
        if reach_hz:
            state = reacquired(joint, fit, reach_hz)
            if state is not fit.state:
                fit = joint.fisher_scoring(joint.match(state), **FINE)
        return self._refine(joint, fit)

    def find(
        self, joint: JointFit, fit: Fit | None = None, searches: int = MAX_SEARCHES
    ) -> Fit | None:
        """Search the residual of known targets for others, and fit all together.

        Successive interference cancellation: peaks of the likelihood surface, strongest first, are
        fitted coarsely and subtracted. Then all paths are fitted together, missing paths of their
        targets are added, and the residual is searched again.

        joint: likelihood of the echo
        fit: known targets; None: none
        searches: number of searches at most
        """
        for _ in range(searches):
            found = self._search(joint, fit)
            if not found.num_targets:
                break
            state = found if fit is None else fit.state.with_target(found)
            fit = self._refine(joint, joint.fisher_scoring(joint.match(state), **FINE))
        return fit

    def searches_in(self, number: int) -> bool:
        """True where this receiver searches a frame for new targets; receivers take turns.

        number: of the frame
        """
        names = sorted(site.name for site in self.scene.receivers)
        place = names.index(self.receiver.name)
        return (number // self.frame_stride + place) % self.search_budget.search_every == 0

    def main_targets(self, fit: Fit | None, maker: ReplicaMaker) -> Fit | None:
        """The targets of a fit without satellites and without residues of a learned background.

        Satellites are further points of a body, whose strongest point is reported. Both stay in the
        fit, so that their echoes are not taken for other targets.

        fit: all targets; None: none
        maker: replicas of the frame
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
        """The main targets of a fit, located by the paths of some transmitters alone.

        All transmitters of a band send the same streams: the paths of the others are fitted, too,
        and subtracted.

        joint: likelihood of the echo
        whole: fit of all paths; None: no target
        main: its main targets; None: none
        linked: [num_linked], indices of the transmitters whose paths are used
        """
        if whole is None or main is None or len(linked) == len(self.scene.transmitters):
            return main
        own = np.isin(main.state.transmitter, linked)
        if not own.any():
            return None

        # Subtract the paths of the other transmitters, then fit the others again.
        others = ~np.isin(whole.state.transmitter, linked)
        residual = subtract_paths(joint.correlation, whole, others)
        alone = JointFit(joint.maker, residual, joint.noise_power_w)
        fit = alone.fisher_scoring(alone.match(main.state.keep(own)), **FINE)
        return with_marginal_information(joint.maker, fit)

    def surface(self, joint: JointFit, residual: np.ndarray) -> Surface:
        """Likelihood surface of what known paths leave of an echo.

        joint: likelihood of the echo
        residual: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
        """
        maker = joint.maker
        cells = self.search.behind(maker.whitening)
        return likelihood_surface(
            cells, maker.reference, residual, joint.noise_power_w, self.max_doppler_hz
        )

    def _search(self, whole: JointFit, known: Fit | None) -> PathState:
        """New targets at the peaks of the known ones' residual, strongest first."""
        if not len(self.search.points_m):
            return NO_PATHS
        residual = whole.correlation
        if known is not None:
            residual = subtract_paths(residual, known)
        return self.strong_paths(whole, known, residual, self.surface(whole, residual))

    def strong_paths(
        self, whole: JointFit, known: Fit | None, residual: np.ndarray, surface: Surface
    ) -> PathState:
        """Paths of new targets at peaks above the threshold, strongest first.

        whole: likelihood of the echo
        known: targets that are known; None: none
        residual: what they leave of the echo
        surface: of the residual
        """
        maker = whole.maker
        noise_power_w = whole.noise_power_w
        threshold = self.detection_threshold(maker.reference)

        # Targets that may still be reported: residues of static paths do not count.
        num_known = int(np.sum(~residues(maker, known))) if known else 0
        most = self.scene.sensing.max_targets - num_known
        found = NO_PATHS
        num_found = 0

        searched = residual
        for peak in find_peaks(self, maker, surface, self.search_budget.max_peaks):
            if whole.budget.matches_left < PEAK_MATCHES or num_found >= most:
                break

            # Side lobes of the peaks before it are subtracted already.
            least = threshold * REMAINING_SHARE
            if self.side_lobe_share:
                least = max(least, self.side_lobe_share * peak.power(searched))
            if peak.power(residual) < least:
                continue

            joint = JointFit(maker, residual, noise_power_w, whole.budget)
            fit = self._fit_peak(joint, peak, threshold)
            if fit is None:
                continue

            # Subtract the target before the next peak.
            residual = subtract_paths(residual, fit)
            found = found.with_target(fit.state)
            num_found += int(np.sum(~residues(maker, fit)))
        return found

    def _fit_peak(self, joint: JointFit, peak: Peak, threshold: float) -> Fit | None:
        """Coarse fit of a target at a peak; None where its strongest path is below the threshold.

        joint: likelihood of the residual
        peak: of its surface
        threshold: power that the strongest path must reach
        """
        # The strongest path alone.
        start = single_path(peak.point_m, peak.transmitter, peak.doppler_hz)
        fit = joint.fisher_scoring(joint.match(start), **ROUGH)
        if not fit.power[0] >= threshold:  # also where it is not a number
            return None

        # With the paths from other transmitters.
        extended = self._with_missing_paths(joint.maker, fit, fit.state, np.ones(1, bool))
        if extended is fit.state:
            return fit
        return joint.fisher_scoring(joint.match(extended), **ROUGH)

    def _refine(self, joint: JointFit, fit: Fit) -> Fit | None:
        """Merge, add and reject paths and fit again, until nothing changes."""
        # A round adds one path of each target at most, of as many as there are transmitters.
        for _ in range(1 + len(self.scene.transmitters)):
            # Revise the set of paths.
            detected = self._detected(joint.maker, fit)
            merged = merge_targets(fit, detected)
            revised = self._with_missing_paths(joint.maker, fit, merged, detected)
            if revised is fit.state and detected.all():
                return fit

            # Keep detected paths, and new ones, which are the last.
            num_new = revised.num_paths - fit.state.num_paths
            revised = revised.keep(np.append(detected, np.ones(num_new, bool)))
            if not revised.num_paths:
                return None
            fit = joint.fisher_scoring(joint.match(revised), **FINE)
            if joint.budget.matches_left <= 0:
                break
        detected = self._detected(joint.maker, fit)
        return joint.match(fit.state.keep(detected)) if detected.any() else None

    def _detected(self, maker: ReplicaMaker, fit: Fit) -> np.ndarray:
        """Mask of the paths that exceed the noise and are no duplicate of another, [num_paths]."""
        threshold = self.detection_threshold(maker.reference)
        if self.scene.has_bodies:
            is_duplicate = unresolved(fit, SATELLITE_COHERENCE)
        else:
            is_duplicate = is_same_echo(fit, threshold)
        is_target = fit.target_power >= threshold
        is_path = fit.power >= self.path_threshold(maker.reference)
        return is_path & is_target[fit.state.owner] & ~is_duplicate

    def _with_missing_paths(
        self, maker: ReplicaMaker, fit: Fit, state: PathState, detected: np.ndarray
    ) -> PathState:
        """A state with the strongest missing path of each target, where the residual has one.

        maker: replicas of the frame
        fit: of all paths
        state: its paths, possibly with merged targets
        detected: mask [num_paths], bool, of its detected paths
        """
        # Transmitters of which each target lacks a path.
        present = {*zip(state.owner[detected].tolist(), state.transmitter[detected].tolist())}
        targets = np.unique(state.owner[detected]).tolist()
        missing = [
            (target, transmitter)
            for transmitter in range(len(self.scene.transmitters))
            for target in targets
            if (target, transmitter) not in present
        ]
        if not missing:
            return state
        owners, transmitters = np.array(missing).T

        # Residual behind the filter of each missing path, at every Doppler shift.
        filters, energy = maker.filters_at(transmitters, state.points_m[owners])
        _, shifts_hz = doppler_bins(maker.reference, self.max_doppler_hz)
        spectrum = maker.reference.matched_spectrum(filters, fit.residual[owners], shifts_hz)

        # Power over noise at every Doppler shift, and its peak.
        weights = static_weights(maker.reference, shifts_hz).astype(float)
        power = weights * np.abs(spectrum) ** 2
        power /= energy[:, None] * self.scene.propagation.noise_power_w
        bins = power.argmax(axis=1)
        power = power[np.arange(len(owners)), bins]

        # The strongest missing path of each target, above noise and residuals of its other paths.
        path_threshold = self.path_threshold(maker.reference)
        shared_path = self.shared_path(maker.reference)
        for target in targets:
            own = np.flatnonzero(owners == target)
            if not len(own):
                continue
            best = own[power[own].argmax()]

            # Its strongest path of the fit; paths that were added here come after those.
            is_own_path = detected & (state.owner[: len(detected)] == target)
            strongest = fit.power[is_own_path].max()
            if power[best] > max(path_threshold, shared_path * strongest):
                shift_hz = float(shifts_hz[bins[best]])
                state = state.with_path(target, int(transmitters[best]), shift_hz)
        return state

"""Maximum likelihood on the echoes of one station on one band, with tracks of its targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.channel.echo import Echo
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.schemes.views import StationView
from cooperative_isac.sensing.canceled_paths import CanceledPaths
from cooperative_isac.sensing.clock_stage import ClockStage, Synchronized, synchronized
from cooperative_isac.sensing.coupling import with_marginal_information
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.interference import InterferenceStage, Whitening
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.known_paths import (
    known_paths,
    moving_links,
    without_known_paths,
)
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.memory import Memory
from cooperative_isac.sensing.path_state import NO_PATHS, PathState
from cooperative_isac.sensing.search_budget import SearchBudget
from cooperative_isac.sensing.search_grid import SearchGrid
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Component


@dataclass(frozen=True)
class PreparedEcho:
    """The known part of an echo without its static paths.

    signal: the symbols with which the receiver matches it, with clock offsets where it is
    synchronized
    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    static: static paths that were removed; None: none
    offsets: clock offsets of the links; None: they count as synchronous
    canceled: static paths that were canceled one by one; None: none
    whitening: of the antennas, by which samples and canceled paths have passed; None: none
    """

    signal: Component
    samples: np.ndarray
    static: StaticNuisance | None
    offsets: ClockOffsets | None = None
    canceled: CanceledPaths | None = None
    whitening: Whitening | None = None


@dataclass(frozen=True)
class ReceiverFit:
    """Paths that one receiver fitted to an echo.

    sensor: the search
    joint: the joint fit of paths to the echo
    fit: all fitted paths; None: none
    linked: [num_linked], indices of the transmitters whose paths the receiver uses
    """

    sensor: LocalMl
    joint: JointFit
    fit: Fit | None
    linked: tuple[int, ...]

    @property
    def main(self) -> Fit | None:
        """The fit without satellites and residues (LocalMl.main_targets), on the links in use.

        Its information is what is left with everything that was found unknown.
        """
        if self.fit is None:
            return None
        whole = with_marginal_information(self.joint.maker, self.fit)
        main = self.sensor.main_targets(whole, self.joint.maker)
        return self.sensor.linked_targets(self.joint, whole, main, self.linked)


@dataclass(frozen=True)
class _PendingSearch:
    """A frame whose known targets were followed, and that is yet to be searched for others."""

    number: int
    time_s: float
    sensed: ReceiverFit


class LocalReceiver:
    """Detects targets in the echoes of one station on one band.

    On consecutive frames it follows the targets of the last frame from their predicted states. The
    search for others runs after the packet was sent, and they are reported in the next frame.

    place: the station on the band
    memory: paths of an earlier frame, of another receiver of the same station; None: none
    cells: of the search of a station at rest, where they are computed already; None: computed here
    budget: limits of the computation of a frame; None: those of the kind of scene
    by_samples: match paths with samples where that is faster (LocalMl)
    interference: what is done against interferers (InterferenceStage); None: nothing
    compensates_migration: match paths that migrate through range cells within a frame (LocalMl)
    """

    def __init__(
        self,
        place: StationView,
        memory: Memory | None = None,
        cells: SearchGrid | None = None,
        budget: SearchBudget | None = None,
        by_samples: bool = False,
        interference: str | None = None,
        compensates_migration: bool = False,
    ):
        self.place = place
        self._budget = budget
        self._by_samples = by_samples
        self._compensates_migration = compensates_migration
        self._cells = cells
        self.known = KnownSymbols(place.view)
        self.memory = memory
        self._clocks = ClockStage(place.view)
        self._interference = None if interference is None else InterferenceStage(interference)
        receiver = place.view.receiver(place.station)
        self._static = StaticStage(place.view, receiver)
        self._moving = ()
        if place.view.sensing.static_paths != "keep":
            self._moving = moving_links(place.view, receiver)
        self._sensor: LocalMl | None = None
        self._pending: _PendingSearch | None = None

    def sensor(self, frame: Frame) -> LocalMl:
        """The search, with the poses that the stations have in a frame."""
        scene = self.place.scene(frame)
        if self._sensor is None or self._sensor.scene is not scene:
            receiver = scene.receiver(self.place.station)
            self._sensor = LocalMl(
                scene,
                receiver,
                self.known.grid,
                cells=self._cells,
                budget=self._budget,
                by_samples=self._by_samples,
                compensates_migration=self._compensates_migration,
            )
        return self._sensor

    def prepare(self, echo: Echo, frame: Frame) -> PreparedEcho:
        """The known part of an echo without its static paths; called once for each frame.

        Its samples are scaled to the noise power of the band, to which thresholds refer.
        """
        samples = self.known.of_echo(
            at_noise_power(echo, self.place.view.propagation.noise_power_w)
        )
        return self.prepare_known(samples, frame)

    def prepare_known(self, samples: np.ndarray, frame: Frame) -> PreparedEcho:
        """The known part of an echo without its static paths; called once for each frame.

        samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), the known part of
        the echo
        """
        # Synchronize the links to this receiver.
        scene = self.place.scene(frame)
        receiver = scene.receiver(self.place.station)
        sent = self.known.of_frame(frame.on(self.place.band))
        known = self._clocks.estimate(scene, receiver, sent, samples, frame.time_s)

        # Cancel static paths with Doppler shifts, unless the synchronization did.
        if known.offsets is None and self._moving:
            paths = known_paths(scene, receiver, self._moving)
            echo, canceled = without_known_paths(scene, receiver, sent, samples, paths)
            known = Synchronized(echo, None, canceled)
        signal = synchronized(sent, known.offsets)
        prepared = self.prepare_synchronized(known.samples, signal, known.offsets, frame)
        prepared = replace(prepared, canceled=known.canceled)
        return self._without_interference(prepared, scene, receiver)

    def _without_interference(
        self, echo: PreparedEcho, scene: Scene, receiver: Site
    ) -> PreparedEcho:
        """An echo without the interference of other networks."""
        if self._interference is None:
            return echo
        samples, whitening = self._interference.prepare(scene, receiver, echo.samples, echo.signal)
        canceled = echo.canceled
        if canceled is not None and whitening is not None:
            # What canceled paths have in common with strong interference has its part in them, too.
            canceled = whitening.of_canceled(canceled)
            samples = canceled.projected(samples)
        return replace(echo, samples=samples, canceled=canceled, whitening=whitening)

    def prepare_synchronized(
        self, samples: np.ndarray, signal: Component, offsets: ClockOffsets | None, frame: Frame
    ) -> PreparedEcho:
        """An echo with known clock offsets without its static paths; called once for each frame.

        samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), the known part of
        the echo
        signal: the known symbols with these offsets
        """
        prepared, static = self._static.prepare(samples, signal, frame.time_s)
        return PreparedEcho(signal, prepared, static, offsets)

    def correlate(self, echo: PreparedEcho, frame: Frame) -> ReceiverFit:
        """Correlate a prepared echo with the signals, without a search for paths."""
        sensor = self.sensor(frame)
        joint = sensor.correlate(
            echo.samples,
            echo.signal,
            static=echo.static,
            canceled=echo.canceled,
            whitening=echo.whitening,
        )
        return ReceiverFit(sensor, joint, None, self.place.linked)

    def sense(self, echo: PreparedEcho, frame: Frame) -> ReceiverFit:
        """Targets of a prepared echo: those of the last frame, and of the search in it."""
        sensed = self.correlate(echo, frame)
        if frame.time_s is None:
            return replace(sensed, fit=sensed.sensor.find(sensed.joint))

        # The search of the last frame, where it did not run yet: its targets are followed now.
        self.idle()
        sensed = self._follow(sensed, frame.time_s)
        self._pending = _PendingSearch(frame.number, frame.time_s, sensed)
        return sensed

    def idle(self, searches: bool = True) -> None:
        """Search the last echo for targets that are not followed yet.

        searches: False leaves out a search where targets are followed
        """
        pending = self._pending
        self._pending = None
        if pending is None:
            return
        fit = pending.sensed.fit

        # Search where nothing is followed, else in the frames whose turn it is.
        is_turn = searches and pending.sensed.sensor.searches_in(pending.number)
        if fit is None or is_turn:
            fit = self._search(pending.sensed)
        self._remember(fit, pending.time_s)

    def sense_all(self, echo: PreparedEcho, frame: Frame) -> ReceiverFit:
        """Targets of a prepared echo, followed and searched for at once."""
        sensed = self.correlate(echo, frame)
        if frame.time_s is None:
            return replace(sensed, fit=sensed.sensor.find(sensed.joint))

        # Follow the targets of the last frame.
        joint = sensed.joint
        joint.budget.matches_left = sensed.sensor.search_budget.follow_matches
        followed = sensed.sensor.follow(joint, self._expected(sensed.sensor, frame.time_s))

        # Search for others.
        fit = self._search(replace(sensed, fit=followed))
        self._remember(fit, frame.time_s)
        return replace(sensed, fit=fit)

    def _follow(self, sensed: ReceiverFit, time_s: float) -> ReceiverFit:
        """Fit the paths that the last frame predicts."""
        sensor = sensed.sensor
        expected = self._expected(sensor, time_s)
        if sensor.search_budget.searches_first and not expected.num_paths:
            # Nothing to follow: the search comes before the packet.
            return replace(sensed, fit=self._search(sensed))
        sensed.joint.budget.matches_left = sensor.search_budget.follow_matches
        return replace(sensed, fit=sensor.follow(sensed.joint, expected))

    def _search(self, sensed: ReceiverFit) -> Fit | None:
        """Search once for targets other than those of the fit."""
        sensed.joint.budget.matches_left = sensed.sensor.search_budget.search_matches
        return sensed.sensor.find(sensed.joint, sensed.fit, searches=1)

    def _expected(self, sensor: LocalMl, time_s: float) -> PathState:
        """Paths of the last frame's targets, predicted to a time."""
        # The clock went back: a new run.
        if self.memory is not None and time_s < self.memory.time_s:
            self.memory = None
        if self.memory is None:
            return NO_PATHS
        return self.memory.predict(sensor.scene, sensor.receiver, time_s)

    def _remember(self, fit: Fit | None, time_s: float) -> None:
        """Keep the paths of a fit, from which the next frame predicts."""
        if fit is not None and fit.state.is_finite:
            self.memory = Memory(time_s, fit.state)


def at_noise_power(echo: Echo, noise_power_w: float) -> np.ndarray:
    """The samples of an echo, scaled to another noise power; the same array if it has that power.

    Residual self-interference raises the noise of a station's echo above that of the band.

    noise_power_w: noise power after scaling, W
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    if echo.noise_power_w == noise_power_w:
        return echo.samples
    # Samples that overflow are removed afterwards (known_symbols.without_overflow).
    with np.errstate(over="ignore", invalid="ignore"):
        return np.float32(np.sqrt(noise_power_w / echo.noise_power_w)) * echo.samples

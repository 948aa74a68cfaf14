"""Receiver of one station that synchronizes its links by the targets in its own echo.

A station that receives its own signal has one clock there: it locates targets by its active link,
which then predicts their paths over all other links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.calibration.offsets import NO_OFFSET, ClockOffset
from cooperative_isac.channel.clocks import ClockOffsets, clock_phasors
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.schemes.local_receiver import LocalReceiver, ReceiverFit
from cooperative_isac.schemes.new_links import NewPath, unused_paths, with_new_paths
from cooperative_isac.schemes.views import StationView
from cooperative_isac.sensing.coupling import with_marginal_information
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.measured_path import measured_path, without_paths
from cooperative_isac.sensing.memory import LONGEST_PREDICTION_S, Memory
from cooperative_isac.sensing.offset_history import LinkHistories
from cooperative_isac.sensing.path_state import NO_PATHS, PathState
from cooperative_isac.sensing.point_motion import PointMotion
from cooperative_isac.sensing.report import EchoReport, PathReport
from cooperative_isac.sensing.search_budget import STARTUP_BUDGET
from cooperative_isac.sensing.search_grid import search_grid
from cooperative_isac.sensing.target_offsets import (
    ObservedTargets,
    PathOffset,
    echo_offsets,
    mean_link_offsets,
    predicted_paths,
)
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.offset_signal import with_clock_offsets

# Largest difference of carrier offsets that agree, over the Doppler resolution: a station estimates
# them by displacements of targets, to a tenth of a cell at best.
COARSE_AGREEING_SHIFTS = 1.0

# Frames from one check of a link in use to the next: a check takes a quarter of the computation of
# a frame, and stations take turns.
CHECK_EVERY = 4

# Frames after which a link that is not in use is not waited for: two seconds of usual rates.
STARTUP_FRAMES = 8

# Fisher scoring of single paths: they start at the location that they shared.
SINGLE_PATHS = {"steps": 2, "tolerance": 1.0}


@dataclass(frozen=True)
class ObservedEcho:
    """Targets in one echo, path by path.

    reports: of single paths, each with a location of its own, in the order of `sensed`
    offsets: of the links, by index of the transmitter, with which the paths were fitted; links
    without any were not used
    sensed: the fit in which the paths of a target share its location, with the transmitters in use
    """

    reports: tuple[EchoReport, ...]
    offsets: Mapping[int, ClockOffset]
    sensed: ReceiverFit


class ObservingReceiver:
    """Detects targets in the echoes of one station, on the links whose clock offsets are known.

    At first that is its own signal alone. Its targets give the offsets of the other links.

    place: the station on the band
    """

    def __init__(self, place: StationView):
        self.place = place
        self.known = KnownSymbols(place.view)
        names = [site.name for site in place.view.transmitters]
        self._own = names.index(place.station)
        self._clocks = LinkHistories(place.view, place.station, COARSE_AGREEING_SHIFTS)
        self._motion = PointMotion(place.view)
        self._used: tuple[int, ...] = (self._own,)

        # Frames since other links came into use, and paths on those that are not in use yet.
        self._unchanged = STARTUP_FRAMES
        self._new_paths: tuple[NewPath, ...] = ()

        # Frames may be too far apart to follow targets.
        self._follows = place.view.update_rate_hz * LONGEST_PREDICTION_S >= 1

        # Cells of the searches, before the first frame: as the station's own signal needs them, and
        # the finer ones near other transmitters.
        view = place.view
        site = view.receiver(place.station)
        own = _part(place, self._used)
        coarse = search_grid(own.view, site, self.known.grid)
        coarse = replace(coarse, transmitters=view.transmitters)
        self._coarse_cells = coarse.of(range(len(names)))
        self._cells = search_grid(view, site, self.known.grid).of(range(len(names)))
        self._receiver = LocalReceiver(
            own, cells=self._coarse_cells.of(self._used), by_samples=True
        )

    def sense(
        self, samples: np.ndarray, frame: Frame, given: Mapping[int, ClockOffset] | None = None
    ) -> ObservedEcho:
        """Targets in the known part of an echo; called once for each frame.

        samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), at the noise power
        of the band
        given: offsets of links from elsewhere, which are used before those of the station
        """
        # Independent frames: the station's own signal alone, as no earlier one confirms offsets.
        if frame.time_s is None:
            return self._sensed(samples, frame, {})

        # Links with the offsets that earlier frames predict, then those of this frame.
        offsets = dict(self._clocks.predicted(frame.time_s)) | dict(given or {})
        seen = self._sensed(samples, frame, offsets)
        targets, reports = self._targets(frame, seen)
        paths = self._path_offsets(samples, frame, seen, targets, reports)
        self._clocks.add(frame.time_s, mean_link_offsets(paths))
        scene = self.place.scene(frame)
        receiver = scene.receiver(self.place.station)
        self._new_paths = unused_paths(scene, receiver, targets, paths, self._used)
        return seen

    def idle(self) -> None:
        """Search the last echo for targets that are not followed yet.

        Not after the first frame with all links: the one before was searched with them.
        """
        self._receiver.idle(searches=self._unchanged != 1)

    def _sensed(
        self, samples: np.ndarray, frame: Frame, offsets: Mapping[int, ClockOffset]
    ) -> ObservedEcho:
        """Targets on the station's own link, and on those with known offsets."""
        self._use(offsets)

        # Symbols of these transmitters as they arrive.
        sent = self.known.of_frame(frame.on(self.place.band))
        rows = [offsets.get(index, NO_OFFSET) for index in self._used]
        clocks = ClockOffsets(
            np.array([row.delay_s for row in rows]),
            np.array([row.frequency_hz for row in rows]),
            np.zeros(len(rows)),
        )
        signal = with_clock_offsets(sent, clock_phasors(sent.grid, clocks), self._used)

        # Paths of targets, then each path by itself. As long as offsets of links are unknown, new
        # targets are searched for at once: every frame counts. So are all where none is followed.
        prepared = self._receiver.prepare_synchronized(samples, signal, clocks, frame)
        if self._is_starting or not self._follows:
            sensed = self._receiver.sense_all(prepared, frame)
        else:
            sensed = self._receiver.sense(prepared, frame)
        return ObservedEcho(self._reports(_single_paths(sensed)), offsets, sensed)

    def _reports(self, single: Fit | None) -> tuple[EchoReport, ...]:
        """Reports of single paths, which count all transmitters of the band."""
        if single is None:
            return ()
        paths = (
            PathReport(
                self._used[single.state.transmitter[index]],
                float(single.state.doppler_hz[index]),
                float(single.marginal_share[index] * single.power[index]),
                single.information[index],
            )
            for index in range(single.state.num_paths)
        )
        return tuple(
            EchoReport(self.place.station, point_m, (path,), self.place.band)
            for point_m, path in zip(single.state.points_m, paths, strict=True)
        )

    @property
    def _is_starting(self) -> bool:
        """True as long as links come into use: not all of them are, or some are new.

        With links that do not come, the others are used as if they were all.
        """
        if len(self._used) == len(self.place.view.transmitters):
            return self._unchanged == 0
        return len(self._used) == 1 or self._unchanged < STARTUP_FRAMES

    def _use(self, offsets: Mapping[int, ClockOffset]) -> None:
        """Use the echoes of some links from now on; targets are followed on.

        offsets: of these links, by index of the transmitter
        """
        self.idle()
        now = tuple(sorted({self._own, *offsets}))
        before = self._used
        was_starting = self._is_starting
        self._used = now
        self._unchanged = self._unchanged + 1 if now == before else 0
        if now == before and self._is_starting == was_starting:
            return
        memory = _with_transmitters(self._receiver.memory, before, now)

        # Paths that the search of the last frame found on new links start from there.
        if memory is not None:
            memory = with_new_paths(self.place.view, memory, self._new_paths, offsets, now)
        budget = None
        cells = self._cells
        if len(now) == 1:
            cells = self._coarse_cells
        elif self._is_starting and self._follows:
            cells = self._coarse_cells
            budget = STARTUP_BUDGET
        self._receiver = LocalReceiver(
            _part(self.place, now), memory, cells.of(now), budget, by_samples=True
        )

    def _path_offsets(
        self,
        samples: np.ndarray,
        frame: Frame,
        seen: ObservedEcho,
        targets: ObservedTargets,
        reports: Sequence[Sequence[EchoReport]],
    ) -> list[PathOffset]:
        """Offsets of the paths of all other links from what the station's own echo predicts.

        targets: that the station's own echo locates
        reports: of the paths of each
        """
        # Links in use: the paths that were fitted together with those of the station's own signal.
        scene = self.place.scene(frame)
        receiver = scene.receiver(self.place.station)
        found = _offsets_in_use(scene, receiver, targets, reports, seen.offsets)

        # Other links, and those without any path: a search for the paths of all targets.
        in_use = sorted({path.transmitter for path in found})
        others = range(len(scene.transmitters))
        searched = [index for index in others if index not in {self._own, *in_use}]

        # A link in use is searched from time to time: wrong offsets leave most of its echo.
        turn, wait = divmod(frame.number + self._own, CHECK_EVERY)
        checked = None
        if in_use and wait == 0:
            checked = in_use[turn % len(in_use)]
            searched.append(checked)
        if not searched:
            return found
        sent = self.known.of_frame(frame.on(self.place.band))
        rest = without_paths(scene, receiver, sent, samples, seen.reports, seen.offsets)
        unexplained = echo_offsets(scene, receiver, sent, rest, targets, searched)
        if checked is None:
            return found + unexplained

        # Begin again where the rest of the echo has more of the link than its paths.
        if _information(unexplained, checked) > _information(found, checked):
            self._clocks.forget(checked)
            return _without_link(found, checked) + unexplained
        return found + _without_link(unexplained, checked)

    def _targets(
        self, frame: Frame, seen: ObservedEcho
    ) -> tuple[ObservedTargets, list[list[EchoReport]]]:
        """Targets that the station's own echo locates, and the reports of their paths.

        Velocities are those of displacements.
        """
        # Locations by all paths of a target, whose common error cancels in a displacement.
        size = self.place.view.dimension
        fit = seen.sensed.fit
        state = NO_PATHS if fit is None else fit.state
        shared = np.zeros((0, size, size))
        if fit is not None:
            shared = np.linalg.pinv(fit.target_information, hermitian=True)
        velocities_mps, of_velocities = self._motion.velocities(
            frame.time_s, state.points_m, shared
        )

        # Targets with a path of the station's own signal, at its location.
        own_place = self._used.index(self._own)
        own = np.flatnonzero(state.transmitter == own_place)
        owners = state.owner[own]
        points_m = np.array([seen.reports[path].point_m for path in own]).reshape(-1, 3)
        covariances = np.zeros((len(own), 2 * size, 2 * size))
        for target, path in enumerate(own):
            covariances[target, :size, :size] = seen.reports[path].covariance
        covariances[:, size:, size:] = of_velocities[owners]

        # All their paths.
        paths = [
            [seen.reports[path] for path in np.flatnonzero(state.owner == owner)]
            for owner in owners
        ]
        return ObservedTargets(points_m, velocities_mps[owners], covariances), paths


def _offsets_in_use(
    scene: Scene,
    receiver: Site,
    targets: ObservedTargets,
    paths: Sequence[Sequence[EchoReport]],
    offsets: Mapping[int, ClockOffset],
) -> list[PathOffset]:
    """Offsets of the fitted paths of targets from their predictions, on links in use.

    paths: single paths of each target
    offsets: with which they were fitted, by index of the transmitter
    """
    predicted = {
        index: predicted_paths(scene, scene.transmitters[index], receiver, targets)
        for index in offsets
    }
    found = []
    for target, reports in enumerate(paths):
        for report in reports:
            index = report.paths[0].transmitter
            if index in predicted:
                measured = measured_path(scene, receiver, report, offsets[index])
                found.append(predicted[index].offset(index, target, measured))
    return found


def _information(paths: Sequence[PathOffset], transmitter: int) -> float:
    """Information of the timing offset of a link by its paths, 1/s^2."""
    return sum(
        1 / path.measured.covariance[0, 0] for path in paths if path.transmitter == transmitter
    )


def _without_link(paths: Sequence[PathOffset], transmitter: int) -> list[PathOffset]:
    """Offsets of the paths of all other links."""
    return [path for path in paths if path.transmitter != transmitter]


def _part(place: StationView, transmitters: tuple[int, ...]) -> StationView:
    """A station with some of the transmitters of its band."""
    sites = tuple(place.view.transmitters[index] for index in transmitters)
    return StationView(replace(place.view, transmitters=sites), place.station)


def _single_paths(sensed: ReceiverFit) -> Fit | None:
    """The paths of a fit, each with a location of its own.

    A path whose clocks are slightly off would move the location that it shares with others.
    """
    if sensed.fit is None:
        return None
    state = sensed.fit.state
    single = PathState(
        state.points_m[state.owner],
        np.arange(state.num_paths),
        state.transmitter,
        state.doppler_hz,
    )
    joint = JointFit(sensed.joint.maker, sensed.joint.correlation, sensed.joint.noise_power_w)
    fit = joint.fisher_scoring(joint.match(single), **SINGLE_PATHS)
    return with_marginal_information(joint.maker, fit)


def _with_transmitters(
    memory: Memory | None, before: tuple[int, ...], now: tuple[int, ...]
) -> Memory | None:
    """Paths of an earlier frame, counted among other transmitters; those of others are left out."""
    if memory is None:
        return None
    indices = np.array(before)[memory.state.transmitter]
    kept = np.isin(indices, now)
    if not kept.any():
        return None
    state = memory.state.keep(kept)
    transmitter = np.searchsorted(now, indices[kept])
    return replace(memory, state=replace(state, transmitter=transmitter))

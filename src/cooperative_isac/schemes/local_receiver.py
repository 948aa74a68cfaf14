"""Maximum likelihood in the echoes of one station on one band, from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.schemes.views import StationView
from cooperative_isac.sensing.coupling import with_marginal_information
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.memory import Memory
from cooperative_isac.sensing.path_state import NO_PATHS, PathState
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.frame import Frame


@dataclass(frozen=True)
class PreparedEcho:
    """The known part of an echo without its static paths.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    static: what was taken out of it; None: nothing
    """

    samples: np.ndarray
    static: StaticNuisance | None


@dataclass(frozen=True)
class SensedEcho:
    """What one receiver finds in an echo.

    sensor: with which it was searched
    joint: fits paths to the echo
    fit: of all that was found; None: nothing
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
class _Unsearched:
    """A frame whose targets were followed, and which was not searched for others yet."""

    number: int
    time_s: float
    sensed: SensedEcho


class LocalReceiver:
    """Finds targets in the echoes of one station on one band.

    On consecutive frames it follows the last frame's targets, from where these should be by now;
    others are searched for when the packet is on its way, and reported in the next frame.
    """

    def __init__(self, place: StationView):
        self.place = place
        self.known = KnownSymbols(place.view)
        self._static = StaticStage(place.view)
        self._sensor: LocalMl | None = None
        self._memory: Memory | None = None
        self._unsearched: _Unsearched | None = None

    def sensor(self, frame: Frame) -> LocalMl:
        """The search with the stations where they are in a frame."""
        scene = self.place.scene(frame)
        if self._sensor is None or self._sensor.scene is not scene:
            self._sensor = LocalMl(scene, scene.receiver(self.place.station), self.known.grid)
        return self._sensor

    def prepare(self, echo: Echo, frame: Frame) -> PreparedEcho:
        """The known part of an echo without its static paths. Once for each frame.

        Its samples are brought to the noise power of the band, for which thresholds are made.
        """
        samples = self.known.of_echo(
            at_noise_power(echo, self.place.view.propagation.noise_power_w)
        )
        return self.prepare_known(samples, frame)

    def prepare_known(self, samples: np.ndarray, frame: Frame) -> PreparedEcho:
        """The known part of an echo without its static paths. Once for each frame.

        samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of the known part
        """
        signal = self.known.of_frame(frame.on(self.place.band))
        return PreparedEcho(*self._static.prepare(samples, signal, frame.time_s))

    def listen(self, echo: PreparedEcho, frame: Frame) -> SensedEcho:
        """What fits paths to a prepared echo, in which nothing was searched yet."""
        sensor = self.sensor(frame)
        signal = self.known.of_frame(frame.on(self.place.band))
        joint = sensor.listen(echo.samples, signal, static=echo.static)
        return SensedEcho(sensor, joint, None, self.place.linked)

    def sense(self, echo: PreparedEcho, frame: Frame) -> SensedEcho:
        """The targets of a prepared echo."""
        sensed = self.listen(echo, frame)
        if frame.time_s is None:
            return replace(sensed, fit=sensed.sensor.find(sensed.joint))
        self.idle()
        sensed = self._follow(sensed, frame.time_s)
        self._unsearched = _Unsearched(frame.number, frame.time_s, sensed)
        return sensed

    def idle(self) -> None:
        """Search the last echo for targets that are not followed yet."""
        left = self._unsearched
        self._unsearched = None
        if left is None:
            return
        fit = left.sensed.fit
        if fit is None or left.sensed.sensor.has_turn(left.number):
            fit = self._search(left.sensed)
        self._remember(fit, left.time_s)

    def sense_all(self, echo: PreparedEcho, frame: Frame) -> SensedEcho:
        """The targets of a prepared echo, followed and searched for at once."""
        sensed = self.listen(echo, frame)
        if frame.time_s is None:
            return replace(sensed, fit=sensed.sensor.find(sensed.joint))
        joint = sensed.joint
        joint.effort.matches_left = sensed.sensor.budget.follow_matches
        followed = sensed.sensor.follow(joint, self._expected(sensed.sensor, frame.time_s))
        fit = self._search(replace(sensed, fit=followed))
        self._remember(fit, frame.time_s)
        return replace(sensed, fit=fit)

    def _follow(self, sensed: SensedEcho, time_s: float) -> SensedEcho:
        """Fit what the last frame lets expect."""
        sensor = sensed.sensor
        expected = self._expected(sensor, time_s)
        if sensor.budget.searches_first and not expected.num_paths:
            # Nothing to follow: the search comes before the packet.
            return replace(sensed, fit=self._search(sensed))
        sensed.joint.effort.matches_left = sensor.budget.follow_matches
        return replace(sensed, fit=sensor.follow(sensed.joint, expected))

    def _search(self, sensed: SensedEcho) -> Fit | None:
        """Search once for targets beside those of the fit."""
        sensed.joint.effort.matches_left = sensed.sensor.budget.search_matches
        return sensed.sensor.find(sensed.joint, sensed.fit, searches=1)

    def _expected(self, sensor: LocalMl, time_s: float) -> PathState:
        if self._memory is not None and time_s < self._memory.time_s:
            self._memory = None  # time began anew
        if self._memory is None:
            return NO_PATHS
        return self._memory.recall(sensor.scene, sensor.receiver, time_s)

    def _remember(self, fit: Fit | None, time_s: float) -> None:
        if fit is not None and fit.state.is_finite:
            self._memory = Memory(time_s, fit.state)


def at_noise_power(echo: Echo, noise_power_w: float) -> np.ndarray:
    """The samples of an echo, scaled so that they have another noise power; unscaled at the same.

    What is left of a station's own signal raises the noise of its echo above that of the band.
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    if echo.noise_power_w == noise_power_w:
        return echo.samples
    with np.errstate(over="ignore", invalid="ignore"):
        return np.float32(np.sqrt(noise_power_w / echo.noise_power_w)) * echo.samples

"""Cancellation of static paths over links with a moving end, by maximum likelihood.

The motion of an end gives these paths Doppler shifts, which the suppression of static paths
(sensing.static_paths) does not cover. Their geometry is known, but not well enough to subtract a
prediction: a position that is off by a share e of the length leaves e times the aperture in
wavelengths of their amplitude. The complex amplitude, delay, Doppler shift and both directions of
every path are fitted to the echo around the prediction, all paths together, and the fit is
subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.channel.traced import has_traced_paths
from cooperative_isac.channel.world import has_world_paths, mirror_paths, moves
from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, perpendicular_axes
from cooperative_isac.scene.link_geometry import end_doppler_hz
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.canceled_paths import CanceledPaths
from cooperative_isac.sensing.link_rays import NO_SHIFT, Axes, Shift
from cooperative_isac.waveform.signal import Component

# Standard deviations of a prediction beside that of the positions: of a direction, rad, by the
# heading of a vehicle; of a length, m, by clocks that count as synchronous; of a Doppler shift as a
# speed, m/s, by the velocity that a station reports.
DIRECTION_STD_RAD = 0.01
LENGTH_STD_M = 0.3
SPEED_STD_MPS = 0.3

# Steps of scoring at most, and gain of log-likelihood that is not worth another one.
MOST_STEPS = 12
TOLERANCE = 0.5

# Power of a path, in noise variances after coherent integration, from which it is subtracted: the
# eight parameters of a path fit less than that to noise.
LEAST_POWER = 30.0

# Share of the information of amplitudes that is added to it: paths that are not resolved share
# their echo.
AMPLITUDE_RIDGE = 1e-9

# Parameters of a path beside its amplitude: delay, Doppler shift, two angles at each end.
NUM_PARAMETERS = 6

# Derivative of a path's echo with its amplitude and with each parameter, a product of an arrival
# (value, two slopes) and a waveform (value, slopes of delay, Doppler shift and departure).
ARRIVAL_OF = np.array([0, 0, 0, 0, 0, 1, 2])
WAVEFORM_OF = np.array([0, 1, 2, 3, 4, 0, 0])


@dataclass(frozen=True)
class KnownPath:
    """A static path as the geometry predicts it.

    transmitter: index of the transmitting site
    aod, aoa: [3], float64, unit vectors along the path, away from each end
    delay_s, doppler_hz: with the clock offsets of the link, s and Hz
    std: [NUM_PARAMETERS], float64, of the prediction: delay in s, Doppler shift in Hz, and angles
        in rad, two of departure and two of arrival
    """

    transmitter: int
    aod: np.ndarray
    aoa: np.ndarray
    delay_s: float
    doppler_hz: float
    std: np.ndarray

    @cached_property
    def departure_axes(self) -> np.ndarray:
        """Unit vectors at right angles to the departure, [3, 2], float64."""
        return perpendicular_axes(self.aod)

    @cached_property
    def arrival_axes(self) -> np.ndarray:
        """Unit vectors at right angles to the arrival, [3, 2], float64."""
        return perpendicular_axes(self.aoa)


def moving_links(scene: Scene, receiver: Site) -> tuple[int, ...]:
    """Indices of the transmitters whose links to a receiver have a moving end."""
    if moves(scene, receiver):
        return tuple(range(len(scene.transmitters)))
    return tuple(index for index, site in enumerate(scene.transmitters) if moves(scene, site))


def link_suppression(scene: Scene, receiver: Site) -> str:
    """Suppression of static paths in the echoes of a receiver: keep, project or learn.

    It is that of the scene, but `keep` where all links to the receiver have a moving end: their
    static paths are canceled one by one. Where the scene suppresses static paths by default, it is
    `keep` without any over the links at rest: the projection would cost the energy of slow targets.
    """
    sensing = scene.sensing
    has_resting = len(moving_links(scene, receiver)) < len(scene.transmitters)
    if not has_resting:
        return "keep"
    if sensing.static_paths_by_default and not _has_static_paths(scene, receiver):
        return "keep"
    return sensing.static_paths


def _has_static_paths(scene: Scene, receiver: Site) -> bool:
    """True where simulated echoes of a receiver may have static paths over its links at rest."""
    propagation = scene.propagation
    if propagation.clutter.num_scatterers:
        return True
    # Copies of the scene's own signals, over the lines of sight of interferers.
    if any(one.signal == "same" for one in propagation.on_own_elements):
        return True
    return has_world_paths(scene, receiver) or has_traced_paths(scene, receiver)


def known_paths(
    scene: Scene,
    receiver: Site,
    transmitters: Sequence[int],
    shifts: Mapping[int, Shift] | None = None,
) -> list[KnownPath]:
    """Lines of sight and specular reflections of links, as their geometry predicts them.

    scene: seen on the band, with the poses of the frame
    transmitters: indices of the transmitting sites
    shifts: clock offsets of links by index of the transmitter; None: they count as synchronous
    """
    wavelength_m = scene.grid.wavelength_m
    found = []
    for index in transmitters:
        site = scene.transmitters[index]
        shift = (shifts or {}).get(index, NO_SHIFT)
        position_m = _position_std_m(scene, site, receiver)
        paths = mirror_paths(scene, site, receiver)
        doppler_hz = end_doppler_hz(site, receiver, paths.aod, paths.aoa, wavelength_m)
        for path, length_m in enumerate(paths.length_m):
            of_length_s = math.hypot(LENGTH_STD_M, position_m) / SPEED_OF_LIGHT_MPS
            of_direction = math.hypot(DIRECTION_STD_RAD, position_m / length_m)
            std = np.array([of_length_s, SPEED_STD_MPS / wavelength_m, *4 * [of_direction]])
            found.append(
                KnownPath(
                    transmitter=index,
                    aod=paths.aod[path],
                    aoa=paths.aoa[path],
                    delay_s=length_m / SPEED_OF_LIGHT_MPS + shift.delay_s,
                    doppler_hz=float(doppler_hz[path]) + shift.doppler_hz,
                    std=std,
                )
            )
    return found


def without_known_paths(
    scene: Scene,
    receiver: Site,
    signal: Component,
    echo: np.ndarray,
    paths: Sequence[KnownPath],
) -> tuple[np.ndarray, CanceledPaths | None]:
    """An echo without static paths, which are fitted to it around their prediction.

    scene: seen on the band, with the poses of the frame
    receiver: receiving station
    signal: known symbols of the frame
    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
    paths: predicted
    Returns the echo outside of the span of these paths and their slopes, of the same shape, and
    this span; None where no path is above the noise.
    """
    if not paths:
        return echo, None
    model = _Model(scene, receiver, signal, echo, paths)
    fit = model.scored(model.match(np.zeros((len(paths), NUM_PARAMETERS))))

    # Paths below the noise are left in the echo.
    noise_power_w = scene.propagation.noise_power_w
    is_found = np.abs(fit.amplitude) ** 2 * fit.energy > LEAST_POWER * noise_power_w
    if not is_found.any():
        return echo, None
    weighted = fit.arrivals[is_found, 0].T * fit.amplitude[is_found]
    explained = weighted @ fit.waveforms[is_found, 0]
    remaining = (echo - explained.reshape(echo.shape)).astype(np.complex64)

    # What other paths have in common with them.
    canceled = CanceledPaths(
        arrivals=_unit(fit.arrivals[is_found][:, ARRIVAL_OF].reshape(-1, len(echo))),
        waveforms=_unit(fit.waveforms[is_found][:, WAVEFORM_OF].reshape(-1, *echo.shape[1:])),
    )
    return canceled.projected(remaining), canceled


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n, ...] over their norms, complex64."""
    flat = vectors.reshape(len(vectors), -1)
    norms = np.maximum(np.linalg.norm(flat, axis=1), np.finfo(float).tiny)
    return (flat / norms[:, None]).reshape(vectors.shape).astype(np.complex64)


@dataclass(frozen=True)
class _PathFit:
    """Paths at given parameters, with the best amplitudes.

    parameters: [num_paths, NUM_PARAMETERS], float64, differences from the prediction
    arrivals: [num_paths, 3, num_rx_ant], complex128, steering and its slopes with two angles
    waveforms: [num_paths, 5, num_elements], complex128, and slopes: delay, Doppler shift, two
        angles of departure
    amplitude: [num_paths], complex128
    energy: [num_paths], float64, of the echoes at unit amplitude
    likelihood: log-likelihood of the echo and of the parameters
    slopes: [n], float64, its gradient with the amplitudes' real and imaginary parts, then with the
        parameters, path by path
    information: [n, n], float64
    """

    parameters: np.ndarray
    arrivals: np.ndarray
    waveforms: np.ndarray
    amplitude: np.ndarray
    energy: np.ndarray
    likelihood: float
    slopes: np.ndarray
    information: np.ndarray


class _Model:
    """Static paths in one echo, by their parameters; see without_known_paths."""

    def __init__(
        self,
        scene: Scene,
        receiver: Site,
        signal: Component,
        echo: np.ndarray,
        paths: Sequence[KnownPath],
    ):
        self._scene = scene
        self._receiver = receiver
        self._signal = signal
        self._axes = Axes(signal)
        self._paths = paths
        self._echo = echo.reshape(len(echo), -1)
        self._noise_power_w = scene.propagation.noise_power_w
        self._std = np.array([path.std for path in paths])

    def match(self, parameters: np.ndarray) -> _PathFit:
        """Fit the amplitudes, and evaluate gradient and information of the likelihood.

        parameters: [num_paths, NUM_PARAMETERS], float64, differences from the prediction
        """
        num_paths = len(parameters)
        factors = [self._factors(*pair) for pair in zip(self._paths, parameters, strict=True)]
        arrivals = np.array([arrival for arrival, _ in factors])
        waveforms = np.array([waveform for _, waveform in factors])

        # Inner products of all derivatives with each other and with the echo.
        flat_arrivals = arrivals.reshape(-1, arrivals.shape[-1])
        flat_waveforms = waveforms.reshape(-1, waveforms.shape[-1])
        numbers = np.arange(num_paths)[:, None]
        arrival = (3 * numbers + ARRIVAL_OF).ravel()
        waveform = (5 * numbers + WAVEFORM_OF).ravel()
        of_arrivals = flat_arrivals.conj() @ flat_arrivals.T
        of_waveforms = flat_waveforms.conj() @ flat_waveforms.T
        products = of_arrivals[np.ix_(arrival, arrival)] * of_waveforms[np.ix_(waveform, waveform)]
        in_beams = flat_arrivals.conj() @ self._echo
        received = (in_beams @ flat_waveforms.conj().T)[arrival, waveform]

        # Best amplitudes.
        values = slice(0, None, 1 + NUM_PARAMETERS)
        overlap = products[values, values]
        energy = np.diag(overlap).real
        loaded = overlap + AMPLITUDE_RIDGE * np.diag(energy)
        amplitude = np.linalg.solve(loaded, received[values])

        # Derivatives with the parameters are those of echoes with these amplitudes.
        scale = np.ones((num_paths, 1 + NUM_PARAMETERS), complex)
        scale[:, 1:] = amplitude[:, None]
        scale = scale.ravel()
        residual = scale.conj() * (received - products[:, values] @ amplitude)
        products = scale.conj()[:, None] * products * scale

        # Real parameters: real and imaginary parts of amplitudes, then all others.
        is_value = np.zeros(len(scale), bool)
        is_value[values] = True
        order = np.concatenate([np.flatnonzero(is_value), np.flatnonzero(~is_value)])
        products = products[np.ix_(order, order)]
        residual = residual[order]
        turned = np.concatenate([np.arange(num_paths), np.arange(len(order))])
        turn = np.ones(len(turned), complex)
        turn[num_paths : 2 * num_paths] = 1j
        precision = 2 / self._noise_power_w
        information = turn.conj()[:, None] * products[np.ix_(turned, turned)] * turn
        information = precision * information.real
        slopes = precision * np.real(turn.conj() * residual[turned])

        # Prior of the parameters around the prediction.
        deviation = parameters / self._std
        places = np.arange(2 * num_paths, len(turned))
        information[places, places] += 1 / self._std.ravel() ** 2
        slopes[places] -= (deviation / self._std).ravel()
        explained = np.real(np.vdot(amplitude, received[values])) / self._noise_power_w
        likelihood = explained - np.sum(deviation**2) / 2

        return _PathFit(
            parameters=parameters,
            arrivals=arrivals,
            waveforms=waveforms,
            amplitude=amplitude,
            energy=energy,
            likelihood=float(likelihood),
            slopes=slopes,
            information=information,
        )

    def scored(self, fit: _PathFit) -> _PathFit:
        """Ascend the likelihood by Fisher scoring until it is not expected to gain."""
        share = 1.0
        for _ in range(MOST_STEPS):
            # Newton step, scaled to unit information of each parameter.
            scale = np.sqrt(np.maximum(np.diag(fit.information), np.finfo(float).tiny))
            scaled = fit.information / np.outer(scale, scale)
            scaled += AMPLITUDE_RIDGE * np.eye(len(scaled))
            step = np.linalg.solve(scaled, fit.slopes / scale) / scale
            if share * (step @ fit.slopes) / 2 < TOLERANCE:
                break

            # Half of it where the likelihood did not rise; amplitudes follow by themselves.
            moves = step[2 * len(fit.parameters) :].reshape(fit.parameters.shape)
            tried = self.match(fit.parameters + share * moves)
            if tried.likelihood > fit.likelihood:
                fit = tried
                share = 1.0
            else:
                share /= 2
        return fit

    def _factors(self, path: KnownPath, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Arrival [3, num_rx_ant] and waveform [5, num_elements] of a path, with their slopes."""
        wavelength_m = self._signal.grid.wavelength_m
        arrival = _steering(
            self._receiver, path.aoa, path.arrival_axes, parameters[4:], wavelength_m
        )
        departure = _steering(
            self._scene.transmitters[path.transmitter],
            path.aod,
            path.departure_axes,
            parameters[2:4],
            wavelength_m,
        )
        sent = self._signal.toward(path.transmitter, departure).transpose(1, 0, 2)

        # Delay and Doppler shift, and their slopes.
        axes = self._axes
        over_frequency = axes.over_frequency(path.delay_s + parameters[0])
        over_time = axes.over_time(path.doppler_hz + parameters[1])
        phased = sent * np.multiply.outer(over_frequency, over_time)
        by_delay = -2j * np.pi * axes.frequency_hz[:, None] * phased[0]
        by_doppler = 2j * np.pi * axes.time_s * phased[0]
        waveforms = np.stack([phased[0], by_delay, by_doppler, phased[1], phased[2]])
        return arrival, waveforms.reshape(5, -1)


def _steering(
    site: Site, direction: np.ndarray, across: np.ndarray, angles: np.ndarray, wavelength_m: float
) -> np.ndarray:
    """Steering vector to a direction that is turned by two angles, and its slopes with both.

    direction: [3], float64, unit vector
    across: [3, 2], float64, unit vectors at right angles to it
    angles: [2], float64, rad, towards each of them
    Returns [3, num_ant], complex128.
    """
    turned = direction + across @ angles
    turned /= np.linalg.norm(turned)
    value = steering_vectors(site.elements_m, turned, wavelength_m)
    slopes = steering_derivatives(site.elements_m, turned, np.ones(()), wavelength_m) @ across
    return np.vstack([value, slopes.T])


def _position_std_m(scene: Scene, *sites: Site) -> float:
    """Standard deviation of the distance between sites along an axis, m."""
    if scene.layout is None:
        return 0.0
    return math.hypot(*(scene.station(site.name).position_std_m for site in sites))

"""Single paths of a link in an echo: search for their delay and Doppler shift, and estimation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.calibration.offsets import ClockOffset, offset_of_path
from cooperative_isac.estimation.range_doppler import PathEstimate
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, BistaticGeometry
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.signal import Component

# Steps of scoring at most, those that are halved among them: it usually ends after 3 or 4 from
# within the main lobe. Length of a step in standard deviations below which it ends.
MOST_STEPS = 30
NEGLIGIBLE_STEP = 1e-3

# Least power in noise variances by which steps and covariances are divided: in an echo of zeros
# there is none.
LEAST_POWER = 1e-12

# Points of the search grid per resolution cell: scoring starts within the main lobe.
OVERSAMPLING = 2


@dataclass(frozen=True)
class Ray:
    """A static path of one link as the geometry predicts it: the line of sight or a reflection.

    steering: [num_rx_ant], complex128, of the receive array, of unit norm
    sent: [num_subcarriers, num_symbols], complex64, transmitted signal in its direction
    delay_s: without clock offsets, s
    doppler_hz: without clock offsets, Hz
    """

    steering: np.ndarray
    sent: np.ndarray
    delay_s: float
    doppler_hz: float

    @cached_property
    def energy(self) -> float:
        """Energy of the transmitted signal."""
        return max(float(np.sum(np.abs(self.sent) ** 2)), np.finfo(float).tiny)

    def unit_information(self, axes: Axes) -> np.ndarray:
        """Fisher information of delay and Doppler shift at unit SNR, about the mean phase.

        Returns [2, 2], float64.
        """
        # Distribution of the energy over the grid, over its frequencies and over its times.
        share = np.abs(self.sent) ** 2 / self.energy
        over_frequency = share.sum(axis=1)
        over_time = share.sum(axis=0)

        # First and second moments of (-f, t), the derivatives of the phase in cycles.
        frequency_hz = axes.frequency_hz
        time_s = axes.time_s
        means = np.array([-over_frequency @ frequency_hz, over_time @ time_s])
        square_hz2 = over_frequency @ frequency_hz**2
        square_s2 = over_time @ time_s**2
        product = -frequency_hz @ share @ time_s
        squares = np.array([[square_hz2, product], [product, square_s2]])

        # Their covariance, in radians.
        covariance = squares - np.multiply.outer(means, means)
        return 2 * (2 * np.pi) ** 2 * covariance


@dataclass(frozen=True)
class Shift:
    """Delay and Doppler shift by which the paths of a link differ from their geometry.

    delay_s: s
    doppler_hz: Hz
    covariance: [2, 2], float64, of both
    """

    delay_s: float
    doppler_hz: float
    covariance: np.ndarray


NO_SHIFT = Shift(0.0, 0.0, np.zeros((2, 2)))


class Axes:
    """Frequencies and times of a grid about their centers, where delay and Doppler are independent.

    frequency_hz: [num_subcarriers], float64, Hz
    time_s: [num_symbols], float64, s
    center_hz, middle_s: of the first subcarrier and symbol to the centers
    """

    def __init__(self, signal: Component):
        grid = signal.grid
        self.center_hz = float(grid.subcarrier_offsets_hz.mean())
        self.middle_s = float(grid.symbol_times_s.mean())
        self.frequency_hz = grid.subcarrier_offsets_hz - self.center_hz
        self.time_s = grid.symbol_times_s - self.middle_s
        # Largest distances from the expected delay and Doppler shift that are unambiguous.
        self.half_delay_s = 0.5 / (grid.subcarrier_stride * grid.subcarrier_spacing_hz)
        self.half_doppler_hz = 0.5 / grid.symbol_period_s

    def over_frequency(self, delay_s: float | np.ndarray) -> np.ndarray:
        """Phasors of delays, [..., num_subcarriers], complex128."""
        return np.exp(-2j * np.pi * np.multiply.outer(delay_s, self.frequency_hz))

    def over_time(self, doppler_hz: float | np.ndarray) -> np.ndarray:
        """Phasors of Doppler shifts, [..., num_symbols], complex128."""
        return np.exp(2j * np.pi * np.multiply.outer(doppler_hz, self.time_s))


def rays_of(
    signal: Component, index: int, transmitter: Site, receiver: Site, paths: BistaticGeometry
) -> list[Ray]:
    """Paths of one link, from a transmitter by its index."""
    return rays_along(
        signal, index, transmitter, receiver, paths.aod, paths.aoa, paths.delay_s, paths.doppler_hz
    )


def rays_along(
    signal: Component,
    index: int,
    transmitter: Site,
    receiver: Site,
    aod: np.ndarray,
    aoa: np.ndarray,
    delay_s: np.ndarray,
    doppler_hz: np.ndarray,
) -> list[Ray]:
    """Paths of one link.

    index: of the transmitter
    aod, aoa: [num_paths, 3], float64, unit vectors along the paths, away from each end
    delay_s, doppler_hz: [num_paths], float64, s and Hz
    """
    wavelength_m = signal.grid.wavelength_m
    arrival = steering_vectors(receiver.elements_m, aoa, wavelength_m)
    departure = steering_vectors(transmitter.elements_m, aod, wavelength_m)
    sent = signal.toward(index, departure)
    return [
        Ray(arrival[path], sent[:, path], float(delay_s[path]), float(doppler_hz[path]))
        for path in range(len(delay_s))
    ]


def matched_echo(ray: Ray, echo: np.ndarray) -> np.ndarray:
    """Echo in the beam of a ray times its conjugate symbols, [num_subcarriers, num_symbols]."""
    return np.tensordot(ray.steering.conj(), echo, axes=1) * ray.sent.conj()


def searched(
    axes: Axes, rays: Sequence[Ray], matched: Sequence[np.ndarray], noise_power_w: float
) -> tuple[Shift, float]:
    """Shift with the largest power of all rays, among all unambiguous ones, and that power.

    matched: [num_subcarriers, num_symbols], complex128, of matched_echo, for each ray
    Returns the power in noise variances, a sum over the rays.
    """
    delays_s, dopplers_hz = _trials(axes)
    power = sum(
        _power_map(axes, ray, own, noise_power_w) for ray, own in zip(rays, matched, strict=True)
    )

    # The largest one.
    row, column = np.unravel_index(np.argmax(power), np.shape(power))
    shift = Shift(float(delays_s[row]), float(dopplers_hz[column]), np.zeros((2, 2)))
    return shift, float(np.max(power))


def searched_delay(
    axes: Axes,
    rays: Sequence[Ray],
    matched: Sequence[np.ndarray],
    noise_power_w: float,
    thresholds: np.ndarray,
) -> list[Shift] | None:
    """Shifts of rays with one delay and a Doppler shift of each: where some exceed a threshold.

    Rays may be of targets that are not there: at each delay those count whose power together is the
    farthest above the threshold of as many.

    matched: [num_subcarriers, num_symbols], complex128, of matched_echo, for each ray
    thresholds: [num_rays], float64, of the power of the strongest ray, the two strongest and so on,
    each at its best Doppler shift, in noise variances
    Returns a shift for each ray; None where no power exceeds its threshold.
    """
    delays_s, dopplers_hz = _trials(axes)
    maps = [
        _power_map(axes, ray, own, noise_power_w) for ray, own in zip(rays, matched, strict=True)
    ]

    # Sums of the strongest rays at each delay, beyond the threshold of their number.
    powers = np.sort([one.max(axis=1) for one in maps], axis=0)[::-1]
    excess = np.max(np.cumsum(powers, axis=0) - thresholds[:, None], axis=0)
    row = int(np.argmax(excess))
    if excess[row] <= 0:
        return None
    return [
        Shift(float(delays_s[row]), float(dopplers_hz[one[row].argmax()]), np.zeros((2, 2)))
        for one in maps
    ]


def _trials(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Trials of delay shifts, s, and of Doppler shifts, Hz, over all unambiguous ones."""
    delays_s = _grid(axes.half_delay_s, len(axes.frequency_hz))
    return delays_s, _grid(axes.half_doppler_hz, len(axes.time_s))


def _power_map(axes: Axes, ray: Ray, matched: np.ndarray, noise_power_w: float) -> np.ndarray:
    """Matched-filter power of one ray at all trials, [num_delays, num_dopplers], noise variances.

    matched: [num_subcarriers, num_symbols], complex128, of matched_echo
    """
    delays_s, dopplers_hz = _trials(axes)
    over_frequency = axes.over_frequency(ray.delay_s + delays_s)
    over_time = axes.over_time(ray.doppler_hz + dopplers_hz)
    correlation = over_frequency.conj() @ matched @ over_time.conj().T
    noise_variance = ray.energy * noise_power_w
    return np.abs(correlation) ** 2 / noise_variance


def _grid(half: float, num_cells: int) -> np.ndarray:
    """Trials from -half to below half, OVERSAMPLING a cell; zero is one of them."""
    num_trials = OVERSAMPLING * num_cells
    return (np.arange(num_trials) - num_trials // 2) * (2 * half / num_trials)


def refined(
    axes: Axes,
    rays: Sequence[Ray],
    matched: Sequence[np.ndarray],
    starts: Sequence[Shift],
    noise_power_w: float,
) -> tuple[list[Shift], np.ndarray]:
    """Maximum likelihood shift of each ray by itself near a start, by Fisher scoring.

    matched: [num_subcarriers, num_symbols], complex128, of matched_echo, for each ray
    starts: of each ray, within the main lobe
    Returns the shift of each ray, and its power there in noise variances [num_rays], float64.
    """
    fits = _RayFits(axes, rays, np.array(matched), noise_power_w)
    shifts = np.array([[start.delay_s, start.doppler_hz] for start in starts])
    power, gradient = fits.power(shifts)
    shares = np.ones(len(rays))
    for _ in range(MOST_STEPS):
        # Steps of the rays that have not converged, with their length in standard deviations.
        newton = (fits.unit_covariance @ gradient[..., None])[..., 0]
        newton /= np.maximum(power, LEAST_POWER)[:, None]
        lengths = shares * np.sqrt(np.maximum(np.sum(newton * gradient, axis=1), 0.0))
        moving = lengths >= NEGLIGIBLE_STEP
        if not moving.any():
            break
        tried = shifts + np.where(moving, shares, 0.0)[:, None] * newton
        tried_power, tried_gradient = fits.power(tried)

        # Half of the step where the likelihood did not rise.
        risen = moving & (tried_power > power)
        shifts[risen] = tried[risen]
        power[risen] = tried_power[risen]
        gradient[risen] = tried_gradient[risen]
        shares = np.where(risen, 1.0, shares / 2)

    covariances = fits.unit_covariance / np.maximum(power, LEAST_POWER)[:, None, None]
    found = [
        Shift(float(delay_s), float(doppler_hz), covariance)
        for (delay_s, doppler_hz), covariance in zip(shifts, covariances, strict=True)
    ]
    return found, power


class _RayFits:
    """Matched-filter power of several rays, each at shifts of its own.

    It is the log-likelihood with the best amplitude.

    matched: [num_rays, num_subcarriers, num_symbols], complex128, of matched_echo
    unit_covariance: [num_rays, 2, 2], float64, of delay in s and Doppler shift in Hz at unit power
    """

    def __init__(self, axes: Axes, rays: Sequence[Ray], matched: np.ndarray, noise_power_w: float):
        self._axes = axes
        self._matched = matched
        self._delays_s = np.array([ray.delay_s for ray in rays])
        self._dopplers_hz = np.array([ray.doppler_hz for ray in rays])

        # Factor from squared correlations to noise variances.
        energies = np.array([ray.energy for ray in rays])
        self._scale = 1 / (energies * noise_power_w)

        # Inverse information, in units of each parameter's accuracy: s and Hz differ by many
        # orders.
        information = np.array([ray.unit_information(axes) for ray in rays])
        diagonal = np.diagonal(information, axis1=1, axis2=2)
        accuracies = 1 / np.sqrt(np.maximum(diagonal, np.finfo(float).tiny))
        scaling = accuracies[:, :, None] * accuracies[:, None, :]
        scaled = information * scaling
        self.unit_covariance = scaling * np.linalg.pinv(scaled, hermitian=True)

    def power(self, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Power of each ray in noise variances [num_rays], and its gradient [num_rays, 2].

        shifts: [num_rays, 2], float64, delay in s and Doppler shift in Hz
        """
        # Correlation with the phasors of delay and Doppler shift: over one axis, then over both.
        axes = self._axes
        over_frequency = axes.over_frequency(self._delays_s + shifts[:, 0])
        over_time = axes.over_time(self._dopplers_hz + shifts[:, 1])
        summed_frequency = (over_frequency.conj()[:, None] @ self._matched)[:, 0]
        summed_time = (self._matched @ over_time.conj()[..., None])[..., 0]
        correlation = np.sum(summed_frequency * over_time.conj(), axis=1)

        # Its derivatives by delay and Doppler shift, through those of the phasors.
        by_delay = 2j * np.pi * axes.frequency_hz * over_frequency.conj()
        by_doppler = -2j * np.pi * axes.time_s * over_time.conj()
        slope = np.stack(
            [
                np.sum(by_delay * summed_time, axis=1),
                np.sum(summed_frequency * by_doppler, axis=1),
            ],
            axis=1,
        )

        # Power in noise variances, and its gradient.
        power = self._scale * np.abs(correlation) ** 2
        products = np.real(correlation.conj()[:, None] * slope)
        return power, 2 * self._scale[:, None] * products


def clock_offset(signal: Component, ray: Ray, shift: Shift) -> ClockOffset:
    """Clock offset from the shift of a ray whose delay and Doppler shift count as exact."""
    carrier_hz = signal.grid.carrier_hz
    mps_per_hertz = SPEED_OF_LIGHT_MPS / carrier_hz
    to_speed = np.diag([1.0, mps_per_hertz])
    measured = PathEstimate(
        delay_s=ray.delay_s + shift.delay_s,
        path_speed_mps=(ray.doppler_hz + shift.doppler_hz) * mps_per_hertz,
        amplitudes=np.zeros(0),
        covariance=to_speed @ shift.covariance @ to_speed,
    )
    return offset_of_path(measured, carrier_hz, ray.delay_s, ray.doppler_hz * mps_per_hertz)

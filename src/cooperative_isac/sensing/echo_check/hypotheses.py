"""Choice of the hypothesis about orders and signs that explains the echoes best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammainccinv

from cooperative_isac.sensing.echo_check.matcher import Matcher, Profiles
from cooperative_isac.sensing.echo_check.orders import Order

# Probability that noise alone is taken for a line of sight under any hypothesis.
FALSE_SIGHT_PROBABILITY = 1e-4

# Power that a hypothesis with a fault must explain beyond one without, dB: errors of calibration
# and reflections give less.
MIN_FAULT_DB = 1.0

# Power that a delay offset of any size must explain beyond one within a resolution cell, dB.
FREE_DELAY_DB = 3.0

# Share of all static power below which a reflection may be taken for the line of sight.
MIN_SIGHT_SHARE = 0.4

# Static energy of reflections over its mean in noise, in standard deviations, from which they show
# the order of samples: a threshold far above noise, since it is taken over all orders.
STATIC_DEVIATIONS = 8.0

# Resolution cells within which a delay offset counts as zero, with a margin for rounding.
NEAR_OFFSET_CELLS = 1 + 1e-9

# Power below any of samples, which keeps ratios finite.
TINY_POWER = 1e-30


@dataclass(frozen=True)
class Choice:
    """The most likely hypothesis, and the powers of all of them.

    index: sample order, transmit elements, delay sign, element order
    power: [num_orders, 2, 2, num_element_orders], float64, log-likelihood gain of every hypothesis
    offset: index of the peak in the delay profile
    threshold: log-likelihood gain that noise alone exceeds with FALSE_SIGHT_PROBABILITY
    share: share of the line of sight in all static power
    static: [num_orders], float64, energy of all static paths over noise in each order of samples;
        only where no line of sight is visible but they stand out of the noise
    """

    index: tuple[int, int, int, int]
    power: np.ndarray
    offset: int
    threshold: float
    share: float
    static: np.ndarray | None = None

    @property
    def best(self) -> float:
        """Log-likelihood gain of the chosen hypothesis."""
        return float(self.power[self.index])

    @property
    def visible(self) -> bool:
        """True where a line of sight is detected."""
        return self.best > self.threshold and self.share > MIN_SIGHT_SHARE


@dataclass(frozen=True)
class Chosen:
    """The chosen hypothesis and measurements in its order of samples.

    choice: the hypothesis
    profile: delay profile of the line of sight under it
    noise: noise power in units of the stated one, or None where it cannot be measured
    static: static power per resource element and antenna, in the same units
    """

    choice: Choice
    profile: Profiles
    noise: float | None
    static: float


def choose(matcher: Matcher, orders: Sequence[Order], echoes: Sequence[np.ndarray]) -> Chosen:
    """The hypothesis with the largest likelihood, with as few faults as explain nearly as much.

    matcher: replicas of the line of sight
    orders: hypotheses of the order of samples, the stated one first
    echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, in units of the stated noise
    """
    # Powers at the peak of every hypothesis: within a cell of the right delay, and anywhere.
    profiles = [matcher.profiles([order.restored(echo) for echo in echoes]) for order in orders]
    delays_s = profiles[0].delays_s
    bandwidth_hz = matcher.num_places * matcher.spacing_hz
    is_near = np.abs(delays_s) * bandwidth_hz <= NEAR_OFFSET_CELLS
    near = np.stack([np.where(is_near, profile.power, 0).max(axis=-1) for profile in profiles])
    anywhere = np.stack([profile.power.max(axis=-1) for profile in profiles])
    advantage_db = 10 * np.log10(anywhere.max() / max(near.max(), TINY_POWER))
    is_free = advantage_db > FREE_DELAY_DB
    power = anywhere if is_free else near

    # The simplest hypothesis of those that explain nearly as much as the best.
    faults = _num_faults(matcher, orders)
    is_candidate = power >= power.max() * 10 ** (-MIN_FAULT_DB / 10)
    is_simplest = is_candidate & (faults == faults[is_candidate].min())
    best = np.unravel_index(np.where(is_simplest, power, -1).argmax(), power.shape)
    sample_order, transmit_side, delay_sign, element_order = (int(part) for part in best)
    index = (sample_order, transmit_side, delay_sign, element_order)

    # Noise, in which likelihoods are measured, and static power beside it.
    ordered = [orders[sample_order].restored(echo) for echo in echoes]
    noise = matcher.noise_power(ordered)
    unit = noise or 1.0
    energy, num_degrees = matcher.static_energy(ordered)
    static = energy - num_degrees * unit

    # Peak of the delay profile, and the threshold over all hypotheses and delays.
    curve = profiles[sample_order].power[index[1:]]
    offset = int((curve if is_free else np.where(is_near, curve, 0)).argmax())
    num_trials = power.size * len(matcher.offsets_hz)
    num_amplitudes = len(echoes) * len(matcher.paths.delay_s)
    threshold = float(gammainccinv(num_amplitudes, FALSE_SIGHT_PROBABILITY / num_trials))
    share = float(power[index] / max(static, power[index]))
    choice = Choice(index, power / unit, offset, threshold, share)

    # Without a line of sight, reflections still show the order of samples.
    if not choice.visible:
        static_by_order = _static_by_order(matcher, orders, echoes, unit)
        sample_order = 0
        if static_by_order is not None:
            sample_order = int(static_by_order.argmax())
        ordered = [orders[sample_order].restored(echo) for echo in echoes]
        noise = matcher.noise_power(ordered)
        static = matcher.static_energy(ordered)[0] - num_degrees * (noise or 1.0)
        choice = replace(choice, index=(sample_order, *index[1:]), static=static_by_order)
    return Chosen(choice, Profiles(curve, delays_s), noise, static / matcher.num_elements)


def peak_delay_s(profile: Profiles, place: int) -> float:
    """Abscissa of a profile's peak, by a parabola through three points.

    profile: power [num_delays] over delay, or over another equidistant quantity
    place: index of the largest of the three
    """
    # The largest sample and its neighbors; the profile is periodic.
    power = profile.power
    before = power[place - 1]
    here = power[place]
    after = power[(place + 1) % len(power)]

    # Peak of the parabola through them.
    curvature = before - 2 * here + after
    step = 0.5 * (before - after) / curvature if curvature else 0.0
    spacing = profile.delays_s[1] - profile.delays_s[0]
    return float(profile.delays_s[place] + np.clip(step, -1, 1) * spacing)


def _num_faults(matcher: Matcher, orders: Sequence[Order]) -> np.ndarray:
    """Number of faults of every hypothesis, [num_orders, 2, 2, num_element_orders]."""
    of_samples = np.array([order.num_faults for order in orders])
    of_elements = np.array([bool(name) for name, _ in matcher.elements], int)
    of_side = np.array([0, 1])[:, None, None]
    of_sign = np.array([0, 1])[:, None]
    return of_samples[:, None, None, None] + of_elements + of_side + of_sign


def _static_by_order(
    matcher: Matcher, orders: Sequence[Order], echoes: Sequence[np.ndarray], noise: float
) -> np.ndarray | None:
    """Static energy over noise in each order of samples, [num_orders], None where it is noise."""
    measured = [
        matcher.static_energy([order.restored(echo) for echo in echoes]) for order in orders
    ]
    energies = np.array([energy for energy, _ in measured])
    num_degrees = measured[0][1]
    static = energies / noise - num_degrees
    return static if static.max() > STATIC_DEVIATIONS * np.sqrt(num_degrees) else None

"""Self-test of what a radio delivers: signs, orders, time zero, level and noise of its echoes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammainccinv

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.file.build import thermal_noise_w
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.echo_hypotheses import (
    ONE_WAY_MIRRORS,
    OVERSAMPLING,
    Matcher,
    Order,
    Profiles,
    line_of_sight,
    sample_orders,
)
from cooperative_isac.waveform.signal import Signal

OK = "ok"
WRONG = "wrong"
CANNOT_SAY = "cannot say"
UNSEEN = "cannot be checked: no clear line of sight (see there)"

FALSE_ALARM = 1e-4  # chance that noise alone is taken for a line of sight under any hypothesis
# Log-likelihood by which one hypothesis must beat another: wrong once in 3 million.
MIN_EVIDENCE = 15.0
# dB that a fault must explain more: errors of calibration and reflections give less.
MIN_FAULT_DB = 1.0
MIN_MARGIN_DB = 0.2  # dB over a rival: element errors of 10 degrees cost 0.13 dB
# Share of the power beside the line of sight that may fall on a rival's replica by chance.
REFLECTED_SHARE = 0.1
FREE_DELAY_DB = 3.0  # dB that a delay offset of any size must win over one within a resolution cell
MIN_SHARE = 0.4  # of all static power: below this a reflection may be taken for the line of sight
CLEAR_SHARE = 0.6  # of all static power, from which the peak's delay is that of the line of sight
STATIC_DEVIATIONS = 8.0  # of the noise in the static energy, by which reflections must exceed it
DOPPLER_TOLERANCE = 0.05  # of a Doppler cell: static paths turn by nothing, targets pull a little
DELAY_TOLERANCE = 0.25  # of a resolution cell: a ground reflection shifts the peak by as much
NOISE_TOLERANCE_DB = 2.0  # dB: changes a threshold at 1 % false alarm to 0.07 % or 5 %
SCALE_TOLERANCE_DB = 1.0  # dB within which a ratio is taken for a power of the FFT size
MAX_ABOVE_FREE_SPACE_DB = 10.0  # dB: elements more directive than the scene says, at both ends
MAX_BELOW_FREE_SPACE_DB = 20.0  # dB: more is an obstacle, or cables that the scene does not have
DEAD_ANTENNA_DB = 20.0  # dB below the median antenna
STATIC_ADVICE_DB = 5.0  # dB above noise from which static paths hide targets
CLIP_COUNT = 8  # values at the very maximum; a Gaussian has one
CLIP_PILE = 2.0  # times as many values at the maximum as in the 2 % below it
PHASE_RIGHT_RAD = np.deg2rad(30)  # of a swapped antenna after it is put back
PHASE_WRONG_RAD = np.deg2rad(60)  # and before
# Share of the strongest path's amplitude: weaker ones are too noisy to order antennas by.
STRONG_SHARE = 0.3


@dataclass(frozen=True)
class Check:
    """One finding: name of the check, verdict (ok, wrong, cannot say), and words for it."""

    name: str
    verdict: str
    text: str


@dataclass(frozen=True)
class EchoAssessment:
    """What the echoes of one receiver are like.

    checks: one for each convention and power; delay_offset_s: of the line of sight behind its delay
    in the scene; line_of_sight_db: [num_transmitters], energy of a frame over noise (-inf: no
    path); noise_power_w: measured; static_to_noise_db: all static paths, in a resource element and
    antenna. None: not measured.
    """

    receiver: str
    num_frames: int
    checks: tuple[Check, ...]
    delay_offset_s: float | None = None
    line_of_sight_db: np.ndarray | None = None
    noise_power_w: float | None = None
    static_to_noise_db: float | None = None

    @property
    def verdict(self) -> str:
        """The worst of all checks; cannot say only where none of them is ok."""
        verdicts = [check.verdict for check in self.checks]
        if WRONG in verdicts:
            return WRONG
        return OK if OK in verdicts else CANNOT_SAY

    def check(self, name: str) -> Check:
        """The check of that name; KeyError where it was not made."""
        return {check.name: check for check in self.checks}[name]


@dataclass(frozen=True)
class Choice:
    """The hypothesis that explains most.

    index: sample order, transmit side, delay sign, element order
    power: [num_orders, 2, 2, num_element_orders], log-likelihood gain of every hypothesis
    offset: place of the peak in the delay profile
    threshold: log-likelihood gain that noise alone reaches
    share: of all static power, explained by the chosen hypothesis
    static: [num_orders], energy of all static paths over noise in each order of samples; only where
    the line of sight shows nothing and they stand out of the noise
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
        """Whether there is a line of sight to judge by."""
        return self.best > self.threshold and self.share > MIN_SHARE


def check_echoes(
    scene: Scene,
    receiver: Site,
    frames: Sequence[Signal],
    echoes: Sequence[np.ndarray],
    noise_powers_w: Sequence[float],
) -> EchoAssessment:
    """Judge echoes of one receiver by the line of sight from the transmitters, and by their noise.

    frames: what was sent, one for each echo
    echoes: each [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    noise_powers_w: stated by the radio, W per antenna and resource element

    The static channel is matched with the line of sight under every hypothesis of sample_orders and
    element_orders, both transmit sides and delay signs; that with the largest likelihood gain is
    compared with its rivals.
    """
    if not echoes:
        return EchoAssessment(receiver.name, 0, (Check("frames", CANNOT_SAY, "no echo to check"),))

    # Broken samples make everything else meaningless
    front = [_check_antennas(echoes), _check_clipping(echoes)]
    if not any(np.any(echo) for echo in echoes):
        return EchoAssessment(receiver.name, len(echoes), tuple(front))

    # Samples in units of the stated noise
    scaled = [
        echo.astype(np.complex64) / np.float32(np.sqrt(power_w))
        for echo, power_w in zip(echoes, noise_powers_w)
    ]
    if not len(line_of_sight(scene, receiver).delay_s) or scene.grid.num_subcarriers < 2:
        text = "cannot be checked: it needs a transmitter elsewhere and two subcarriers"
        return EchoAssessment(
            receiver.name, len(echoes), (*front, Check("line of sight", CANNOT_SAY, text))
        )
    matcher = Matcher(scene, receiver, frames)
    orders = sample_orders(scene.grid.num_subcarriers, scene.grid.num_symbols)

    # The order of samples with the least left over, and its noise
    noise, static, choice, profile = _choose(matcher, orders, scaled)
    order = orders[choice.index[0]]
    ordered = [order.restored(echo) for echo in scaled]

    # Verdicts
    conventions = _check_conventions(matcher, orders, choice)
    stated_w = float(np.exp(np.mean(np.log(noise_powers_w))))
    levels = _Levels(scene, matcher, ordered, choice, stated_w, noise)
    checks = front + conventions
    offset_s = None
    if choice.visible:
        offset_s = _peak(profile, choice.offset)
        checks.append(_check_time_zero(scene, offset_s, choice))
        checks.append(_check_carrier(scene, matcher, ordered, choice))
        checks.append(_check_swapped(matcher, ordered, choice))
    checks += [_check_noise(scene, noise, stated_w, levels.highest_db), levels.check()]
    static_db = None
    if noise:
        static_db = 10 * np.log10(max(static / noise, 1e-9))
        checks.append(_check_static(scene, static_db))
    measured_w = noise * stated_w if noise else None
    return EchoAssessment(
        receiver.name, len(echoes), tuple(checks), offset_s, levels.energy_db, measured_w, static_db
    )


def _choose(
    matcher: Matcher, orders: Sequence[Order], echoes: Sequence[np.ndarray]
) -> tuple[float | None, float, Choice, Profiles]:
    """Noise and static power in the best order of samples, best hypothesis, its delay profile."""
    profiles = [matcher.profiles([order.restored(echo) for echo in echoes]) for order in orders]
    bandwidth_hz = len(matcher.offsets_hz) * _spacing(matcher.offsets_hz)
    cell = np.abs(profiles[0].delays_s) * bandwidth_hz <= 1 + 1e-9

    # Peaks within a cell of the right delay, and anywhere
    near = np.stack([np.where(cell, profile.power, 0).max(axis=-1) for profile in profiles])
    anywhere = np.stack([profile.power.max(axis=-1) for profile in profiles])
    is_free = 10 * np.log10(anywhere.max() / max(near.max(), 1e-30)) > FREE_DELAY_DB
    power = anywhere if is_free else near

    # The simplest of those that explain nearly as much as the best
    of_samples = np.array([order.num_faults for order in orders])
    of_elements = np.array([bool(name) for name, _ in matcher.elements], int)
    faults = of_samples[:, None, None, None] + of_elements
    faults = faults + np.array([0, 1])[:, None, None] + np.array([0, 1])[:, None]
    alike = power >= power.max() * 10 ** (-MIN_FAULT_DB / 10)
    fewest = faults[alike].min()
    place = np.unravel_index(np.where(alike & (faults == fewest), power, -1).argmax(), power.shape)
    sample_order, side, sign, element_order = (int(part) for part in place)
    index = (sample_order, side, sign, element_order)

    # Noise, in which likelihoods are measured, and what of all static paths is the line of sight
    ordered = [orders[index[0]].restored(echo) for echo in echoes]
    noise = matcher.noise_power(ordered)
    energy, freedom = matcher.static_energy(ordered)
    unit = noise or 1.0
    static = energy - freedom * unit
    curve = profiles[index[0]].power[index[1:]]
    offset = int((curve if is_free else np.where(cell, curve, 0)).argmax())
    trials = power.size * len(matcher.offsets_hz)
    threshold = float(gammainccinv(len(echoes) * len(matcher.paths.delay_s), FALSE_ALARM / trials))
    share = float(power[index] / max(static, power[index]))
    choice = Choice(index, power / unit, offset, threshold, share)

    # Without a line of sight, reflections still show the order of samples
    if not choice.visible:
        energies = [
            matcher.static_energy([order.restored(echo) for echo in echoes])[0] for order in orders
        ]
        static_by_order = np.array(energies) / unit - freedom
        best = int(static_by_order.argmax())
        is_static = static_by_order[best] > STATIC_DEVIATIONS * np.sqrt(freedom)
        best = best if is_static else 0

        # Noise of that order, of the stated one where nothing shows another
        ordered = [orders[best].restored(echo) for echo in echoes]
        noise = matcher.noise_power(ordered)
        static = matcher.static_energy(ordered)[0] - freedom * (noise or 1.0)
        static_by_order = static_by_order if is_static else None
        choice = replace(choice, index=(best, *index[1:]), static=static_by_order)
    return noise, static / matcher.num_elements, choice, Profiles(curve, profiles[0].delays_s)


def _spacing(offsets_hz: np.ndarray) -> float:
    return float(offsets_hz[1] - offsets_hz[0])


def _peak(profile: Profiles, place: int) -> float:
    """Delay of the profile's peak by a parabola through three points, s."""
    before, here, after = (
        profile.power[(place + step) % len(profile.power)] for step in (-1, 0, 1)
    )
    bend = before - 2 * here + after
    step = 0.5 * (before - after) / bend if bend else 0.0
    return float(
        profile.delays_s[place] + np.clip(step, -1, 1) * (profile.delays_s[1] - profile.delays_s[0])
    )


def _check_conventions(matcher: Matcher, orders: Sequence[Order], choice: Choice) -> list[Check]:
    """One check for each convention that the line of sight shows."""
    checks = []

    # Orders of samples: rivals differ from the chosen one in one respect
    chosen = orders[choice.index[0]]
    parts = (
        ("samples", "samples are conjugated (re - j im)", "conjugated"),
        ("subcarriers", "subcarriers are {}", "subcarriers_name"),
        ("symbols", "symbols are {}", "symbols_name"),
    )
    for name, what, own in parts:
        others = {part for _, _, part in parts} - {own}
        alike = [
            index
            for index, order in enumerate(orders)
            if all(getattr(order, part) == getattr(chosen, part) for part in others)
        ]
        values = [getattr(orders[index], own) for index in alike]
        if choice.static is not None:
            checks.append(
                _static_verdict(
                    choice, name, values, choice.static[alike], getattr(chosen, own), what
                )
            )
            continue
        power = np.array([choice.power[(index, *choice.index[1:])] for index in alike])
        checks.append(_verdict(choice, name, values, power, getattr(chosen, own), what))

    # Transmit elements, sign of delay, receive elements
    texts = (
        (
            "transmit elements",
            "transmit elements are mirrored (phase of the wrong sign, or reverse order)",
            ["", "1"],
        ),
        ("delay sign", "phase rises with delay: exp(+j 2 pi f delay)", ["", "1"]),
        (
            "receive elements",
            "receive elements are {}",
            [element for element, _ in matcher.elements],
        ),
    )
    for axis, (name, what, values) in enumerate(texts, start=1):
        place = list(choice.index)
        power = np.array(
            [
                choice.power[tuple(place[:axis] + [value] + place[axis + 1 :])]
                for value in range(len(values))
            ]
        )
        checks.append(_verdict(choice, name, values, power, values[choice.index[axis]], what))
    return checks


def _verdict(
    choice: Choice, name: str, values: Sequence, power: np.ndarray, found, what: str
) -> Check:
    """Check of one convention. values: names of its ways, empty or False for the stated one."""
    if not choice.visible:
        return Check(name, CANNOT_SAY, UNSEEN)
    if len(values) < 2:
        return Check(name, OK, "there is only one way")
    rivals = [
        index for index, value in enumerate(values) if value != found and (not found or not value)
    ]
    margins_db = {index: 10 * np.log10(choice.best / max(power[index], 1.0)) for index in rivals}
    if found:
        return Check(
            name,
            WRONG,
            f"{what.format(found)}; the line of sight is {margins_db[rivals[0]]:.0f} dB "
            "stronger so",
        )

    # Rivals that these sites and reflections leave as likely as the stated way
    needed = max(MIN_EVIDENCE, REFLECTED_SHARE * choice.best * (1 / choice.share - 1))
    twins = [
        index
        for index in rivals
        if margins_db[index] < MIN_MARGIN_DB or choice.best - power[index] < needed
    ]
    apart = [margin_db for index, margin_db in margins_db.items() if index not in twins]
    same = " or ".join(what.format(values[index]) if "{}" in what else what for index in twins)
    grave = [index for index in twins if values[index] not in ONE_WAY_MIRRORS]
    if grave or not apart:
        return Check(
            name, CANNOT_SAY, f"cannot be checked: at these sites it looks the same if {same}"
        )
    digits = 0 if min(apart) >= 10 else 1
    text = f"as stated; every other way is at least {min(apart):.{digits}f} dB weaker"
    return Check(name, OK, text + (f", but it looks the same if {same}" if twins else ""))


def _static_verdict(
    choice: Choice, name: str, values: Sequence, energy: np.ndarray, found, what: str
) -> Check:
    """Check of an order of samples by all static paths, where none of them is known."""
    assert choice.static is not None
    best = choice.static.max()
    rival = max(
        float(energy[index])
        for index, value in enumerate(values)
        if value != found and (not found or not value)
    )
    noise = STATIC_DEVIATIONS / 2 * np.sqrt(best)
    margin_db = 10 * np.log10(best / max(rival, noise, 1.0))
    if best < 2 * max(rival, 1.0):
        return Check(name, CANNOT_SAY, UNSEEN)
    if found:
        return Check(
            name,
            WRONG,
            f"{what.format(found)}; static paths are at least {margin_db:.0f} dB stronger so",
        )
    return Check(
        name,
        OK,
        f"as stated, by reflections: every other way is at least {margin_db:.0f} dB weaker",
    )


def _why_not(choice: Choice) -> str:
    if choice.best <= choice.threshold:
        return (
            "no line of sight stands out of the noise: obstructed, symbols of another frame, or "
            "carriers that differ by more than a Doppler cell"
        )
    return (
        f"the strongest line of sight under any convention has only {100 * choice.share:.0f} % "
        "of the static power; "
        "it is obstructed, or sites and arrays are not those of the scene"
    )


def _check_time_zero(scene: Scene, offset_s: float, choice: Choice) -> Check:
    cell_s = scene.grid.range_resolution_m / SPEED_OF_LIGHT_MPS
    std_s = cell_s * np.sqrt(12) / (2 * np.pi * np.sqrt(2 * choice.best))
    offset_m = offset_s * SPEED_OF_LIGHT_MPS
    text = f"line of sight {offset_s * 1e9:+.2f} ns ({offset_m:+.2f} m) from its place in the scene"
    text += f", standard deviation {std_s * 1e9:.2f} ns"
    if abs(offset_s) <= DELAY_TOLERANCE * cell_s + 5 * std_s:
        return Check("time zero", OK, text)
    if choice.share < CLEAR_SHARE:
        return Check(
            "time zero",
            CANNOT_SAY,
            f"cannot be checked: {text}, but reflections are nearly as strong",
        )
    return Check("time zero", WRONG, f"{text}: delays must count from the emission of the frame")


def _check_carrier(
    scene: Scene, matcher: Matcher, echoes: Sequence[np.ndarray], choice: Choice
) -> Check:
    """Whether the line of sight has a Doppler shift, which only carriers that differ give it."""
    delay_s = _delay_at(matcher, choice.offset)
    num_shifts = OVERSAMPLING * scene.grid.num_symbols
    power = np.zeros(num_shifts)
    for frame, echo in enumerate(echoes):
        turning = matcher.over_symbols(echo, frame, *choice.index[1:], delay_s)
        power += (np.abs(np.fft.fft(turning, num_shifts, axis=-1)) ** 2).sum(axis=0)

    # Peak of the spectrum by a parabola
    shifts_hz = np.fft.fftfreq(num_shifts) / scene.grid.symbol_period_s
    shift_hz = _peak(Profiles(power, shifts_hz), int(power.argmax()))
    std_hz = np.sqrt(12) / (2 * np.pi) * scene.grid.doppler_resolution_hz / np.sqrt(2 * choice.best)
    text = f"line of sight turns by {shift_hz:+.1f} Hz, standard deviation {std_hz:.1f} Hz"
    if abs(shift_hz) <= DOPPLER_TOLERANCE * scene.grid.doppler_resolution_hz + 5 * std_hz:
        return Check("carrier", OK, text)
    ratio = shift_hz / scene.grid.carrier_hz * 1e6
    return Check("carrier", WRONG, f"{text}: carriers differ by {ratio:+.3g} ppm; lock them")


def _check_swapped(matcher: Matcher, echoes: Sequence[np.ndarray], choice: Choice) -> Check:
    """Whether the line of sight fits better with two antennas exchanged."""
    mirrored, sign, elements = choice.index[1:]
    steering = matcher.arrival[elements]
    delay_s = _delay_at(matcher, choice.offset)
    parts = np.stack(
        [
            matcher.per_antenna(echo, frame, mirrored, sign, delay_s)
            for frame, echo in enumerate(echoes)
        ]
    )
    parts = parts * steering.conj()

    # Frames brought to one phase
    total = parts.sum(axis=-1)
    parts = (parts * total.conj()[..., None]).sum(axis=0)
    num_ant = steering.shape[-1]
    strength = np.sqrt(np.abs(parts.sum(axis=-1)))

    # The exchange that gains most, in any path that is not much weaker than the strongest
    found = None
    for path in np.flatnonzero(strength > strength.max() * STRONG_SHARE):
        aligned = parts[path] / parts[path].sum() * num_ant
        relative = steering[path] * np.sqrt(num_ant)
        moved = aligned[:, None] * relative[:, None] * relative.conj()
        gain = (moved + moved.T - aligned[:, None] - aligned).real
        first, second = (
            int(part) for part in np.unravel_index(np.triu(gain, 1).argmax(), gain.shape)
        )
        before = np.abs(np.angle(aligned[[first, second]])).min()
        after = np.abs(np.angle([moved[first, second], moved[second, first]])).max()
        evidence = choice.best * ((1 + gain[first, second] / num_ant) ** 2 - 1)
        if before > PHASE_WRONG_RAD and after < PHASE_RIGHT_RAD and evidence > MIN_EVIDENCE:
            found = first, second
    if found:
        return Check(
            "antenna swaps",
            WRONG,
            f"antennas {found[0]} and {found[1]} (counted from 0) are exchanged",
        )
    rms_deg = np.rad2deg(
        np.sqrt(np.mean(np.angle(parts[strength.argmax()] / parts[strength.argmax()].sum()) ** 2))
    )
    text = f"no two are exchanged; phases deviate by {rms_deg:.0f} degrees r.m.s. from a plane wave"
    return Check("antenna swaps", OK, text)


def _delay_at(matcher: Matcher, offset: int) -> float:
    num_delays = OVERSAMPLING * len(matcher.offsets_hz)
    return float(np.fft.fftfreq(num_delays)[offset] / _spacing(matcher.offsets_hz))


def _fft_words(scene: Scene, ratio_db: float) -> str:
    """What a power ratio has to do with the size of an FFT; empty where it has nothing."""
    grid = scene.grid
    used = grid.num_subcarriers * grid.subcarrier_stride
    sizes = {
        grid.num_subcarriers: "num_subcarriers",
        2 ** int(np.ceil(np.log2(used))): "the FFT size",
    }
    sizes.setdefault(2 * 2 ** int(np.ceil(np.log2(used))), "the FFT size")
    for size, name in sizes.items():
        for exponent, factor in ((1, "sqrt({})"), (2, "{}")):
            if abs(abs(ratio_db) - exponent * 10 * np.log10(size)) <= SCALE_TOLERANCE_DB:
                scale = factor.format(size)
                side = "large" if ratio_db > 0 else "small"
                return (
                    f"samples seem to be {scale} times too {side} ({name} {size}): "
                    "a missing scale of the FFT"
                )
    return ""


def _check_noise(
    scene: Scene, noise: float | None, stated_w: float, level_db: float | None
) -> Check:
    """Whether noise_power_w is that of the samples.

    level_db: of the line of sight over free space, which shows whether the samples are of the right
    scale; None: not seen
    """
    if noise is None:
        return Check(
            "noise power",
            CANNOT_SAY,
            "cannot be checked: as many streams as symbols leave no noise to measure",
        )
    ratio_db = 10 * np.log10(noise)
    text = f"{_dbm(noise * stated_w)} measured, {_dbm(stated_w)} in noise_power_w"
    scene_db = 10 * np.log10(stated_w / scene.propagation.noise_power_w)
    if abs(scene_db) >= NOISE_TOLERANCE_DB:
        text += f" ({scene_db:+.0f} dB from the scene, to which the access point scales)"
    if abs(ratio_db) <= NOISE_TOLERANCE_DB:
        return Check("noise power", OK, text)
    fft = _fft_words(scene, ratio_db)
    if level_db is not None and abs(level_db) < abs(ratio_db) / 2:
        fft = "the line of sight has its level, so noise_power_w is wrong, not the samples"
    return Check("noise power", WRONG, f"{text}: {ratio_db:+.1f} dB" + (f"; {fft}" if fft else ""))


class _Levels:
    """Level of the line of sight of each transmitter, over noise and over free space."""

    def __init__(
        self,
        scene: Scene,
        matcher: Matcher,
        echoes: Sequence[np.ndarray],
        choice: Choice,
        stated_w: float,
        noise: float | None,
    ):
        self.scene = scene
        self.stated_w = stated_w
        self.choice = choice
        mirrored, sign, elements = choice.index[1:]
        shift = np.exp(2j * np.pi * matcher.offsets_hz * _delay_at(matcher, choice.offset))

        # Amplitudes by least squares, in units of the stated noise
        amplitudes = []
        energies = []
        for frame, echo in enumerate(echoes):
            gram = matcher.gram(frame)[mirrored, sign, elements]
            matched = (matcher.matched(echo, frame)[mirrored, sign, elements] * shift).sum(axis=-1)
            amplitudes.append(np.linalg.solve(gram, matched))
            energies.append(1 / np.linalg.inv(gram).diagonal().real)
        power = np.abs(amplitudes) ** 2 - (noise or 1.0) / np.array(energies)
        power = np.maximum(power.mean(axis=0), 1e-30)

        free_space = np.abs(matcher.paths.amplitude) ** 2 / stated_w
        free_space *= _element_gain(scene, matcher.receiver, matcher.paths)
        self.names = [scene.transmitters[index].name for index in matcher.paths.transmitter]
        self.level_db = 10 * np.log10(power / free_space)
        self.highest_db = float(self.level_db.max()) if choice.visible else None
        self.energy_db = np.full(len(scene.transmitters), -np.inf)
        energy = power * np.mean(energies, axis=0) / (noise or 1.0)
        self.energy_db[matcher.paths.transmitter] = 10 * np.log10(energy)

    def check(self) -> Check:
        """Whether the line of sight is as strong as in free space."""
        if not self.choice.visible:
            return Check("line of sight", CANNOT_SAY, f"cannot be checked: {_why_not(self.choice)}")
        over_noise = [
            self.energy_db[index]
            for index, site in enumerate(self.scene.transmitters)
            if site.name in self.names
        ]
        text = "; ".join(
            f"{name} {noise_db:.0f} dB above noise after integration, "
            f"{level_db:+.0f} dB from free space"
            for name, noise_db, level_db in zip(self.names, over_noise, self.level_db)
        )
        thermal_w = thermal_noise_w(self.scene.grid.subcarrier_spacing_hz, noise_figure_db=0.0)
        if self.stated_w < thermal_w / 2:
            return Check(
                "line of sight",
                CANNOT_SAY,
                f"{text}; level cannot be checked: noise_power_w is below thermal "
                f"noise ({_dbm(thermal_w)}), so samples are not in sqrt(W); only the ratio matters",
            )
        assert self.highest_db is not None  # the line of sight is visible
        if self.highest_db > MAX_ABOVE_FREE_SPACE_DB:
            fft = _fft_words(self.scene, self.highest_db)
            return Check(
                "line of sight",
                WRONG,
                f"{text}; more than elements can gain" + (f"; {fft}" if fft else ""),
            )
        if self.highest_db < -MAX_BELOW_FREE_SPACE_DB:
            return Check(
                "line of sight",
                CANNOT_SAY,
                f"{text}; level cannot be checked: obstructed, or attenuated by more "
                "than the scene has",
            )
        return Check("line of sight", OK, text)


def _element_gain(scene: Scene, receiver: Site, paths: PathSet) -> np.ndarray:
    """Power gain of both ends' element patterns along each path, at least 1, [num_paths].

    Where the patterns attenuate, reflections from better directions are in the level, too, so that
    it cannot be compared with the attenuated line of sight.
    """
    gain = element_amplitude(receiver, paths.aoa) ** 2
    for path, index in enumerate(paths.transmitter):
        gain[path] *= element_amplitude(scene.transmitters[index], paths.aod[path]) ** 2
    return np.maximum(gain, 1.0)


def _check_static(scene: Scene, static_db: float) -> Check:
    text = f"{static_db:.0f} dB above noise in a resource element and antenna"
    if static_db < -20:
        text = "more than 20 dB below noise in a resource element and antenna"
    if static_db > STATIC_ADVICE_DB and scene.sensing.static_paths == "keep":
        text += "; they hide targets: set sensing.static_paths: project"
    return Check("static paths", OK, text)


def _check_antennas(echoes: Sequence[np.ndarray]) -> Check:
    """Antennas without signal, and those far below the others."""
    power = np.mean(
        [np.mean(np.abs(echo.astype(np.complex128)) ** 2, axis=(1, 2)) for echo in echoes], axis=0
    )
    silent = np.flatnonzero(power == 0)
    if len(silent) == len(power):
        return Check("antennas", WRONG, "all samples are zero")
    weak = np.flatnonzero(
        (power > 0) & (power < np.median(power[power > 0]) * 10 ** (-DEAD_ANTENNA_DB / 10))
    )
    faults = []
    if len(silent):
        faults.append(f"all samples of antennas {_list(silent)} are zero")
    if len(weak):
        faults.append(
            f"antennas {_list(weak)} are more than {DEAD_ANTENNA_DB:.0f} dB below the median: dead?"
        )
    if faults:
        return Check("antennas", WRONG, "; ".join(faults) + " (counted from 0)")
    spread_db = 10 * np.log10(power.max() / power.min())
    return Check("antennas", OK, f"powers within {spread_db:.1f} dB")


def _check_clipping(echoes: Sequence[np.ndarray]) -> Check:
    """Values that pile up at the largest one."""
    share = 0.0
    for echo in echoes:
        values = np.abs(np.ascontiguousarray(echo, np.complex64).view(np.float32)).ravel()
        largest = values.max()
        at_top = np.count_nonzero(values >= largest * np.float32(1 - 1e-6))
        just_below = np.count_nonzero(values >= largest * np.float32(0.98)) - at_top
        if largest > 0 and at_top >= CLIP_COUNT and at_top > CLIP_PILE * just_below:
            share = max(share, at_top / len(values))
    if share:
        return Check(
            "clipping",
            WRONG,
            f"{100 * share:.2g} % of the values stand at the largest one: reduce the gain",
        )
    return Check("clipping", OK, "no values pile up at the largest one")


def _dbm(power_w: float) -> str:
    return f"{10 * np.log10(power_w * 1e3):.1f} dBm"


def _list(numbers: np.ndarray) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown + (", ..." if len(numbers) > 8 else "")

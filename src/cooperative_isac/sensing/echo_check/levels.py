"""Checks of powers: noise, line of sight over free space, and static paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.file.build import thermal_noise_w
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.echo_check.findings import OK, UNDECIDED, WRONG, Check, dbm
from cooperative_isac.sensing.echo_check.hypotheses import TINY_POWER, Choice
from cooperative_isac.sensing.echo_check.matcher import Matcher
from cooperative_isac.sensing.known_paths import link_suppression

# Error of the noise power that is no fault, dB: changes a threshold at 1 % false alarm to 0.07 % or
# 5 %.
NOISE_TOLERANCE_DB = 2.0

# Distance within which a ratio is taken for a power of the FFT size, dB.
SCALE_TOLERANCE_DB = 1.0

# Level of the line of sight over free space, dB: elements more directive than the scene states, at
# both ends, may cause as much.
MAX_ABOVE_FREE_SPACE_DB = 10.0

# The same below free space, dB: more is an obstacle, or cables that the scene does not have.
MAX_BELOW_FREE_SPACE_DB = 20.0

# Static power over noise in a resource element, from which static paths hide targets, dB.
STATIC_ADVICE_DB = 5.0

# The same, below which it is not worth a number, dB.
STATIC_SHOWN_DB = -20


@dataclass(frozen=True)
class Levels:
    """Level of the line of sight of each transmitter.

    names: [num_paths], names of the transmitters that stand elsewhere
    free_space_db: [num_paths], float64, level over free space, dB
    energy_db: [num_transmitters], float64, energy in a frame over noise, dB; -inf: no path
    """

    names: tuple[str, ...]
    free_space_db: np.ndarray
    energy_db: np.ndarray


def measure_levels(
    scene: Scene,
    matcher: Matcher,
    echoes: Sequence[np.ndarray],
    choice: Choice,
    stated_w: float,
    noise: float | None,
) -> Levels:
    """Levels of the line of sight by least squares.

    scene: seen on one band
    matcher: replicas of the line of sight
    echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, in the chosen order and in
        units of the stated noise
    choice: the most likely hypothesis
    stated_w: noise power that the radio states, W
    noise: measured noise power in units of the stated one
    """
    # Amplitude of every path in every frame, and the energy of its replica beside the others.
    mirrored, sign, elements = choice.index[1:]
    delay_phases = np.exp(2j * np.pi * matcher.offsets_hz * matcher.delay_s(choice.offset))
    amplitudes = []
    energies = []
    for frame, echo in enumerate(echoes):
        gram = matcher.gram(frame)[mirrored, sign, elements]
        by_subcarrier = matcher.matched(echo, frame)[mirrored, sign, elements]
        matched = (by_subcarrier * delay_phases).sum(axis=-1)
        amplitudes.append(np.linalg.solve(gram, matched))
        energies.append(1 / np.linalg.inv(gram).diagonal().real)

    # Power without that of the noise.
    noise_power = noise or 1.0
    power = np.abs(amplitudes) ** 2 - noise_power / np.array(energies)
    power = np.maximum(power.mean(axis=0), TINY_POWER)

    # Ratios to free space and to the noise.
    paths = matcher.paths
    free_space = np.abs(paths.amplitude) ** 2 / stated_w
    free_space *= _element_gain(scene, matcher.receiver, paths)
    energy = power * np.mean(energies, axis=0) / noise_power
    energy_db = np.full(len(scene.transmitters), -np.inf)
    energy_db[paths.transmitter] = 10 * np.log10(energy)
    names = tuple(scene.transmitters[index].name for index in paths.transmitter)
    return Levels(names, 10 * np.log10(power / free_space), energy_db)


def check_line_of_sight(scene: Scene, levels: Levels, choice: Choice, stated_w: float) -> Check:
    """Check of the level of the line of sight over free space.

    scene: seen on one band
    levels: measured ones
    choice: the most likely hypothesis
    stated_w: noise power that the radio states, W
    """
    if not choice.visible:
        text = f"cannot be checked: {_reason_of_no_sight(choice)}"
        return Check("line of sight", UNDECIDED, text)
    over_noise_db = [
        levels.energy_db[index]
        for index, site in enumerate(scene.transmitters)
        if site.name in levels.names
    ]
    text = "; ".join(
        f"{name} {noise_db:.0f} dB above noise after integration, "
        f"{level_db:+.0f} dB from free space"
        for name, noise_db, level_db in zip(levels.names, over_noise_db, levels.free_space_db)
    )

    # Samples on a scale of their own have no level.
    thermal_w = thermal_noise_w(scene.grid.subcarrier_spacing_hz, noise_figure_db=0.0)
    if stated_w < thermal_w / 2:
        text += (
            "; level cannot be checked: noise_power_w is below thermal noise "
            f"({dbm(thermal_w)}), so samples are not in sqrt(W); only the ratio matters"
        )
        return Check("line of sight", UNDECIDED, text)

    highest_db = float(levels.free_space_db.max())
    if highest_db > MAX_ABOVE_FREE_SPACE_DB:
        text += "; more than elements can gain"
        fft = _fft_words(scene, highest_db)
        return Check("line of sight", WRONG, text + (f"; {fft}" if fft else ""))
    if highest_db < -MAX_BELOW_FREE_SPACE_DB:
        text += "; level cannot be checked: obstructed, or attenuated by more than the scene has"
        return Check("line of sight", UNDECIDED, text)
    return Check("line of sight", OK, text)


def check_noise(
    scene: Scene, noise: float | None, stated_w: float, level_db: float | None
) -> Check:
    """Check of the stated noise power against that of the samples.

    scene: seen on one band
    noise: measured noise power in units of the stated one, or None
    stated_w: noise power that the radio states, W
    level_db: of the line of sight over free space, which shows whether the samples are of the right
        scale, dB; None: no line of sight
    """
    if noise is None:
        text = "cannot be checked: as many streams as symbols leave no noise to measure"
        return Check("noise power", UNDECIDED, text)

    ratio_db = 10 * np.log10(noise)
    text = f"{dbm(noise * stated_w)} measured, {dbm(stated_w)} in noise_power_w"
    scene_db = 10 * np.log10(stated_w / scene.propagation.noise_power_w)
    if abs(scene_db) >= NOISE_TOLERANCE_DB:
        text += f" ({scene_db:+.0f} dB from the scene, to which the access point scales)"
    if abs(ratio_db) <= NOISE_TOLERANCE_DB:
        return Check("noise power", OK, text)

    # The cause: a scale of the FFT, or the statement alone.
    cause = _fft_words(scene, ratio_db)
    if level_db is not None and abs(level_db) < abs(ratio_db) / 2:
        cause = "the line of sight has its level, so noise_power_w is wrong, not the samples"
    return Check(
        "noise power", WRONG, f"{text}: {ratio_db:+.1f} dB" + (f"; {cause}" if cause else "")
    )


def check_static(scene: Scene, receiver: Site, static_db: float) -> Check:
    """Level of the static paths, with advice where they hide targets.

    scene: seen on one band
    receiver: of the echoes
    static_db: over noise, in a resource element and antenna, dB
    """
    text = f"{static_db:.0f} dB above noise in a resource element and antenna"
    if static_db < STATIC_SHOWN_DB:
        text = "more than 20 dB below noise in a resource element and antenna"
    if static_db > STATIC_ADVICE_DB and link_suppression(scene, receiver) == "keep":
        text += "; they hide targets: set sensing.static_paths: project"
    return Check("static paths", OK, text)


def _reason_of_no_sight(choice: Choice) -> str:
    """Reason in words why no line of sight is visible."""
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


def _fft_words(scene: Scene, ratio_db: float) -> str:
    """Missing scale of an FFT that explains a power ratio, in words; empty where none does."""
    # Sizes of the FFT: the subcarriers from the first to the last one, the next power of two over
    # the band, and twice of it.
    grid = scene.grid
    power_of_two = 2 ** int(np.ceil(np.log2(grid.span * grid.subcarrier_stride)))
    span_name = "span of the fragments" if grid.fragments else "num_subcarriers"
    sizes = {grid.span: span_name, power_of_two: "the FFT size"}
    sizes.setdefault(2 * power_of_two, "the FFT size")

    # The first size whose root or itself is the ratio of amplitudes.
    for size, name in sizes.items():
        for exponent, factor in ((1, "sqrt({})"), (2, "{}")):
            explained_db = exponent * 10 * np.log10(size)
            if abs(abs(ratio_db) - explained_db) <= SCALE_TOLERANCE_DB:
                scale = factor.format(size)
                side = "large" if ratio_db > 0 else "small"
                return (
                    f"samples seem to be {scale} times too {side} ({name} {size}): "
                    "a missing scale of the FFT"
                )
    return ""


def _element_gain(scene: Scene, receiver: Site, paths: PathSet) -> np.ndarray:
    """Power gain of both ends' element patterns along each path, at least 1, [num_paths].

    Where the patterns attenuate, reflections from better directions contribute to the level, so
    that it cannot be compared with the attenuated line of sight.
    """
    gain = element_amplitude(receiver, paths.aoa) ** 2
    for path, index in enumerate(paths.transmitter):
        gain[path] *= element_amplitude(scene.transmitters[index], paths.aod[path]) ** 2
    return np.maximum(gain, 1.0)

"""Random reflections of targets and clutter, constant for one frame or one coherence block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.scene.draw import frame_generator
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.scene.station import Site

# Share of a coherence time by which a frame may begin too early for its block and still belong to
# it: far above the rounding of number / rate, far below any distance between frames.
BLOCK_TOLERANCE = 1e-6


def coherence_block(scene: Scene, time_s: float | None) -> int | None:
    """Number of the coherence block of a frame: floor(time / coherence time).

    time_s: from the start of consecutive frames, s; None: an independent draw
    Returns None where reflections are drawn anew in every frame.
    """
    coherence_s = scene.propagation.coherence_time_s
    if time_s is None or coherence_s <= 0:
        return None
    return int(np.floor(time_s / coherence_s + BLOCK_TOLERANCE))


def draw_key(scene: Scene, who: str) -> str:
    """Name of a random draw on one band, so that the bands of a scene draw independently.

    It is `who` alone in a scene file of one band, whose draws do not depend on the band's name.
    """
    return who if scene.layout is None else f"{scene.band}/{who}"


def link_reflections(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    targets: Sequence[TargetState],
    num_scatterers: int,
    block: int,
    route: int = 0,
) -> np.ndarray:
    """Complex reflections of one link in one coherence block.

    They are functions of (seed, block, target's name or clutter, link): constant in a block,
    independent across blocks, targets and links.

    block: number of the coherence block
    route: 0 for direct paths, from 1 for paths by way of each surface, before or behind the target;
    each route has independent reflections
    Returns [num_targets + num_scatterers], complex128, as draw_reflections.
    """
    link = f"fading/{transmitter.name}/{receiver.name}/{route}"

    # One generator for each target, so that others may come and go.
    parts = []
    for target in targets:
        generator = frame_generator(
            scene.seed, block, draw_key(scene, f"{link}/target/{target.name}")
        )
        parts.append(draw_reflections(scene, [target], 0, generator))

    # One generator for all of the clutter.
    generator = frame_generator(scene.seed, block, draw_key(scene, f"{link}/clutter"))
    parts.append(draw_reflections(scene, [], num_scatterers, generator))
    return np.concatenate(parts)


def draw_reflections(
    scene: Scene,
    targets: Sequence[TargetState],
    num_scatterers: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Complex reflections of one link and frame, targets first.

    Path loss model: CN(0, chi^2). Radar equation: a target has a cross section sigma_M sigma_S and
    a uniform phase, where sigma_M is its own mean or that of its class, and sigma_S is log-normal
    with mean 1 and the class's deviation in dB; a clutter scatterer is CN(0, reflection_variance in
    m^2).

    Returns [num_targets + num_scatterers], complex128; with the radar equation m, the root of a
    cross section.
    Source: CF section II-C; 3GPP TR 38.901 section 7.9.2, without its angular component sigma_D.
    """
    propagation = scene.propagation
    clutter_variance = propagation.clutter.reflection_variance
    clutter = complex_normal(generator, (num_scatterers,), clutter_variance)
    if not propagation.has_radar_equation:
        of_targets = complex_normal(generator, (len(targets),), propagation.reflection_variance)
        return np.append(of_targets, clutter)

    # Cross section of each target on this link, and a uniform phase.
    mean_m2 = np.array([scene.rcs_m2(target.name, target.target_class) for target in targets])
    deviation_db = np.array([scene.body(target.target_class).rcs_std_db for target in targets])
    rcs_m2 = mean_m2 * unit_log_normal(deviation_db, generator)
    phases = np.exp(2j * np.pi * generator.random(len(targets)))
    of_targets = np.sqrt(rcs_m2) * phases
    return np.append(of_targets, clutter)


def unit_log_normal(std_db: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Log-normal draws of mean 1.

    std_db: [...], float64, dB, standard deviation of the decibels of each draw
    Returns [...], float64.
    """
    # Deviation of the natural logarithm, whose mean is such that the mean of the draws is 1.
    log_std = std_db * np.log(10) / 10
    return np.exp(log_std * generator.standard_normal(np.shape(std_db)) - log_std**2 / 2)

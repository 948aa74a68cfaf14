"""Random reflections of targets and clutter: anew in every frame, or once a coherence block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.scene.draw import frame_generator
from cooperative_isac.scene.model import Scene, Site, TargetState

# Share of a coherence time by which a frame may begin too early for its block and still belong to
# it: far above the rounding of number / rate, far below any distance between frames.
ROUNDING = 1e-6


def coherence_block(scene: Scene, time_s: float | None) -> int | None:
    """Number of the coherence block of a frame: floor(time / coherence time).

    time_s: from the start of consecutive frames; None: an independent draw
    Returns None where reflections are drawn anew in every frame.
    """
    coherence_s = scene.propagation.coherence_time_s
    if time_s is None or coherence_s <= 0:
        return None
    return int(np.floor(time_s / coherence_s + ROUNDING))


def draw_key(scene: Scene, who: str) -> str:
    """Name of a random draw on one band, so that the bands of a scene draw independently.

    A scene file of one band has none in it: its draws are those of `who` alone.
    """
    return who if scene.layout is None else f"{scene.band}/{who}"


def link_reflections(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    targets: Sequence[TargetState],
    num_scatterers: int,
    block: int,
    way: int = 0,
) -> np.ndarray:
    """Complex reflections of one link in one coherence block.

    They are functions of (seed, block, target's name or clutter, link): constant in a block,
    independent across blocks, targets and links.

    way: number of the kind of path, which each have reflections of their own (by way of a surface)
    Returns [num_targets + num_scatterers], complex128, as draw_reflections.
    """
    link = f"fading/{transmitter.name}/{receiver.name}/{way}"

    # One generator for each target, so that others may come and go.
    parts = []
    for target in targets:
        who = draw_key(scene, f"{link}/target/{target.name}")
        parts.append(draw_reflections(scene, [target], 0, frame_generator(scene.seed, block, who)))

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
    """Complex reflections of one link and frame, targets first, [num_targets + num_scatterers].

    Path loss model: CN(0, chi^2) as in CF. Radar equation: a target has the root of a cross section
    sigma_M sigma_S, where sigma_M is its own or that of its class, sigma_S is log-normal with mean
    1 and the class's deviation in dB (3GPP TR 38.901 section 7.9.2, without its angular component
    sigma_D), and a uniform phase; a clutter scatterer is CN(0, reflection_variance in m^2).
    """
    air = scene.propagation
    clutter = complex_normal(generator, (num_scatterers,), air.clutter.reflection_variance)
    if not air.has_radar_equation:
        return np.append(
            complex_normal(generator, (len(targets),), air.reflection_variance), clutter
        )
    mean = np.array([scene.rcs_m2(target.name, target.target_class) for target in targets])
    deviation_db = np.array([scene.body(target.target_class).rcs_std_db for target in targets])
    sections = mean * unit_log_normal(deviation_db, generator)
    phases = np.exp(2j * np.pi * generator.random(len(targets)))
    return np.append(np.sqrt(sections) * phases, clutter)


def unit_log_normal(std_db: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Log-normal draws of mean 1 whose decibels deviate by std_db, same shape."""
    nepers = std_db * np.log(10) / 10
    return np.exp(nepers * generator.standard_normal(np.shape(std_db)) - nepers**2 / 2)

"""Limits of a scene's size, checked before any array is made."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cooperative_isac.scene.file import array_keys, schema
from cooperative_isac.scene.file.build import num_used, used_span
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS

BYTES_PER_SAMPLE = 8  # complex64
# The largest single array of a frame, byte: the largest shipped scene has 34 MB, and each node
# holds several.
MOST_BYTES = 2e9
# Beams of a search grid per element along an axis, and steps per bistatic range resolution: at most
# those of sensing.search_grid.
MOST_BEAMS_PER_ELEMENT = 1.5
STEPS_PER_RESOLUTION = 2.5
# Largest number of range steps that is computed: more are beyond every machine, and would overflow.
MOST_STEPS = 1e15
# Sites: each of them is a process of a live scene.
MOST_SITES = 64
# Interferers: as many as sites of the scene itself; each frame has the samples of all of them.
MOST_INTERFERERS = 64
# Targets: each of them is a topic that all access points receive.
MOST_TARGETS = 256
# Elements of an array: a massive array of 64 x 64.
MOST_ELEMENTS = 4096


def size_problems(file: schema.SceneFile) -> list[Problem]:
    """Faults of numbers that are beyond every machine, with the limits and their reasons."""
    counts = list(_counts(file))
    return counts or list(_memory(file))


def num_elements(array: array_keys.ArrayEntry) -> int:
    """Elements of an array of the file."""
    if isinstance(array, array_keys.Custom):
        return len(array.elements_m)
    if isinstance(array, array_keys.Ula):
        return array.num_elements
    if isinstance(array, array_keys.Nested):
        return array.num_inner + array.num_outer
    if isinstance(array, array_keys.Coprime):
        return 2 * array.first + array.second - 1
    return array.num_horizontal * array.num_vertical


def num_spacings(array: array_keys.ArrayEntry) -> int:
    """Elements of an array of the same length without gaps, the uniform array of a sparse one."""
    if isinstance(array, array_keys.Nested):
        return (array.num_inner + 1) * array.num_outer
    if isinstance(array, array_keys.Coprime):
        return (2 * array.first - 1) * array.second + 1
    return num_elements(array)


def _counts(file: schema.SceneFile) -> Iterator[Problem]:
    """Problems of the numbers of sites, elements, targets and users.

    file: with `transmitters` and `receivers`; one with `stations` is split into such files before,
        one per band
    """
    # Sites and their antenna arrays.
    for group in ("transmitters", "receivers"):
        sites = getattr(file, group)
        if len(sites) > MOST_SITES:
            yield Problem(
                group,
                f"lists {len(sites):,} sites; at most {MOST_SITES}, as each is a "
                "process of a live scene",
            )
        for index, site in enumerate(sites):
            count = num_elements(site.array)
            if count > MOST_ELEMENTS:
                yield Problem(
                    f"{group}[{index}].array", f"has {count:,} elements; at most {MOST_ELEMENTS:,}"
                )

    # Interferers, those of the band.
    num_interferers = len(file.propagation.interferers)
    if num_interferers > MOST_INTERFERERS:
        yield Problem(
            "propagation.interferers",
            f"lists {num_interferers:,} stations; at most {MOST_INTERFERERS}, as each frame has "
            "the samples of all of them",
        )

    # Targets and users, for which each frame has data arrays.
    counts = {
        "targets": len(file.targets),
        "sensing.max_targets": file.sensing.max_targets,
        "users.num_users": file.users.num_users,
    }
    for key, count in counts.items():
        if count > MOST_TARGETS:
            yield Problem(
                key,
                f"is {count:,}; at most {MOST_TARGETS}, as each frame has arrays for each of them",
            )


def _memory(file: schema.SceneFile) -> Iterator[Problem]:
    """Problem of the first of a frame's largest arrays that takes too much memory."""
    wave = file.waveform
    num_subcarriers = num_used(wave)
    samples = num_subcarriers * wave.num_symbols
    users = file.users.num_users
    receive = max(num_elements(site.array) for site in file.receivers)
    transmit = sum(num_elements(site.array) for site in file.transmitters)

    # Paths of targets and clutter.
    clutter = file.propagation.clutter
    scatterers = clutter.num_scatterers or len(clutter.positions_m or [])
    targets = max(len(file.targets), file.draw.num_targets)
    num_paths = len(file.transmitters) * (targets + scatterers)

    # Key, name and number of samples of each array.
    shape = f"{num_subcarriers:,} subcarriers x {wave.num_symbols:,} symbols"
    grid = "waveform.fragments" if wave.fragments else "waveform.num_subcarriers"
    arrays = (
        (grid, f"an echo of {receive} antennas x {shape}", receive * samples),
        (grid, f"symbols of {users} users x {shape}", users * samples),
        (
            grid,
            f"the channel of {receive} x {transmit} antennas x {num_subcarriers:,} subcarriers",
            receive * transmit * num_subcarriers,
        ),
        (
            "propagation.clutter" if scatterers > targets else grid,
            f"signals of {num_paths:,} paths x {shape}",
            num_paths * samples,
        ),
    )
    for key, name, count in arrays:
        if count * BYTES_PER_SAMPLE > MOST_BYTES:
            yield Problem(
                key,
                f"makes {name}, {count * BYTES_PER_SAMPLE / 1e9:,.3g} GB; at most "
                f"{MOST_BYTES / 1e9:g} GB",
            )
            return
    yield from _search(file)


def _search(file: schema.SceneFile) -> Iterator[Problem]:
    """The search grid of a receiver: beams times steps in range."""
    wave = file.waveform

    # Steps in range over the area and the receivers. The extent of all their coordinates together
    # bounds that along each axis.
    bandwidth_hz = used_span(wave) * wave.subcarrier_stride * wave.subcarrier_spacing_hz
    step_m = SPEED_OF_LIGHT_MPS / bandwidth_hz / STEPS_PER_RESOLUTION
    coordinates_m = [*file.area.low_m, *file.area.high_m]
    coordinates_m += [value for site in file.receivers for value in site.position_m]
    across_m = max(coordinates_m) - min(coordinates_m)
    steps = math.ceil(min(across_m / step_m, MOST_STEPS))

    # Beams of the largest array, over one angle in a plane and two in space.
    beams = max(num_spacings(site.array) for site in file.receivers)
    beams *= MOST_BEAMS_PER_ELEMENT ** (file.dimension - 1)

    cells = beams * steps
    num_subcarriers = num_used(wave)
    size = cells * num_subcarriers * BYTES_PER_SAMPLE
    if size > MOST_BYTES:
        yield Problem(
            "area",
            f"takes {cells:,.3g} cells of {step_m:.3g} m in {beams:.0f} beams to "
            f"search on {num_subcarriers:,} subcarriers, {size / 1e9:,.3g} GB; at "
            f"most {MOST_BYTES / 1e9:g} GB: make the area or the bandwidth smaller",
        )

"""Whether the arrays of a scene fit into a machine, before any of them is made."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS

BYTES_PER_SAMPLE = 8  # complex64
# The largest single array of a frame, byte: the largest shipped scene has 34 MB, and each node
# holds several.
MOST_BYTES = 2e9
# Beams along an axis and steps in range over the resolution (sensing.search_grid).
BEAM_OVERSAMPLING, RANGE_OVERSAMPLING = 1.5, 2.5
# Sites, each of them a process of a live scene, and targets, each a topic that all of them receive.
MOST_SITES = 64
MOST_TARGETS = 256
MOST_ELEMENTS = 4096  # of an array; tiles of an array of 64 x 64


def size_problems(file: schema.SceneFile) -> list[Problem]:
    """Faults of numbers that are beyond every machine; limits with their reasons."""
    counts = list(_counts(file))
    return counts or list(_memory(file))


def num_elements(array: schema.Ula | schema.Planar | schema.Custom) -> int:
    """Elements of an array of the file."""
    if isinstance(array, schema.Custom):
        return len(array.elements_m)
    if isinstance(array, schema.Ula):
        return array.num_elements
    return array.num_horizontal * array.num_vertical


def _counts(file: schema.SceneFile) -> Iterator[Problem]:
    """Numbers of things."""
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
    limits = {
        "targets": len(file.targets),
        "sensing.max_targets": file.sensing.max_targets,
        "users.num_users": file.users.num_users,
    }
    for key, count in limits.items():
        if count > MOST_TARGETS:
            yield Problem(
                key,
                f"is {count:,}; at most {MOST_TARGETS}, as each frame has arrays for each of them",
            )


def _memory(file: schema.SceneFile) -> Iterator[Problem]:
    """The largest arrays of a frame."""
    wave = file.waveform
    samples = wave.num_subcarriers * wave.num_symbols
    users = file.users.num_users
    receive = max(num_elements(site.array) for site in file.receivers)
    transmit = sum(num_elements(site.array) for site in file.transmitters)
    clutter = file.propagation.clutter
    scatterers = clutter.num_scatterers or len(clutter.positions_m or [])
    targets = max(len(file.targets), file.draw.num_targets)
    num_paths = len(file.transmitters) * (targets + scatterers)
    shape = f"{wave.num_subcarriers:,} subcarriers x {wave.num_symbols:,} symbols"
    grid = "waveform.num_subcarriers"
    arrays = (
        (grid, f"an echo of {receive} antennas x {shape}", receive * samples),
        (grid, f"symbols of {users} users x {shape}", users * samples),
        (
            grid,
            f"the channel of {receive} x {transmit} antennas x {wave.num_subcarriers:,} "
            "subcarriers",
            receive * transmit * wave.num_subcarriers,
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
    """The cells in which a receiver looks for targets: beams times steps in range."""
    wave = file.waveform
    bandwidth_hz = wave.num_subcarriers * wave.subcarrier_stride * wave.subcarrier_spacing_hz
    step_m = SPEED_OF_LIGHT_MPS / bandwidth_hz / RANGE_OVERSAMPLING
    corners = [*file.area.low_m, *file.area.high_m]
    corners += [value for site in file.receivers for value in site.position_m]
    across_m = max(corners) - min(corners)
    beams = max(num_elements(site.array) for site in file.receivers)
    beams *= BEAM_OVERSAMPLING ** (file.dimension - 1)
    cells = beams * math.ceil(min(across_m / step_m, 1e15))
    size = cells * wave.num_subcarriers * BYTES_PER_SAMPLE
    if size > MOST_BYTES:
        yield Problem(
            "area",
            f"takes {cells:,.3g} cells of {step_m:.3g} m in {beams:.0f} beams to "
            f"search on {wave.num_subcarriers:,} subcarriers, {size / 1e9:,.3g} GB; at "
            f"most {MOST_BYTES / 1e9:g} GB: make the area or the bandwidth smaller",
        )

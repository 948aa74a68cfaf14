"""Checks of a fragmented spectrum: ranges on the grid, and what works on them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.build import num_networks
from cooperative_isac.scene.file.errors import Problem


def check_fragments(file: schema.SceneFile) -> Iterator[Problem]:
    """Fragments are whole precoder groups on the grid, ascending, with gaps between them."""
    wave = file.waveform
    if not wave.fragments:
        return
    for index, (first, last) in enumerate(wave.fragments):
        fault = _range_fault(wave, first, last)
        if fault is not None:
            yield Problem(f"waveform.fragments[{index}]", f"is [{first}, {last}]; {fault}")

    # Order and gaps.
    for index, ((_, last), (first, _)) in enumerate(pairwise(wave.fragments)):
        if first <= last + 1:
            yield Problem(
                f"waveform.fragments[{index + 1}]",
                f"begins at {first}, and the range before it ends at {last}: ranges must ascend, "
                "with unused subcarriers between them; join or sort them",
            )

    # Keys that divide the whole grid.
    if wave.reference_subcarrier_stride:
        yield Problem(
            "waveform.reference_subcarrier_stride",
            f"is {wave.reference_subcarrier_stride}, a comb over the whole grid, of which "
            "fragments leave ranges; use reference signals (signals: [data, prs])",
        )
    if num_networks(file.propagation) > 1:
        yield Problem(
            "waveform.fragments",
            "leave other networks the rest of the grid, and so do propagation.interferers with "
            "signal: orthogonal; leave one of both out",
        )


def _range_fault(wave: schema.WaveformEntry, first: int, last: int) -> str | None:
    """What is wrong with a range of subcarriers, or None."""
    if last < first:
        return "the last subcarrier must not be before the first"
    if last >= wave.num_subcarriers:
        return (
            f"the grid has the subcarriers 0 to {wave.num_subcarriers - 1} "
            f"(num_subcarriers: {wave.num_subcarriers})"
        )
    size = last - first + 1
    if size % wave.group_size:
        return (
            f"{size} subcarriers must be a multiple of the {wave.group_size} of a precoder group "
            "(group_size)"
        )
    return None

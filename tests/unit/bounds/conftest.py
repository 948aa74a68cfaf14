"""Small scenes whose echoes are differentiated sample by sample."""

from dataclasses import replace

import pytest


@pytest.fixture(params=["small", "tilted"])
def scene(request):
    """A small grid of a scene: derivatives are taken sample by sample."""
    full = request.getfixturevalue(request.param)
    grid = replace(
        full.grid, num_subcarriers=6, num_symbols=4, subcarrier_stride=20, symbol_stride=20
    )
    return replace(full, waveform=replace(full.waveform, grid=grid, group_size=2))
